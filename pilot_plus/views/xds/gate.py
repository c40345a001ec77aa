"""A gate: one service as the edges of its zone let callers in.

legacy/orders in east/legacy, exported to east/mesh
  chain     mesh|legacy/orders|http    SNI http.orders.legacy.mesh    callers spiffe://east.example/zone/mesh/…
  cluster   local/http.orders.legacy.mesh    10.1.0.7:8080, 10.1.0.8:8080: those of the zone, and no others
"""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Final

from pilot_plus.catalog import Place
from pilot_plus.model import Viewer
from pilot_plus.views.xds.callers import Caller, callers_of
from pilot_plus.views.xds.cluster import Family, dns_cluster, eds_cluster, socket_match
from pilot_plus.views.xds.endpoint import Proof
from pilot_plus.views.xds.face import Facet
from pilot_plus.views.xds.gateway import mesh_chain
from pilot_plus.views.xds.residents import Residents
from pilot_plus.views.xds.vista import Vista
from pilot_plus.views.xds.world import World
from pilot_plus.wire.discovery import MESH, Carried

LOCAL: Final = "local/"
"""What the names of inbound clusters begin with."""


class Gate:
    """One service's, kept up as the service changes. It is open while anybody may call and anything is there."""

    def __init__(self, world: World, viewer: Viewer, service: str) -> None:
        """Begin closed."""
        self.callers: tuple[Caller, ...] = ()
        self.facets: Mapping[str, Facet] = {}
        """By the names of inbound clusters; none while it is closed."""
        self._zone = viewer.zone
        self._residents = Residents(world.topology, viewer.zone, service)
        self._shape: object = None
        self._vista = Vista(world, viewer, service, self._residents)

    def __repr__(self) -> str:
        return f"<Gate of {self.service}>"

    @property
    def service(self) -> str:
        """Whose it is."""
        return self._vista.face.service

    @property
    def host(self) -> str:
        """The service's."""
        return self._vista.face.host

    def update(self, world: World, doubted: Iterable[Place] = (), *, is_shaken: bool = False) -> AbstractSet[str]:
        """Show the next state; the inbound clusters whose endpoints are not as they were."""
        face = self._vista.face
        moved = self._vista.update(world, doubted, is_shaken=is_shaken)
        is_other = self._residents.shape is not self._shape
        if is_other:
            self._shape = self._residents.shape
            kinds = self._residents.kinds()
            self.callers = callers_of(world.topology, world.domains, self._zone, self.service, kinds)
        if is_other or self._vista.face is not face:
            facets = self._vista.face.facets if self.callers else {}
            self.facets = {LOCAL + name: facet for name, facet in facets.items()}
        return {LOCAL + name for name in moved}

    # -------------------------------------------------------------------------------------------- what it becomes

    def chains(self) -> Mapping[str, bytes]:
        """The filter chains, by their names."""
        made = {}
        by_authority = self._answers_to_host()
        for cluster, facet in self.facets.items():
            sni = cluster.removeprefix(LOCAL)
            name = str(Carried(MESH, self.service, facet.port))
            servers = (sni, self.host) if cluster == by_authority else (sni,)
            made[name] = mesh_chain(name, servers, self.host, cluster, facet.family)
        return made

    def _answers_to_host(self) -> str:
        """The port that a gRPC client means, which says only the host."""
        return next((name for name, facet in self.facets.items() if facet.family is Family.HTTP2), "")

    def assignment(self, cluster: str) -> tuple[bytes, str]:
        """The endpoints of an inbound cluster, and their version."""
        return self._vista.assignment(cluster.removeprefix(LOCAL), cluster)

    def cluster(self, world: World, cluster: str) -> bytes:
        """An inbound cluster."""
        facet = self.facets[cluster]
        securities = {*facet.securities, *(target.security for target in facet.named)}
        sockets = b"".join(
            socket_match(world.domains, security, self.service)
            for security in sorted(securities, key=lambda security: security.order)
            if security.proof is Proof.SERVICE
        )
        if facet.named:
            return dns_cluster(cluster, facet.family, self.assignment(cluster)[0], sockets)
        return eds_cluster(cluster, facet.family, sockets)
