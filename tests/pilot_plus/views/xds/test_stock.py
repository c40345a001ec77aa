"""The stock: what clients get, that it fits together, and that what is kept up is what would be made anew."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilot_plus.catalog import Catalog
from pilot_plus.catalog.admission import admission_of
from pilot_plus.catalog.fold import Folded, Rules, fold, lose, vouch
from pilot_plus.catalog.guard import Limits
from pilot_plus.model import ACCEPTS, Drop, Health, Locality, Port, Put, Reset, Service, Speaks, Viewer
from pilot_plus.views.edges import edges_of
from pilot_plus.views.horizon import see
from pilot_plus.views.xds.listener import OUTBOUND
from pilot_plus.views.xds.profile import Kind, Profile
from pilot_plus.views.xds.resource import Resource, Type
from pilot_plus.views.xds.stock import Stock
from pilot_plus.views.xds.supply import Supply
from pilot_plus.views.xds.tls import OWN, TRUST, Anchors
from tests.pilot_plus.views.test_horizon import EVERYTHING, NAMES, REGISTRY_OF, ZONE_NAMES, mtls, worlds
from tests.pilot_plus.views.world import EDGE_SOURCE, World, copy, edge
from tests.pilot_plus.views.xds import reading
from tests.pilot_plus.views.xds.reading import read

ORDERS = "http.orders.legacy.mesh"


def stock_of(world: World) -> Stock:
    stock = Stock(world.catalog, world.topology)
    stock.carry(world.edges.carrying)
    return stock


def supply_of(world: World, zone: str, kind: Kind = Kind.ENVOY, **fields: Any) -> Supply:
    return stock_of(world).of(profile(world, zone, kind, **fields))


def profile(world: World, zone: str, kind: Kind = Kind.ENVOY, *, certified: bool = True, **fields: Any) -> Profile:
    speaks = Speaks.GRPC if kind is Kind.GRPC else Speaks.MESH
    fields = {"outbound": "127.0.0.1:15001", **fields} if kind is Kind.ENVOY else fields
    return Profile(kind=kind, viewer=world.viewer(zone, speaks, certified=certified), **fields)


def endpoints(supply: Supply, name: str) -> list[tuple[int, str, int, int, int]]:
    return sorted(reading.endpoints_in(read(supply, Type.ENDPOINTS, name)))


# ------------------------------------------------------------------------------------------------ Envoy


def test_an_envoy_gets_a_cluster_and_its_endpoints_by_one_name():
    world = World({"zk": [copy("a", address="10.1.0.7"), copy("b", address="10.1.0.8", weight=50)]})
    supply = supply_of(world, "legacy")
    assert supply.names(Type.CLUSTER) == {ORDERS}
    cluster = read(supply, Type.CLUSTER, ORDERS)
    assert (cluster.name, cluster.type) == (ORDERS, cluster.EDS)
    assert not cluster.transport_socket_matches
    assert cluster.common_lb_config.HasField("update_merge_window")
    assert cluster.common_lb_config.update_merge_window.ToMilliseconds() == 0
    assert cluster.common_lb_config.HasField("healthy_panic_threshold")
    assert read(supply, Type.ENDPOINTS, ORDERS).cluster_name == ORDERS
    assert endpoints(supply, ORDERS) == [(0, "10.1.0.7", 8080, 1, 100), (0, "10.1.0.8", 8080, 1, 50)]


def test_health_says_who_may_get_new_work():
    states = {"a": Health.PASSING, "b": Health.WARNING, "c": Health.CRITICAL, "d": Health.DRAINING}
    held = [copy(key, address=f"10.1.0.{n}", health=health) for n, (key, health) in enumerate(states.items(), 1)]
    held += [copy("e", address="10.1.0.5", weight=0), copy("f", address="10.1.0.6", weight=0, health=Health.CRITICAL)]
    found = endpoints(supply_of(World({"zk": held}), "legacy"), ORDERS)
    assert [health for _, _, _, health, _ in found] == [1, 1, 2, 3, 3, 2]
    assert [weight for *_, weight in found] == [100, 100, 100, 100, 1, 1]


def test_a_service_answers_at_its_host_and_at_its_host_with_every_number():
    ports = [Port("http", 8080, "http"), Port("admin", 9090, "http"), Port("grpc", 9000, "grpc")]
    other = [Port("http", 8081, "http")]
    world = World({"zk": [copy("a", ports=ports), copy("b", ports=other)]})
    routes = read(supply_of(world, "legacy"), Type.ROUTES, OUTBOUND)
    host = "orders.legacy.mesh"
    assert {one.name: list(one.domains) for one in routes.virtual_hosts} == {
        f"http.{host}": [host, f"{host}:8080", f"{host}:8081"],
        f"admin.{host}": [f"{host}:9090"],
        f"grpc.{host}": [f"{host}:9000"],
    }
    for one in routes.virtual_hosts:
        assert one.retry_policy.num_retries.value == 2
        assert one.retry_policy.retry_on == "connect-failure,refused-stream,reset-before-request"
        assert {route.route.cluster for route in one.routes} == {one.name}


def test_a_number_that_two_ports_have_belongs_to_the_one_that_speaks_http():
    held = [copy("a", ports=[Port("db", 8080, "mysql")]), copy("b", ports=[Port("web", 8080, "http")])]
    routes = read(supply_of(World({"zk": held}), "legacy"), Type.ROUTES, OUTBOUND)
    (one,) = routes.virtual_hosts
    assert (one.name, list(one.domains)) == (
        "web.orders.legacy.mesh",
        ["orders.legacy.mesh", "orders.legacy.mesh:8080"],
    )


def test_edges_stand_for_what_is_not_reached_and_must_prove_to_be_edges_of_their_zone():
    world = World(
        {"zk": [copy("a")], "own": [copy("m", namespace="legacy", address="10.3.0.1")]},
        [edge("edge-1", "legacy", carries="*/*", address="10.9.0.1")],
        exports=EVERYTHING,
    )
    supply = supply_of(world, "mesh", data="/var/lib/x")
    assert endpoints(supply, ORDERS) == [(0, "10.3.0.1", 8080, 1, 100), (0, "10.9.0.1", 15443, 1, 100)]
    (match,) = read(supply, Type.CLUSTER, ORDERS).transport_socket_matches
    (matcher,) = reading.context_of(
        match.transport_socket
    ).common_tls_context.combined_validation_context.default_validation_context.match_typed_subject_alt_names
    assert matcher.matcher.prefix == "spiffe://east.example/zone/legacy/edge/"
    (group,) = read(supply, Type.ENDPOINTS, ORDERS).endpoints
    through = next(one for one in group.lb_endpoints if one.endpoint.hostname)
    assert through.endpoint.hostname == ORDERS
    assert dict(through.metadata.filter_metadata["envoy.transport_socket_match"].items()) == dict(match.match.items())


def test_an_instance_that_accepts_mutual_tls_must_prove_to_be_the_service_in_its_zone():
    world = World({"own": [copy("a", namespace="shop", metadata=mtls())]})
    (match,) = read(supply_of(world, "mesh"), Type.CLUSTER, "http.orders.shop.mesh").transport_socket_matches
    validation = reading.context_of(match.transport_socket).common_tls_context.combined_validation_context
    (matcher,) = validation.default_validation_context.match_typed_subject_alt_names
    assert matcher.matcher.exact == "spiffe://east.example/zone/mesh/ns/shop/svc/orders"


def test_what_is_stale_comes_last():
    registries = [
        {"name": "zk", "kind": "memory", "zone": "vm", "namespace": "shop"},
        {"name": "consul", "kind": "memory", "zone": "vm", "namespace": "shop"},
    ]
    held = {"zk": [copy("a", address="10.1.0.1")], "consul": [copy("b", address="10.1.0.2")]}
    world = World(held, registries=registries)
    stock = stock_of(world)
    supply = stock.of(profile(world, "vm"))
    name = "http.orders.shop.mesh"
    assert [one[:2] for one in endpoints(supply, name)] == [(0, "10.1.0.1"), (0, "10.1.0.2")]
    mark = supply.mark
    stock.advance(lose(world.catalog, "zk", "gone", 1.0).catalog, frozenset())
    assert supply.since(mark) == {Type.ENDPOINTS: {name}}
    assert [one[:2] for one in endpoints(supply, name)] == [(0, "10.1.0.2"), (1, "10.1.0.1")]


def test_a_host_name_gets_a_cluster_that_asks_dns():
    held = [copy("a", address="api.example.com", ports=[Port("http", 80, "http")]), copy("b", address="10.1.0.1")]
    cluster = read(supply_of(World({"zk": held}), "legacy"), Type.CLUSTER, ORDERS)
    assert cluster.type == cluster.STRICT_DNS
    found = sorted(one[1:3] for one in reading.endpoints_in(cluster.load_assignment))
    assert found == [("10.1.0.1", 8080), ("api.example.com", 80)]


def test_what_no_text_can_hold_hurts_nobody():
    strange = copy("a", address="10.1.0.1", locality=Locality("\ud800", "\0", "x" * 5000))
    supply = supply_of(World({"zk": [strange, copy("b", address="10.1.0.2")]}), "legacy")
    assert len(endpoints(supply, ORDERS)) == 2


def test_a_service_without_instances_is_a_cluster_without_endpoints():
    record = Service(key="s", name="orders", ports=(Port("http", 8080, "http"),))
    world = World({"zk": [record]})  # type: ignore[list-item] # a source may bring records too
    supply = supply_of(world, "legacy")
    assert supply.names(Type.CLUSTER) == {ORDERS}
    assert endpoints(supply, ORDERS) == []
    assert supply_of(world, "mesh").names(Type.CLUSTER) == set()


def test_the_protocol_of_a_port_decides_what_is_spoken_to_it():
    protocols = {"http": "http", "grpc": "grpc", "db": "mysql", "any": "unknown"}
    ports = [Port(name, 8000 + n, protocol) for n, (name, protocol) in enumerate(protocols.items())]
    supply = supply_of(World({"zk": [copy("a", ports=ports)]}), "legacy")
    told = {}
    for name in protocols:
        options = read(supply, Type.CLUSTER, f"{name}.orders.legacy.mesh").typed_extension_protocol_options
        told[name] = [one.value for one in options.values()]
    assert told["db"] == []
    assert len({bytes(*told[name]) for name in ("http", "grpc", "any")}) == 3


def test_a_tcp_service_gets_a_listener_of_its_own_while_it_can_be_seen():
    ports = [Port("dubbo", 20880, "dubbo"), Port("http", 8080, "http")]
    world = World({"zk": [copy("a", ports=ports)]})
    stock = stock_of(world)
    doors = (
        ("legacy/none", "127.0.0.1:7003"),
        ("legacy/orders", "127.0.0.1:7001"),
        ("legacy/orders#http", "127.0.0.1:7002"),
    )
    supply = stock.of(profile(world, "legacy", tcp=doors))
    assert supply.names(Type.LISTENER) == {
        OUTBOUND,
        "pilot-plus/tcp/legacy/orders",
        "pilot-plus/tcp/legacy/orders#http",
    }
    listener = read(supply, Type.LISTENER, "pilot-plus/tcp/legacy/orders")
    assert listener.address.socket_address.port_value == 7001
    assert reading.tcp_of(listener).cluster == "dubbo.orders.legacy.mesh"
    assert reading.tcp_of(read(supply, Type.LISTENER, "pilot-plus/tcp/legacy/orders#http")).cluster == ORDERS
    mark = supply.mark
    rules = Rules(admission_of(world.config, world.config.registries[0]))
    folded = fold(world.catalog, "zk", [Drop("a")], rules, 1.0)
    stock.advance(folded.catalog, folded.touched)
    assert supply.names(Type.LISTENER) == {OUTBOUND}
    assert (supply.since(mark) or {})[Type.LISTENER] == {
        "pilot-plus/tcp/legacy/orders",
        "pilot-plus/tcp/legacy/orders#http",
    }


def test_a_listener_needs_an_ip_address():
    with pytest.raises(ValueError, match="a listener needs an IP address, found 'localhost:1'"):
        profile(World({}), "legacy", outbound="localhost:1")


def test_secrets_name_the_clients_own_files_and_the_roots():
    world = World({})
    stock = stock_of(world)
    supply = stock.of(profile(world, "mesh", data="/var/lib/x"))
    assert read(supply, Type.SECRET, TRUST) is None
    mark = supply.mark
    stock.believe(Anchors("-----BEGIN CERTIFICATE-----", ""))
    assert supply.since(mark) == {Type.SECRET: {TRUST}}
    assert read(supply, Type.SECRET, TRUST).validation_context.trusted_ca.inline_string.startswith("-----BEGIN")
    own = read(supply, Type.SECRET, OWN).tls_certificate
    assert own.private_key.filename == "/var/lib/x/identity/key.pem"
    assert own.watched_directory.path == "/var/lib/x"
    assert read(stock.of(profile(world, "mesh", certified=False)), Type.SECRET, OWN) is None


# ------------------------------------------------------------------------------------------------ gRPC


def test_a_grpc_client_asks_for_a_host_and_a_port():
    world = World({"zk": [copy("a", address="10.1.0.7", ports=[Port("grpc", 9000, "grpc")])]})
    supply = supply_of(world, "legacy", Kind.GRPC)
    assert supply.names(Type.LISTENER) == supply.names(Type.CLUSTER) == set()
    for name in ("orders.legacy.mesh", "orders.legacy.mesh:9000"):
        manager = reading.manager_of(read(supply, Type.LISTENER, name))
        assert set(reading.clusters_in(manager.route_config)) == {"grpc.orders.legacy.mesh"}
    assert supply.get(Type.LISTENER, "orders.legacy.mesh:9001") is None
    assert endpoints(supply, "grpc.orders.legacy.mesh") == [(0, "10.1.0.7", 9000, 1, 100)]


def test_a_grpc_client_gets_a_cluster_for_each_way_to_speak_joined_by_an_aggregate():
    world = World(
        {
            "zk": [copy("a")],
            "own": [
                copy("m", namespace="legacy", address="10.3.0.1"),
                copy("n", namespace="legacy", address="api.example.com"),
            ],
        },
        [edge("edge-1", "legacy", carries="*/*", address="10.9.0.1")],
        exports=EVERYTHING,
    )
    supply = supply_of(world, "mesh", Kind.GRPC)
    parts = reading.joined_by(read(supply, Type.CLUSTER, ORDERS))
    assert parts == [f"{ORDERS}/plain", f"{ORDERS}/edge/east/legacy", f"{ORDERS}/dns/0"]
    assert endpoints(supply, parts[0]) == [(0, "10.3.0.1", 8080, 1, 100)]
    assert endpoints(supply, parts[1]) == [(0, "10.9.0.1", 15443, 1, 100)]
    for part in parts[:2]:
        cluster = read(supply, Type.CLUSTER, part)
        assert not cluster.transport_socket_matches
        assert cluster.HasField("transport_socket") == ("edge" in part)
        if "edge" in part:
            assert reading.context_of(cluster.transport_socket).sni == ORDERS
    dns = read(supply, Type.CLUSTER, parts[2])
    assert dns.type == dns.LOGICAL_DNS
    assert [one[1] for one in reading.endpoints_in(dns.load_assignment)] == ["api.example.com"]


# ------------------------------------------------------------------------------------------------ changes


def test_a_change_touches_the_resources_of_its_service_and_no_others():
    world = World({"zk": [copy("a"), copy("b", "carts")]})
    stock = stock_of(world)
    supply = stock.of(profile(world, "legacy"))
    other = supply.get(Type.ENDPOINTS, "http.carts.legacy.mesh")
    before = {type_: supply.get(type_, name) for type_, name in ((Type.CLUSTER, ORDERS), (Type.ROUTES, OUTBOUND))}
    endpoints(supply, ORDERS)
    mark = supply.mark
    rules = Rules(admission_of(world.config, world.config.registries[0]))
    folded = fold(world.catalog, "zk", [Put(copy("c", address="10.1.0.99"))], rules, 1.0)
    stock.advance(folded.catalog, folded.touched)
    assert supply.since(mark) == {Type.ENDPOINTS: {ORDERS}}
    assert supply.since(supply.mark) == {}
    assert supply.get(Type.ENDPOINTS, "http.carts.legacy.mesh") is other
    assert {
        type_: supply.get(type_, name) for type_, name in ((Type.CLUSTER, ORDERS), (Type.ROUTES, OUTBOUND))
    } == before
    assert len(endpoints(supply, ORDERS)) == 2


def test_what_was_asked_for_in_vain_is_told_when_it_comes():
    world = World({})
    stock = stock_of(world)
    supply = stock.of(profile(world, "legacy", Kind.GRPC))
    assert supply.get(Type.CLUSTER, ORDERS) is None
    mark = supply.mark
    rules = Rules(admission_of(world.config, world.config.registries[0]))
    folded = fold(world.catalog, "zk", [Put(copy("a"))], rules, 1.0)
    stock.advance(folded.catalog, folded.touched)
    assert ORDERS in (supply.since(mark) or {})[Type.CLUSTER]
    assert supply.get(Type.CLUSTER, ORDERS) is not None


def test_everything_can_be_prepared_in_parts_while_the_catalog_changes():
    world = World({"zk": [copy(f"i{n}", f"svc{n}") for n in range(200)]})
    stock = stock_of(world)
    supply = stock.of(profile(world, "legacy"))
    rules = Rules(admission_of(world.config, world.config.registries[0]))
    catalog, pauses = world.catalog, 0
    for pauses, _ in enumerate(supply.prepare(Type.CLUSTER), 1):
        folded = fold(catalog, "zk", [Drop(f"i{199 - pauses}"), Put(copy(f"new{pauses}", f"new{pauses}"))], rules, 1.0)
        catalog = folded.catalog
        stock.advance(catalog, folded.touched)
    assert pauses == 4
    assert supply.names(Type.CLUSTER) == {f"http.{entry.name}.legacy.mesh" for entry in catalog.entries.values()}
    assert list(supply.prepare(Type.CLUSTER)) == []


def test_other_edges_of_many_services_are_shown_in_parts_and_told_completely():
    held = [copy(f"i{n}", f"svc{n}") for n in range(180)]
    first = edge("edge-1", "legacy", carries="*/*", address="10.9.0.1")
    world = World({"zk": held}, [first], exports=EVERYTHING)
    stock = stock_of(world)
    door = (("legacy/svc7", "127.0.0.1:7007"),)
    supply = stock.of(profile(world, "mesh", tcp=door))
    before = {name: endpoints(supply, name) for name in supply.names(Type.CLUSTER)}
    assert len(before) == 180
    assert "pilot-plus/tcp/legacy/svc7" in supply.names(Type.LISTENER)
    admission = msgspec.structs.replace(
        admission_of(world.config, world.config.registries[0]), registry=EDGE_SOURCE, writes_reserved=True
    )
    catalog = world.catalog
    for updates, expected in (
        ([Put(edge("edge-2", "legacy", carries="*/*", address="10.9.0.2"))], 2),
        ([Drop("legacy/edge-2"), Drop(first.key)], 0),
    ):
        mark = supply.mark
        folded = fold(catalog, EDGE_SOURCE, updates, Rules(admission), 1.0)
        catalog = folded.catalog
        stock.advance(catalog, folded.touched)
        assert sum(1 for _ in stock.settle()) >= 2
        assert list(stock.settle()) == []
        news = supply.since(mark)
        assert news is not None
        assert news[Type.ENDPOINTS] == before.keys()
        told = {name: endpoints(supply, name) for name in supply.names(Type.CLUSTER)}
        assert {len(listed) for listed in told.values()} == ({expected} if expected else set())
    assert supply.names(Type.LISTENER) == {OUTBOUND}


def test_supplies_of_equal_profiles_are_one_while_somebody_uses_them():
    world = World({"zk": [copy("a")]})
    stock = stock_of(world)
    one, other = profile(world, "legacy"), profile(world, "legacy")
    supply = stock.of(one)
    assert stock.of(other) is supply
    stock.forget(one)
    assert stock.of(one) is supply
    for _ in range(2):
        stock.forget(one)
    assert stock.of(one) is not supply


# ------------------------------------------------------------------------------------------------ properties

DOORS = tuple((f"shop/{name}", f"127.0.0.1:{7000 + n}") for n, name in enumerate(NAMES))


def everything(supply: Supply) -> dict[tuple[Type, str], Resource]:
    """All that an Envoy would fetch, following the names that it is told."""
    wanted = [(type_, name) for type_ in (Type.CLUSTER, Type.LISTENER) for name in supply.names(type_)]
    wanted += [(Type.ENDPOINTS, name) for name in supply.names(Type.CLUSTER)]
    found = {key: supply.get(*key) for key in (*wanted, (Type.ROUTES, OUTBOUND))}
    assert None not in found.values()
    return {key: one for key, one in found.items() if one is not None}


@given(worlds(), st.booleans())
def test_whatever_is_named_is_there(world: World, certified: bool):
    stock = stock_of(world)
    stock.believe(Anchors("roots", ""))
    for zone in ZONE_NAMES:
        supply = stock.of(profile(world, zone, certified=certified, tcp=DOORS, data="/d" if certified else ""))
        names = supply.names(Type.CLUSTER)
        assert set(reading.clusters_in(read(supply, Type.ROUTES, OUTBOUND))) == names
        for name in supply.names(Type.LISTENER) - {OUTBOUND}:
            assert reading.tcp_of(read(supply, Type.LISTENER, name)).cluster in names
        for name in names:
            cluster = read(supply, Type.CLUSTER, name)
            contexts = [reading.context_of(match.transport_socket) for match in cluster.transport_socket_matches]
            assert all(supply.get(Type.SECRET, secret) for secret in reading.secrets_in(contexts))
            held = read(supply, Type.ENDPOINTS, name)
            assert held.cluster_name == name
            proofs = {
                dict(one.metadata.filter_metadata["envoy.transport_socket_match"].items()).get("pilot-plus")
                for group in held.endpoints
                for one in group.lb_endpoints
                if one.HasField("metadata")
            }
            assert proofs == {match.name for match in cluster.transport_socket_matches}


@given(worlds())
def test_what_a_grpc_client_follows_is_there_and_spoken_to_in_one_way(world: World):
    stock = stock_of(world)
    for zone in ZONE_NAMES:
        supply = stock.of(profile(world, zone, Kind.GRPC))
        for name in NAMES:
            listener = read(supply, Type.LISTENER, f"{name}.shop.mesh:8080")
            seen = world.seen(zone, f"shop/{name}", Speaks.GRPC)
            assert (listener is not None) == bool(seen)
            if listener is None:
                continue
            (whole,) = set(reading.clusters_in(reading.manager_of(listener).route_config))
            cluster = read(supply, Type.CLUSTER, whole)
            parts = reading.joined_by(cluster) if cluster.HasField("cluster_type") else [whole]
            reached = set()
            for part in parts:
                assert not read(supply, Type.CLUSTER, part).transport_socket_matches
                held = read(supply, Type.ENDPOINTS, part)
                priorities = [group.priority for group in held.endpoints]
                assert sorted(set(priorities)) == list(range(len(set(priorities))))
                reached |= {(address, number) for _, address, number, _, _ in reading.endpoints_in(held)}
            assert reached == {(one.address, port.number) for one in seen for port in one.ports}


def seen_by(catalog: Catalog, world: World, viewer: Viewer) -> dict[str, set[tuple[object, ...]]]:
    """For each cluster, what `see` says of its endpoints: once an address, priorities without gaps."""
    found: dict[str, set[tuple[object, ...]]] = {}
    for name in NAMES:
        seen = see(catalog, world.topology, world.edges, viewer, f"shop/{name}")
        for port in {port.name for one in seen for port in one.ports}:
            cluster = f"{port}.{name}.shop.mesh"
            best: dict[tuple[str, int], tuple[int, tuple[object, ...]]] = {}
            for one in sorted(seen, key=lambda one: (one.priority, one.id)):
                health = Health.DRAINING if not one.weight and one.health is not Health.CRITICAL else one.health
                status = {Health.CRITICAL: 2, Health.DRAINING: 3}.get(health, 1)
                for number in (each.number for each in one.ports if each.name == port):
                    told = (one.address, number, status, max(1, one.weight), cluster if one.is_mtls else "")
                    best.setdefault((one.address, number), (one.priority, told))
            order = {priority: index for index, priority in enumerate(sorted({one[0] for one in best.values()}))}
            found[cluster] = {(order[priority], *told) for priority, told in best.values()}
    return found


def told_to(supply: Supply) -> dict[str, set[tuple[object, ...]]]:
    """For each cluster, what an Envoy is told of its endpoints."""
    found: dict[str, set[tuple[object, ...]]] = {}
    for name in supply.names(Type.CLUSTER):
        held = read(supply, Type.ENDPOINTS, name)
        listed: list[tuple[object, ...]] = [
            (*one, sni) for one, sni in zip(reading.endpoints_in(held), reading.hostnames_in(held), strict=True)
        ]
        found[name] = set(listed)
        assert len({one[1:3] for one in listed}) == len(listed)
        priorities = {one[0] for one in listed}
        assert priorities == set(range(len(priorities)))
    return found


@st.composite
def changes(draw: st.DrawFn, world: World) -> Callable[[Catalog, float], Folded]:
    """Something that happens to a catalog."""
    zone = draw(st.sampled_from(ZONE_NAMES))
    registry, number = REGISTRY_OF[zone], list(REGISTRY_OF).index(zone)
    limits = Limits(max_removal=0.4, window=30, hold_for=600, min=1) if draw(st.booleans()) else None
    rules = Rules(admission_of(world.config, world.config.registries[number]), limits)
    name = draw(st.sampled_from(NAMES))
    key = f"{zone}-{name}-{draw(st.integers(0, 2))}"
    made = copy(
        key,
        name,
        namespace="shop",
        address=draw(st.sampled_from([f"10.{number}.0.1", f"10.{number}.0.2", "10.0.0.1", "db.example.com"])),
        ports=draw(st.sampled_from([[Port("http", 8080, "http")], [Port("grpc", 8080, "grpc"), Port("http", 81)]])),
        health=draw(st.sampled_from(list(Health))),
        weight=draw(st.sampled_from([0, 1, 100, 1_000_000])),
        locality=draw(st.sampled_from([Locality(), Locality("eu", "a")])),
        metadata={ACCEPTS: draw(st.sampled_from(["plain", "mtls", "both"]))},
    )
    kind = draw(st.sampled_from(["put", "put", "drop", "lose", "heal", "doubt"]))

    def happen(catalog: Catalog, now: float) -> Folded:
        if kind == "lose":
            return lose(catalog, registry, "gone", now)
        if kind == "heal":
            kept = list(catalog.sources[registry].instances.values())
            return fold(catalog, registry, [Reset(instances=kept)], rules, now)
        if kind == "doubt":
            return vouch(catalog, registry, frozenset({key}))
        return fold(catalog, registry, [Put(made) if kind == "put" else Drop(key)], rules, now)

    return happen


@st.composite
def edges_that_change(draw: st.DrawFn, world: World) -> Callable[[Catalog, float], Folded]:
    """An edge that comes, goes, or says something else."""
    name = f"edge-{draw(st.integers(0, 3))}"
    zone = draw(st.sampled_from(ZONE_NAMES))
    health = draw(st.sampled_from([Health.PASSING, Health.DRAINING]))
    made = edge(name, zone, carries="*/*", health=health, outside=draw(st.sampled_from(["", "edge.example.com"])))
    admission = msgspec.structs.replace(
        admission_of(world.config, world.config.registries[0]), registry=EDGE_SOURCE, writes_reserved=True
    )
    update = Put(made) if draw(st.booleans()) else Drop(made.key)
    return lambda catalog, now: fold(catalog, EDGE_SOURCE, [update], Rules(admission), now)


@settings(max_examples=60)
@given(worlds(), st.lists(st.sampled_from(list(REGISTRY_OF.values())), unique=True, max_size=3), st.data())
def test_what_is_kept_up_is_what_would_be_made_anew_and_what_changed_is_told(
    world: World, prefer: list[str], data: st.DataObject
):
    home = msgspec.structs.replace(world.topology.home, prefer=tuple(prefer))
    world.topology = msgspec.structs.replace(world.topology, home=home)
    stock = stock_of(world)
    profiles = [profile(world, zone, tcp=DOORS) for zone in ZONE_NAMES]
    supplies = [stock.of(one) for one in profiles]
    known = [everything(supply) for supply in supplies]
    marks = [supply.mark for supply in supplies]
    catalog = world.catalog
    for step in range(4):
        happening = st.one_of(changes(world), changes(world), edges_that_change(world))
        folded = data.draw(happening)(catalog, float(step + 2))
        catalog = folded.catalog
        stock.advance(catalog, folded.touched)
        world.edges = edges_of(catalog, home, world.edges.carrying)
        fresh = Stock(catalog, world.topology)
        fresh.carry(world.edges.carrying)
        for index, supply in enumerate(supplies):
            now = everything(supply)
            assert now == everything(fresh.of(profiles[index]))
            assert told_to(supply) == seen_by(catalog, world, profiles[index].viewer)
            was, news = known[index], supply.since(marks[index])
            assert news is not None
            changed = {key for key in {*was, *now} if was.get(key) != now.get(key)}
            assert changed <= {(type_, each) for type_, names in news.items() for each in names}
            known[index], marks[index] = now, supply.mark
