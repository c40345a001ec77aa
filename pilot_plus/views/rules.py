"""Rules: what the configuration says of sync, and the targets that it names."""

from collections.abc import Callable
from typing import Final, TypeAlias

import msgspec

from pilot_plus.catalog.admission import Admission, admission_of
from pilot_plus.catalog.guard import Limits, limits_of
from pilot_plus.config import Config, RegistrySection, SyncRule
from pilot_plus.model import Health, Instance, Origin, Pairs, Service, Speaks, Viewer, split_service
from pilot_plus.ports import Refused
from pilot_plus.quantities import matches

EDGE_ORIGIN: Final = "pilot-plus"
"""The registry that the origin of a copy names where its address is an edge's; the id is `SERVICE@EDGE`."""
Preview: TypeAlias = Callable[[Instance], Instance | Refused]


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """A sync rule of a configuration."""

    name: str
    mark: str
    """As it stands in its copies."""
    target: str
    services: tuple[str, ...]
    registries: frozenset[str]
    labels: Pairs
    health: frozenset[Health]
    layout: str
    to_name: str
    to_namespace: str
    lease: float
    lifetime: str | None
    is_applied: bool
    limits: Limits

    def takes(self, service: str) -> bool:
        """Whether it is about a service of that name."""
        return any(matches(pattern, service) for pattern in self.services)


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A registry that is written to."""

    registry: str
    cluster: str
    viewer: Viewer
    """Who reads there."""
    namespace: str
    admission: Admission
    """What becomes of a record when it is read there again."""
    preview: Preview | None = None


def rules_of(config: Config) -> tuple[Rule, ...]:
    """The rules of a configuration, in their order."""
    return tuple(_rule(config, section) for section in config.sync)


def target_of(config: Config, registry: RegistrySection) -> Target:
    """A registry of a configuration as a target."""
    return Target(
        registry=registry.name,
        cluster=config.cluster,
        viewer=Viewer(config.zone_of(registry), Speaks.PLAIN),
        namespace=config.namespace_of(registry),
        admission=admission_of(config, registry),
    )


def unit_of(rule: Rule, target: Target, service: str) -> str:
    """The service in the target that a rule writes a service into, as the catalog will name it.

    Raises:
        ValueError: the target can't have a service of that name.
    """
    namespace, name = named(rule, target, service)
    return target.admission.service(Service(key="", namespace=namespace, name=name)).service


def is_leased(rule: Rule, origin: Origin) -> bool:
    """Whether a rule's copy of that origin ends unless it is renewed."""
    return (rule.lifetime or ("durable" if origin.registry == EDGE_ORIGIN else "leased")) == "leased"


def named(rule: Rule, target: Target, service: str) -> tuple[str, str]:
    """Namespace and name that a rule gives a service in its target.

    Raises:
        ValueError: it gives none.
    """
    namespace, name = split_service(service)
    parts = {"{namespace}": namespace, "{name}": name}
    filled = _filled(rule.to_name, parts)
    if not filled:
        raise ValueError(f"rule {rule.name!r} gives {service[:200]!r} an empty name")
    return _filled(rule.to_namespace, parts) or target.namespace, filled


def _filled(pattern: str, parts: dict[str, str]) -> str:
    """The pattern with what its braces stand for, taken literally: a name may hold braces too."""
    filled, rest = "", pattern
    while rest:
        first = min((at for at in (rest.find(part) for part in parts) if at >= 0), default=-1)
        if first < 0:
            return filled + rest
        part = next(part for part in parts if rest.startswith(part, first))
        filled, rest = filled + rest[:first] + parts[part], rest[first + len(part) :]
    return filled


def _rule(config: Config, section: SyncRule) -> Rule:
    to, from_ = section.target, section.from_
    return Rule(
        name=section.name,
        mark=f"{config.cluster}/{section.name}",
        target=to.registry,
        services=from_.services,
        registries=frozenset(from_.registries),
        labels=tuple(sorted(from_.labels.items())),
        health=frozenset(Health(health) for health in from_.health),
        layout=to.layout,
        to_name=to.name,
        to_namespace=to.namespace,
        lease=section.lease,
        lifetime=section.lifetime,
        is_applied=section.mode == "apply",
        limits=limits_of(section.guard),
    )
