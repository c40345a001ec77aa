"""What one change costs where resources of xDS are made, beside making the same messages with protobuf. In process.

Three things are measured, as CPU time, in turn, several times; the median is shown:

- one service of 10 to 10,000 endpoints: a change, from the registry's word to the bytes, beside protobuf building and
  serialising a message of as many endpoints;
- 1,000 to 100,000 endpoints in services of 10: a change, and what 100 clients with 10 services each ask after it;
- the first look of an Envoy that asks for everything.
"""

import os
import platform
import time
from collections.abc import Callable
from statistics import median

from envoy.config.core.v3.address_pb2 import Address, SocketAddress
from envoy.config.endpoint.v3.endpoint_components_pb2 import Endpoint, LbEndpoint, LocalityLbEndpoints
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from google.protobuf.wrappers_pb2 import UInt32Value
from immutables import Map

from pilot_plus.catalog import Catalog, Source
from pilot_plus.catalog.admission import Admission
from pilot_plus.catalog.fold import Rules, fold
from pilot_plus.catalog.guard import Limits
from pilot_plus.config import parse
from pilot_plus.model import Instance, Port, Put, Reset, Speaks, Viewer, instance
from pilot_plus.views.topology import topology_of
from pilot_plus.views.xds.listener import OUTBOUND
from pilot_plus.views.xds.profile import Kind, Profile
from pilot_plus.views.xds.resource import Type
from pilot_plus.views.xds.stock import Stock

CONFIG = parse(
    '{"cluster": "east", "zones": [{"name": "z", "meshed": true}], '
    '"registries": [{"name": "zk", "kind": "memory", "zone": "z"}]}',
    {},
)
RULES = Rules(
    Admission(cluster="east", registry="zk", zone="east/z", namespace="n"),
    Limits(max_removal=0.5, window=30, hold_for=600, min=5),
)
CLIENTS, EACH = 100, 10
ROUNDS = 7


def address_of(n: int) -> str:
    return f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}"


def copy(n: int, size: int, weight: int = 100) -> Instance:
    """Instance `n`, of services of `size`."""
    ports = [Port("http", 8080, "http")]
    name = f"svc{n // size}"
    return instance(key=f"i{n}", name=name, id=f"i{n}", address=address_of(n), ports=ports, weight=weight)


class Hub:
    """A catalog of equal services, and the stock over it."""

    def __init__(self, endpoints: int, size: int) -> None:
        self.size = size
        empty = Catalog(epoch="e", sources=Map({"zk": Source(name="zk", kind="memory", zone="east/z")}))
        held = [copy(n, size) for n in range(endpoints)]
        self.catalog = fold(empty, "zk", [Reset(instances=held)], RULES, 1.0).catalog
        self.stock = Stock(self.catalog, topology_of(CONFIG))
        viewer = Viewer("east/z", Speaks.MESH)
        self.supplies = [
            self.stock.of(Profile(kind=Kind.ENVOY, viewer=viewer, outbound=f"127.0.0.1:{10_000 + n}"))
            for n in range(CLIENTS)
        ]

    def change(self, n: int, weight: int) -> None:
        folded = fold(self.catalog, "zk", [Put(copy(n, self.size, weight))], RULES, 2.0)
        self.catalog = folded.catalog
        self.stock.advance(folded.catalog, folded.touched)


def cpu(work: Callable[[], object]) -> float:
    begin = time.process_time()
    work()
    return time.process_time() - begin


def built(endpoints: int) -> bytes:
    """The same message with protobuf."""
    listed = [
        LbEndpoint(
            endpoint=Endpoint(address=Address(socket_address=SocketAddress(address=address_of(n), port_value=8080))),
            load_balancing_weight=UInt32Value(value=100),
            health_status=1,  # HEALTHY
        )
        for n in range(endpoints)
    ]
    groups = [LocalityLbEndpoints(lb_endpoints=listed, load_balancing_weight=UInt32Value(value=100 * endpoints))]
    return bytes(ClusterLoadAssignment(cluster_name="http.svc0.n.mesh", endpoints=groups).SerializeToString())


