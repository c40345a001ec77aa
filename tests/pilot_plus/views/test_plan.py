"""The plan: what a target should hold against what is there, and why each line of the difference."""

from collections.abc import Mapping, Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilot_plus.model import Health, Instance, Origin, Port
from pilot_plus.ports import Refused
from pilot_plus.views.actual import there_in
from pilot_plus.views.copies import RULE, Scene, wanted
from pilot_plus.views.edges import Carrying
from pilot_plus.views.plan import UnitPlan, plan_unit
from pilot_plus.views.rules import EDGE_ORIGIN, Rule, Target, rules_of, target_of, unit_of
from tests.pilot_plus.views.world import World, copy, edge

SYNC = [{"name": "r", "from": {"registries": ["zk"], "services": ["legacy/*"]}, "to": "consul"}]


def scene_of(world: World) -> Scene:
    return Scene(catalog=world.catalog, topology=world.topology, edges=world.edges)


def target(world: World, name: str = "consul") -> Target:
    (section,) = [registry for registry in world.config.registries if registry.name == name]
    return target_of(world.config, section)


def planned(world: World, unit: str, services: Sequence[str], to: Target | None = None) -> UnitPlan:
    """The plan of a unit, made by all rules from these services."""
    scene, to = scene_of(world), to or target(world)
    rules = {rule.name: rule for rule in rules_of(world.config)}
    contenders = [(rule, service) for rule in rules.values() for service in services if rule.takes(service)]
    there = there_in(world.catalog, to, unit, lambda _registry, _instance: None)
    return plan_unit(scene, to, unit, contenders, rules, there)


def the_copy(world: World, name: str = "r", service: str = "legacy/orders") -> Instance:
    (rule,) = [rule for rule in rules_of(world.config) if rule.name == name]
    (found,) = wanted(scene_of(world), target(world), rule, service).copies
    return found.record


def written(record: Instance, key: str = "c") -> Instance:
    """As the target's source reports a copy."""
    return msgspec.structs.replace(record, key=key, namespace="")


def test_a_new_instance_is_created():
    plan = planned(World({"zk": [copy("a")]}, sync=SYNC), "vm/orders", ["legacy/orders"])
    (put,) = plan.puts
    assert (put.old, put.copy.record.id, put.why) == (None, "a", "of legacy/orders")
    assert (plan.removes, plan.conflicts, plan.refused) == ((), (), ())


def test_what_is_there_as_it_should_be_is_left_alone():
    held = {"zk": [copy("a")]}
    record = the_copy(World(held, sync=SYNC))
    plan = planned(World({**held, "consul": [written(record)]}, sync=SYNC), "vm/orders", ["legacy/orders"])
    assert plan.is_done
    assert len(plan.actual) == 1


def test_a_change_says_what_it_changes():
    record = the_copy(World({"zk": [copy("a")]}, sync=SYNC))
    there = {"zk": [copy("a", weight=7)], "consul": [written(record)]}
    (put,) = planned(World(there, sync=SYNC), "vm/orders", ["legacy/orders"]).puts
    assert put.old is not None
    assert put.why == "weight 100 → 7"


def test_what_nobody_wants_any_more_is_removed_and_why():
    record = the_copy(World({"zk": [copy("a")]}, sync=SYNC))
    (remove,) = planned(World({"consul": [written(record)]}, sync=SYNC), "vm/orders", []).removes
    assert remove.why == "the original is gone from zk"
    healthy = [{**SYNC[0], "from": {"registries": ["zk"], "health": ["passing"]}}]
    sick = World({"zk": [copy("a", health=Health.WARNING)], "consul": [written(record)]}, sync=healthy)
    (remove,) = planned(sick, "vm/orders", ["legacy/orders"]).removes
    assert remove.why == "rule 'r' does not select it any more"
    (remove,) = planned(World({"consul": [written(record)]}), "vm/orders", []).removes
    assert remove.why == "rule 'r' is gone"


