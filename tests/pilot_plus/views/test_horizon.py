"""The horizon: who sees what, at which address, and what a zone never shows."""

import pytest

from pilot_plus.catalog.admission import admission_of
from pilot_plus.catalog.fold import Rules, fold, vouch
from pilot_plus.catalog.guard import Limits
from pilot_plus.model import Instance, Origin, Reset, Speaks
from pilot_plus.views.endpoints import Endpoint, endpoints_of
from pilot_plus.views.horizon import see
from tests.pilot_plus.views.world import World, copy, edge
from tests.pilot_plus.views.worlds import EVERYTHING, mtls

# ------------------------------------------------------------------------------------------------ own addresses


def test_inside_a_zone_everything_is_visible_at_its_own_address():
    world = World({"zk": [copy("a", address="10.1.0.7")]})
    assert world.addresses("legacy", "legacy/orders") == ["10.1.0.7:8080"]
    assert world.why("legacy", "legacy/orders") == "the same zone"


def test_a_zone_that_reaches_another_sees_what_is_exported_there():
    world = World({"zk": [copy("a", address="10.1.0.7")]}, exports=EVERYTHING)
    assert world.addresses("vm", "legacy/orders") == ["10.1.0.7:8080"]
    assert world.why("vm", "legacy/orders") == "let through by exports[0]; east/vm reaches east/legacy"


def test_what_is_not_exported_is_not_visible_even_where_it_is_reached():
    world = World({"zk": [copy("a")]})
    assert world.seen("vm", "legacy/orders") == ()
    assert "not exported from east/legacy to east/vm" in world.why("vm", "legacy/orders")


def test_an_export_names_services_and_zones():
    exports = [{"services": ["legacy/orders"], "from": ["legacy"], "to": ["vm"]}]
    world = World({"zk": [copy("a"), copy("b", "carts")]}, exports=exports)
    assert len(world.seen("vm", "legacy/orders")) == 1
    assert world.seen("vm", "legacy/carts") == ()
    assert world.seen("mesh", "legacy/orders", certified=True) == ()
    assert "not exported" in world.why("mesh", "legacy/orders")


def test_a_sync_rule_is_an_export_to_its_targets_zone():
    rule = {"name": "r", "from": {"registries": ["zk"], "services": ["legacy/*"]}, "to": "consul"}
    world = World({"zk": [copy("a")]}, sync=[rule])
    assert len(world.seen("vm", "legacy/orders")) == 1
    assert "let through by sync rule 'r'" in world.why("vm", "legacy/orders")


def test_a_sync_rule_that_only_plans_opens_no_border():
    rule = {"name": "r", "from": {"registries": ["zk"]}, "to": "consul", "mode": "plan"}
    assert World({"zk": [copy("a")]}, sync=[rule]).seen("vm", "legacy/orders") == ()


def test_a_viewer_with_a_certificate_prefers_mutual_tls():
    world = World({"own": [copy("a", namespace="shop", metadata=mtls("both"))]})
    (seen,) = world.seen("mesh", "shop/orders")
    assert seen.is_mtls
    (seen,) = world.seen("mesh", "shop/orders", certified=False)
    assert not seen.is_mtls
    (seen,) = world.seen("mesh", "shop/orders", Speaks.PLAIN)
    assert not seen.is_mtls


def test_who_has_no_certificate_does_not_see_what_accepts_only_mutual_tls():
    world = World({"own": [copy("a", namespace="shop", metadata=mtls())]})
    assert len(world.seen("mesh", "shop/orders")) == 1
    assert world.seen("mesh", "shop/orders", certified=False) == ()
    assert "accepts only mutual TLS" in world.why("mesh", "shop/orders", certified=False)
    assert world.seen("mesh", "shop/orders", Speaks.PLAIN) == ()


# ------------------------------------------------------------------------------------------------ copies


def test_a_copy_is_visible_where_it_was_written_and_nowhere_else():
    written = copy("c", address="10.1.0.7", zone="east/legacy", origin=Origin("east", "zk", "a", ("east",)))
    world = World({"consul": [written]}, exports=[{"services": ["vm/*"], "from": ["vm"]}])
    assert world.addresses("vm", "vm/orders") == ["10.1.0.7:8080"]
    assert world.seen("mesh", "vm/orders") == ()
    assert "not exported from east/legacy to east/mesh" in world.why("mesh", "vm/orders")