def one_service(endpoints: int, changes: int = 50) -> None:
    hub = Hub(endpoints, endpoints)
    supply = hub.supplies[0]
    supply.get(Type.ENDPOINTS, "http.svc0.n.mesh")
    weight = iter(range(1, 1_000_000))

    def ours() -> None:
        for _ in range(changes):
            hub.change(next(weight) * 7919 % endpoints, 100 + next(weight) % 800)
            supply.get(Type.ENDPOINTS, "http.svc0.n.mesh")

    def theirs() -> None:
        for _ in range(max(1, changes // 10)):
            built(endpoints)

    pairs = [(cpu(ours) / changes, cpu(theirs) / max(1, changes // 10)) for _ in range(ROUNDS)]
    mine, other = median(one for one, _ in pairs), median(two for _, two in pairs)
    ratio = median(two / one for one, two in pairs)
    print(f"{endpoints:>10} {mine * 1e6:>12.0f} {other * 1e6:>14.0f} {ratio:>8.1f}")


def many_clients(hubs: dict[int, Hub]) -> None:
    """A change of a service that 10 of the 100 clients have."""
    found: dict[int, list[float]] = {size: [] for size in hubs}
    names = {client: [f"http.svc{(client * 3 + n) % 100}.n.mesh" for n in range(EACH)] for client in range(CLIENTS)}
    for hub in hubs.values():
        for client, supply in enumerate(hub.supplies):
            for name in names[client]:
                supply.get(Type.ENDPOINTS, name)
    weight = iter(range(1, 1_000_000))

    def ours(hub: Hub) -> None:
        for _ in range(100):
            marks = [supply.mark for supply in hub.supplies]
            hub.change(next(weight) % 1000, 100 + next(weight) % 800)
            for client, supply in enumerate(hub.supplies):
                changed = (supply.since(marks[client]) or {}).get(Type.ENDPOINTS, frozenset())
                for name in changed & set(names[client]):
                    supply.get(Type.ENDPOINTS, name)

    for _ in range(ROUNDS):
        for size, hub in hubs.items():
            found[size].append(cpu(lambda hub=hub: ours(hub)) / 100)  # type: ignore[misc]
    least = median(found[min(found)])
    for size, times in found.items():
        print(f"{size:>10} {median(times) * 1e6:>12.0f} {median(times) / least:>14.2f}")


def first_look(hubs: dict[int, Hub]) -> None:
    for size, hub in hubs.items():
        viewer = Viewer("east/z", Speaks.MESH, certified=True)
        supply = hub.stock.of(Profile(kind=Kind.ENVOY, viewer=viewer, outbound="127.0.0.1:1"))
        clusters = cpu(lambda supply=supply: supply.names(Type.CLUSTER))  # type: ignore[misc]
        routes = cpu(lambda supply=supply: supply.get(Type.ROUTES, OUTBOUND))  # type: ignore[misc]
        names = list(supply.names(Type.CLUSTER))

        def all_of(supply=supply, names=names) -> None:
            for name in names:
                supply.get(Type.CLUSTER, name)
                supply.get(Type.ENDPOINTS, name)

        rest = cpu(all_of)
        hub.stock.forget(supply.profile)
        print(f"{size:>10} {clusters * 1e3:>14.0f} {routes * 1e3:>12.0f} {rest * 1e3:>24.0f}")


if __name__ == "__main__":
    print(f"xds_build: Python {platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print(f"{'endpoints':>10} {'a change µs':>12} {'protobuf µs':>14} {'times':>8}   (one service)")
    for count in (10, 100, 1_000, 10_000):
        one_service(count)
    worlds = {count: Hub(count, 10) for count in (1_000, 10_000, 100_000)}
    print(f"{'endpoints':>10} {'a change µs':>12} {'to the least':>14}   (services of 10, {CLIENTS} clients)")
    many_clients(worlds)
    print(f"{'endpoints':>10} {'names ms':>14} {'routes ms':>12} {'clusters, endpoints ms':>24}   (first look)")
    first_look(worlds)