def test_a_removal_waits_for_a_source_that_is_lost():
    record = the_copy(World({"zk": [copy("a")]}, sync=SYNC))
    plan = planned(World({"consul": [written(record)]}, lost=["zk"], sync=SYNC), "vm/orders", [])
    assert plan.removes == ()
    assert plan.waiting[0].why == "the original is gone from zk, but zk is lost"


def test_an_address_that_changes_is_put_before_the_old_record_goes():
    old = the_copy(World({"zk": [copy("a", address="10.1.0.1")]}, sync=SYNC))
    moved = {"zk": [copy("a", address="10.1.0.2")]}
    plan = planned(World({**moved, "consul": [written(old)]}, sync=SYNC), "vm/orders", ["legacy/orders"])
    assert [put.copy.record.address for put in plan.puts] == ["10.1.0.2"]
    assert plan.removes == ()
    new = the_copy(World(moved, sync=SYNC))
    both = World({**moved, "consul": [written(old, "c1"), written(new, "c2")]}, sync=SYNC)
    plan = planned(both, "vm/orders", ["legacy/orders"])
    assert plan.puts == ()
    assert [(one.actual.instance.key, one.why) for one in plan.removes] == [
        ("c1", "it is written in another place now")
    ]


def test_a_rule_under_a_new_name_changes_what_the_old_one_wrote():
    old = the_copy(World({"zk": [copy("a")]}, sync=SYNC))
    renamed = [{**SYNC[0], "name": "s"}]
    plan = planned(World({"zk": [copy("a")], "consul": [written(old)]}, sync=renamed), "vm/orders", ["legacy/orders"])
    (put,) = plan.puts
    assert put.old is not None
    assert put.copy.record.meta(RULE) == "east/s"
    assert plan.removes == ()


def test_an_original_seen_through_another_registry_changes_its_copy():
    registries = [
        {"name": "zk", "kind": "memory", "zone": "legacy"},
        {"name": "consul", "kind": "memory", "zone": "vm"},
        {"name": "etcd", "kind": "memory", "zone": "legacy"},
    ]
    sync = [{**SYNC[0], "from": {"registries": ["zk", "etcd"]}}]
    both = {"zk": [copy("a")], "etcd": [copy("a")]}
    record = the_copy(World(both, sync=sync, registries=registries))
    assert record.origin.registry == "zk"
    lost = World({**both, "consul": [written(record)]}, lost=["zk"], sync=sync, registries=registries)
    plan = planned(lost, "vm/orders", ["legacy/orders"])
    (put,) = plan.puts
    assert (put.copy.record.origin.registry, put.old is not None) == ("etcd", True)
    assert plan.removes == plan.waiting == ()


@pytest.mark.parametrize("theirs", [{"key": "x"}, {"key": "x", "address": "10.9.9.9", "id": "a"}])
def test_somebody_elses_record_in_its_place_is_a_conflict(theirs: Mapping[str, str]):
    fields = {"address": copy("a").address, **theirs}
    foreign = msgspec.structs.replace(copy("a"), **{**fields, "id": fields.get("id", "x")})
    world = World({"zk": [copy("a")], "consul": [foreign]}, sync=SYNC)
    plan = planned(world, "vm/orders", ["legacy/orders"])
    assert plan.is_done
    assert plan.conflicts[0].why == "x is there already, and is not ours: it is left alone"


def test_what_stands_in_another_layout_of_the_target_takes_nobodys_place():
    mine = written(msgspec.structs.replace(the_copy(World({"zk": [copy("a")]}, sync=SYNC)), layout="naming"))
    foreign = msgspec.structs.replace(copy("a"), key="x", layout="go-zero")
    world = World({"zk": [copy("a")], "consul": [mine, foreign]}, sync=SYNC)
    foretold = msgspec.structs.replace(
        target(world), preview=lambda record: msgspec.structs.replace(record, key="c", layout="naming")
    )
    plan = planned(world, "vm/orders", ["legacy/orders"], foretold)
    assert plan.is_done
    assert plan.conflicts == ()


