"""The stock: the supplies of all profiles, over one catalog.

    profile ─▶ supply: its listeners and secrets ─▶ outlook of its viewer: clusters, endpoints, routes, shared

Whoever drives it says what is new, in one thread, and in between everybody asks:

    stock.advance(catalog, touched)     the holder has published
    stock.carry(carrying)               edges have acknowledged something
    stock.believe(anchors)              roots or revocations are not as they were
    for _ in stock.settle(): …          after each of them: the rest of what takes long
"""

from collections.abc import Iterator
from collections.abc import Set as AbstractSet

import msgspec

from pilot_plus.catalog import Catalog
from pilot_plus.model import Viewer
from pilot_plus.views.edges import EDGES, Carrying, Edges, edges_of
from pilot_plus.views.topology import Topology
from pilot_plus.views.xds.edge import EdgeShelf
from pilot_plus.views.xds.envoy import Envoy
from pilot_plus.views.xds.grpc import Grpc
from pilot_plus.views.xds.hosts import Hosts
from pilot_plus.views.xds.inbound import Inbound
from pilot_plus.views.xds.outlook import Outlook
from pilot_plus.views.xds.profile import Kind, Profile
from pilot_plus.views.xds.shaken import shaken_between
from pilot_plus.views.xds.shelf import Shelf
from pilot_plus.views.xds.tls import Anchors, Domains
from pilot_plus.views.xds.world import World


