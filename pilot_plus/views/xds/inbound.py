"""Inbound: what the edges of a zone let in, service by service, the same for all of them; kept up with the catalog."""

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet

from pilot_plus.model import Speaks, Viewer
from pilot_plus.views.xds.face import Facet
from pilot_plus.views.xds.gate import LOCAL, Gate
from pilot_plus.views.xds.gateway import ALLOW
from pilot_plus.views.xds.hosts import Hosts
from pilot_plus.views.xds.news import News
from pilot_plus.views.xds.outlook import AT_ONCE
from pilot_plus.views.xds.resource import Resource, Type, resource
from pilot_plus.views.xds.shaken import Shaken
from pilot_plus.views.xds.world import World
from pilot_plus.wire.discovery import MESH


class Inbound:
    """One zone's."""

    def __init__(self, world: World, hosts: Hosts, zone: str, moment: int) -> None:
        """Begin at a moment; nothing is looked at before somebody asks."""
        self.news = News(moment)
        self._world = world
        self._hosts = hosts
        self._viewer = Viewer(zone, Speaks.MESH, certified=True)
        self._gates: dict[str, Gate] = {}
        self._clusters: set[str] | None = None
        self._chains: Sequence[bytes] | None = None
        self._kept: dict[tuple[Type, str], Resource] = {}

    def __repr__(self) -> str:
        return f"<Inbound of {self._viewer.zone}: {len(self._gates)} services>"

    # -------------------------------------------------------------------------------------------- asking

    def get(self, type_: Type, name: str) -> Resource | None:
        """An inbound cluster or its endpoints."""
        kept = self._kept.get((type_, name))
        gate = self.gate(name) if kept is None else None
        if gate is None or name not in gate.facets:
            return kept
        made = (gate.cluster(self._world, name),) if type_ is Type.CLUSTER else gate.assignment(name)
        kept = self._kept[type_, name] = resource(name, *made)
        return kept

    def gate(self, name: str) -> Gate | None:
        """The gate of an inbound cluster, or of a list of callers, if it is open."""
        host = name.removeprefix(ALLOW) if name.startswith(ALLOW) else name.removeprefix(LOCAL).partition(".")[2]
        service = self._hosts.service(host)
        gate = self._gate(service) if service else None
        return gate if gate and gate.facets else None

    def clusters(self) -> AbstractSet[str]:
        """The names of all inbound clusters."""
        if self._clusters is None:
            for service in self._world.catalog.entries:
                self._gate(service)
            self._clusters = {name for gate in self._gates.values() for name in gate.facets}
        return self._clusters

    def lists(self) -> AbstractSet[str]:
        """The names of all lists of callers that anybody can have asked for."""
        return {ALLOW + gate.host for gate in self._gates.values() if gate.facets}

    def chains(self) -> Sequence[bytes]:
        """The filter chains of all services, in an order that stays; a new value when it changes."""
        if self._chains is None:
            self.clusters()
            open_ones = sorted(service for service, gate in self._gates.items() if gate.facets)
            self._chains = [chain for service in open_ones for chain in self._gates[service].chains().values()]
        return self._chains

    def prepare(self) -> Iterator[None]:
        """Look at every service, with a pause now and then: after that `clusters` and `chains` cost little."""
        for index, service in enumerate(self._world.catalog.entries if self._clusters is None else ()):
            if index % AT_ONCE == AT_ONCE - 1:
                yield
            if service in self._world.catalog.entries:
                self._gate(service)

    def _gate(self, service: str) -> Gate:
        if service not in self._gates:
            self._gates[service] = gate = Gate(self._world, self._viewer, service)
            gate.update(self._world)
        return self._gates[service]

    # -------------------------------------------------------------------------------------------- changing

    def advance(self, world: World, touched: AbstractSet[str], shaken: Shaken, moment: int) -> None:
        """Show the next state, in which these services may not be as they were."""
        self._world = world
        found: dict[Type, set[str]] = {type_: set() for type_ in Type}
        for service in touched | shaken.touched:
            if service not in self._gates and self._clusters is None:
                continue
            gate = self._gates.get(service) or self._gates.setdefault(service, Gate(world, self._viewer, service))
            before, callers = gate.facets, gate.callers
            moved = gate.update(world, shaken.doubted.get(service, ()), is_shaken=service in shaken.services)
            self._note(before, gate, moved, found)
            if callers != gate.callers:
                found[Type.SECRET].add(ALLOW + gate.host)
        changed = {type_: names for type_, names in found.items() if names}
        for type_, names in changed.items():
            for name in names:
                self._kept.pop((type_, name), None)
        if changed:
            self.news.note(moment, changed)

    def reset(self, world: World, moment: int) -> None:
        """Show a state in which everything may be otherwise."""
        self._world = world
        self._gates, self._clusters, self._chains, self._kept = {}, None, None, {}
        self.news.forget(moment)

    def _note(
        self, before: Mapping[str, Facet], gate: Gate, moved: AbstractSet[str], found: dict[Type, set[str]]
    ) -> None:
        after = gate.facets
        found[Type.ENDPOINTS] |= moved
        found[Type.CLUSTER] |= {name for name in moved if name in after and after[name].named}
        if before is after:
            return
        found[Type.ENDPOINTS] |= before.keys() ^ after.keys()
        found[Type.CLUSTER] |= {name for name in {*before, *after} if before.get(name) != after.get(name)}
        if self._clusters is not None:
            self._clusters.difference_update(before)
            self._clusters.update(after)
        if _doorways(before) != _doorways(after):
            self._chains = None
            found[Type.LISTENER].add(MESH)


def _doorways(facets: Mapping[str, Facet]) -> list[object]:
    """What chains are made from."""
    return [(name, facet.port, facet.family) for name, facet in facets.items()]
