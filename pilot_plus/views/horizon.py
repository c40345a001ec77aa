"""The horizon: what a viewer sees of a service, and at which addresses.

    instances        10.1.0.7 weight 100 ┐               edge-1  10.1.0.2:15443  SNI http.orders.legacy.mesh  150
    in east/legacy   10.1.0.8 weight 200 ┘── as mesh ──▶ edge-2  10.1.0.3:15443  SNI http.orders.legacy.mesh  150
    in east/mesh     10.3.0.1 weight 100 ──────────────▶         10.3.0.1:8080   itself                       100

`see` costs as much as the service has instances, whatever the catalog holds. `Sight` (its first half) and `Standing`
(its second) can be kept by who wants to pay only for the instance that changed.
"""

from collections.abc import Iterable, Iterator, Mapping

import msgspec
from immutables import Map

from pilot_plus.catalog import Catalog, Entry, Place
from pilot_plus.model import Health, Instance, Locality, Port, Speaks, Viewer, shared_ports
from pilot_plus.views.edges import Edge, Edges, Side
from pilot_plus.views.endpoints import Endpoint, endpoints_of, grouped
from pilot_plus.views.host import host_of, sni_of
from pilot_plus.views.preference import PASSED_OVER, passed_over
from pilot_plus.views.shortfall import Shortfall
from pilot_plus.views.sight import Direct, Hidden, Sight, Through, Way
from pilot_plus.views.topology import Topology


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint as a viewer sees it: an instance itself, or an edge in place of those behind it."""

    id: str
    """The instance's, or the edge's name."""
    address: str
    ports: tuple[Port, ...]
    """The service's ports, with the numbers to dial here."""
    health: Health
    weight: int
    """An edge's is its share of the weight behind it."""
    priority: int
    """0 first; without gaps within a service."""
    zone: str
    locality: Locality
    place: Place
    """Where the record of the instance, or of the edge, was read."""
    is_mtls: bool
    sni_host: str = ""
    """For an edge's mesh port the SNI is `PORTNAME.` before this, with a subset `PORTNAME.SUBSET.`."""
    is_stale: bool = False
    is_held: bool = False
    instance: Instance | None = None
    """None for an edge."""
    others: tuple[Place, ...] = ()
    """Other records of the same instance."""
    behind: tuple[Place, ...] = ()
    """What an edge stands for."""

    def sni(self, port: str, subset: str = "") -> str:
        """The server name for a port; empty for an instance itself."""
        return sni_of(port, self.sni_host, subset) if self.sni_host else ""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of one record in a viewer's eyes."""

    place: Place
    instance: Instance
    is_seen: bool
    addresses: tuple[str, ...]
    """`HOST:PORT`, where it is seen."""
    why: str


def see(catalog: Catalog, topology: Topology, edges: Edges, viewer: Viewer, service: str) -> tuple[Seen, ...]:
    """The endpoints of a service that a viewer sees; empty if there is none, or no such service."""
    entry = catalog.entries.get(service)
    return look(catalog, topology, edges, viewer, entry)[0] if entry else ()


def explain(catalog: Catalog, topology: Topology, edges: Edges, viewer: Viewer, service: str) -> tuple[Verdict, ...]:
    """For every record of a service: seen or not, at which addresses, and why; in an order that stays."""
    entry = catalog.entries.get(service)
    if entry is None:
        return ()
    seen, ways = look(catalog, topology, edges, viewer, entry)
    shown: dict[Place, list[Seen]] = {}
    for endpoint in seen:
        for place in (endpoint.place, *endpoint.others) if endpoint.instance else endpoint.behind:
            shown.setdefault(place, []).append(endpoint)
    over = passed_over_by(catalog, topology, edges, viewer, entry)
    places = sorted(entry.instances, key=lambda place: (entry.instances[place].id, place))
    verdicts = [
        _verdict(place, entry.instances[place], ways[place], shown.get(place, []), is_passed_over=place in over)
        for place in places
    ]
    if viewer.speaks is not Speaks.GRPC:
        return tuple(verdicts)
    shortfall = Shortfall(seen, topology.cluster)
    return tuple(_fallen_short(verdict, shortfall, shown.get(verdict.place, [])) for verdict in verdicts)


def look(
    catalog: Catalog, topology: Topology, edges: Edges, viewer: Viewer, entry: Entry
) -> tuple[tuple[Seen, ...], Mapping[Place, Way]]:
    """The endpoints of an entry (the catalog's, or a part of it) that a viewer sees, and the way to each record."""
    ways = _ways(topology, edges, viewer, entry)
    endpoints = endpoints_of(catalog, _visible(entry, ways), topology.home)
    found = _Found(topology, edges, viewer, entry)
    for endpoint in endpoints:
        found.add(endpoint, ways[endpoint.place])
    return found.seen(), ways


