"""Inbound: what the edges of a zone let in, service by service, kept up from catalog to catalog.

legacy/orders in east/legacy, exported to east/mesh
  chain     mesh|legacy/orders|http    SNI http.orders.legacy.mesh    callers spiffe://east.example/zone/mesh/…
  cluster   local/http.orders.legacy.mesh    10.1.0.7:8080, 10.1.0.8:8080: those of the zone, and no others
"""

from collections.abc import Iterable, Mapping

import msgspec

from pilot_plus.catalog import Entry
from pilot_plus.model import Speaks, Viewer
from pilot_plus.views.xds.callers import Caller, callers_of, of_zone
from pilot_plus.views.xds.cluster import Family, dns_cluster, eds_cluster, socket_match
from pilot_plus.views.xds.endpoint import Proof
from pilot_plus.views.xds.face import Face, Facet
from pilot_plus.views.xds.gateway import ALLOW, mesh_chain
from pilot_plus.views.xds.resource import Type
from pilot_plus.views.xds.supply import Changes
from pilot_plus.views.xds.vista import Vista
from pilot_plus.views.xds.world import World
from pilot_plus.wire.discovery import MESH, Carried

LOCAL = "local/"
"""What the names of inbound clusters begin with."""


class Gate(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One service as the edges of its zone let callers in."""

    face: Face
    vista: Vista
    callers: tuple[Caller, ...]

    @property
    def facets(self) -> Mapping[str, Facet]:
        """By the names of inbound clusters."""
        return {LOCAL + name: facet for name, facet in self.face.facets.items()}

    def chains(self) -> Mapping[str, bytes]:
        """The filter chains, by their names."""
        made = {}
        by_authority = self._answers_to_host()
        for sni, facet in self.face.facets.items():
            name = str(Carried(MESH, self.face.service, facet.port))
            servers = (sni, self.face.host) if sni == by_authority else (sni,)
            made[name] = mesh_chain(name, servers, self.face.host, LOCAL + sni, facet.family)
        return made

    def _answers_to_host(self) -> str:
        """The port that a gRPC client means, which says only the host."""
        return next((name for name, facet in self.face.facets.items() if facet.family is Family.HTTP2), "")

    def assignment(self, cluster: str) -> tuple[bytes, str]:
        """The endpoints of an inbound cluster, and their version."""
        return self.vista.assignment(cluster.removeprefix(LOCAL), cluster)

    def cluster(self, world: World, cluster: str) -> bytes:
        """An inbound cluster."""
        facet = self.facets[cluster]
        securities = {*facet.securities, *(target.security for target in facet.named)}
        sockets = b"".join(
            socket_match(world.domains, security, self.face.service)
            for security in sorted(securities, key=lambda security: security.order)
            if security.proof is Proof.SERVICE
        )
        if facet.named:
            return dns_cluster(cluster, facet.family, self.assignment(cluster)[0], sockets)
        return eds_cluster(cluster, facet.family, sockets)


class Inbound:
    """What the edges of a zone let in."""

    def __init__(self, world: World, zone: str) -> None:
        """Look at every service once."""
        self._world = world
        self._viewer = Viewer(zone, Speaks.MESH, certified=True)
        self._gates: dict[str, Gate] = {}
        self._services: dict[str, str] = {}
        """The services of hosts."""
        for entry in world.catalog.entries.values():
            self._open(entry)

    def __repr__(self) -> str:
        return f"<Inbound of {self._viewer.zone}: {len(self._gates)} services>"

    def gate(self, name: str) -> Gate | None:
        """The gate of an inbound cluster, or of a list of callers."""
        host = name.removeprefix(ALLOW) if name.startswith(ALLOW) else name.removeprefix(LOCAL).partition(".")[2]
        return self._gates.get(self._services.get(host, ""))

    def of(self, service: str) -> Gate | None:
        """The gate of a service."""
        return self._gates.get(service)

    def gates(self) -> Iterable[Gate]:
        """All of them, in an order that stays."""
        return (self._gates[service] for service in sorted(self._gates))

    def advance(self, world: World, touched: Iterable[str]) -> Changes:
        """Show the next state; clusters, endpoints and lists of callers that may not be as they were."""
        self._world = world
        found: dict[Type, set[str]] = {}
        for service in touched:
            before = self._gates.pop(service, None)
            entry = world.catalog.entries.get(service)
            after = self._open(entry) if entry else None
            if before and not after:
                self._services.pop(before.face.host, None)
            for type_, names in _changes(before, after).items():
                found.setdefault(type_, set()).update(names)
        return found

    def _open(self, entry: Entry) -> Gate | None:
        zone = self._viewer.zone
        local = of_zone(self._world.topology, zone, entry)
        callers = callers_of(self._world.topology, self._world.domains, zone, entry) if local else ()
        if not callers:
            return None
        vista = Vista(self._world, self._viewer, entry.service, lambda place, _: place in local)
        vista.update(self._world)
        if not vista.face.facets:
            return None
        gate = self._gates[entry.service] = Gate(face=vista.face, vista=vista, callers=callers)
        self._services[vista.face.host] = entry.service
        return gate


def _changes(before: Gate | None, after: Gate | None) -> Changes:
    old, new = before.facets if before else {}, after.facets if after else {}
    found = {
        Type.CLUSTER: {name for name in (*old, *new) if old.get(name) != new.get(name)},
        Type.ENDPOINTS: {*old, *new},
    }
    if (before.callers if before else ()) != (after.callers if after else ()):
        found[Type.SECRET] = {ALLOW + gate.face.host for gate in (before, after) if gate}
    return found
