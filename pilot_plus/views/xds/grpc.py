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
from pilot_plus.views.xds.endpoint import PLAIN, Proof, Security, Target
from pilot_plus.views.xds.listener import api_listener
from pilot_plus.views.xds.resource import Type
from pilot_plus.views.xds.supply import Changes
from pilot_plus.views.xds.tls import Domains
from pilot_plus.views.xds.vista import Facet, Vista

_PREFERRED: Final = (Family.HTTP2, Family.HTTP, Family.HTTP1, Family.TCP)
_Ways: TypeAlias = Mapping[str, Security | Target | tuple[str, ...]]
"""Clusters by name: what all its endpoints must prove; the one endpoint with a host name; what an aggregate joins."""


class Grpc:
    """How vistas become resources for gRPC (`outlook.Dialect`)."""

    def body(self, vista: Vista, domains: Domains, type_: Type, name: str) -> bytes | None:
        """A listener, a cluster or the endpoints of one."""
        if type_ is Type.LISTENER:
            cluster = _listeners(vista).get(name)
            return api_listener(name, cluster) if cluster else None
        whole = name.partition("/")[0]
        facet = vista.facets.get(whole)
        way = _ways(whole, facet).get(name) if facet else None
        match way:
            case Security() if type_ is Type.CLUSTER:
                return grpc_eds_cluster(name, domains, way, _prover(vista, way), whole)
            case Security() if type_ is Type.ENDPOINTS:
                return vista.assignment(whole, name, lambda target: not target.is_named and target.security == way)
            case Target() if type_ is Type.CLUSTER:
                socket = grpc_socket(domains, way.security, _prover(vista, way.security), whole)
                return grpc_dns_cluster(name, vista.assignment(whole, name, lambda target: target == way), socket)
            case tuple() if type_ is Type.CLUSTER:
                return grpc_aggregate(name, way)
        return None

    def whole(self, vistas: Iterable[Vista], type_: Type, name: str) -> bytes | None:
        """Nothing is made from all services."""
        return None

    def wholes(self) -> AbstractSet[tuple[Type, str]]:
        """Nothing."""
        return frozenset()

    def changes(self, before: Vista | None, after: Vista | None) -> Changes:
        """What is not as it was, or may not be, when a service changes."""
        old, new = _all_ways(before), _all_ways(after)
        old_ones, new_ones = _listeners(before) if before else {}, _listeners(after) if after else {}
        return {
            Type.CLUSTER: {name for name in (*old, *new) if old.get(name) != new.get(name)},
            Type.ENDPOINTS: {name for ways in (old, new) for name, way in ways.items() if isinstance(way, Security)},
            Type.LISTENER: {name for name in (*old_ones, *new_ones) if old_ones.get(name) != new_ones.get(name)},
        }


def _listeners(vista: Vista) -> dict[str, str]:
    """Listeners by name, and the cluster that each leads to."""
    found: dict[str, str] = {}
    ordered = sorted(vista.facets.items(), key=lambda item: (_PREFERRED.index(item[1].family), item[1].port))
    for cluster, facet in ordered:
        for name in (vista.host, *(f"{vista.host}:{number}" for number in facet.numbers)):
            found.setdefault(name, cluster)
    return found


def _all_ways(vista: Vista | None) -> _Ways:
    if vista is None:
        return {}
    return {name: way for whole, facet in vista.facets.items() for name, way in _ways(whole, facet).items()}


def _ways(whole: str, facet: Facet) -> _Ways:
    """The clusters of a port."""
    if not facet.named and len(facet.securities) < 2:
        return {whole: facet.securities[0] if facet.securities else PLAIN}
    parts: dict[str, Security | Target] = {f"{whole}/{security}": security for security in facet.securities}
    parts |= {f"{whole}/dns/{index}": target for index, target in enumerate(facet.named)}
    return {whole: tuple(parts), **parts}


def _prover(vista: Vista, security: Security) -> str:
    return vista.service if security.proof is Proof.SERVICE else ""
