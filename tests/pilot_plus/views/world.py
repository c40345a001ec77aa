"""A small world in memory: a configuration, and a catalog folded from what each registry holds."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from immutables import Map

from pilot_plus.catalog import Catalog, Source
from pilot_plus.catalog.admission import admission_of
from pilot_plus.catalog.fold import Rules, fold, lose
from pilot_plus.config import Config, parse
from pilot_plus.model import Instance, Port, Reset, Speaks, Viewer, instance, whole_zone
from pilot_plus.views.edges import CARRIES, Carrying, edges_of
from pilot_plus.views.horizon import Seen, Verdict, explain, see
from pilot_plus.views.topology import Topology, topology_of
from pilot_plus.wire.edge import OUTSIDE, TUNNELS

ZONES = [
    {"name": "legacy"},
    {"name": "vm", "reaches": ["legacy"]},
    {"name": "mesh", "meshed": True},
    {"name": "dark"},
]
REGISTRIES = [
    {"name": "zk", "kind": "memory", "zone": "legacy"},
    {"name": "consul", "kind": "memory", "zone": "vm"},
    {"name": "own", "kind": "memory", "zone": "mesh"},
    {"name": "etcd", "kind": "memory", "zone": "dark"},
]
EDGE_SOURCE = "pilot-plus"
"""Where the hub itself reports the edges that have joined."""


def config(**sections: object) -> Config:
    whole: dict[str, Any] = {"cluster": "east", "zones": ZONES, "registries": REGISTRIES, **sections}
    return parse(msgspec.json.encode(whole).decode(), {})


def copy(key: str, service: str = "orders", **fields: Any) -> Instance:
    """An instance as a source reports it: its key is its id, its address follows from it."""
    number = sum(key.encode()) % 250 + 1
    made = instance(
        key=key,
        name=service,
        id=key,
        address=fields.pop("address", f"10.1.0.{number}"),
        ports=fields.pop("ports", [Port("http", 8080, "http")]),
        metadata=fields.pop("metadata", {}),
    )
    return msgspec.structs.replace(made, **fields)


def edge(name: str, zone: str, *, outside: str = "", tunnels: str = "", carries: str = "", **fields: Any) -> Instance:
    said = {OUTSIDE: outside, TUNNELS: tunnels, CARRIES: carries}
    made = instance(
        key=f"{zone}/{name}",
        namespace="pilot-plus",
        name="edge",
        id=name,
        address=fields.pop("address", f"10.9.0.{len(name) + sum(map(ord, name)) % 200}"),
        ports=fields.pop("ports", [Port("mesh", 15443, "tls")]),
        zone=whole_zone("east", zone),
        metadata={key: value for key, value in said.items() if value},
    )
    return msgspec.structs.replace(made, **fields)


class World:
    """What the views are asked about."""

    def __init__(
        self,
        held: Mapping[str, Sequence[Instance]],
        edges: Sequence[Instance] = (),
        *,
        carrying: Carrying | None = None,
        lost: Sequence[str] = (),
        **sections: object,
    ) -> None:
        self.config = config(**sections)
        self.topology: Topology = topology_of(self.config)
        self.catalog = catalog_of(self.config, held, edges, lost)
        self.edges = edges_of(self.catalog, self.topology.home, carrying or Carrying())

    def viewer(self, zone: str, speaks: Speaks | None = None, *, certified: bool | None = None) -> Viewer:
        viewer = self.topology.viewer(zone, speaks)
        return viewer if certified is None else msgspec.structs.replace(viewer, certified=certified)

    def seen(self, zone: str, service: str, speaks: Speaks | None = None, **who: bool) -> tuple[Seen, ...]:
        return see(self.catalog, self.topology, self.edges, self.viewer(zone, speaks, **who), service)

    def addresses(self, zone: str, service: str, speaks: Speaks | None = None, **who: bool) -> list[str]:
        return sorted(f"{one.address}:{p.number}" for one in self.seen(zone, service, speaks, **who) for p in one.ports)

    def explained(self, zone: str, service: str, speaks: Speaks | None = None, **who: bool) -> tuple[Verdict, ...]:
        return explain(self.catalog, self.topology, self.edges, self.viewer(zone, speaks, **who), service)

    def why(self, zone: str, service: str, speaks: Speaks | None = None, **who: bool) -> str:
        (verdict,) = self.explained(zone, service, speaks, **who)
        return verdict.why


def catalog_of(
    made: Config, held: Mapping[str, Sequence[Instance]], edges: Sequence[Instance] = (), lost: Sequence[str] = ()
) -> Catalog:
    sections = {registry.name: registry for registry in made.registries}
    names = [*sections, EDGE_SOURCE, *(peer.name for peer in made.peers)]
    sources = {
        name: Source(name=name, kind="memory", zone=made.zone_of(sections[name]) if name in sections else "")
        for name in names
    }
    catalog = Catalog(epoch="e", sources=Map(sources))
    for name in names:
        section = sections.get(name, made.registries[0])
        admission = admission_of(made, section)
        if name not in sections:
            admission = msgspec.structs.replace(admission, registry=name, writes_reserved=True)
        records = edges if name == EDGE_SOURCE else held.get(name, ())
        catalog = fold(catalog, name, [Reset(instances=list(records))], Rules(admission), 0.0).catalog
    for name in lost:
        catalog = lose(catalog, name, "gone", 1.0).catalog
    return catalog
