"""The horizon through edges: who sees which, at which port, and once they have acknowledged what."""

from pilot_plus.model import Health, Port, Speaks
from pilot_plus.views.edges import Carrying, record_of
from tests.pilot_plus.views.world import World, copy, edge
from tests.pilot_plus.views.worlds import CARRYING_ALL, EVERYTHING, mtls

# ------------------------------------------------------------------------------------------------ edges


def test_a_mesh_viewer_sees_the_edges_of_a_zone_that_it_does_not_reach():
    world = World(
        {"zk": [copy("a", weight=100), copy("b", weight=200)]},
        [edge("edge-1", "legacy", carries="legacy/*"), edge("edge-2", "legacy", carries="legacy/*")],
        exports=EVERYTHING,
    )
    seen = world.seen("mesh", "legacy/orders")
    assert [one.id for one in seen] == ["edge-1", "edge-2"]
    assert [one.weight for one in seen] == [150, 150]
    assert {one.sni("http") for one in seen} == {"http.orders.legacy.mesh"}
    assert seen[0].sni("http", "v2") == "http.v2.orders.legacy.mesh"
    assert all(one.is_mtls and one.ports == (Port("http", 15443, "http"),) for one in seen)
    assert seen[0].behind == (("zk", "a"), ("zk", "b"))


def test_a_proxyless_viewer_sees_edges_too_and_one_without_a_certificate_does_not():
    world = World({"zk": [copy("a")]}, [edge("edge-1", "legacy", carries=CARRYING_ALL)], exports=EVERYTHING)
    assert [one.id for one in world.seen("mesh", "legacy/orders", Speaks.GRPC)] == ["edge-1"]
    assert world.seen("mesh", "legacy/orders", certified=False) == ()
    assert "no certificate" in world.why("mesh", "legacy/orders", certified=False)


def test_a_proxyless_viewer_is_told_what_grpc_cannot_have():
    held = {"zk": [copy("a")], "own": [copy("m", namespace="legacy", weight=50, address="api.example.com")]}
    world = World(held, [edge("edge-1", "legacy", carries=CARRYING_ALL)], exports=EVERYTHING)
    whys = {one.place[1]: one.why for one in world.explained("mesh", "legacy/orders", Speaks.GRPC)}
    assert "must be one that sends the SNI" in whys["a"]
    assert "only when nothing without mutual TLS can be used" in whys["a"]
    assert "asks DNS for it only when nothing with an IP address can be used" in whys["m"]
    assert all("does not heed its weight" in why for why in whys.values())
    assert all("gRPC" not in one.why for one in world.explained("mesh", "legacy/orders"))
    assert all("MTLS_SPIFFE" not in why for why in whys.values())
    alone = World({"own": [copy("m", namespace="legacy")]})
    assert alone.why("mesh", "legacy/orders", Speaks.GRPC) == "the same zone"


def test_an_edge_appears_only_after_it_has_acknowledged_the_service():
    held, edges = {"zk": [copy("a")]}, [edge("edge-1", "legacy")]
    world = World(held, edges, exports=EVERYTHING)
    assert world.seen("mesh", "legacy/orders") == ()
    assert "no edge of east/legacy has acknowledged legacy/orders yet (edge-1)" in world.why("mesh", "legacy/orders")
    carrying = Carrying(mesh={"east/legacy/edge-1": {"legacy/orders"}})
    assert len(World(held, edges, exports=EVERYTHING, carrying=carrying).seen("mesh", "legacy/orders")) == 1


def test_a_plain_viewer_sees_the_edges_of_its_own_zone_at_the_plain_port():
    carrying = Carrying(
        mesh={"east/mesh/m": {"shop/orders"}},
        plain={"east/legacy/l": {"shop/orders"}},
        plain_ports={("east/legacy", "shop/orders"): {"http": 20001}},
    )
    held = {"own": [copy("a", namespace="shop")]}
    edges = [edge("l", "legacy", address="10.1.0.99"), edge("m", "mesh")]
    world = World(held, edges, exports=EVERYTHING, carrying=carrying)
    assert world.addresses("legacy", "shop/orders") == ["10.1.0.99:20001"]
    (seen,) = world.seen("legacy", "shop/orders")
    assert (seen.is_mtls, seen.sni_host) == (False, "")
    (verdict,) = world.explained("legacy", "shop/orders")
    assert verdict.addresses == ("10.1.0.99:20001",)
    assert "does not reach east/mesh: through the edges of east/legacy" in verdict.why


