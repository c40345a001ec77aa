"""What edges get: chains by SNI, lists of callers, plain listeners; and that changes say all that changes."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilot_plus.catalog.admission import admission_of
from pilot_plus.catalog.fold import Rules, fold
from pilot_plus.model import Drop, Port, Put, Speaks, Viewer
from pilot_plus.views.edges import Carrying
from pilot_plus.views.xds.gateway import ALLOW, allow_secret
from pilot_plus.views.xds.profile import Kind, Profile
from pilot_plus.views.xds.resource import Type
from pilot_plus.views.xds.stock import Stock
from pilot_plus.views.xds.supply import Supply
from pilot_plus.views.xds.tls import Anchors
from tests.pilot_plus.views.world import World, copy, edge
from tests.pilot_plus.views.xds.reading import read

EVERYTHING = [{"services": ["*/*"]}]
ROOTS = Anchors("roots")
HOST = "orders.legacy.mesh"


def profile(zone: str = "legacy") -> Profile:
    viewer = Viewer(f"east/{zone}", Speaks.MESH, certified=True)
    return Profile(kind=Kind.EDGE, viewer=viewer, data=".", edge=f"east/{zone}/e", address="10.9.0.1")


def edge_of(world: World, zone: str = "legacy") -> Supply:
    stock = Stock(world.catalog, world.topology)
    stock.carry(world.edges.carrying)
    stock.believe(ROOTS)
    return stock.of(profile(zone))


def chains(supply: Supply) -> Mapping[str, list[str]]:
    """The names of the chains of the mesh listener, and the server names that lead to them."""
    listener = read(supply, Type.LISTENER, "mesh")
    if listener is None:
        return {}
    return {one.name: list(one.filter_chain_match.server_names) for one in listener.filter_chains}


def callers(supply: Supply, host: str = HOST) -> list[str]:
    secret = read(supply, Type.SECRET, ALLOW + host)
    if secret is None:
        return []
    matched = secret.validation_context.match_typed_subject_alt_names
    return [one.matcher.exact or f"{one.matcher.prefix}*" for one in matched]


def test_an_edge_lets_in_what_is_exported_from_its_zone_and_nothing_else():
    held = {"zk": [copy("a"), copy("b", "carts")], "consul": [copy("c", "web")]}
    exports = [{"services": ["legacy/orders"], "from": ["legacy"], "to": ["mesh"]}, {"services": ["vm/*"]}]
    supply = edge_of(World(held, exports=exports))
    assert chains(supply) == {"mesh|legacy/orders|http": [f"http.{HOST}"]}
    assert callers(supply) == ["spiffe://east.example/zone/mesh/*"]
    assert callers(supply, "carts.legacy.mesh") == []


def test_an_edge_leads_only_to_instances_of_its_zone():
    held = {"zk": [copy("a", address="10.1.0.1")], "consul": [copy("b", namespace="legacy", address="10.2.0.1")]}
    world = World(held, exports=EVERYTHING, registries=REGISTRIES)
    supply = edge_of(world)
    (group,) = read(supply, Type.ENDPOINTS, f"local/http.{HOST}").endpoints
    assert [one.endpoint.address.socket_address.address for one in group.lb_endpoints] == ["10.1.0.1"]


REGISTRIES = [
    {"name": "zk", "kind": "memory", "zone": "legacy"},
    {"name": "consul", "kind": "memory", "zone": "vm", "namespace": "legacy"},
    {"name": "own", "kind": "memory", "zone": "mesh"},
    {"name": "etcd", "kind": "memory", "zone": "dark"},
]


def test_a_grpc_client_that_says_only_the_host_finds_its_chain():
    ports = [Port("grpc", 9000, "grpc"), Port("http", 8080, "http")]
    supply = edge_of(World({"zk": [copy("a", ports=ports)]}, exports=EVERYTHING))
    assert chains(supply) == {
        "mesh|legacy/orders|grpc": [f"grpc.{HOST}", HOST],
        "mesh|legacy/orders|http": [f"http.{HOST}"],
    }


@pytest.mark.parametrize(
    ("allow", "expected"),
    [
        ([], ["spiffe://east.example/zone/mesh/*", "spiffe://east.example/zone/vm/*"]),
        (["client/web-*"], [f"spiffe://east.example/zone/{zone}/client/web-*" for zone in ("mesh", "vm")]),
        (
            ["spiffe://east.example/zone/vm/ns/shop"],
            ["spiffe://east.example/zone/vm/ns/shop", "spiffe://east.example/zone/vm/ns/shop/*"],
        ),
        (["spiffe://east.example/zone/vm"], ["spiffe://east.example/zone/vm/*"]),
        (["spiffe://east.example/zone/v*"], ["spiffe://east.example/zone/vm/*"]),
        (["spiffe://east.example/*"], ["spiffe://east.example/zone/mesh/*", "spiffe://east.example/zone/vm/*"]),
        (["spiffe://east.example/zone/dark/*", "spiffe://other.example/zone/vm/*"], []),  # not in `to`; not ours
    ],
)
def test_who_may_call_is_said_by_the_export(allow: list[str], expected: list[str]):
    exports = [{"services": ["*/*"], "from": ["legacy"], "to": ["vm", "mesh"], "allow": allow}]
    supply = edge_of(World({"zk": [copy("a")]}, exports=exports))
    assert callers(supply) == expected
    assert bool(chains(supply)) == bool(expected)


def test_a_list_of_callers_without_any_is_never_made():
    with pytest.raises(ValueError, match="everybody"):
        allow_secret("x", ROOTS, ())


def test_a_list_of_callers_changes_without_touching_its_chain():
    def made(allow: list[str]) -> Supply:
        exports = [{"services": ["*/*"], "from": ["legacy"], "to": ["mesh"], "allow": allow}]
        return edge_of(World({"zk": [copy("a")]}, exports=exports))

    before, after = made(["ns/shop"]), made(["ns/other"])
    assert before.get(Type.LISTENER, "mesh") == after.get(Type.LISTENER, "mesh")
    assert before.get(Type.SECRET, ALLOW + HOST) != after.get(Type.SECRET, ALLOW + HOST)


def test_a_plain_port_has_a_listener_of_its_own():
    carrying = Carrying(
        mesh={"east/mesh/m": frozenset({"mesh/web"})}, plain_ports={("east/legacy", "mesh/web"): {"http": 20001}}
    )
    held = {"own": [copy("a", "web", namespace="mesh")]}
    supply = edge_of(World(held, [edge("m", "mesh")], exports=EVERYTHING, carrying=carrying))
    assert supply.names(Type.LISTENER) == {"http", "plain|mesh/web|http"}
    listener = read(supply, Type.LISTENER, "plain|mesh/web|http")
    assert (listener.address.socket_address.address, listener.address.socket_address.port_value) == ("10.9.0.1", 20001)


changes = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c"]),
        st.sampled_from(["orders", "carts"]),
        st.sampled_from(["http", "tcp", "grpc", "unknown"]),
        st.booleans(),
    ),
    max_size=8,
)


@given(changes)
def test_what_is_kept_up_is_what_would_be_made_anew_and_all_changes_are_said(steps: list[tuple[str, str, str, bool]]):
    world = World({}, exports=EVERYTHING)
    rules = Rules(admission_of(world.config, world.config.registries[0]))
    catalog, stock = world.catalog, Stock(world.catalog, world.topology)
    stock.believe(ROOTS)
    supply = stock.of(profile())
    everything(supply)
    for key, service, protocol, goes in steps:
        before, mark = everything(supply), supply.mark
        made = copy(key, service, ports=[Port(protocol, 8000 + len(key), protocol)])
        folded = fold(catalog, "zk", [Drop(key) if goes else Put(made)], rules, 1.0)
        catalog = folded.catalog
        stock.advance(catalog, folded.touched)
        after = everything(supply)
        fresh = Stock(catalog, world.topology)
        fresh.believe(ROOTS)
        assert after == everything(fresh.of(profile()))
        said = supply.since(mark)
        assert said is not None
        differing = {key for key in (*before, *after) if before.get(key) != after.get(key)}
        assert {(type_, name) for type_, name in differing if name not in said.get(type_, ())} == set()


def everything(supply: Supply) -> dict[tuple[Type, str], Any]:
    """All resources that a client comes upon, each that is named by another one among them."""
    clusters = supply.names(Type.CLUSTER)
    hosts = {name.removeprefix("local/").partition(".")[2] for name in clusters}
    names = {
        Type.LISTENER: supply.names(Type.LISTENER),
        Type.CLUSTER: clusters,
        Type.ENDPOINTS: clusters,
        Type.SECRET: {"pilot-plus/own", "pilot-plus/trust", *(ALLOW + host for host in hosts)},
        Type.ROUTES: {"pilot-plus/outbound"},
    }
    found = {(type_, name): supply.get(type_, name) for type_, some in names.items() for name in some}
    return {key: one.version for key, one in found.items() if one is not None}
