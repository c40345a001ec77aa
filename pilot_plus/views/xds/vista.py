"""A vista: one service as one viewer sees it, with what the resources of xDS are made from.

vista of legacy/orders, from east/mesh
  facet http.orders.legacy.mesh     port http, HTTP/1.1, numbers 8080
    priority 0   10.3.0.1:8080 plain          priority 1   192.0.2.7:15443 as an edge of east/legacy
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeAlias

import msgspec

from pilot_plus.catalog import Catalog, Entry
from pilot_plus.model import Instance, Locality, Port, Viewer
from pilot_plus.views.edges import Edges
from pilot_plus.views.horizon import Seen, look
from pilot_plus.views.host import host_of, sni_of
from pilot_plus.views.sight import Sight
from pilot_plus.views.topology import Topology
from pilot_plus.views.xds.cluster import Family, family_of
from pilot_plus.views.xds.endpoint import MOST, PLAIN, Proof, Security, Target, assignment, endpoint, group, listed
from pilot_plus.views.xds.tls import Domains, must_be


class World(msgspec.Struct, frozen=True, kw_only=True):
    """What vistas are made from."""

    catalog: Catalog
    topology: Topology
    edges: Edges
    domains: Domains = Domains()


class Facet(msgspec.Struct, frozen=True, kw_only=True):
    """What a cluster must know of a port of a service, beside its endpoints."""

    port: str
    family: Family
    numbers: tuple[int, ...] = ()
    """Those that its instances have, in order."""
    securities: tuple[Security, ...] = ()
    """Those of endpoints that have an IP address, the ones of the best priority first."""
    named: tuple[Target, ...] = ()
    """The endpoints that have a host name, those of the best priority first."""


class Placed(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint and its place in the order in which endpoints are used."""

    priority: int
    locality: Locality
    target: Target


Choice: TypeAlias = Callable[[Target], bool]


class Vista:
    """One service as one viewer sees it, at one moment."""

    def __init__(
        self, service: str, host: str, facets: Mapping[str, Facet], placed: Mapping[str, list[Placed]]
    ) -> None:
        """`facets` and `placed` are by the name of the cluster."""
        self.service = service
        self.host = host
        self.facets = facets
        self._placed = placed

    def __repr__(self) -> str:
        """Say what it is of."""
        return f"<Vista of {self.service}: {', '.join(self.facets)}>"

    def assignment(self, cluster: str, name: str = "", choice: Choice | None = None) -> bytes:
        """The endpoints of a cluster (only those chosen) as a load assignment, maybe under another name."""
        placed = [one for one in self._placed[cluster] if choice is None or choice(one.target)]
        shift = max(0, (sum(one.target.weight for one in placed) // MOST).bit_length())
        groups: dict[tuple[int, Locality], list[Target]] = {}
        for one in placed:
            groups.setdefault((one.priority, one.locality), []).append(one.target)
        return assignment(name or cluster, _groups(groups, shift))


def _groups(groups: Mapping[tuple[int, Locality], list[Target]], shift: int) -> Iterator[bytes]:
    """Priorities are without gaps even where not all endpoints were chosen."""
    order = {priority: index for index, priority in enumerate(sorted({priority for priority, _ in groups}))}
    for (priority, locality), targets in sorted(groups.items(), key=lambda item: (item[0][0], _parts(item[0][1]))):
        usable = sum(target.weight >> shift for target in targets if target.is_useful)
        yield group(locality, order[priority], usable, b"".join(listed(endpoint(one, shift)) for one in targets))


def _parts(locality: Locality) -> tuple[str, str, str]:
    return locality.region, locality.az, locality.subzone


# ------------------------------------------------------------------------------------------------ making


def vista_of(world: World, viewer: Viewer, entry: Entry) -> Vista | None:
    """What a viewer sees of a service; None if it does not see it."""
    seen, _ = look(world.catalog, world.topology, world.edges, viewer, entry)
    ports = _Ports()
    for one in seen:
        for instance in [one.instance] if one.instance else [entry.instances[place] for place in one.behind]:
            ports.take(instance.ports, {port.name for port in one.ports})
    if not seen:
        if entry.instances or not (told := _told(world, viewer, entry)):
            return None
        ports.take(told, {port.name for port in told})
    host = host_of(entry.namespace, entry.name, world.topology.home.domain)
    facets: dict[str, Facet] = {}
    placed: dict[str, list[Placed]] = {}
    for port in sorted(ports.protocols):
        cluster = sni_of(port, host)
        placed[cluster] = [one for one in _placed(seen, port, host) if _can_be_met(world.domains, one, entry.service)]
        facets[cluster] = _facet(port, ports, placed[cluster])
    return Vista(entry.service, host, facets, placed)


class _Ports:
    """The ports of a service as its instances have them."""

    def __init__(self) -> None:
        self.protocols: dict[str, set[str]] = {}
        self.numbers: dict[str, set[int]] = {}

    def take(self, ports: Iterable[Port], names: set[str]) -> None:
        for port in ports:
            if port.name in names:
                self.protocols.setdefault(port.name, set()).add(port.protocol)
                self.numbers.setdefault(port.name, set()).add(port.number)


def _told(world: World, viewer: Viewer, entry: Entry) -> tuple[Port, ...]:
    """The ports of a service without instances, by its records, where the viewer may see them."""
    sight = Sight(world.topology, world.edges, viewer, entry.service)
    found: dict[str, Port] = {}
    for place, record in sorted(entry.records.items()):
        zone = world.topology.lies_in.get(place[0], "")
        as_instance = Instance(
            key=place[1], name=entry.name, id="", address="", ports=(), zone=zone, metadata=record.metadata
        )
        if sight.lets_in(place[0], as_instance):
            found.update({port.name: port for port in record.ports if port.name not in found})
    return tuple(found.values())


def _placed(seen: Iterable[Seen], port: str, host: str) -> list[Placed]:
    """The endpoints of a port, each address once: gRPC refuses all if one comes twice."""
    found: dict[tuple[str, int], Placed] = {}
    for one in sorted(seen, key=lambda one: (one.priority, one.address, one.id)):
        number = next((each.number for each in one.ports if each.name == port), None)
        if number is not None and (one.address, number) not in found:
            found[one.address, number] = _one_placed(one, port, number, host)
    return list(found.values())


def _one_placed(one: Seen, port: str, number: int, host: str) -> Placed:
    security = PLAIN
    if one.is_mtls:
        security = Security(Proof.SERVICE if one.instance else Proof.EDGE, one.zone)
    target = Target(
        address=one.address,
        number=number,
        health=one.health,
        weight=one.weight,
        security=security,
        sni=sni_of(port, host) if one.is_mtls else "",
    )
    return Placed(priority=one.priority, locality=one.locality, target=target)


def _can_be_met(domains: Domains, one: Placed, service: str) -> bool:
    """Whether anybody can prove to be what must stand there: not every name fits into an identity."""
    try:
        return one.target.security == PLAIN or bool(must_be(domains, one.target.security, service))
    except ValueError:
        return False


def _facet(port: str, ports: _Ports, placed: list[Placed]) -> Facet:
    with_ip = [one for one in placed if not one.target.is_named]
    ordered = sorted(with_ip, key=lambda one: (one.priority, one.target.security.order))
    return Facet(
        port=port,
        family=family_of(frozenset(ports.protocols[port])),
        numbers=tuple(sorted(ports.numbers[port])),
        securities=tuple(dict.fromkeys(one.target.security for one in ordered)),
        named=tuple(one.target for one in placed if one.target.is_named),
    )