def test_a_record_that_claims_a_zone_does_not_enter_it():
    claims = copy("c", zone="east/mesh", origin=Origin("east", "own", "x"))
    world = World({"zk": [claims]})
    assert world.seen("mesh", "legacy/orders") == ()
    assert "not exported from east/legacy to east/mesh" in world.why("mesh", "legacy/orders")


# ------------------------------------------------------------------------------------------------ clusters


def test_what_a_peer_sends_is_visible_here_and_goes_on_to_no_other_peer():
    peers = [
        {"name": "west", "address": "w:1", "import": [{"services": ["*/*"]}]},
        {"name": "north", "address": "n:1", "export": [{"services": ["legacy/*"]}]},
    ]
    zones = [{"name": "vm", "reaches": ["west/vm"]}, {"name": "legacy"}]
    registries = [
        {"name": "consul", "kind": "memory", "zone": "vm"},
        {"name": "zk", "kind": "memory", "zone": "legacy"},
    ]
    theirs = copy("w", namespace="shop", zone="west/vm", origin=Origin("west", "consul", "w"))
    world = World({"west": [theirs], "zk": [copy("a")]}, peers=peers, zones=zones, registries=registries)
    assert len(world.seen("vm", "shop/orders")) == 1
    assert "east/legacy does not reach west/vm" in world.why("legacy", "shop/orders")
    assert world.seen("north/x", "shop/orders") == ()
    assert "does not reach" in world.why("north/x", "legacy/orders")
    assert "not exported" in world.why("west/vm", "legacy/orders")


@pytest.mark.parametrize(("host", "is_seen"), [("", True), ("orders.shop.mesh", True), ("orders.theirs.mesh", False)])
def test_what_a_peers_edges_know_under_another_name_is_not_seen_behind_them(host: str, is_seen: bool):
    peers = [{"name": "west", "address": "w:1", "import": [{"services": ["*/*"]}]}]
    theirs = copy("w", namespace="shop", zone="west/vm", origin=Origin("west", "own", "w"), host=host)
    behind = edge("e", "west/vm", carries="*/*", origin=Origin("west", "pilot-plus", "e"))
    world = World({"west": [theirs, behind]}, peers=peers)
    assert bool(world.seen("mesh", "shop/orders")) is is_seen
    if not is_seen:
        assert "the edges of west/vm know it as orders.theirs.mesh" in world.why("mesh", "shop/orders")


def test_a_peers_denied_services_stay_at_home_whatever_else_lets_them_out():
    peers = [
        {
            "name": "west",
            "address": "w:1",
            "export": [{"services": ["*/*"]}, {"services": ["legacy/secret*"], "deny": True}],
        }
    ]
    world = World({"zk": [copy("a", "secrets")]}, peers=peers)
    assert "kept from west/vm by peer 'west' export[1]" in world.why("west/vm", "legacy/secrets")


def test_our_own_cluster_comes_before_peers_and_these_in_their_order():
    peers = [
        {"name": "north", "address": "n:1", "import": [{"services": ["*/*"]}], "priority": 2},
        {"name": "west", "address": "w:1", "import": [{"services": ["*/*"]}], "priority": 1},
    ]
    zones = [{"name": "vm", "reaches": ["west/vm", "north/vm"]}]
    registries = [{"name": "consul", "kind": "memory", "zone": "vm", "namespace": "shop"}]

    def theirs(cluster: str) -> Instance:
        return copy(cluster, namespace="shop", zone=f"{cluster}/vm", origin=Origin(cluster, "zk", "1"))

    world = World(
        {"west": [theirs("west")], "north": [theirs("north")], "consul": [copy("a")]},
        peers=peers,
        zones=zones,
        registries=registries,
    )
    assert {one.id: one.priority for one in world.seen("vm", "shop/orders")} == {"a": 0, "west": 1, "north": 2}


# ------------------------------------------------------------------------------------------------ trust and health