def passed_over_by(
    catalog: Catalog, topology: Topology, edges: Edges, viewer: Viewer, entry: Entry
) -> frozenset[Place]:
    """The records of an entry that a viewer could see, and doesn't, because another registry is preferred."""
    home = topology.home
    if not home.prefer:
        return frozenset()
    visible = _visible(entry, _ways(topology, edges, viewer, entry))
    return passed_over(catalog, home.cluster, home.prefer, visible, grouped(visible))


def priorities(topology: Topology, zone: str, *, is_last: bool) -> tuple[bool, int]:
    """What a smaller value of comes first: `Endpoint.is_last` last, our own cluster before peers, these in order."""
    cluster = zone.partition("/")[0]
    if cluster == topology.cluster:
        return is_last, -1
    return is_last, max(0, topology.peers.get(cluster, 0))


# ------------------------------------------------------------------------------------------------ looking


def _ways(topology: Topology, edges: Edges, viewer: Viewer, entry: Entry) -> Mapping[Place, Way]:
    sight = Sight(topology, edges, viewer, entry.service)
    return {place: sight.way(place[0], instance) for place, instance in entry.instances.items()}


def _visible(entry: Entry, ways: Mapping[Place, Way]) -> Entry:
    """The entry without the records that are hidden: they must not show a visible endpoint either."""
    hidden = {place for place, way in ways.items() if isinstance(way, Hidden)}
    if not hidden:
        return entry
    left = {place: instance for place, instance in entry.instances.items() if place not in hidden}
    return msgspec.structs.replace(entry, instances=Map(left))


class _Found:
    """Endpoints as they are found, with what must be known of all of them before any can be shown."""

    def __init__(self, topology: Topology, edges: Edges, viewer: Viewer, entry: Entry) -> None:
        self._topology = topology
        self._edges = edges
        self._viewer = viewer
        self._entry = entry
        self._direct: list[tuple[tuple[bool, int], Seen]] = []
        self._behind: dict[tuple[Place, ...], tuple[Through, list[Endpoint]]] = {}

    def add(self, endpoint: Endpoint, way: Way) -> None:
        match way:
            case Direct():
                self._direct.append(self._itself(endpoint, way))
            case Through():
                key = tuple(edge.place for edge in way.edges)
                self._behind.setdefault(key, (way, []))[1].append(endpoint)
            case Hidden():
                pass

    def seen(self) -> tuple[Seen, ...]:
        ranked = [*self._direct, *self._as_edges()]
        order = {rank: index for index, rank in enumerate(sorted({rank for rank, _ in ranked}))}
        return tuple(
            one if order[rank] == 0 else msgspec.structs.replace(one, priority=order[rank]) for rank, one in ranked
        )

    def _itself(self, endpoint: Endpoint, way: Direct) -> tuple[tuple[bool, int], Seen]:
        instance = endpoint.instance
        seen = Seen(
            id=instance.id,
            address=instance.address,
            ports=instance.ports,
            health=instance.health,
            weight=instance.weight,
            priority=0,
            zone=instance.zone,
            locality=instance.locality,
            place=endpoint.place,
            is_mtls=way.is_mtls,
            is_stale=endpoint.is_stale,
            is_held=endpoint.is_held,
            instance=instance,
            others=endpoint.others,
        )
        return priorities(self._topology, instance.zone, is_last=endpoint.is_last), seen

    def _as_edges(self) -> Iterator[tuple[tuple[bool, int], Seen]]:
        """One endpoint for each edge, though it may stand for several zones."""
        standing: dict[Place, Standing] = {}
        for through, endpoints in self._behind.values():
            behind = Behind.of(self._topology, endpoints)
            for edge in through.edges:
                mine = standing.setdefault(edge.place, Standing(edge, through.side))
                mine.take(behind, share=shared(behind.weight, edge, through.edges))
        plain_ports = self._edges.plain_ports(self._viewer.zone, self._entry.service)
        host = host_of(self._entry.namespace, self._entry.name, self._topology.home.domain)
        for place in sorted(standing):
            one = standing[place].seen(self._viewer, plain_ports, host)
            if one.ports:
                yield standing[place].rank, one