def test_another_clusters_copy_is_not_ours():
    theirs = copy("x", origin=Origin("west", "zk", "1", ("west",)), metadata={RULE: "west/r"}, zone="west/vm")
    plan = planned(World({"consul": [theirs]}, sync=SYNC), "vm/orders", [])
    assert plan.is_done
    assert plan.actual == ()


def test_copies_at_an_edge_are_durable_one_for_each_edge_and_bear_its_origin():
    carrying = Carrying(
        mesh={"east/mesh/m": {"mesh/orders"}},
        plain={"east/legacy/l1": {"mesh/orders"}, "east/legacy/l2": {"mesh/orders"}},
        plain_ports={("east/legacy", "mesh/orders"): {"http": 20001}},
    )
    sync = [{"name": "r", "from": {"registries": ["own"]}, "to": "zk"}]
    edges = [edge("l1", "legacy"), edge("l2", "legacy"), edge("m", "mesh")]
    world = World({"own": [copy("a"), copy("b")]}, edges, carrying=carrying, sync=sync)
    (rule,) = rules_of(world.config)
    found = wanted(scene_of(world), target(world, "zk"), rule, "mesh/orders")
    assert [(one.record.id, one.record.ports[0].number, one.record.lease) for one in found.copies] == [
        ("l1", 20001, 0.0),
        ("l2", 20001, 0.0),
    ]
    first = found.copies[0].record
    assert first.origin == Origin("east", EDGE_ORIGIN, "mesh/orders@east/legacy/l1", ("east",))
    assert (first.zone, first.weight, first.meta(RULE)) == ("east/legacy", 100, "east/r")
    waiting = planned(
        World({"zk": [written(first)]}, [], lost=["own"], sync=sync), "legacy/orders", [], target(world, "zk")
    )
    assert "own is lost" in waiting.waiting[0].why


def test_what_would_not_be_read_again_is_refused():
    registries = [
        {"name": "zk", "kind": "memory", "zone": "legacy"},
        {"name": "consul", "kind": "memory", "zone": "vm", "accept": {"cidrs": ["10.2.0.0/16"]}},
    ]
    world = World({"zk": [copy("a")]}, sync=SYNC, registries=registries)
    (refused,) = planned(world, "vm/orders", ["legacy/orders"]).refused
    assert "is not within `accept.cidrs`" in refused.why


def test_what_the_sink_foretells_is_what_is_compared():
    world = World({"zk": [copy("a", weight=7, metadata={"team": "shop"})]}, sync=SYNC)

    def bare(instance: Instance) -> Instance | Refused:
        return msgspec.structs.replace(instance, key="k", weight=100, metadata=(), layout="naming")

    def grpc_only(instance: Instance) -> Instance | Refused:
        return Refused("its readers speak grpc, and http is all that it has")

    to = msgspec.structs.replace(target(world), preview=bare)
    (put,) = planned(world, "vm/orders", ["legacy/orders"], to).puts
    reported = msgspec.structs.replace(put.copy.expected, namespace="", metadata=((RULE, "east/r"),))
    again = World({"zk": [copy("a", weight=7)], "consul": [reported]}, sync=SYNC)
    marked = msgspec.structs.replace(
        to, preview=lambda one: msgspec.structs.replace(bare(one), metadata=reported.metadata)
    )
    assert planned(again, "vm/orders", ["legacy/orders"], marked).is_done
    refusing = msgspec.structs.replace(to, preview=grpc_only)
    (refused,) = planned(world, "vm/orders", ["legacy/orders"], refusing).refused
    assert refused.why == "its readers speak grpc, and http is all that it has"


def test_equal_ids_of_two_registries_are_told_apart():
    registries = [
        {"name": "zk", "kind": "memory", "zone": "legacy"},
        {"name": "etcd", "kind": "memory", "zone": "legacy"},
        {"name": "consul", "kind": "memory", "zone": "vm"},
    ]
    sync = [{**SYNC[0], "from": {"registries": ["zk", "etcd"]}}]
    held = {"zk": [copy("a", address="10.1.0.1")], "etcd": [copy("a", address="10.1.0.2")]}
    plan = planned(World(held, sync=sync, registries=registries), "vm/orders", ["legacy/orders"])
    assert len({put.copy.record.id for put in plan.puts}) == 2