def test_a_plain_viewer_does_not_see_an_edge_that_has_no_way_itself():
    carrying = Carrying(
        plain={"east/legacy/l": {"shop/orders"}}, plain_ports={("east/legacy", "shop/orders"): {"http": 20001}}
    )
    world = World({"own": [copy("a", namespace="shop")]}, [edge("l", "legacy")], exports=EVERYTHING, carrying=carrying)
    assert world.seen("legacy", "shop/orders") == ()
    assert "for the edges of east/legacy: " in world.why("legacy", "shop/orders")


def test_a_plain_viewer_waits_for_the_plain_port():
    carrying = Carrying(plain={"east/legacy/l": {"shop/orders"}}, mesh={"east/mesh/m": {"shop/orders"}})
    edges = [edge("l", "legacy"), edge("m", "mesh")]
    world = World({"own": [copy("a", namespace="shop")]}, edges, exports=EVERYTHING, carrying=carrying)
    assert world.seen("legacy", "shop/orders") == ()
    assert "has no plain port at the edges of east/legacy yet" in world.why("legacy", "shop/orders")


def test_a_plain_viewer_reaches_what_accepts_only_mutual_tls_through_its_own_edges():
    carrying = Carrying(plain_ports={("east/mesh", "shop/orders"): {"http": 20007}})
    world = World(
        {"own": [copy("a", namespace="shop", metadata=mtls())]},
        [edge("m", "mesh", carries=CARRYING_ALL, address="10.3.0.9")],
        carrying=carrying,
    )
    assert world.addresses("mesh", "shop/orders", Speaks.PLAIN) == ["10.3.0.9:20007"]


def test_edges_that_hold_a_tunnel_stand_for_a_zone_whose_edges_cannot_be_dialled():
    dials_out = edge("d", "dark", ports=[])
    holds = edge("m", "mesh", tunnels="east/dark", carries=CARRYING_ALL)
    world = World({"etcd": [copy("a")]}, [dials_out, holds], exports=EVERYTHING)
    assert [one.id for one in world.seen("mesh", "dark/orders")] == ["m"]
    without = World({"etcd": [copy("a")]}, [dials_out], exports=EVERYTHING)
    assert "east/dark has no edge that can be dialled" in without.why("mesh", "dark/orders")


def test_an_edge_is_dialled_at_its_outside_address_from_other_zones():
    edges = [edge("l", "legacy", outside="192.0.2.7", carries=CARRYING_ALL)]
    world = World({"zk": [copy("a")]}, edges, exports=EVERYTHING)
    assert world.addresses("mesh", "legacy/orders") == ["192.0.2.7:15443"]


def test_a_draining_or_critical_edge_leaves_the_view():
    for health in (Health.DRAINING, Health.CRITICAL):
        edges = [edge("a", "legacy", carries="*/*", health=health), edge("b", "legacy", carries="*/*")]
        world = World({"zk": [copy("a")]}, edges, exports=EVERYTHING)
        assert [one.id for one in world.seen("mesh", "legacy/orders")] == ["b"]


def test_what_is_behind_an_edge_counts_by_its_health():
    held = [copy("a", weight=100), copy("b", weight=300, health=Health.CRITICAL)]
    edges = [edge("l", "legacy", carries="*/*")]
    (seen,) = World({"zk": held}, edges, exports=EVERYTHING).seen("mesh", "legacy/orders")
    assert (seen.weight, seen.health) == (100, Health.PASSING)
    (seen,) = World({"zk": held[1:]}, edges, exports=EVERYTHING).seen("mesh", "legacy/orders")
    assert (seen.weight, seen.health) == (300, Health.CRITICAL)


def test_edges_themselves_are_in_nobodys_horizon():
    world = World({}, [edge("l", "legacy", carries="*/*")], exports=EVERYTHING)
    assert world.seen("legacy", "pilot-plus/edge") == ()
    assert "through the services that they carry" in world.why("legacy", "pilot-plus/edge")


def test_an_edges_record_is_read_as_it_was_written():
    made = edge("l", "legacy", outside="192.0.2.7", tunnels="east/dark", carries="legacy/*,shop/a")
    world = World({}, [made])
    (read,) = world.edges.of_zone["east/legacy"]
    again = record_of(read)
    assert again == made
