"""The horizon: who sees what, at which address, and what a zone never shows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilot_plus.catalog.admission import admission_of
from pilot_plus.catalog.fold import Rules, fold, vouch
from pilot_plus.catalog.guard import Limits
from pilot_plus.model import ACCEPTS, Health, Instance, Origin, Port, Reset, Speaks
from pilot_plus.views.edges import Carrying, edges_of, record_of
from pilot_plus.views.endpoints import Endpoint, endpoints_of
from pilot_plus.views.horizon import explain, see
from tests.pilot_plus.views.world import World, copy, edge

EVERYTHING = [{"services": ["*/*"]}]
CARRYING_ALL = "*/*"


def mtls(accepts: str = "mtls") -> dict[str, str]:
    return {ACCEPTS: accepts}


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


# ------------------------------------------------------------------------------------------------ properties

ZONE_NAMES = ["legacy", "vm", "mesh", "dark"]
REGISTRY_OF = {"legacy": "zk", "vm": "consul", "mesh": "own", "dark": "etcd"}
NAMES = ["orders", "carts"]


@st.composite
def worlds(draw: st.DrawFn) -> World:
    zones = [
        {
            "name": name,
            "meshed": draw(st.booleans()),
            "reaches": draw(st.lists(st.sampled_from(ZONE_NAMES), unique=True, max_size=2)),
        }
        for name in ZONE_NAMES
    ]
    some_zones = st.lists(st.sampled_from(ZONE_NAMES), unique=True, min_size=1, max_size=3)
    patterns = st.lists(st.sampled_from(["*/*", "shop/orders", "shop/c*", "none/*"]), min_size=1, max_size=2)
    exports = draw(
        st.lists(st.fixed_dictionaries({"services": patterns, "from": some_zones, "to": some_zones}), max_size=3)
    )
    held = {
        REGISTRY_OF[zone]: [
            copy(
                f"{zone}-{name}-{n}",
                name,
                namespace="shop",
                address=f"10.{index}.0.{n + 1}",
                weight=draw(st.integers(0, 300)),
                health=draw(st.sampled_from(list(Health))),
                metadata={ACCEPTS: draw(st.sampled_from(["plain", "mtls", "both", "nonsense"]))},
                zone=draw(st.sampled_from(["", *(f"east/{other}" for other in ZONE_NAMES)])),
            )
            for name in NAMES
            for n in range(draw(st.integers(0, 2)))
        ]
        for index, zone in enumerate(ZONE_NAMES)
    }
    edges = [
        edge(
            f"edge-{n}",
            draw(st.sampled_from(ZONE_NAMES)),
            carries=draw(st.sampled_from(["", "*/*", "shop/orders"])),
            tunnels=draw(st.sampled_from(["", "east/dark", "east/vm,east/legacy"])),
            ports=draw(st.sampled_from([[], [Port("mesh", 15443, "tls")]])),
            weight=draw(st.integers(0, 200)),
        )
        for n in range(draw(st.integers(0, 4)))
    ]
    plain_ports = {
        (f"east/{zone}", f"shop/{name}"): {"http": 20000 + n}
        for n, name in enumerate(NAMES)
        for zone in ("legacy", "vm")
    }
    lost = draw(st.lists(st.sampled_from(list(REGISTRY_OF.values())), unique=True, max_size=2))
    return World(held, edges, zones=zones, exports=exports, carrying=Carrying(plain_ports=plain_ports), lost=lost)


def is_exported(world: World, service: str, from_: str, to: str) -> bool:
    """The rule, written down a second time."""
    if from_ == to:
        return True
    meant = {"*/*": service, "shop/c*": service if service.startswith("shop/c") else "", "none/*": ""}
    return any(
        from_.removeprefix("east/") in export.from_
        and to.removeprefix("east/") in export.to
        and any(meant.get(pattern, pattern) == service for pattern in export.services)
        for export in world.config.exports
    )


@given(worlds())
def test_nothing_crosses_a_border_unless_it_is_exported(world: World):
    for zone in ZONE_NAMES:
        for speaks in Speaks:
            for name in NAMES:
                service, here = f"shop/{name}", f"east/{zone}"
                for one in world.seen(zone, service, speaks):
                    for place in [one.place, *one.others] if one.instance else one.behind:
                        record = world.catalog.entries[service].instances[place]
                        home = world.topology.lies_in[place[0]]
                        assert home == here or is_exported(world, service, home, here)
                        assert home == here or is_exported(world, service, record.zone, here)


@given(worlds())
def test_inside_a_zone_everything_that_a_caller_speaks_to_is_visible(world: World):
    for zone in ZONE_NAMES:
        for name in NAMES:
            entry = world.catalog.entries.get(f"shop/{name}")
            verdicts = {one.place: one for one in world.explained(zone, f"shop/{name}", Speaks.MESH)}
            for place, record in entry.instances.items() if entry else ():
                if world.topology.lies_in[place[0]] == record.zone == f"east/{zone}":
                    assert verdicts[place].is_seen, verdicts[place].why
                    assert f"{record.address}:8080" in verdicts[place].addresses


@given(worlds())
def test_what_is_seen_is_explained_and_the_other_way_round(world: World):
    for zone in ZONE_NAMES:
        for speaks in Speaks:
            for name in NAMES:
                service, viewer = f"shop/{name}", world.viewer(zone, speaks)
                seen = see(world.catalog, world.topology, world.edges, viewer, service)
                verdicts = explain(world.catalog, world.topology, world.edges, viewer, service)
                shown = {f"{one.address}:{port.number}" for one in seen for port in one.ports}
                assert shown == {address for verdict in verdicts for address in verdict.addresses}
                assert all(verdict.why for verdict in verdicts)
                assert sorted({one.priority for one in seen}) == list(range(len({one.priority for one in seen})))
                assert all(one.instance or one.is_mtls is (speaks is not Speaks.PLAIN) for one in seen)


@given(worlds())
def test_the_same_question_has_the_same_answer(world: World):
    again = edges_of(world.catalog, world.topology.home, world.edges.carrying)
    for zone in ZONE_NAMES:
        for speaks in Speaks:
            viewer = world.viewer(zone, speaks)
            for name in NAMES:
                first = see(world.catalog, world.topology, world.edges, viewer, f"shop/{name}")
                assert first == see(world.catalog, world.topology, again, viewer, f"shop/{name}")