class Behind(msgspec.Struct, frozen=True, kw_only=True):
    """What stands behind a group of edges, taken together."""

    health: Health
    """The best of them."""
    weight: int
    """Of those that are as good as that (passing and warning ones together)."""
    rank: tuple[bool, int]
    ports: Mapping[str, str]
    """Name and protocol."""
    places: tuple[Place, ...]

    @classmethod
    def of(cls, topology: Topology, endpoints: Iterable[Endpoint]) -> "Behind":
        """Sum them up."""
        ordered = sorted(endpoints, key=_usefulness)
        best = ordered[0]
        counted = [endpoint for endpoint in ordered if _usefulness(endpoint) == _usefulness(best)]
        ports: dict[str, str] = {}
        for names in {endpoint.instance.ports: None for endpoint in ordered}:
            for port in names:
                ports.setdefault(port.name, port.protocol)
        return cls(
            health=min((endpoint.instance.health for endpoint in counted), key=_ORDER.__getitem__),
            weight=sum(endpoint.instance.weight for endpoint in counted),
            rank=min(priorities(topology, endpoint.instance.zone, is_last=endpoint.is_last) for endpoint in counted),
            ports=ports,
            places=tuple(sorted(place for endpoint in ordered for place in (endpoint.place, *endpoint.others))),
        )


class Standing:
    """An edge that stands for instances, of one zone or several."""

    def __init__(self, edge: Edge, side: Side) -> None:
        """Begin with nothing behind it."""
        self._edge = edge
        self._side = side
        self._weight = 0
        self._behind: list[Behind] = []

    def take(self, behind: Behind, share: int) -> None:
        """Stand for these too, with a share of their weight."""
        self._behind.append(behind)
        self._weight += share

    @property
    def rank(self) -> tuple[bool, int]:
        """Its place in the order of priorities."""
        is_last, distance = min(behind.rank for behind in self._behind)
        return is_last or self._edge.is_stale, distance

    def seen(self, viewer: Viewer, plain_ports: Mapping[str, int], host: str) -> Seen:
        """The edge as an endpoint; without ports if the service has none there yet."""
        edge, is_mesh = self._edge, self._side is Side.MESH
        best = min((behind.health for behind in self._behind), key=_ORDER.__getitem__)
        return Seen(
            id=edge.name,
            address=edge.address_from(viewer.zone),
            ports=_dialled(self._behind, edge.mesh_port if is_mesh else None, plain_ports),
            health=max(best, edge.health, key=_ORDER.__getitem__),
            weight=self._weight,
            priority=0,
            zone=edge.zone,
            locality=edge.locality,
            place=edge.place,
            is_mtls=is_mesh,
            sni_host=host if is_mesh else "",
            is_stale=self.rank[0],
            behind=tuple(place for behind in self._behind for place in behind.places),
        )


def shared(weight: int, edge: Edge, edges: tuple[Edge, ...]) -> int:
    """An edge's share of a weight, by the edges' own weights; at least 1 of anything."""
    total = sum(other.weight for other in edges)
    share = weight * edge.weight / total if total else weight / len(edges)
    return max(1, round(share)) if weight else 0


_ORDER = {health: index for index, health in enumerate(Health)}


def _usefulness(endpoint: Endpoint) -> tuple[bool, int]:
    health = endpoint.instance.health
    return endpoint.is_last, 0 if health is Health.WARNING else _ORDER[health]


def _dialled(behind: Iterable[Behind], mesh_port: int | None, plain_ports: Mapping[str, int]) -> tuple[Port, ...]:
    protocols: dict[str, str] = {}
    for one in behind:
        for name, protocol in one.ports.items():
            protocols.setdefault(name, protocol)
    numbers = {name: mesh_port or plain_ports.get(name) for name in sorted(protocols)}
    return shared_ports(tuple(Port(name, number, protocols[name]) for name, number in numbers.items() if number))


def _verdict(place: Place, instance: Instance, way: Way, shown: list[Seen], *, is_passed_over: bool) -> Verdict:
    addresses = tuple(dict.fromkeys(f"{_bracketed(one.address)}:{port.number}" for one in shown for port in one.ports))
    why = way.why
    if is_passed_over:
        why = f"{why}; {PASSED_OVER}"
    elif isinstance(way, Through) and not shown:
        why = f"{why}, where none of its ports has a plain port yet"
    elif shown and shown[0].instance is not None and shown[0].place != place:
        why = f"{why}; the same endpoint as {shown[0].place[1]} in {shown[0].place[0]}"
    return Verdict(place=place, instance=instance, is_seen=bool(shown), addresses=addresses, why=why)


def _fallen_short(verdict: Verdict, shortfall: Shortfall, shown: list[Seen]) -> Verdict:
    lacks = dict.fromkeys(lack for one in shown for lack in shortfall.of(one))
    return msgspec.structs.replace(verdict, why="; ".join((verdict.why, *lacks))) if lacks else verdict


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address