def test_braces_in_a_name_are_no_pattern():
    sync = [{**SYNC[0], "to": {"registry": "consul", "name": "{namespace}.{name}"}}]
    world = World({}, sync=sync)
    (rule,) = rules_of(world.config)
    assert unit_of(rule, target(world), "legacy/{namespace}") == "vm/legacy.{namespace}"
    empty = msgspec.structs.replace(rule, to_name="")
    with pytest.raises(ValueError, match="an empty name"):
        unit_of(empty, target(world), "legacy/x")


# ------------------------------------------------------------------------------------------------ properties


def records(registry: str) -> st.SearchStrategy[list[Instance]]:
    one = st.builds(
        lambda number, name, weight, health, port: copy(
            f"{registry}{number}",
            name,
            address=f"10.{1 + sum(map(ord, registry)) % 9}.0.{number + 1}",
            weight=weight,
            health=health,
            ports=[Port("http", port, "http")],
        ),
        st.integers(0, 5),
        st.sampled_from(["orders", "carts"]),
        st.sampled_from([0, 50, 100]),
        st.sampled_from(list(Health)),
        st.sampled_from([80, 8080]),
    )
    return st.lists(one, max_size=6, unique_by=lambda made: made.key)


RING = [
    {"name": "to-vm", "from": {"services": ["*/*"]}, "to": "consul"},
    {"name": "to-legacy", "from": {"services": ["*/*"]}, "to": "zk"},
]
NEAR = [{"name": "legacy", "reaches": ["vm"]}, {"name": "vm", "reaches": ["legacy"]}]
TWO = [{"name": "zk", "kind": "memory", "zone": "legacy"}, {"name": "consul", "kind": "memory", "zone": "vm"}]
UNITS = [("consul", "vm", "legacy"), ("zk", "legacy", "vm")]


def carried_out(held: dict[str, list[Instance]]) -> tuple[dict[str, list[Instance]], int]:
    """What the registries hold after one round of both rules, and how many writes that took."""
    world = World(held, zones=NEAR, registries=TWO, sync=RING)
    after, writes = {name: {one.key: one for one in records} for name, records in held.items()}, 0
    for registry, here, there in UNITS:
        for name in ("orders", "carts"):
            plan = planned(world, f"{here}/{name}", [f"{there}/{name}", f"{here}/{name}"], target(world, registry))
            for put in plan.puts:
                key = put.old.key if put.old else f"copy/{name}/{put.copy.record.id}"
                after[registry][key] = written(put.copy.record, key)
            for remove in plan.removes:
                del after[registry][remove.actual.instance.key]
            writes += len(plan.puts) + len(plan.removes)
    return {name: list(records.values()) for name, records in after.items()}, writes


@given(records("zk"), records("consul"), records("zk"), records("consul"))
def test_what_is_carried_out_is_in_step_and_never_copied_again(
    zk: list[Instance], consul: list[Instance], zk_later: list[Instance], consul_later: list[Instance]
):
    held = {"zk": zk, "consul": consul}
    held, _ = carried_out(held)
    again, writes = carried_out(held)
    assert writes == 0
    copies = {name: [one for one in records if one.meta(RULE)] for name, records in again.items()}
    assert all(one.origin.registry == "zk" for one in copies["consul"])
    assert all(one.origin.registry == "consul" for one in copies["zk"])
    later, _ = carried_out({"zk": [*zk_later, *copies["zk"]], "consul": [*consul_later, *copies["consul"]]})
    for _ in range(3):
        later, writes = carried_out(later)
    assert writes == 0
    for name, natives in (("zk", zk_later), ("consul", consul_later)):
        assert [one for one in later[name] if not one.meta(RULE)] == natives


def test_rules_are_values():
    (rule,) = rules_of(World({}, sync=SYNC).config)
    assert isinstance(rule, Rule)
    assert rule == rules_of(World({}, sync=SYNC).config)[0]
