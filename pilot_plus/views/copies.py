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
from typing import Final

import msgspec
from immutables import Map

from pilot_plus.catalog import Catalog, Entry, Place
from pilot_plus.model import Instance, Origin, pairs
from pilot_plus.ports import Refused
from pilot_plus.views.edges import EDGES, Edges
from pilot_plus.views.endpoints import is_original
from pilot_plus.views.horizon import Seen, look, passed_over_by
from pilot_plus.views.preference import PASSED_OVER
from pilot_plus.views.rules import EDGE_ORIGIN, Rule, Target, is_leased, named
from pilot_plus.views.sight import Hidden
from pilot_plus.views.topology import Topology, has_labels, originates_in

RULE: Final = "pilot-plus-rule"
"""The metadata name under which a copy says which rule wrote it: `CLUSTER/RULE`."""
LONGEST_ID: Final = 200
"""Characters of an origin's id in a copy; a longer one is replaced by its hash, as marks do."""


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
    over = _passed_over(scene, target, entry) & chosen.keys()
    passed = {place: chosen.pop(place) for place in over}
    if len(chosen) < len(entry.instances):
        entry = msgspec.structs.replace(entry, instances=Map(chosen))
    seen, ways = look(scene.catalog, scene.topology, scene.edges, target.viewer, entry)
    making = _Making(target, rule, service)
    for endpoint in _with_own_ids(seen):
        making.add(endpoint)
    for place, instance in chosen.items():
        if isinstance(way := ways[place], Hidden):
            making.refuse(instance, f"no way: {way.why}")
    for _, instance in sorted(passed.items()):
        making.refuse(instance, PASSED_OVER)
    return making.wanted()


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


def _passed_over(scene: Scene, target: Target, entry: Entry) -> frozenset[Place]:
    """What doesn't count in the eyes of the target's readers, by what is not our own writing."""
    if not scene.topology.home.prefer:
        return frozenset()
    others = {place: one for place, one in entry.instances.items() if not scene.is_written(place[0], one)}
    others_only = msgspec.structs.replace(entry, instances=Map(others))
    return passed_over_by(scene.catalog, scene.topology, scene.edges, target.viewer, others_only)


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
        self._namespace, self._name = named(rule, target, service)
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
