"""Preference: the later registries only while no earlier one has a healthy instance."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilot_plus.catalog.admission import admission_of
from pilot_plus.catalog.fold import Rules, fold
from pilot_plus.catalog.guard import Limits
from pilot_plus.model import Health, Instance, Origin, Port, Reset
from pilot_plus.views import query
from pilot_plus.views.endpoints import endpoints_of, home_of
from pilot_plus.views.preference import PASSED_OVER
from tests.pilot_plus.views.world import World, copy

PREFER = {"conflicts": {"prefer": ["consul", "zk"]}}
EVERYWHERE = [{"services": ["*/*"]}]
SICK = Health.CRITICAL


def at(key: str, **fields: Any) -> Instance:
    return copy(key, namespace="shop", **fields)


def world(held: dict[str, list[Instance]], **sections: Any) -> World:
    return World(held, exports=EVERYWHERE, names=PREFER, **sections)


def listed(world: World) -> list[str]:
    """What the plain listing over HTTP shows."""
    home = home_of(world.config)
    shape = query.service(world.catalog, home, world.catalog.entries["shop/orders"], 0.0)
    return [one.id for one in shape.instances]


def seen(world: World) -> list[str]:
    return sorted(one.id for one in world.seen("vm", "shop/orders"))


def test_later_registries_count_only_while_no_earlier_one_has_a_healthy_instance():
    three = {"zk": [at("z")], "consul": [at("c")], "etcd": [at("e")]}
    assert listed(world(three)) == ["c"]
    assert listed(world({**three, "consul": [at("c", health=SICK)]})) == ["c", "z"]
    assert listed(world({**three, "consul": [], "zk": [at("z", health=SICK)]})) == ["e", "z"]


def test_a_zone_and_the_list_say_the_same_where_the_zone_sees_everything():
    held = {"zk": [at("z")], "consul": [at("c", health=SICK)], "own": [at("o")]}
    assert seen(world(held)) == listed(world(held)) == ["c", "z"]


def test_only_what_the_viewer_may_see_makes_a_registry_preferred():
    only_zk = [{"services": ["*/*"], "from": ["legacy"]}]
    hidden = World({"zk": [at("z")], "etcd": [at("e")]}, exports=only_zk, names={"conflicts": {"prefer": ["etcd"]}})
    assert seen(hidden) == ["z"]


def test_a_lost_registry_stays_preferred_and_a_held_instance_is_none():
    held = {"zk": [at("z")], "consul": [at(f"c{n}") for n in range(6)]}
    lost = world(held, lost=["consul"])
    assert listed(lost) == [f"c{n}" for n in range(6)]
    limits = Limits(max_removal=0.5, window=30, hold_for=600, min=5)
    rules = Rules(admission_of(lost.config, lost.config.registries[1]), limits)
    guarded = fold(lost.catalog, "consul", [Reset(instances=held["consul"])], rules, 1.0).catalog
    emptied = fold(guarded, "consul", [Reset()], rules, 2.0).catalog
    found = endpoints_of(emptied, emptied.entries["shop/orders"], home_of(lost.config))
    assert [one.instance.id for one in found] == ["c0", "c1", "c2", "c3", "c4", "c5", "z"]


@pytest.mark.parametrize("place", ["consul", "zk"])
def test_neither_a_copy_nor_a_forged_origin_makes_a_registry_look_healthier(place: str):
    there, origin = ("etcd", "consul") if place == "consul" else ("consul", "etcd")
    forged = at("f", origin=Origin("east", origin, "x"))
    assert listed(world({"zk": [at("z")], there: [forged]})) == ["z"]


def test_a_peer_can_be_preferred_and_what_it_relays_counts_for_nobody_preferred():
    first_hand = at("w", zone="west/vm", origin=Origin("west", "consul", "x", ("west",)))
    relayed = at("n", zone="north/vm", origin=Origin("north", "consul", "x", ("north", "west")))
    peers = [{"name": "west", "address": "hub.west:1", "relay": ["north"]}]
    for held, shown in (([first_hand, relayed], ["w"]), ([relayed], ["n", "z"])):
        made = World({"zk": [at("z")], "west": held}, peers=peers, names={"conflicts": {"prefer": ["west"]}})
        assert listed(made) == shown


def test_an_endpoint_that_the_preferred_registry_holds_too_counts_as_its_own():
    twin = {"address": "10.7.7.7", "ports": [Port("http", 80, "http")]}
    held = {"zk": [at("z", **twin)], "consul": [at("c", **twin), at("c2")], "etcd": [at("e", **twin)]}
    assert listed(world(held)) == ["c", "c2"]


def test_who_is_passed_over_is_told_why():
    verdicts = {
        one.place[1]: one for one in world({"zk": [at("z")], "consul": [at("c")]}).explained("vm", "shop/orders")
    }
    assert verdicts["c"].is_seen
    assert not verdicts["z"].is_seen
    assert verdicts["z"].why.endswith(PASSED_OVER)


_HEALTH = st.sampled_from([*Health, None])


@given(_HEALTH, _HEALTH, _HEALTH)
def test_somebody_is_there_as_long_as_anybody_is_healthy(zk: Health | None, consul: Health | None, etcd: Health | None):
    said = {"zk": zk, "consul": consul, "etcd": etcd}
    held = {name: [at(name, health=health)] for name, health in said.items() if health}
    if not held:
        return
    shown = listed(world(held))
    useful = [name for name in ("consul", "zk", "etcd") if said[name] in (Health.PASSING, Health.WARNING)]
    assert shown
    assert set(shown) & set(useful) == set(useful[:1])
    assert set(held) - set(shown) <= {name for name in ("consul", "zk", "etcd") if useful and name != useful[0]}


@given(_HEALTH, _HEALTH, _HEALTH, st.sampled_from(["legacy", "vm", "mesh"]))
def test_what_a_zone_sees_is_what_it_is_told_that_it_sees(
    zk: Health | None, consul: Health | None, own: Health | None, zone: str
):
    said = {"zk": zk, "consul": consul, "own": own}
    made = world({name: [at(name, health=health)] for name, health in said.items() if health})
    told = made.explained(zone, "shop/orders")
    assert {one.place for one in told if one.is_seen} == {one.place for one in made.seen(zone, "shop/orders")}
    assert all(one.is_seen or PASSED_OVER in one.why or "does not reach" in one.why for one in told)


def test_without_a_policy_all_count():
    merged = World({"zk": [at("z")], "consul": [at("c")]}, exports=EVERYWHERE)
    assert msgspec.structs.asdict(home_of(merged.config))["prefer"] == ()
    assert listed(merged) == ["c", "z"]
