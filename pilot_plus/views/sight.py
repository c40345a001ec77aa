"""Sight: for one viewer and one service, the way to each of its instances, or why there is none.

A way depends only on what many instances have in common (registry, zone, what they accept, where they originate), so
it is decided once for all that are alike: a service of 10,000 costs 10,000 look-ups and a handful of decisions.

    viewer       instance              way
    east/vm      east/vm     plain     Direct                              one zone: everything is visible
    east/vm      east/legacy plain     Direct                              exported, and vm reaches legacy
    east/mesh    east/legacy plain     Through(edges of legacy, mesh)      exported, not reached, speaks mesh
    east/legacy  east/mesh   mtls      Through(edges of legacy, plain)     plain callers: the edges of their own zone
    east/legacy  east/other            Hidden("… is not exported …")
"""

from typing import TypeAlias

import msgspec

from pilot_plus.model import ACCEPTS, EDGE_ONLY, Instance, Speaks, Viewer, split_service
from pilot_plus.views.edges import EDGES, Edge, Edges, Side
from pilot_plus.views.host import host_of
from pilot_plus.views.topology import Topology


class Direct(msgspec.Struct, frozen=True):
    """At its own address."""

    is_mtls: bool
    why: str


class Through(msgspec.Struct, frozen=True):
    """Behind edges."""

    edges: tuple[Edge, ...]
    side: Side
    why: str


class Hidden(msgspec.Struct, frozen=True):
    """Not visible."""

    why: str


Way: TypeAlias = Direct | Through | Hidden


