"""gRPC: the resources that a vista becomes for a client without a proxy.

gRPC is not Envoy: it knows no choice among transport sockets, so every cluster is spoken to in one way. Where a port
has several, an aggregate joins them, each used only while those before it can't be:

    listener   orders.shop.mesh:9000   leads to cluster grpc.orders.shop.mesh
    cluster    grpc.orders.shop.mesh                   if there is one way: its endpoints have the same name; else
                 grpc.orders.shop.mesh/plain             no TLS
                 grpc.orders.shop.mesh/edge/east/vm      by the edges of east/vm
                 grpc.orders.shop.mesh/dns/0             an endpoint with a host name

What it can't have: the weights of single endpoints (it heeds those of localities), a balance between endpoints that
are spoken to in different ways, retries by our policy (it makes its own where nothing was received). The SNI that an
edge needs is sent by gRPC's newer versions only; an older one has no way through edges.
"""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Final, TypeAlias

from pilot_plus.views.xds.cluster import Family, grpc_aggregate, grpc_dns_cluster, grpc_eds_cluster, grpc_socket
from pilot_plus.views.xds.endpoint import PLAIN, Proof, Security, Target, lone_assignment
from pilot_plus.views.xds.face import Face, Facet
from pilot_plus.views.xds.listener import api_listener
from pilot_plus.views.xds.resource import Resource, Type, resource
from pilot_plus.views.xds.supply import Changes
from pilot_plus.views.xds.tls import Domains
from pilot_plus.views.xds.vista import Vista

_PREFERRED: Final = (Family.HTTP2, Family.HTTP, Family.HTTP1, Family.TCP)
_Ways: TypeAlias = Mapping[str, Security | Target | tuple[str, ...]]
"""Clusters by name: what all its endpoints must prove; the one endpoint with a host name; what an aggregate joins."""


class Grpc:
    """How vistas become resources for gRPC (`outlook.Dialect`)."""

    def make(self, vista: Vista, domains: Domains, type_: Type, name: str) -> Resource | None:
        """A listener, a cluster or the endpoints of one."""
        face = vista.face
        if type_ is Type.LISTENER:
            cluster = _listeners(face).get(name)
            return resource(name, api_listener(name, cluster)) if cluster else None
        whole = name.partition("/")[0]
        facet = face.facets.get(whole)
        way = _ways(whole, facet).get(name) if facet else None
        match way:
            case Security() if type_ is Type.CLUSTER:
                return resource(name, grpc_eds_cluster(name, domains, way, _prover(face, way), whole))
            case Security() if type_ is Type.ENDPOINTS:
                chosen = vista.assignment(whole, name, lambda kin: not kin.is_named and kin.security == way)
                return resource(name, *chosen)
            case Target() if type_ is Type.CLUSTER:
                socket = grpc_socket(domains, way.security, _prover(face, way.security), whole)
                return resource(name, grpc_dns_cluster(name, lone_assignment(name, way), socket))
            case tuple() if type_ is Type.CLUSTER:
                return resource(name, grpc_aggregate(name, way))
        return None

    def whole(self, faces: Iterable[Face], type_: Type, name: str) -> Resource | None:
        """Nothing is made from all services."""
        return None

    def wholes(self) -> AbstractSet[tuple[Type, str]]:
        """Nothing."""
        return frozenset()

    def foresee(self, face: Face) -> None:
        """Nothing."""

    def changes(self, before: Face, after: Face, moved: AbstractSet[str]) -> Changes:
        """What is not as it was, or may not be, when a service changes."""
        new = _all_ways(after)
        holders = {name for name, way in new.items() if isinstance(way, Security) and name.partition("/")[0] in moved}
        if before is after:
            return {Type.ENDPOINTS: holders}
        old = _all_ways(before)
        old_ones, new_ones = _listeners(before), _listeners(after)
        return {
            Type.CLUSTER: {name for name in {*old, *new} if old.get(name) != new.get(name)},
            Type.ENDPOINTS: holders | (old.keys() ^ new.keys()),
            Type.LISTENER: {name for name in {*old_ones, *new_ones} if old_ones.get(name) != new_ones.get(name)},
        }


def _listeners(face: Face) -> dict[str, str]:
    """Listeners by name, and the cluster that each leads to."""
    found: dict[str, str] = {}
    ordered = sorted(face.facets.items(), key=lambda item: (_PREFERRED.index(item[1].family), item[1].port))
    for cluster, facet in ordered:
        for name in (face.host, *(f"{face.host}:{number}" for number in facet.numbers)):
            found.setdefault(name, cluster)
    return found


def _all_ways(face: Face) -> _Ways:
    return {name: way for whole, facet in face.facets.items() for name, way in _ways(whole, facet).items()}


def _ways(whole: str, facet: Facet) -> _Ways:
    """The clusters of a port."""
    if not facet.named and len(facet.securities) < 2:
        return {whole: facet.securities[0] if facet.securities else PLAIN}
    parts: dict[str, Security | Target] = {f"{whole}/{security}": security for security in facet.securities}
    parts |= {f"{whole}/dns/{index}": target for index, target in enumerate(facet.named)}
    return {whole: tuple(parts), **parts}


def _prover(face: Face, security: Security) -> str:
    return face.service if security.proof is Proof.SERVICE else ""
