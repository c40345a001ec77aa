"""Dubbo 2, interface level: `/dubbo/<interface>/providers/<encoded URL>`. The node's name is the record.

| ours | Dubbo |
|---|---|
| name | `interface:version[:group]`, empty parts at the end left out; each a parameter |
| id | `host:port` |
| port | one; name and protocol are the URL's scheme |
| weight | `weight`; 100 where it is missing: the scale is ours |
| critical | `disabled=true` or `enabled=false`, and configurators (`dubbo_rules`) |
| draining | `weight=0` |
| metadata | every other parameter, but for what only books the node itself: `side`, `category`, `dynamic` |

What it can't hold when we write: `warning` becomes passing; the weight of a draining instance; weight 0 of a passing
one (it comes back as draining); a second port; an id of its own; metadata under a name that the table uses, and what
has `&`, `#` (or `=` in its name), which a Dubbo URL can't carry. (apache/dubbo: `ZookeeperRegistry`, `URL`.)
"""

from collections.abc import Mapping
from typing import Final

from pilot_plus.model import ORDINARY_WEIGHT, UNKNOWN_PROTOCOL, Health, Instance, Port, Service, instance
from registries.layouts.dubbo_rules import Override, health_of, joined_name, override_of, split_name
from registries.layouts.dubbo_url import (
    DubboUrl,
    can_hold,
    decoded_part,
    decoded_url,
    encoded_part,
    encoded_url,
    provider_key,
    providers_of,
    weight_of,
)
from registries.layouts.layout import Decoded, Raw
from registries.layouts.mark import ORIGIN, marked, unmarked
from registries.layouts.tree import Place, Rooted, below

PROTOCOLS: Final = frozenset({"dubbo", "tri", "rest", "rmi", "hessian", "grpc", "thrift", "webservice"})
TRANSLATED: Final = frozenset({"interface", "version", "group", "weight", "enabled", "disabled"})
BOOKING: Final = frozenset({"side", "category", "dynamic"})
_NO_INTERFACES: Final = frozenset({"metadata", "mapping", "config", "*"})
"""What else lies in Dubbo's root, and the interface of those who subscribe to everything."""


