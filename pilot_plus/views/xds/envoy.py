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
from pilot_plus.views.xds.listener import OUTBOUND
from pilot_plus.views.xds.resource import Type
from pilot_plus.views.xds.route import configuration, listed, virtual_host
from pilot_plus.views.xds.supply import Changes
from pilot_plus.views.xds.tls import Domains
from pilot_plus.views.xds.vista import Facet, Vista

_WHOLES: Final = frozenset({(Type.ROUTES, OUTBOUND)})
_PREFERRED: Final = (Family.HTTP1, Family.HTTP, Family.HTTP2, Family.TCP)


class Envoy:
    """How vistas become resources for an Envoy (`outlook.Dialect`)."""

    def body(self, vista: Vista, domains: Domains, type_: Type, name: str) -> bytes | None:
        """A cluster or the endpoints of one."""
        facet = vista.facets.get(name)
        if facet is None:
            return None
        if type_ is Type.CLUSTER:
            return _cluster(vista, domains, name, facet)
        return vista.assignment(name) if type_ is Type.ENDPOINTS else None

    def whole(self, vistas: Iterable[Vista], type_: Type, name: str) -> bytes | None:
        """The routes."""
        if (type_, name) not in _WHOLES:
            return None
        return configuration(OUTBOUND, (_virtual_hosts(vista.host, tuple(_in_order(vista))) for vista in vistas))

    def wholes(self) -> AbstractSet[tuple[Type, str]]:
        """What is made from all services."""
        return _WHOLES

    def changes(self, before: Vista | None, after: Vista | None) -> Changes:
        """What is not as it was, or may not be, when a service changes."""
        old, new = before.facets if before else {}, after.facets if after else {}
        found: dict[Type, AbstractSet[str]] = {
            Type.CLUSTER: {name for name in (*old, *new) if old.get(name) != new.get(name)},
            Type.ENDPOINTS: {*old, *new},
        }
        if (_in_order(before) if before else ()) != (_in_order(after) if after else ()):
            found[Type.ROUTES] = {OUTBOUND}
        return found


def tcp_cluster(vista: Vista, port: str, listening: int) -> str | None:
    """The cluster that a TCP listener leads to: of the port that is named, else of the only one, else of the one with
    the listener's own number, else of the first that speaks no HTTP."""
    if port:
        return next((name for name, facet in vista.facets.items() if facet.port == port), None)
    ordered = _in_order(vista)
    same = next((doorway.cluster for doorway in ordered if listening in doorway.numbers), None)
    return same or next((doorway.cluster for doorway in ordered if doorway.family is Family.TCP), ordered[0].cluster)


class _Doorway(msgspec.Struct, frozen=True):
    """What routes must know of a port."""

    cluster: str
    family: Family
    numbers: tuple[int, ...]


def _in_order(vista: Vista) -> tuple[_Doorway, ...]:
    """The ports, those first that a caller means who names none: what speaks HTTP, and is called so."""

    def rank(item: tuple[str, Facet]) -> tuple[int, bool, str]:
        facet = item[1]
        return _PREFERRED.index(facet.family), facet.port != "http", facet.port

    ordered = sorted(vista.facets.items(), key=rank)
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
            domains, security, vista.service if security.proof is Proof.SERVICE else "", is_negotiated=is_negotiated
        )
        for security in sorted(securities, key=lambda security: security.order)
        if security.proof is not Proof.NONE
    )
    family = Family.NEGOTIATED if is_negotiated else facet.family
    if facet.named:
        return dns_cluster(name, family, vista.assignment(name), sockets)
    return eds_cluster(name, family, sockets)
