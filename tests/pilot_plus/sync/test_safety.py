"""What must never happen: loops, fights, removals without proof. Each test is named after what it prevents."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec
import pytest

from pilot_plus.model import NO_ORIGIN, Instance
from pilot_plus.ports import Result
from registries.memory import Memory
from tests.pilot_plus.sync.hubs import (
    Documents,
    Hub,
    Registries,
    configured,
    edited,
    ids,
    native,
    note,
    rule,
    running,
    until,
    until_quiet,
)

ZONES = {"zk": "legacy", "consul": "vm"}
ORDERS = rule("r", "zk", "consul")
ROUNDS = 10


async def churn(registries: Registries, *hubs: Hub) -> None:
    """Changes in every registry, many rounds of them; then rest."""
    for turn in range(ROUNDS):
        for name, store in registries.stores.items():
            store.write(native(f"of-{name}", "moving", weight=turn + 1))
            if turn % 3 == 2:
                store.remove(f"of-{name}/moving")
        await until_quiet(*hubs)


# ------------------------------------------------------------------------------------------------ loops


async def test_two_rules_facing_each_other_make_no_loop():
    registries = Registries(*ZONES)
    registries["zk"].write(native("orders", "a"))
    registries["consul"].write(native("carts", "b"))
    async with running(configured(ZONES, [ORDERS, rule("back", "consul", "zk")]), registries) as hub:
        await until_quiet(hub)
        await churn(registries, hub)
        assert ids(registries.copies("consul")) == {"a", "moving"}
        assert ids(registries.copies("zk")) == {"b", "moving"}


@pytest.mark.parametrize("names", [("a", "b", "c"), ("a", "b", "c", "d")])
async def test_a_ring_of_registries_makes_no_loop(names: Sequence[str]):
    """Each rule takes everything that the next registry does not hold; all but copies."""
    registries = Registries(*names)
    zones = {name: f"zone-{name}" for name in names}
    rules = [
        {"name": f"{one}-{other}", "from": {"services": ["*/*"]}, "to": other}
        for one, other in zip(names, (*names[1:], names[0]), strict=True)
    ]
    for name in names:
        registries[name].write(native(f"of-{name}", "x"))
    async with running(configured(zones, rules), registries) as hub:
        await until_quiet(hub)
        await churn(registries, hub)
        for name in names:
            services = {(one.name, one.id) for one in registries.copies(name).values()}
            others = [other for other in names if other != name]
            assert services == {(f"of-{other}", key) for other in others for key in ("x", "moving")}


async def test_a_rule_that_takes_everything_takes_no_copies():
    registries = Registries("a", "b", "c")
    registries["a"].write(native("orders", "x"))
    everything = {"services": ["*/*"]}
    rules = [{"name": "ab", "from": everything, "to": "b"}, {"name": "bc", "from": everything, "to": "c"}]
    async with running(configured({"a": "z", "b": "y", "c": "x"}, rules), registries) as hub:
        await until_quiet(hub)
        assert {one.origin.registry for one in registries.copies("c").values()} == {"a"}
        assert len(registries.copies("b")) == len(registries.copies("c")) == 1


async def test_two_hubs_of_two_clusters_writing_from_both_ends_make_no_loop():
    registries = Registries(*ZONES)
    registries["zk"].write(native("orders", "a"))
    registries["consul"].write(native("carts", "b"))
    east = configured(ZONES, [ORDERS], cluster="east")
    west = configured(ZONES, [rule("back", "consul", "zk")], cluster="west")
    async with running(east, registries, owner="e") as one, running(west, registries, owner="w") as other:
        await until_quiet(one, other)
        await churn(registries, one, other)
        assert ids(registries.copies("consul")) == {"a", "moving"}
        assert ids(registries.copies("zk")) == {"b", "moving"}


class Stripping:
    """A registry that holds an address, ports and a weight, and nothing else; it foretells nothing."""

    def __init__(self, memory: Memory) -> None:
        self.watch, self.drop, self.renew = memory.watch, memory.drop, memory.renew
        self.claim, self.release = memory.claim, memory.release
        self._memory = memory

    async def put(self, instances: Sequence[Instance]) -> Sequence[Result]:
        bare = [
            msgspec.structs.replace(
                one, metadata=(), origin=NO_ORIGIN, zone="", id=f"{one.address}:{one.ports[0].number}"
            )
            for one in instances
        ]
        return await self._memory.put(bare)


def stripping(registries: Registries, name: str) -> None:
    opened = registries.opened[name]

    @asynccontextmanager
    async def connect() -> AsyncIterator[Stripping]:
        async with opened() as memory:
            yield Stripping(memory)

    registries.opened[name] = connect  # type: ignore[assignment]


async def test_a_registry_that_strips_all_metadata_makes_no_loop():
    registries = Registries(*ZONES)
    stripping(registries, "consul")
    registries["zk"].write(native("orders", "a"))
    registries["consul"].write(native("carts", "b"))
    documents = Documents()
    config = configured(ZONES, [ORDERS, rule("back", "consul", "zk")])
    async with running(config, registries, documents) as hub:
        await until_quiet(hub)
        await churn(registries, hub)
        assert {one.name for one in registries.copies("consul").values()} == {"orders", "of-zk"}
        assert {one.name for one in registries.copies("zk").values()} == {"carts", "of-consul"}
        writes = hub.writes
    async with running(config, registries, documents) as hub:
        await until_quiet(hub)
        assert {one.name for one in registries.copies("zk").values()} == {"carts", "of-consul"}
        assert hub.writes <= 2  # what a layout that foretells nothing holds is learned by writing it once more
        registries["zk"].remove("orders/a")
        await until(lambda: {one.name for one in registries.copies("consul").values()} == {"of-zk"})
    assert writes


async def test_a_layout_that_cannot_hold_everything_is_not_written_for_ever():
    registries = Registries(*ZONES)
    stripping(registries, "consul")
    registries["zk"].write(*(native("orders", f"k{n}", metadata={"team": "shop"}) for n in range(20)))
    async with running(configured(ZONES, [ORDERS]), registries) as hub:
        await until_quiet(hub)
        hub.sync._reconcilers["consul"].look_at_everything()
        await until_quiet(hub)
        assert hub.writes == 20
        registries["zk"].remove("orders/k7")
        await until(lambda: len(registries.copies("consul")) == 19)


# ------------------------------------------------------------------------------------------------ fights


async def test_two_hubs_with_the_same_rule_do_not_fight_and_the_other_takes_over():
    registries = Registries(*ZONES)
    registries["zk"].write(*(native("orders", f"k{n}") for n in range(10)))
    config = configured(ZONES, [{**ORDERS, "lease": "3s"}])
    first = running(config, registries, owner="one")
    one = await first.__aenter__()
    await until_quiet(one)
    async with running(config, registries, owner="two") as other:
        await until(lambda: other.status("r").state == "standing_by")
        await churn(registries, one, other)
        assert other.writes == 0
        assert one.status("r").state == "in_step"
        await first.__aexit__(None, None, None)
        registries["zk"].write(native("orders", "late"))
        await until(lambda: "late" in ids(registries.copies("consul")))
        assert other.status("r").owner == "two"
        assert ids(registries.copies("consul")) == {*(f"k{n}" for n in range(10)), "moving", "late"}


async def test_who_takes_over_knows_what_the_other_wrote_where_no_mark_is_held():
    registries, documents = Registries(*ZONES), Documents()
    stripping(registries, "consul")
    registries["zk"].write(native("orders", "a"))
    config = configured(ZONES, [{**ORDERS, "lease": "3s"}, rule("back", "consul", "zk")])
    first = running(config, registries, documents, owner="one")
    one = await first.__aenter__()
    await until_quiet(one)
    async with running(config, registries, documents, owner="two") as two:
        await until(lambda: two.status("r").state == "standing_by")
        registries["zk"].write(native("orders", "b"))  # the second hub has read the journal before this is in it
        await until(lambda: len(registries.copies("consul")) == 2)
        await until_quiet(one)
        await first.__aexit__(None, None, None)
        await until(lambda: two.status("r").state == "in_step")
        assert two.status("r").copies == 2
        assert two.status("r").conflicts == ()
        registries["zk"].remove("orders/b")
        await until(lambda: len(registries.copies("consul")) == 1)
        assert not registries.copies("zk")


async def test_a_pause_and_an_approval_are_heard_by_every_copy_of_the_hub():
    registries, documents = Registries(*ZONES), Documents()
    registries["zk"].write(*(native("orders", f"k{n}") for n in range(10)))
    config = configured(ZONES, [{**ORDERS, "lease": "3s"}])
    async with (
        running(config, registries, documents, owner="one") as one,
        running(config, registries, documents, owner="two") as two,
    ):
        await until(lambda: {one.status("r").state, two.status("r").state} == {"in_step", "standing_by"})
        standing_by = next(hub for hub in (one, two) if hub.status("r").state == "standing_by")
        writing = two if standing_by is one else one
        await standing_by.sync.pause("r")
        await until(lambda: writing.status("r").state == "paused")
        await standing_by.sync.resume("r")
        await until(lambda: writing.status("r").state == "in_step")
        registries["zk"].remove(*(f"orders/k{n}" for n in range(10)))
        await until(lambda: writing.status("r").held == 10)
        assert await standing_by.sync.approve("r") == 10
        await until(lambda: not registries.copies("consul"))


async def test_who_rewrites_our_copies_for_ever_is_not_fought_without_end():
    registries = Registries(*ZONES)
    registries["zk"].write(native("orders", "a"))
    async with running(configured(ZONES, [ORDERS]), registries) as hub:
        await until_quiet(hub)
        for _ in range(50):
            edited(registries["consul"], "vm/orders/a", weight=1)
            for _ in range(20):
                await asyncio.sleep(0)
        assert hub.writes <= 8


# ------------------------------------------------------------------------------------------------ lost sources


async def test_a_lost_source_removes_nothing():
    registries = Registries(*ZONES)
    registries["zk"].write(*(native("orders", f"k{n}") for n in range(10)))
    async with running(configured(ZONES, [ORDERS]), registries) as hub:
        await until_quiet(hub)
        registries["zk"].fail("down")
        registries["zk"].records.clear()
        await until(lambda: hub.holder.current.sources["zk"].is_stale)
        hub.sync._reconcilers["consul"].look_at_everything()
        await until_quiet(hub)
        assert len(registries.copies("consul")) == 10


async def test_a_source_that_was_never_synced_removes_nothing():
    registries = Registries(*ZONES)
    registries["zk"].write(*(native("orders", f"k{n}") for n in range(10)))
    async with running(configured(ZONES, [ORDERS]), registries) as hub:
        await until_quiet(hub)
    registries["zk"].fail("down")
    registries["zk"].remove("orders/k3")
    async with running(configured(ZONES, [ORDERS]), registries) as hub:
        await until(lambda: hub.status("r").waiting == 10)
        await until_quiet(hub)
        assert hub.status("r").state == "waiting"
        assert "zk is never synced" in (await hub.sync.plan()).changes[0].why
        assert len(registries.copies("consul")) == 10
        registries["zk"].heal()
        await until(lambda: len(registries.copies("consul")) == 9)


async def test_what_a_guard_holds_at_the_source_stays_in_the_target():
    registries = Registries(*ZONES)
    registries["zk"].write(*(native("orders", f"k{n}") for n in range(10)))
    async with running(configured(ZONES, [ORDERS]), registries, guard=True) as hub:
        await until_quiet(hub)
        async with asyncio.timeout(10):
            registries["zk"].remove(*(f"orders/k{n}" for n in range(8)))
            await until(lambda: hub.holder.current.sources["zk"].held)
        await until_quiet(hub)
        assert len(registries.copies("consul")) == 10
        await hub.ingest.release("zk")
        await until(lambda: hub.status("r").held == 8)
        await hub.sync.approve("r")
        await until(lambda: len(registries.copies("consul")) == 2)


async def test_the_guard_of_a_target_holds_nothing_that_we_wrote_there_or_have_taken_out():
    registries, documents = Registries(*ZONES), Documents()
    stripping(registries, "consul")
    registries["zk"].write(*(native("orders", f"k{n}") for n in range(20)))
    config = configured(ZONES, [ORDERS, rule("back", "consul", "zk")])
    async with running(config, registries, documents) as hub:
        await until_quiet(hub)
    async with running(config, registries, documents, guard=True) as hub:
        await until(lambda: len(hub.holder.current.sources["consul"].instances) == 20)
        await until_quiet(hub)
        registries["consul"].remove(*registries["consul"].records)  # by hand: not what a guard of copies keeps shown
        await until(lambda: len(registries.copies("consul")) == 20)
        await until_quiet(hub)
        await hub.sync.purge("r")
        await until(lambda: not registries.copies("consul"))
        await until_quiet(hub)
        assert not hub.holder.current.sources["consul"].instances
        assert not registries.copies("zk")


# ------------------------------------------------------------------------------------------------ guards


async def test_a_deleted_rule_over_the_guards_limit_waits_for_approval():
    registries = Registries(*ZONES)
    registries["zk"].write(*(native("orders", f"k{n}") for n in range(10)))
    async with running(configured(ZONES, [ORDERS]), registries) as hub:
        await until_quiet(hub)
        hub.sync.reload(configured(ZONES, []))
        await until(lambda: hub.status("r").held == 10)
        await until_quiet(hub)
        assert (hub.status("r").state, hub.status("r").mode) == ("held", "deleted")
        assert len(registries.copies("consul")) == 10
        assert await hub.sync.approve("r") == 10
        await until(lambda: not registries.copies("consul"))


async def test_removals_one_after_the_other_are_held_as_well():
    registries = Registries(*ZONES)
    registries["zk"].write(*(native("orders", f"k{n}") for n in range(20)))
    async with running(configured(ZONES, [ORDERS]), registries) as hub:
        await until_quiet(hub)
        for n in range(20):
            registries["zk"].remove(f"orders/k{n}")
            await until_quiet(hub)
        assert len(registries.copies("consul")) == 10
        assert hub.status("r").held == 10
        registries["zk"].write(native("orders", "k19"))
        await until(lambda: hub.status("r").held == 9)
        assert "k19" in ids(registries.copies("consul"))


async def test_a_whole_fleet_replaced_by_another_is_no_mass_removal():
    registries = Registries(*ZONES)
    registries["zk"].write(*(native("orders", f"old{n}") for n in range(20)))
    async with running(configured(ZONES, [ORDERS]), registries) as hub:
        await until_quiet(hub)
        registries["zk"].write(*(native("orders", f"new{n}") for n in range(20)))
        registries["zk"].remove(*(f"orders/old{n}" for n in range(20)))
        await until(lambda: ids(registries.copies("consul")) == {f"new{n}" for n in range(20)})


async def test_the_number_of_copies_never_exceeds_what_it_should_be():
    registries = Registries("a", "b")
    rules = [rule("ab", "a", "b"), rule("ba", "b", "a")]
    registries["a"].write(*(native("x", f"k{n}") for n in range(5)))
    registries["b"].write(*(native("y", f"k{n}") for n in range(5)))
    seen: list[set[str]] = []
    async with running(configured({"a": "one", "b": "two"}, rules), registries) as hub:
        for _ in range(200):
            note(seen, {*registries.copies("a"), *registries.copies("b")})
            await asyncio.sleep(0)
        await until_quiet(hub)
    assert max(map(len, seen)) <= 10
    assert len(registries.copies("a")) == len(registries.copies("b")) == 5