class Sight:
    """One viewer's look at one service, in one state of topology and edges."""

    def __init__(self, topology: Topology, edges: Edges, viewer: Viewer, service: str) -> None:
        """Look at a service."""
        self._topology = topology
        self._edges = edges
        self._viewer = viewer
        self._service = service
        self._crossings = topology.concerning(service, viewer.zone)
        self._has_labels = any(crossing.labels for crossing in self._crossings)
        self._host = host_of(*split_service(service), topology.home.domain)
        self._known: dict[tuple[object, ...], Way] = {}

    def way(self, registry: str, instance: Instance) -> Way:
        """The way to an instance whose record was read from `registry`."""
        accepts = instance.meta(ACCEPTS)
        labels = instance.metadata if self._has_labels else ()
        origin = instance.origin
        alike = (registry, instance.zone, accepts, origin.cluster, origin.registry, labels, instance.host)
        way = self._known.get(alike)
        if way is None:
            way = self._known[alike] = self._decide(registry, instance, accepts)
        return way

    def lets_in(self, registry: str, instance: Instance) -> bool:
        """Whether an instance may be seen at all, be there a way to it or not."""
        return self._service != EDGES and not isinstance(self._let_in(registry, instance), Hidden)

    def _decide(self, registry: str, instance: Instance, accepts: str) -> Way:
        if self._service == EDGES:
            return Hidden("edges are reached through the services that they carry")
        let_in = self._let_in(registry, instance)
        if isinstance(let_in, Hidden):
            return let_in
        return self._reached(self._viewer, instance, accepts, let_in)

    # -------------------------------------------------------------------------------------------- borders

    def _let_in(self, registry: str, instance: Instance) -> Hidden | str:
        """Why the viewer's zone may see an instance at all, or why not.

        What a zone's own registry says is visible there. Everything else crosses a border: that of the registry's
        zone, and that of the zone which the record names (a copy keeps the zone of its address).
        """
        zone = self._topology.zone_of(registry, instance)
        if zone == self._viewer.zone:
            return "the same zone" if instance.zone == zone else f"a record in this zone's registry {registry!r}"
        borders = dict.fromkeys((zone, instance.zone))
        whys = []
        for border in borders:
            if border == self._viewer.zone:
                continue
            why = self._crossing(instance, border)
            if isinstance(why, Hidden):
                return why
            whys.append(why)
        return f"let through by {' and '.join(dict.fromkeys(whys))}"

    def _crossing(self, instance: Instance, border: str) -> Hidden | str:
        covering = [crossing for crossing in self._crossings if crossing.covers(instance, border)]
        if denied := next((crossing.why for crossing in covering if crossing.is_denied), ""):
            return Hidden(f"{self._service} is kept from {self._viewer.zone} by {denied}")
        if not covering:
            return Hidden(
                f"{self._service} is not exported from {border} to {self._viewer.zone}: "
                "`exports`, a sync rule or a peer entry would let it through"
            )
        return covering[0].why

    # -------------------------------------------------------------------------------------------- ways

    def _reached(self, viewer: Viewer, instance: Instance, accepts: str, let_in: str) -> Way:
        zone = instance.zone
        has_proof = viewer.certified and viewer.speaks is not Speaks.PLAIN
        is_dialled = accepts != EDGE_ONLY and self._topology.reaches(viewer.zone, zone)
        if is_dialled:
            why = let_in if viewer.zone == zone else f"{let_in}; {viewer.zone} reaches {zone}"
            if has_proof and accepts in ("mtls", "both"):
                return Direct(is_mtls=True, why=why)
            if accepts != "mtls":
                return Direct(is_mtls=False, why=why)
        obstacle = "it accepts only mutual TLS" if is_dialled else f"{viewer.zone} does not reach {zone}"
        if accepts == EDGE_ONLY:
            obstacle = f"a summary of what is in {zone}"
        if viewer.speaks is Speaks.PLAIN:
            return self._through_own(instance, accepts, let_in, obstacle)
        if not has_proof:
            return Hidden(f"{obstacle}, and the viewer has no certificate to show to an edge")
        if instance.host not in ("", self._host):
            called = f"the edges of {zone} know it as {instance.host}, and not by its name here"
            return Hidden(f"{obstacle}, and {called}")
        return self._through_theirs(viewer, zone, let_in, obstacle)

    def _through_theirs(self, viewer: Viewer, zone: str, let_in: str, obstacle: str) -> Way:
        """By the edges that stand at an instance's zone, or hold its tunnel: over mutual TLS."""
        dialled = tuple(edge for edge in self._edges.of_zone.get(zone, ()) if edge.mesh_port)
        holding = tuple(edge for edge in self._edges.holding_tunnel.get(zone, ()) if edge.mesh_port)
        for edges in (dialled, holding):
            if carrying := self._carrying(edges, Side.MESH):
                kind = "the edges" if edges is dialled else "edges that hold the tunnel"
                return Through(carrying, Side.MESH, f"{let_in}; {obstacle}: through {kind} of {zone}")
        return Hidden(f"{obstacle}, and {self._lack((*dialled, *holding), zone, Side.MESH)}")

    def _through_own(self, instance: Instance, accepts: str, let_in: str, obstacle: str) -> Way:
        """By the edges of the viewer's own zone, at the service's plain port there; they are mesh viewers."""
        here = self._viewer.zone
        edges = self._edges.of_zone.get(here, ())
        carrying = self._carrying(edges, Side.PLAIN)
        if not carrying:
            return Hidden(f"{obstacle}, and {self._lack(edges, here, Side.PLAIN)}")
        if not self._edges.plain_ports(here, self._service):
            return Hidden(f"{obstacle}, and {self._service} has no plain port at the edges of {here} yet")
        onwards = self._reached(Viewer(here, Speaks.MESH, certified=True), instance, accepts, let_in)
        if isinstance(onwards, Hidden):
            return Hidden(f"{obstacle}, and for the edges of {here}: {onwards.why}")
        return Through(carrying, Side.PLAIN, f"{let_in}; {obstacle}: through the edges of {here}")

    def _carrying(self, edges: tuple[Edge, ...], side: Side) -> tuple[Edge, ...]:
        return tuple(edge for edge in edges if edge.is_ready and self._edges.carries(edge, self._service, side))

    def _lack(self, edges: tuple[Edge, ...], zone: str, side: Side) -> str:
        """Why none of the edges will do."""
        if not edges:
            return f"{zone} has no edge" + (" that can be dialled" if side is Side.MESH else "")
        ready = [edge.name for edge in edges if edge.is_ready]
        if not ready:
            return f"no edge of {zone} is ready ({', '.join(edge.name for edge in edges)})"
        return f"no edge of {zone} has acknowledged {self._service} yet ({', '.join(ready)})"
