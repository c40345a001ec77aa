"""A vista: one service as one viewer sees it, kept up as the service changes.

It says what `horizon.see` says, for what a change costs instead of what the service holds:

    record (zk, a) changes ─▶ the endpoint that it means ─▶ its own address: an entrant on the roll of each port
                                                         └▶ behind edges: one of a crowd ─▶ the edges are entrants

`face` is what clusters, routes and listeners are made from: a new value only when it changes.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Protocol

import msgspec

from pilot_plus.catalog import Entry, Place
from pilot_plus.model import Instance, Port, Viewer, split_service
from pilot_plus.views.endpoints import Endpoint, Where, apart, endpoint_of, where_of
from pilot_plus.views.horizon import priorities
from pilot_plus.views.host import host_of
from pilot_plus.views.sight import Direct, Hidden, Sight, Through
from pilot_plus.views.xds.crowd import Crowds, Sort
from pilot_plus.views.xds.entrants import entrants_of, entrants_of_edge
from pilot_plus.views.xds.face import Face, facets_of, told_ports
from pilot_plus.views.xds.favour import Favour
from pilot_plus.views.xds.roll import Rank
from pilot_plus.views.xds.rolls import Entrants, Rolls
from pilot_plus.views.xds.sheets import Kin
from pilot_plus.views.xds.world import World


class Company(Protocol):
    """Which records are looked at, where it is not all; and a count of them."""

    def admits(self, place: Place, instance: Instance) -> bool:
        """Whether a record is looked at."""
        ...

    def count(self, instance: Instance, by: int) -> None:
        """One more, or one less."""
        ...


class _Shown(msgspec.Struct, frozen=True, gc=False):
    """What an endpoint has become: entrants at its own address, or one of a crowd."""

    who: Place
    ports: tuple[Port, ...]
    entrants: Entrants = ()
    crowd: tuple[Place, ...] = ()
    """The edges that it is behind."""
    sort: Sort | None = None
    weight: int = 0


class Vista:
    """One service as one viewer sees it, at one moment."""

    def __init__(self, world: World, viewer: Viewer, service: str, company: Company | None = None) -> None:
        """Begin with nothing; `update` lets it see, if it has a company only what that admits."""
        host = host_of(*split_service(service), world.topology.home.domain)
        self.face = Face(service=service, host=host)
        self._world = world
        self._viewer = viewer
        self._sight = Sight(world.topology, world.edges, viewer, service)
        self._number = -1
        self._held: dict[Place, Instance] = {}
        self._company = company
        self._at: dict[Where, tuple[Place, ...]] = {}
        self._shown: dict[Where, tuple[_Shown, ...]] = {}
        self._favour = Favour(world.topology.home)
        self._ports: Counter[tuple[Port, ...]] = Counter()
        self._crowds = Crowds()
        self._edges: dict[Place, Entrants] = {}
        self._rolls = Rolls()
        self._beyond: AbstractSet[str] = frozenset()
        self._is_reshaped = True

    def __repr__(self) -> str:
        """Say what it is of."""
        return f"<Vista of {self.face.service}: {', '.join(self.face.facets)}>"

    # -------------------------------------------------------------------------------------------- asking

    def assignment(
        self, cluster: str, name: str = "", chosen: Callable[[Kin], bool] | None = None
    ) -> tuple[bytes, str]:
        """The endpoints of a cluster (of the chosen groups only) as a load assignment, and its version."""
        return self._rolls.of(cluster).assignment(name or cluster, self._rank, chosen)

    def leans_on(self, zones: AbstractSet[str]) -> bool:
        """Whether it may see something else when the edges of these zones are not as they were."""
        return any(zone in zones for zone in self._beyond)

    def _rank(self, kin: Kin | Sort) -> Rank:
        """As `Endpoint.is_last` says it; edges, which have no registry, say it themselves."""
        source = self._world.catalog.sources.get(kin.registry)
        return kin.is_last or (source is not None and source.is_stale), kin.distance

    # -------------------------------------------------------------------------------------------- changing

    def update(self, world: World, doubted: Iterable[Place] = (), *, is_shaken: bool = False) -> AbstractSet[str]:
        """Show the next state; the clusters whose endpoints are not as they were.

        `doubted` are records of which only that has changed; `is_shaken` says that whole registries have become stale
        or fresh.
        """
        if world.edges is not self._world.edges:
            self._sight = Sight(world.topology, world.edges, self._viewer, self.face.service)
        self._world = world
        entry = world.catalog.entries.get(self.face.service)
        instances: Mapping[Place, Instance] = entry.instances if entry else {}
        affected = {
            where
            for place in {*self._changed(entry), *doubted}
            for where in self._place_again(place, instances.get(place))
        }
        if is_shaken:
            affected.update(where for where, places in self._at.items() if len(places) > 1)
        groups = {where: [*apart(instances, [*self._at.get(where, ())])] for where in affected}
        if self._favour.weigh(world.catalog, entry, groups):
            groups = {where: [*apart(instances, [*places])] for where, places in self._at.items()} | groups
        is_crowd_moved = is_shaken and bool(self._crowds)
        for where, parts in groups.items():
            is_crowd_moved |= self._show_again(where, parts, entry)
        if is_crowd_moved:
            self._show_edges()
        if is_shaken:
            self._rolls.shake(self._rank)
        moved, has_other_rolls = self._rolls.take_changes()
        if self._is_reshaped or has_other_rolls or (is_shaken and moved) or not instances:
            self._reshape(entry)
        return moved

    def _changed(self, entry: Entry | None) -> Iterable[Place]:
        """The places whose records are not as they were when it looked last."""
        if entry is None:
            return tuple(self._held)
        known, self._number = entry.since(self._number), entry.changed
        if known is not None:
            return known
        gone = [place for place in self._held if place not in entry.instances]
        return [*gone, *(place for place, one in entry.instances.items() if self._held.get(place) is not one)]

    def _place_again(self, place: Place, instance: Instance | None) -> Iterator[Where]:
        """Take a record from where it was, and put it where it is."""
        if (before := self._held.pop(place, None)) is not None:
            if self._company:
                self._company.count(before, -1)
            where = where_of(before)
            if left := tuple(other for other in self._at.pop(where) if other != place):
                self._at[where] = left
            yield where
        if instance is None or (self._company and not self._company.admits(place, instance)):
            return
        way = self._sight.way(place[0], instance)
        if not isinstance(way, Direct) and instance.zone not in self._beyond:
            self._beyond |= {instance.zone}
        if not isinstance(way, Hidden):
            self._held[place] = instance
            if self._company:
                self._company.count(instance, 1)
            where = where_of(instance)
            self._at[where] = (*self._at.get(where, ()), place)
            yield where

    def _reshape(self, entry: Entry | None) -> None:
        """See whether the face is another one."""
        ports = list(self._ports)
        if entry and not entry.instances and (told := told_ports(self._world, self._viewer, entry)):
            ports = [told]
        facets = facets_of(self.face.host, ports, self._rolls, self._rank)
        if facets != self.face.facets:
            self.face = msgspec.structs.replace(self.face, facets=facets)
        self._is_reshaped = False

    # -------------------------------------------------------------------------------------------- endpoints

    def _show_again(self, where: Where, groups: list[list[Place]], entry: Entry | None) -> bool:
        """Show what is at an address as its records now say it; whether any crowd is not as it was."""
        before: tuple[_Shown, ...] = self._shown.pop(where, ())
        after: tuple[_Shown, ...] = ()
        if entry and groups:
            counted = (group for group in groups if not self._favour.passes_over(where, group[0]))
            home = self._world.topology.home
            after = tuple(self._shown_as(endpoint_of(self._world.catalog, entry, home, group)) for group in counted)
        if after:
            self._shown[where] = after
        old = {one.who: one.entrants for one in before}
        for one in after:
            self._rolls.enter(one.who, old.pop(one.who, ()), one.entrants, self._rank)
        for who, entrants in old.items():
            self._rolls.enter(who, entrants, (), self._rank)
        return any([self._count(one, 1) for one in after] + [self._count(one, -1) for one in before])

    def _shown_as(self, endpoint: Endpoint) -> _Shown:
        place, instance, topology = endpoint.place, endpoint.instance, self._world.topology
        is_unheard = place[1] in self._world.catalog.sources[place[0]].unheard
        is_last = endpoint.is_held or (is_unheard and instance.origin.cluster != topology.cluster)
        rank = priorities(topology, instance.zone, is_last=is_last)
        way = self._sight.way(place[0], instance)
        if isinstance(way, Through):
            sort = Sort(place[0], *rank, instance.health)
            return _Shown(place, instance.ports, (), self._crowds.behind(way), sort, instance.weight)
        is_mtls = isinstance(way, Direct) and way.is_mtls
        entrants = entrants_of(self._world.domains, self.face, instance, place, rank, is_mtls=is_mtls)
        return _Shown(place, instance.ports, entrants)

    def _count(self, shown: _Shown, count: int) -> bool:
        """One endpoint more or less; whether any crowd is not as it was."""
        was_there = shown.ports in self._ports
        self._ports[shown.ports] += count
        if not self._ports[shown.ports]:
            del self._ports[shown.ports]
        self._is_reshaped |= was_there != (shown.ports in self._ports)
        if shown.sort:
            self._crowds.add(shown.crowd, shown.sort, shown.weight, shown.ports, count)
        return shown.sort is not None

    def _show_edges(self) -> None:
        """Show edges as what stands behind them now says it."""
        before, self._edges = self._edges, {}
        for place, one in self._crowds.standing(self._rank).items():
            seen = one.seen(self._viewer, {}, self.face.host)
            self._edges[place] = entrants_of_edge(self._world.domains, self.face, seen, one.rank)
        for place in {*before, *self._edges}:
            self._rolls.enter(place, before.get(place, ()), self._edges.get(place, ()), self._rank)
