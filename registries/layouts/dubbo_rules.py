"""What Dubbo says about providers beside them: configurators that override weight and health, and name mappings.

A configurator is a URL below `configurators`:

    override://0.0.0.0/com.example.OrderService?category=configurators&dynamic=false&weight=50
    override://10.1.0.7:20880/com.example.OrderService?version=1.0.0&category=configurators&disabled=true
    empty://0.0.0.0/com.example.OrderService?category=configurators

It concerns the providers of its interface: all of them (host 0.0.0.0) or one host, with or without a port. `version`
and `group` narrow it where they are given. What Dubbo applies later wins, and it sorts by host, then by `priority`:
the more special rule comes after `0.0.0.0`. (apache/dubbo: `AbstractConfigurator`, `Configurator`.)

Rules are honoured where the hub can know that every consumer honours them: not with `enabled=false`, not for one
consumer (`side=consumer` with a host), and with `application` only where it names the provider's own.
"""

from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

import msgspec

from pilot_plus.model import Health, Instance
from registries.layouts.dubbo_url import DubboUrl, weight_of

ANY_HOST: Final = "0.0.0.0"  # noqa: S104 - Dubbo's word for "all hosts", nothing listens there
ANY_VALUE: Final = "*"


class Override(msgspec.Struct, frozen=True):
    """A configurator: for whom, and what it changes. None leaves a thing as it is; `clears` takes back all others."""

    interface: str
    host: str = ANY_HOST
    port: int = 0
    version: str = ANY_VALUE
    group: str = ANY_VALUE
    application: str = ANY_VALUE
    priority: int = 0
    weight: int | None = None
    disabled: bool | None = None
    clears: bool = False

    def concerns(self, instance: Instance) -> bool:
        """Say whether it applies to a provider."""
        _, version, group = split_name(instance.name)
        return (
            self.host in (ANY_HOST, instance.address)
            and self.port in (0, instance.ports[0].number)
            and self.version in (ANY_VALUE, version)
            and self.group in (ANY_VALUE, group)
            and self.application in (ANY_VALUE, instance.meta("application"))
        )


class Aliases(msgspec.Struct, frozen=True):
    """A mapping: an interface, as a further name of the services of these keys, the applications that serve it."""

    alias: str
    services: tuple[str, ...]


Rule: TypeAlias = Override | Aliases


def override_of(url: DubboUrl, interface: str) -> Override | None:
    """Read a configurator that lies under `interface`; None where it changes nothing that we honour.

    Raises:
        ValueError: a weight that is none.
    """
    if url.protocol == "empty":
        return Override(interface, clears=True)
    is_for_one_consumer = url.get("side") == "consumer" and url.host != ANY_HOST
    if url.protocol != "override" or url.get("enabled", "true") == "false" or is_for_one_consumer:
        return None
    weight = weight_of(url.get("weight")) if url.get("weight") else None
    disabled = url.get("disabled") == "true" if url.get("disabled") else None
    if weight is None and disabled is None:
        return None
    priority = url.get("priority", "0")
    return Override(
        interface,
        host=url.host or ANY_HOST,
        port=url.port,
        version=url.get("version") or ANY_VALUE,
        group=url.get("group") or ANY_VALUE,
        application=url.get("application") or ANY_VALUE,
        priority=int(priority) if priority.isascii() and priority.lstrip("-").isdigit() and len(priority) < 10 else 0,
        weight=weight,
        disabled=disabled,
    )


def overridden(instance: Instance, overrides: Iterable[Override]) -> Instance:
    """The provider as consumers see it under these rules."""
    weight, disabled = instance.weight, None
    for override in in_order(overrides):
        if override.concerns(instance):
            weight = weight if override.weight is None else override.weight
            disabled = disabled if override.disabled is None else override.disabled
    if disabled is None and weight == instance.weight:
        return instance
    if disabled is None:
        disabled = instance.health is Health.CRITICAL
    return msgspec.structs.replace(instance, weight=weight, health=health_of(weight, disabled))


def in_order(overrides: Iterable[Override]) -> Sequence[Override]:
    """The rules in force, in the order in which Dubbo applies them: none where one of them is `empty://`."""
    rules = sorted(overrides, key=lambda rule: (rule.host != ANY_HOST, rule.host, rule.priority))
    return () if any(rule.clears for rule in rules) else rules


def health_of(weight: int, disabled: bool) -> Health:
    """Disabled is critical; weight 0 means that consumers send nothing, but that calls are still answered."""
    if disabled:
        return Health.CRITICAL
    return Health.PASSING if weight else Health.DRAINING


def split_name(name: str) -> tuple[str, str, str]:
    """Interface, version and group of a service's name, `interface:version[:group]`; missing parts are empty."""
    interface, _, rest = name.partition(":")
    version, _, group = rest.partition(":")
    return interface, version, group


def joined_name(interface: str, version: str, group: str) -> str:
    """The reverse of `split_name`: empty parts at the end are left out."""
    return f"{interface}:{version}:{group}".rstrip(":")
