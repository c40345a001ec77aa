"""Copies: the records that a sync rule wants in its target, made from what the target's zone sees as a plain viewer.

    zk      legacy/orders  10.1.0.7   ── rule orders-to-consul ──▶   consul  orders  10.1.0.7
                                                                     pilot-plus-rule = east/orders-to-consul
                                                                     origin          = east|zk|…|east

A copy keeps the origin of what it is made from, with our cluster as one more hop. Only originals are copied: a record
that names another origin than the place where it was read, or that the index knows as ours, is somebody's copy. What
stands behind an edge becomes one copy for each edge, whose origin is the edge.
"""

from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from typing import Final, TypeAlias

import msgspec
from immutables import Map

from pilot_plus.catalog import Catalog, Place
from pilot_plus.catalog.admission import Admission, admission_of
from pilot_plus.catalog.guard import Limits
from pilot_plus.config import Config, RegistrySection, SyncRule
from pilot_plus.model import Health, Instance, Origin, Pairs, Service, Speaks, Viewer, pairs, split_service
from pilot_plus.ports import Refused
from pilot_plus.quantities import matches
from pilot_plus.views.edges import EDGES, Edges
from pilot_plus.views.endpoints import is_original
from pilot_plus.views.horizon import Seen, look
from pilot_plus.views.sight import Hidden
from pilot_plus.views.topology import Topology, has_labels, originates_in

RULE: Final = "pilot-plus-rule"
"""The metadata name under which a copy says which rule wrote it: `CLUSTER/RULE`."""
EDGE_ORIGIN: Final = "pilot-plus"
"""The registry that the origin of a copy names where its address is an edge's; the id is `SERVICE@EDGE`."""
LONGEST_ID: Final = 200
"""Characters of an origin's id in a copy; a longer one is replaced by its hash, as marks do."""

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


class Scene(msgspec.Struct, frozen=True, kw_only=True):
    """What a plan is made from."""

    catalog: Catalog
    topology: Topology
    edges: Edges
    is_written: Callable[[str, Instance], bool] = lambda _registry, _instance: False
    """Whether the index knows a record, read from a registry, as one that we wrote."""


class Copy(msgspec.Struct, frozen=True, kw_only=True):
    """A record that a rule wants in its target."""

    rule: str
    service: str
    """That it is made from."""
    unit: str
    """The service that it belongs to in the target, as the catalog names it."""
    record: Instance
    """As it is handed to the sink."""
    expected: Instance
    """As the target's source will report it, as far as that is known."""
    is_foreseen: bool
    """The sink has foretold it; otherwise its layout may not hold all of `expected`."""

    @property
    def identity(self) -> tuple[str, Origin]:
        """What stays the same when its content changes."""
        return self.rule, self.record.origin

    @property
    def holds_mark(self) -> bool:
        """Whether it can be told from an original by what the target holds."""
        return self.is_foreseen and self.expected.origin == self.record.origin


class LeftOut(msgspec.Struct, frozen=True, kw_only=True):
    """What a rule selects and can't write, and why."""

    rule: str
    service: str
    id: str
    origin: Origin
    why: str


class Wanted(msgspec.Struct, frozen=True):
    """What a rule wants of one service."""

    copies: tuple[Copy, ...] = ()
    refused: tuple[LeftOut, ...] = ()


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
    namespace, name = _named(rule, target, service)
    return target.admission.service(Service(key="", namespace=namespace, name=name)).service


def wanted(scene: Scene, target: Target, rule: Rule, service: str) -> Wanted:
    """What a rule wants of a service: costs what the service holds."""
    entry = scene.catalog.entries.get(service)
    if entry is None or service == EDGES:
        return Wanted()
    chosen = {
        place: instance
        for place, instance in entry.instances.items()
        if _is_chosen(scene, target, rule, place, instance)
    }
    if not chosen:
        return Wanted()
    if len(chosen) < len(entry.instances):
        entry = msgspec.structs.replace(entry, instances=Map(chosen))
    seen, ways = look(scene.catalog, scene.topology, scene.edges, target.viewer, entry)
    making = _Making(target, rule, service)
    for endpoint in _with_own_ids(seen):
        making.add(endpoint)
    for place, instance in chosen.items():
        if isinstance(way := ways[place], Hidden):
            making.refuse(instance, f"no way: {way.why}")
    return making.wanted()


def is_leased(rule: Rule, origin: Origin) -> bool:
    """Whether a rule's copy of that origin ends unless it is renewed."""
    return (rule.lifetime or ("durable" if origin.registry == EDGE_ORIGIN else "leased")) == "leased"


