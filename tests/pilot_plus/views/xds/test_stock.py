"""The stock: what clients get, that it fits together, and that what is kept up is what would be made anew."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilot_plus.catalog.admission import admission_of
from pilot_plus.catalog.fold import Rules, fold, lose
from pilot_plus.model import Drop, Health, Locality, Port, Service, Speaks
from pilot_plus.views.xds.listener import OUTBOUND
from pilot_plus.views.xds.profile import Kind
from pilot_plus.views.xds.resource import Type
from pilot_plus.views.xds.tls import OWN, TRUST, Anchors
from tests.pilot_plus.views.world import World, copy, edge
from tests.pilot_plus.views.worlds import EVERYTHING, NAMES, ZONE_NAMES, mtls, worlds
from tests.pilot_plus.views.xds import reading
from tests.pilot_plus.views.xds.reading import read
from tests.pilot_plus.views.xds.stocks import DOORS, ORDERS, endpoints, profile, stock_of, supply_of

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