def test_what_is_stale_comes_last_and_alone_comes_first():
    registries = [
        {"name": "zk", "kind": "memory", "zone": "vm", "namespace": "shop"},
        {"name": "consul", "kind": "memory", "zone": "vm", "namespace": "shop"},
    ]
    held = {"zk": [copy("a")], "consul": [copy("b")]}
    world = World(held, lost=["zk"], registries=registries)
    assert {one.id: one.priority for one in world.seen("vm", "shop/orders")} == {"a": 1, "b": 0}
    both = World(held, lost=["zk", "consul"], registries=registries)
    assert {one.priority for one in both.seen("vm", "shop/orders")} == {0}
    assert all(one.is_stale for one in both.seen("vm", "shop/orders"))


def test_who_is_heard_first_after_a_restart_does_not_get_the_traffic_of_all():
    world = World({"own": [copy(key, namespace="shop") for key in "abc"]})
    world.catalog = vouch(world.catalog, "own", frozenset({"a", "b"})).catalog
    seen = world.seen("mesh", "shop/orders")
    assert {one.id: (one.is_stale, one.priority) for one in seen} == {"a": (True, 0), "b": (True, 0), "c": (False, 0)}


def test_what_a_peer_says_is_stale_comes_last():
    records = [copy(key, namespace="shop", zone="west/vm", origin=Origin("west", "zk", key)) for key in "ab"]
    peers = [{"name": "west", "address": "w:1", "insecure": True, "import": [{"services": ["*/*"]}]}]
    world = World({"west": records}, [edge("w", "mesh", carries="*/*")], peers=peers)
    assert {endpoint.is_last for endpoint in ends(world, "shop/orders")} == {False}
    world.catalog = vouch(world.catalog, "west", frozenset({"a"})).catalog
    assert {one.instance.id: one.is_last for one in ends(world, "shop/orders")} == {"a": True, "b": False}


def ends(world: World, service: str) -> list[Endpoint]:
    return endpoints_of(world.catalog, world.catalog.entries[service], world.topology.home)


def test_what_a_guard_holds_comes_last():
    world = World({})
    limits = Limits(max_removal=0.5, window=30, hold_for=600, min=5)
    rules = Rules(admission_of(world.config, world.config.registries[0]), limits)
    all_there = [copy(f"k{n}") for n in range(10)]
    before = fold(world.catalog, "zk", [Reset(instances=all_there)], rules, 0.5).catalog
    held = fold(before, "zk", [Reset(instances=all_there[:2])], rules, 1.0).catalog
    seen = see(held, world.topology, world.edges, world.viewer("legacy"), "legacy/orders")
    assert {one.id for one in seen if one.priority == 0} == {"k0", "k1"}
    assert {one.id for one in seen if one.is_held and one.priority == 1} == {f"k{n}" for n in range(2, 10)}


def test_equal_address_and_port_is_one_endpoint_and_explained_as_such():
    registries = [
        {"name": "zk", "kind": "memory", "zone": "vm", "namespace": "shop"},
        {"name": "consul", "kind": "memory", "zone": "vm", "namespace": "shop"},
    ]
    held = {"zk": [copy("a", address="10.2.0.1")], "consul": [copy("b", address="10.2.0.1")]}
    world = World(held, registries=registries)
    (seen,) = world.seen("vm", "shop/orders")
    assert seen.others
    verdicts = world.explained("vm", "shop/orders")
    assert all(verdict.is_seen and verdict.addresses == ("10.2.0.1:8080",) for verdict in verdicts)
    assert sum("the same endpoint as" in verdict.why for verdict in verdicts) == 1


def test_a_hidden_record_does_not_show_a_visible_endpoint():
    registries = [
        {"name": "zk", "kind": "memory", "zone": "legacy", "namespace": "shop"},
        {"name": "consul", "kind": "memory", "zone": "vm", "namespace": "shop"},
    ]
    held = {
        "zk": [copy("a", address="10.2.0.1", metadata={"secret": "of legacy"})],
        "consul": [copy("b", address="10.2.0.1")],
    }
    (seen,) = World(held, registries=registries).seen("vm", "shop/orders")
    assert (seen.id, seen.others) == ("b", ())


def test_a_zone_that_is_not_there_is_an_error_that_names_those_that_are():
    with pytest.raises(ValueError, match="there is no zone 'vmm'; known are dark, legacy, mesh, vm"):
        World({}).viewer("vmm")