class Dubbo(Rooted, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`root` is Dubbo's `group`; `protocol` is written for a port whose protocol nobody knows."""

    root: str = "/dubbo"
    protocol: str = "dubbo"

    @property
    def name(self) -> str:
        """As it stands in the configuration."""
        return "dubbo"

    @property
    def protocols(self) -> frozenset[str]:
        """What Dubbo consumers can speak."""
        return PROTOCOLS

    def place(self, path: str) -> Place:
        """Interfaces, their providers and their configurators."""
        match below(self.root, path):
            case []:
                return Place.DIRECTORY
            case [interface]:
                return Place.ELSEWHERE if interface in _NO_INTERFACES else Place.DIRECTORY
            case [_, "providers" | "configurators"]:
                return Place.DIRECTORY
            case [_, "providers", _]:
                return Place.NAME
            case [_, "configurators", _]:
                return Place.RULE
        return Place.ELSEWHERE

    def directory(self, key: str) -> str | None:
        """The providers of the interface."""
        return providers_of(self.root, key)

    def decode(self, raw: Raw) -> Decoded:
        """Read a provider, or the `providers` of an interface as a service."""
        match below(self.root, raw.path):
            case [interface, "providers"]:
                return (Service(key=raw.path, name=decoded_part(interface)),)
            case [interface, "providers", name]:
                provider = provider_of(decoded_url(name), decoded_part(interface), self.root)
                return () if provider is None else (provider,)
        return ()

    def rule(self, raw: Raw) -> Override | None:
        """Read a configurator."""
        match below(self.root, raw.path):
            case [interface, "configurators", name]:
                return override_of(decoded_url(name), decoded_part(interface))
        return None

    def encode(self, instance: Instance) -> Raw:
        """Write a provider; `dynamic` says whether it lives on a lease."""
        url = provider_url(instance, self.protocol)
        return Raw(f"{self.root}/{encoded_part(url.get('interface'))}/providers/{encoded_url(url)}")


def provider_of(url: DubboUrl, interface: str, root: str) -> Instance | None:
    """The instance that a provider's URL under `interface` describes; None for `empty://`, which says "nobody".

    Raises:
        ValueError: it can't be used.
    """
    if url.protocol == "empty":
        return None
    said = url.get("interface") or url.path
    if said != interface:
        raise ValueError(f"it lies under {interface[:100]!r}, but is a provider of {said[:100]!r}")
    version, group = url.get("version"), url.get("group")
    if ":" in version or ":" in group or ":" in interface:
        raise ValueError(
            f"interface, version or group holds a colon: {interface[:50]!r}, {version[:50]!r}, {group[:50]!r}"
        )
    metadata, origin, zone = unmarked(_metadata(url, interface))
    weight = weight_of(url.get("weight") or str(ORDINARY_WEIGHT))
    name = joined_name(interface, version, group)
    return instance(
        key=provider_key(root, name, url),
        name=name,
        id=url.place,
        address=url.host,
        ports=(Port(url.protocol, url.port, url.protocol),),
        health=health_of(weight, _is_disabled(url)),
        weight=weight,
        zone=zone,
        metadata=metadata,
        origin=origin,
        layout="dubbo",
    )


def provider_url(instance: Instance, protocol: str) -> DubboUrl:
    """The URL under which Dubbo consumers find an instance; `protocol` for a port whose protocol nobody knows.

    Raises:
        ValueError: Dubbo can't hold it.
    """
    interface, version, group = split_name(instance.name)
    parts = (interface, version, group)
    if ":" in group or interface in ("", ".", "..") or not all(can_hold("x", part) for part in parts):
        raise ValueError(f"{instance.name[:100]!r} is no name for Dubbo: expected INTERFACE[:VERSION[:GROUP]]")
    port = port_for(instance, PROTOCOLS, protocol)
    parameters = {"interface": interface, "version": version, "group": group, "side": "provider"}
    parameters |= {"dynamic": "true" if instance.lease else "false"}
    weight = 0 if instance.health is Health.DRAINING else instance.weight
    if weight != ORDINARY_WEIGHT:
        parameters["weight"] = str(weight)
    if instance.health is Health.CRITICAL:
        parameters["disabled"] = "true"
    metadata = held_metadata(marked(instance), TRANSLATED | BOOKING)
    path = metadata.get("path", interface)
    parameters = {name: value for name, value in parameters.items() if value} | metadata
    return DubboUrl(port.protocol, instance.address, port.number, path if "?" not in path else interface, parameters)


def port_for(instance: Instance, protocols: frozenset[str], unknown: str) -> Port:
    """The port that readers who speak `protocols` call; one whose protocol nobody knows is taken for `unknown`.

    Raises:
        ValueError: the instance speaks none of them.
    """
    for port in instance.ports:
        if port.protocol in protocols:
            return port
    for port in instance.ports:
        if port.protocol == UNKNOWN_PROTOCOL:
            return Port(unknown, port.number, unknown)
    spoken = ", ".join(sorted({port.protocol for port in instance.ports}))
    raise ValueError(f"it speaks {spoken}; readers of this layout speak {', '.join(sorted(protocols))}")


def held_metadata(metadata: Mapping[str, str], taken: frozenset[str]) -> dict[str, str]:
    """What a URL can carry of it, but for names that are `taken`. The mark escapes what a URL can't hold."""
    if ORIGIN in metadata:
        metadata = {**metadata, ORIGIN: metadata[ORIGIN].replace("&", "%26").replace("#", "%23")}
    return {name: value for name, value in metadata.items() if name not in taken and can_hold(name, value)}


def _metadata(url: DubboUrl, interface: str) -> dict[str, str]:
    metadata = {name: value for name, value in url.parameters.items() if name not in TRANSLATED | BOOKING}
    if url.path not in (interface, metadata.get("path", interface)):
        metadata["path"] = url.path
    return metadata


def _is_disabled(url: DubboUrl) -> bool:
    if url.get("disabled"):
        return url.get("disabled") == "true"
    return url.get("enabled") == "false"