def rule_in(instance: Instance, cluster: str) -> str | None:
    """The name of our rule that a record says it was written by."""
    owner, _, name = instance.meta(RULE).partition("/")
    return name if name and owner == cluster else None


# ------------------------------------------------------------------------------------------------ choosing


def _is_chosen(scene: Scene, target: Target, rule: Rule, place: Place, instance: Instance) -> bool:
    """Whether a rule selects an instance: by where it originates, so that copies never match."""
    registry, cluster = place[0], scene.topology.cluster
    is_first_hand = is_original(scene.topology.home, registry, instance) or registry in scene.topology.peers
    return (
        is_first_hand
        and registry != target.registry
        and instance.health in rule.health
        and cluster not in instance.origin.hops
        and originates_in(instance.origin, rule.registries, cluster)
        and has_labels(instance, rule.labels)
        and not scene.is_written(registry, instance)
    )


def _with_own_ids(seen: Iterable[Seen]) -> Iterator[Seen]:
    """Endpoints of one service with an id of their own each: where two registries gave the same, a hash is added."""
    taken: set[str] = set()
    for endpoint in sorted(seen, key=lambda one: (one.instance is None, one.id, one.place)):
        mine = endpoint.id
        if mine in taken:
            mine = f"{mine}-{sha256('|'.join(endpoint.place).encode('utf-8', 'surrogatepass')).hexdigest()[:10]}"
        taken.add(mine)
        yield endpoint if mine == endpoint.id else msgspec.structs.replace(endpoint, id=mine)


# ------------------------------------------------------------------------------------------------ making


class _Making:
    """The copies of one service by one rule."""

    def __init__(self, target: Target, rule: Rule, service: str) -> None:
        self._target = target
        self._rule = rule
        self._service = service
        self._namespace, self._name = _named(rule, target, service)
        self._copies: list[Copy] = []
        self._refused: list[LeftOut] = []

    def add(self, endpoint: Seen) -> None:
        record = self._record(endpoint)
        foreseen = self._target.preview(record) if self._target.preview else None
        if isinstance(foreseen, Refused):
            self._refuse(endpoint.id, record.origin, foreseen.reason)
            return
        try:
            expected = self._target.admission.instance(foreseen or record)
        except ValueError as error:
            self._refuse(
                endpoint.id, record.origin, f"it would not be read again from {self._target.registry}: {error}"
            )
            return
        self._copies.append(
            Copy(
                rule=self._rule.name,
                service=self._service,
                unit=expected.service,
                record=record,
                expected=expected,
                is_foreseen=foreseen is not None,
            )
        )

    def refuse(self, instance: Instance, why: str) -> None:
        self._refuse(instance.id, self._origin_of(instance.origin), why)

    def wanted(self) -> Wanted:
        return Wanted(tuple(self._copies), tuple(self._refused))

    def _refuse(self, id: str, origin: Origin, why: str) -> None:  # noqa: A002 - the field's name
        left_out = LeftOut(rule=self._rule.name, service=self._service, id=id, origin=origin, why=why)
        self._refused.append(left_out)

    def _record(self, endpoint: Seen) -> Instance:
        rule, original = self._rule, endpoint.instance
        origin = self._origin_of(original.origin) if original else self._edge_origin(endpoint)
        return Instance(
            key="",
            namespace=self._namespace,
            name=self._name,
            id=endpoint.id,
            address=endpoint.address,
            ports=endpoint.ports,
            health=endpoint.health,
            weight=endpoint.weight,
            zone=endpoint.zone,
            locality=endpoint.locality,
            metadata=pairs({**dict(original.metadata if original else ()), RULE: rule.mark}),
            origin=origin,
            layout=rule.layout,
            lease=rule.lease if is_leased(rule, origin) else 0.0,
        )

    def _origin_of(self, origin: Origin) -> Origin:
        cluster = self._target.cluster
        return Origin(origin.cluster, origin.registry, _short(origin.id), (*origin.hops, cluster))

    def _edge_origin(self, endpoint: Seen) -> Origin:
        cluster = self._target.cluster
        return Origin(cluster, EDGE_ORIGIN, _short(f"{self._service}@{endpoint.zone}/{endpoint.id}"), (cluster,))


def _short(text: str) -> str:
    if len(text) <= LONGEST_ID and text.isascii():
        return text
    return "sha256:" + sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _named(rule: Rule, target: Target, service: str) -> tuple[str, str]:
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
    to, from_, guard = section.target, section.from_, section.guard
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
        limits=Limits(max_removal=guard.max_removal, window=guard.window, hold_for=guard.hold_for, min=guard.min),
    )