class Stock:
    """The supplies of all profiles (`supply.Supplies`)."""

    def __init__(self, catalog: Catalog, topology: Topology, domains: Domains = Domains()) -> None:  # noqa: B008 - frozen
        """Begin with a catalog."""
        edges = edges_of(catalog, topology.home)
        self._world = World(catalog=catalog, topology=topology, edges=edges, domains=domains)
        self._anchors = Anchors()
        self._hosts = Hosts(catalog, topology.home.domain)
        self._moment = 1
        self._outlooks: dict[Viewer, Outlook] = {}
        self._inbounds: dict[str, Inbound] = {}
        self._shelves: dict[Profile, Shelf | EdgeShelf] = {}
        self._users: dict[Profile, int] = {}

    def __repr__(self) -> str:
        return f"<Stock of {len(self._shelves)} profiles and {len(self._outlooks)} viewers at {self._moment}>"

    # -------------------------------------------------------------------------------------------- asking

    def of(self, profile: Profile) -> Shelf | EdgeShelf:
        """The supply of a profile: the same one for everybody, as long as somebody uses it."""
        if profile not in self._shelves:
            self._shelves[profile] = self._shelf(profile)
        self._users[profile] = self._users.get(profile, 0) + 1
        return self._shelves[profile]

    def _shelf(self, profile: Profile) -> Shelf | EdgeShelf:
        outlook = self._outlook(profile)
        if profile.kind is Kind.EDGE:
            inbound = self._inbound(profile.viewer.zone)
            return EdgeShelf(profile, outlook, inbound, self._world, self._anchors, self._moment)
        return Shelf(profile, outlook, self._anchors, self._moment)

    def forget(self, profile: Profile) -> None:
        """One that asked for the supply of this profile has gone."""
        self._users[profile] -= 1
        if self._users[profile]:
            return
        del self._users[profile], self._shelves[profile]
        if not any(other.viewer == profile.viewer for other in self._shelves):
            del self._outlooks[profile.viewer]
        if profile.kind is Kind.EDGE and not any(
            other.kind is Kind.EDGE and other.viewer.zone == profile.viewer.zone for other in self._shelves
        ):
            del self._inbounds[profile.viewer.zone]

    def _inbound(self, zone: str) -> Inbound:
        if zone not in self._inbounds:
            self._inbounds[zone] = Inbound(self._world, self._hosts, zone, self._moment)
        return self._inbounds[zone]

    def _outlook(self, profile: Profile) -> Outlook:
        viewer = profile.viewer
        if viewer not in self._outlooks:
            dialect = Grpc() if profile.kind is Kind.GRPC else Envoy()
            self._outlooks[viewer] = Outlook(viewer, dialect, self._world, self._hosts, self._moment)
        return self._outlooks[viewer]

    # -------------------------------------------------------------------------------------------- changing

    def advance(self, catalog: Catalog, touched: AbstractSet[str]) -> None:
        """Show the next catalog, in which the services touched are not as they were."""
        before, self._world = self._world, msgspec.structs.replace(self._world, catalog=catalog)
        self._hosts.advance(catalog, touched)
        shaken = shaken_between(before.catalog, catalog)
        self._moment += 1
        for outlook in self._outlooks.values():
            outlook.advance(self._world, touched, shaken, self._moment)
        for inbound in self._inbounds.values():
            inbound.advance(self._world, touched, shaken, self._moment)
        if EDGES in touched or EDGES in shaken.touched:
            self._meet(edges_of(catalog, before.topology.home, before.edges.carrying))
            return
        for shelf in self._shelves.values():
            shelf.advance(self._world, touched | shaken.touched, self._moment)

    def carry(self, carrying: Carrying, services: AbstractSet[str] | None = None) -> None:
        """Edges carry this now. What they carry of these services (None: of any) is not as it was."""
        edges = msgspec.structs.replace(self._world.edges, carrying=carrying)
        if services is None:
            self._meet(edges, _moved_services(self._world.edges.carrying, carrying))
            return
        self._world = msgspec.structs.replace(self._world, edges=edges)
        self._moment += 1
        for outlook in self._outlooks.values():
            outlook.look_past(self._world, frozenset(), services, self._moment)
        for shelf in self._shelves.values():
            shelf.advance(self._world, services, self._moment)

    def believe(self, anchors: Anchors, domains: Domains | None = None) -> None:
        """The clients of our cluster believe these now, and clusters have these trust domains (None: as before)."""
        self._anchors = anchors
        if domains is not None and domains != self._world.domains:
            self._world = msgspec.structs.replace(self._world, domains=domains)
            self.survey(self._world.topology)
        self._moment += 1
        for shelf in self._shelves.values():
            shelf.believe(anchors, self._moment)

    def survey(self, topology: Topology) -> None:
        """Zones and borders are these now: everything may be seen otherwise."""
        edges = edges_of(self._world.catalog, topology.home, self._world.edges.carrying)
        self._world = msgspec.structs.replace(self._world, topology=topology, edges=edges)
        self._moment += 1
        for outlook in self._outlooks.values():
            outlook.reset(self._world, self._moment)
        for inbound in self._inbounds.values():
            inbound.reset(self._world, self._moment)
        for shelf in self._shelves.values():
            shelf.reset(self._world, self._moment)

    def settle(self) -> Iterator[None]:
        """Show what would take too long at once: edges of thousands of services that are others now.

        It pauses now and then, so that others can have their turn; the state may change in between.
        """
        has_settled = False
        for outlook in tuple(self._outlooks.values()):
            for _ in outlook.settle(self._next_moment):
                has_settled = True
                yield
        if has_settled:
            moment = self._next_moment()
            for shelf in self._shelves.values():
                shelf.reset(self._world, moment)

    def _next_moment(self) -> int:
        self._moment += 1
        return self._moment

    def _meet(self, edges: Edges, services: AbstractSet[str] = frozenset()) -> None:
        """Edges are not as they were, or what they carry of these services."""
        zones = _moved_zones(self._world.edges, edges)
        self._world = msgspec.structs.replace(self._world, edges=edges)
        self._moment += 1
        for outlook in self._outlooks.values():
            outlook.look_past(self._world, zones, services, self._moment)
        for shelf in self._shelves.values():
            shelf.reset(self._world, self._moment)


def _moved_zones(before: Edges, after: Edges) -> AbstractSet[str]:
    """The zones that other edges stand for."""
    pairs = ((before.of_zone, after.of_zone), (before.holding_tunnel, after.holding_tunnel))
    return {zone for old, new in pairs for zone in {*old, *new} if old.get(zone) != new.get(zone)}


def _moved_services(before: Carrying, after: Carrying) -> AbstractSet[str]:
    """The services that not the same edges carry at their mesh ports."""
    nothing: AbstractSet[str] = frozenset()
    found: set[str] = set()
    for edge in {*before.mesh, *after.mesh}:
        old, new = before.mesh.get(edge, nothing), after.mesh.get(edge, nothing)
        if old is not new:
            found |= old ^ new
    return found
