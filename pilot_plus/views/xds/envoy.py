"""Envoy: the resources that a vista becomes for an Envoy.

clusters    PORTNAME.HOST, with endpoints of the same name
routes      `pilot-plus/outbound`: a virtual host for each port
listeners   `pilot-plus/outbound`, and `pilot-plus/tcp/NS/NAME` for each TCP service asked for
secrets     `pilot-plus/own`, `pilot-plus/trust`
"""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from functools import lru_cache
from typing import Final

import msgspec

from pilot_plus.views.xds.cluster import Family, dns_cluster, eds_cluster, socket_match
from pilot_plus.views.xds.endpoint import PLAIN, Proof
from pilot_plus.views.xds.face import Face, Facet
from pilot_plus.views.xds.listener import OUTBOUND
from pilot_plus.views.xds.resource import Resource, Type, resource
from pilot_plus.views.xds.route import configuration, listed, virtual_host
from pilot_plus.views.xds.supply import Changes
from pilot_plus.views.xds.tls import Domains
from pilot_plus.views.xds.vista import Vista

_WHOLES: Final = frozenset({(Type.ROUTES, OUTBOUND)})
_PREFERRED: Final = (Family.HTTP1, Family.HTTP, Family.HTTP2, Family.TCP)


class Envoy:
    """How vistas become resources for an Envoy (`outlook.Dialect`)."""

    def make(self, vista: Vista, domains: Domains, type_: Type, name: str) -> Resource | None:
        """A cluster or the endpoints of one."""
        facet = vista.face.facets.get(name)
        if facet is None:
            return None
        if type_ is Type.CLUSTER:
            return resource(name, _cluster(vista, domains, name, facet))
        return resource(name, *vista.assignment(name)) if type_ is Type.ENDPOINTS else None

    def whole(self, faces: Iterable[Face], type_: Type, name: str) -> Resource | None:
        """The routes."""
        if (type_, name) not in _WHOLES:
            return None
        return resource(name, configuration(name, (_virtual_hosts(face.host, _in_order(face)) for face in faces)))

    def wholes(self) -> AbstractSet[tuple[Type, str]]:
        """What is made from all services."""
        return _WHOLES

    def foresee(self, face: Face) -> None:
        """Its virtual hosts."""
        _virtual_hosts(face.host, _in_order(face))

    def changes(self, before: Face, after: Face, moved: AbstractSet[str]) -> Changes:
        """What is not as it was, or may not be, when a service changes."""
        old, new = before.facets, after.facets
        holders = {name for name in moved if name in new and new[name].named}
        if before is after:
            return {Type.ENDPOINTS: moved, Type.CLUSTER: holders}
        found: dict[Type, AbstractSet[str]] = {
            Type.CLUSTER: holders | {name for name in {*old, *new} if old.get(name) != new.get(name)},
            Type.ENDPOINTS: moved | (old.keys() ^ new.keys()),
        }
        if _in_order(before) != _in_order(after):
            found[Type.ROUTES] = {OUTBOUND}
        return found


def tcp_cluster(face: Face, port: str, listening: int) -> str | None:
    """The cluster that a TCP listener leads to: of the port that is named, else of the only one, else of the one with
    the listener's own number, else of the first that speaks no HTTP."""
    if port:
        return next((name for name, facet in face.facets.items() if facet.port == port), None)
    ordered = _in_order(face)
    same = next((doorway.cluster for doorway in ordered if listening in doorway.numbers), None)
    return same or next((doorway.cluster for doorway in ordered if doorway.family is Family.TCP), ordered[0].cluster)


class _Doorway(msgspec.Struct, frozen=True):
    """What routes must know of a port."""

    cluster: str
    family: Family
    numbers: tuple[int, ...]


def _in_order(face: Face) -> tuple[_Doorway, ...]:
    """The ports, those first that a caller means who names none: what speaks HTTP, and is called so."""

    def rank(item: tuple[str, Facet]) -> tuple[int, bool, str]:
        facet = item[1]
        return _PREFERRED.index(facet.family), facet.port != "http", facet.port

    ordered = sorted(face.facets.items(), key=rank)
    return tuple(_Doorway(cluster, facet.family, facet.numbers) for cluster, facet in ordered)


@lru_cache(maxsize=65536)
def _virtual_hosts(host: str, doorways: tuple[_Doorway, ...]) -> bytes:
    """The virtual hosts of a service, as they stand in a route configuration."""
    taken: set[str] = set()
    hosts = []
    for index, doorway in enumerate(doorways):
        domains = [host] if index == 0 else []
        domains += [f"{host}:{number}" for number in doorway.numbers if f"{host}:{number}" not in taken]
        if domains:
            hosts.append(listed(virtual_host(doorway.cluster, domains, doorway.cluster)))
        taken.update(domains)
    return b"".join(hosts)


def _cluster(vista: Vista, domains: Domains, name: str, facet: Facet) -> bytes:
    securities = {*facet.securities, *(target.security for target in facet.named)}
    is_negotiated = facet.family is Family.HTTP1 and bool(securities) and PLAIN not in securities
    sockets = b"".join(
        socket_match(
            domains,
            security,
            vista.face.service if security.proof is Proof.SERVICE else "",
            is_negotiated=is_negotiated,
        )
        for security in sorted(securities, key=lambda security: security.order)
        if security.proof is not Proof.NONE
    )
    family = Family.NEGOTIATED if is_negotiated else facet.family
    if facet.named:
        return dns_cluster(name, family, vista.assignment(name)[0], sockets)
    return eds_cluster(name, family, sockets)
