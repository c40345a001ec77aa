"""Sync keeps registries in step: new in before old out, only what it wrote, nothing that can't be proved."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec

from pilot_plus.model import NO_ORIGIN, Health, Instance, Origin
from pilot_plus.ports import Result
from pilot_plus.views.copies import RULE
from registries.memory import Memory
from tests.pilot_plus.sync.hubs import (
    PATIENCE,
    Documents,
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


async def test_an_instance_appears_in_the_other_registry_with_its_origin():
    registries = Registries(*ZONES)
    registries["zk"].write(native("orders", "a", "10.1.0.7", weight=50, metadata={"team": "shop"}))
    async with running(configured(ZONES, [ORDERS]), registries):
        await until(lambda: registries.copies("consul"))
        ((_, copy),) = registries.copies("consul").items()
    assert (copy.name, copy.id, copy.address, copy.weight) == ("orders", "a", "10.1.0.7", 50)
    assert copy.origin == Origin("east", "zk", "orders/a", ("east",))
    assert (copy.zone, copy.meta(RULE), copy.meta("team")) == ("east/legacy", "east/r", "shop")
    assert copy.lease == 15.0


async def test_it_follows_what_comes_changes_and_goes():
    registries = Registries(*ZONES)
    async with running(configured(ZONES, [ORDERS]), registries) as hub:
        registries["zk"].write(native("orders", "a"), native("orders", "b"))
        await until(lambda: ids(registries.copies("consul")) == {"a", "b"})
        registries["zk"].write(native("orders", "a", weight=7))
        await until(lambda: [one.weight for one in registries.copies("consul").values()] == [7, 100])
        registries["zk"].remove("orders/b")
        await until(lambda: ids(registries.copies("consul")) == {"a"})
        await until(lambda: hub.status("r").copies == 1)  # as the target's source reports it


async def test_a_changed_weight_is_one_write_and_no_removal():
    registries = Registries(*ZONES)
    registries["zk"].write(native("orders", "a"))
    async with running(configured(ZONES, [ORDERS]), registries) as hub:
        await until_quiet(hub)
        before = hub.writes
        seen: list[set[str]] = []
        registries["zk"].write(native("orders", "a", weight=7))
        await until(lambda: note(seen, ids(registries.copies("consul"))) and _weights(registries) == [7])
        await until_quiet(hub)
        assert hub.writes == before + 1
        assert {"a"} == set.union(*seen)


async def test_with_nothing_to_do_nothing_is_written():
    registries = Registries(*ZONES)
    registries["zk"].write(*(native("orders", f"k{n}") for n in range(50)))
    documents = Documents()
    async with running(configured(ZONES, [ORDERS]), registries, documents) as hub:
        await until_quiet(hub)
        assert hub.writes == 50
        hub.sync._reconcilers["consul"].look_at_everything()
        await until_quiet(hub)
        assert hub.writes == 50
        assert not (await hub.sync.plan()).has_work
        assert hub.status("r").state == "in_step"


async def test_a_restart_makes_no_gap_and_no_write():
    registries = Registries(*ZONES)
    registries["zk"].write(*(native("orders", f"k{n}") for n in range(20)))
    documents = Documents()
    async with running(configured(ZONES, [ORDERS]), registries, documents) as hub:
        await until_quiet(hub)
    assert len(registries.copies("consul")) == 20
    async with running(configured(ZONES, [ORDERS]), registries, documents, owner="hub-2") as hub:
        await until(lambda: hub.status("r").copies == 20)
        await until_quiet(hub)
        assert hub.writes == 0


async def test_what_was_removed_while_no_hub_ran_is_found_on_return():
    registries = Registries(*ZONES)
    registries["zk"].write(native("orders", "a"), native("orders", "b"))
    async with running(configured(ZONES, [ORDERS]), registries) as hub:
        await until_quiet(hub)
    registries["zk"].remove("orders/a")
    registries["zk"].write(native("orders", "c"))
    async with running(configured(ZONES, [ORDERS]), registries):
        await until(lambda: ids(registries.copies("consul")) == {"b", "c"})


async def test_a_copy_that_somebody_edits_or_deletes_is_repaired():
    registries = Registries(*ZONES)
    registries["zk"].write(native("orders", "a"), native("orders", "b"))
    async with running(configured(ZONES, [ORDERS]), registries) as hub:
        await until_quiet(hub)
        (first, second) = sorted(registries.copies("consul"))
        edited(registries["consul"], first, weight=1)
        registries["consul"].remove(second)
        await until(lambda: _weights(registries) == [100, 100])


async def test_a_copy_whose_mark_somebody_edits_away_is_repaired_and_what_takes_its_place_is_left_alone():
    registries = Registries(*ZONES)
    registries["zk"].write(native("orders", "a"))
    async with running(configured(ZONES, [ORDERS]), registries) as hub:
        await until(lambda: registries.copies("consul"))
        await until_quiet(hub)
        (key,) = registries.copies("consul")
        before = registries.held("consul")[key]
        edited(registries["consul"], key, weight=1, metadata=(), origin=NO_ORIGIN)
        await until(lambda: registries.held("consul")[key] == before)
        await until_quiet(hub)
        theirs = msgspec.structs.replace(native("orders", "a", "10.7.7.7", namespace="vm"), key=key)
        registries["consul"].remove(key)
        registries["consul"].write(theirs)  # one step for the hub: it never sees the place empty
        await until_quiet(hub)
        assert registries.held("consul")[key] == theirs
        status = hub.status("r")
        assert status.refused_total + status.conflicts_total == 1  # as the sink says, or a comparison after it


async def test_a_foreign_record_in_the_place_of_a_copy_is_a_conflict_and_left_alone():
    registries = Registries(*ZONES)
    theirs = native("orders", "a", "10.7.7.7")
    registries["consul"].write(theirs)
    registries["zk"].write(native("orders", "a"), native("orders", "b"))
    async with running(configured(ZONES, [ORDERS]), registries) as hub:
        await until_quiet(hub)
        assert ids(registries.copies("consul")) == {"b"}
        assert registries.held("consul")["orders/a"] == theirs
        (conflict,) = hub.status("r").conflicts
        assert "is not ours" in conflict.why
        registries["consul"].remove("orders/a")
        await until(lambda: ids(registries.copies("consul")) == {"a", "b"})
        await until_quiet(hub)
        assert hub.status("r").conflicts == ()


async def test_a_forged_mark_removes_nothing():
    registries = Registries(*ZONES)
    forged = native("orders", "x", metadata={RULE: "east/r"}, origin=Origin("east", "zk", "orders/x"))
    registries["consul"].write(forged)
    async with running(configured(ZONES, [ORDERS]), registries) as hub:
        await until_quiet(hub)
        assert ids(registries.held("consul")) == {"x"}


async def test_two_names_that_would_collapse_into_one_are_a_conflict_and_who_has_it_keeps_it():
    registries = Registries("zk", "etcd", "consul")
    zones = {"zk": "legacy", "etcd": "dark", "consul": "vm"}
    both = rule("r", ["zk", "etcd"], "consul")
    registries["zk"].write(native("orders", "a"))
    async with running(configured(zones, [both]), registries) as hub:
        await until_quiet(hub)
        registries["etcd"].write(native("orders", "z"))
        await until(lambda: hub.status("r").conflicts)
        await until_quiet(hub)
        assert ids(registries.copies("consul")) == {"a"}
        assert "legacy/orders has this name in consul already" in hub.status("r").conflicts[0].why
        registries["zk"].remove("orders/a")
        await until(lambda: ids(registries.copies("consul")) == {"z"})


async def test_a_rule_selects_by_name_label_and_health():
    select = {"services": ["legacy/or*"], "labels": {"team": "shop"}, "health": ["passing"]}
    registries = Registries(*ZONES)
    registries["zk"].write(
        native("orders", "a", metadata={"team": "shop"}),
        native("orders", "b", metadata={"team": "web"}),
        native("orders", "c", metadata={"team": "shop"}, health=Health.DRAINING),
        native("carts", "d", metadata={"team": "shop"}),
    )
    async with running(configured(ZONES, [rule("r", "zk", "consul", select=select)]), registries) as hub:
        await until_quiet(hub)
        assert ids(registries.copies("consul")) == {"a"}


async def test_a_name_pattern_names_the_copies():
    to = {"registry": "consul", "name": "{namespace}-{name}", "namespace": "far-{namespace}"}
    registries = Registries(*ZONES)
    registries["zk"].write(native("orders", "a"))
    async with running(configured(ZONES, [{**ORDERS, "to": to}]), registries):
        await until(lambda: registries.copies("consul"))
        ((_, copy),) = registries.copies("consul").items()
        assert (copy.namespace, copy.name) == ("far-legacy", "legacy-orders")


async def test_where_no_way_exists_nothing_is_written_and_the_status_says_so():
    zones = [{"name": "legacy"}, {"name": "vm"}]
    registries = Registries(*ZONES)
    registries["zk"].write(native("orders", "a"))
    async with running(configured(ZONES, [ORDERS], zones=zones), registries) as hub:
        await until(lambda: hub.status("r").refused)
        assert registries.copies("consul") == {}
        assert "no way: east/vm does not reach east/legacy, and east/vm has no edge" in hub.status("r").refused[0].why


async def test_the_new_is_in_before_the_old_is_out():
    registries = Registries(*ZONES)
    registries["zk"].write(native("orders", "a"))
    seen: list[set[str]] = []
    async with running(configured(ZONES, [ORDERS]), registries) as hub:
        await until_quiet(hub)
        registries["zk"].write(native("orders", "b"))
        registries["zk"].remove("orders/a")
        await until(lambda: note(seen, ids(registries.copies("consul"))) and seen[-1] == {"b"})
    assert all(seen)


async def test_a_rule_that_only_plans_writes_nothing():
    registries = Registries(*ZONES)
    registries["zk"].write(native("orders", "a"))
    async with running(configured(ZONES, [{**ORDERS, "mode": "plan"}]), registries) as hub:
        await until_quiet(hub)
        plan = await hub.sync.plan()
        assert registries.copies("consul") == {}
        assert [(one.action, one.unit, one.id) for one in plan.changes] == [("create", "vm/orders", "a")]
        assert plan.has_work
        assert hub.status("r").state == "planned"


async def test_rules_change_at_run_time():
    registries = Registries(*ZONES)
    registries["zk"].write(native("orders", "a"), native("carts", "b"))
    async with running(configured(ZONES, [ORDERS]), registries) as hub:
        await until(lambda: ids(registries.copies("consul")) == {"a", "b"})
        only = rule("r", "zk", "consul", select={"services": ["legacy/carts"]})
        hub.sync.reload(configured(ZONES, [only]))
        await until(lambda: ids(registries.copies("consul")) == {"b"})
        hub.sync.reload(configured(ZONES, [msgspec.json.decode(msgspec.json.encode({**only, "name": "other"}))]))
        await until(lambda: [one.meta(RULE) for one in registries.copies("consul").values()] == ["east/other"])
        hub.sync.reload(configured(ZONES, []))
        await until(lambda: registries.copies("consul") == {})


async def test_a_rule_that_was_deleted_while_no_hub_ran_leaves_nothing():
    registries = Registries(*ZONES)
    registries["zk"].write(native("orders", "a"))
    async with running(configured(ZONES, [ORDERS]), registries) as hub:
        await until_quiet(hub)
    async with running(configured(ZONES, []), registries):
        await until(lambda: registries.copies("consul") == {})


async def test_purge_takes_back_what_a_rule_wrote_and_nothing_else():
    registries = Registries(*ZONES)
    registries["zk"].write(*(native("orders", f"k{n}") for n in range(20)))
    registries["consul"].write(native("web", "w"))
    documents = Documents()
    rules = [ORDERS, rule("s", "consul", "zk")]
    async with running(configured(ZONES, rules), registries, documents) as hub:
        await until(lambda: len(registries.copies("consul")) == 20 and len(registries.copies("zk")) == 1)
        await hub.sync.purge("r")
        await until(lambda: registries.copies("consul") == {})
        assert ids(registries.held("consul")) == {"w"}
        assert len(registries.copies("zk")) == 1
        assert hub.status("r").state == "purged"
    async with running(configured(ZONES, rules), registries, documents) as hub:
        await until_quiet(hub)
        assert registries.copies("consul") == {}
        await hub.sync.resume("r")
        await until(lambda: len(registries.copies("consul")) == 20)


async def test_a_paused_rule_changes_nothing_until_it_is_resumed():
    registries = Registries(*ZONES)
    registries["zk"].write(native("orders", "a"))
    async with running(configured(ZONES, [ORDERS]), registries) as hub:
        await until_quiet(hub)
        await hub.sync.pause("r")
        registries["zk"].write(native("orders", "b"))
        registries["zk"].remove("orders/a")
        await until(lambda: hub.status("r").behind == 2)
        await until_quiet(hub)
        assert ids(registries.copies("consul")) == {"a"}
        await hub.sync.resume("r")
        await until(lambda: ids(registries.copies("consul")) == {"b"})


async def test_leases_are_renewed_and_end_with_the_last_hub():
    registries = Registries(*ZONES)
    registries["zk"].write(native("orders", "a"))
    async with running(configured(ZONES, [{**ORDERS, "lease": "1s"}]), registries) as hub:
        await until(lambda: registries.copies("consul"))
        first = registries["consul"].records["vm/orders/a"].expires or 0
        await until(lambda: (registries["consul"].records["vm/orders/a"].expires or 0) > first + 1)
        await until_quiet(hub)
        assert hub.writes == 1
    registries["consul"].expire()
    await until(lambda: registries["consul"].expire() is None and not registries.copies("consul"))


async def test_who_says_that_it_is_in_step_has_renewed_the_leases_that_it_found():
    """Or a hub that is ended again and again, each time just when it was ready, would let them end."""
    registries, documents = Registries(*ZONES), Documents()
    registries["zk"].write(native("orders", "a"))
    config = configured(ZONES, [ORDERS])
    async with running(config, registries, documents) as before:
        await until(lambda: before.status("r").state == "in_step")
    opened, asked, answered = registries.opened["consul"], asyncio.Event(), asyncio.Event()

    @asynccontextmanager
    async def slowly() -> AsyncIterator[Memory]:
        async with opened() as memory:
            renew = memory.renew

            async def waited(keys: Sequence[str]) -> Sequence[Result]:
                if keys:
                    asked.set()
                    await answered.wait()
                return await renew(keys)

            memory.renew = waited  # type: ignore[method-assign]
            yield memory

    registries.opened["consul"] = slowly
    async with running(config, registries, documents, owner="next") as hub:
        async with asyncio.timeout(PATIENCE):
            await asked.wait()
        await until(lambda: hub.is_quiet)
        assert hub.status("r").state == "waiting"
        answered.set()
        await until(lambda: hub.status("r").state == "in_step")


async def test_a_durable_copy_stays_when_no_hub_runs():
    registries = Registries(*ZONES)
    registries["zk"].write(native("orders", "a"))
    async with running(configured(ZONES, [{**ORDERS, "lifetime": "durable"}]), registries):
        await until(lambda: registries.copies("consul"))
    assert registries["consul"].records["vm/orders/a"].expires is None


def _weights(registries: Registries) -> list[int]:
    return [one.weight for _, one in sorted(registries.copies("consul").items())]


async def test_a_first_round_that_takes_longer_than_a_lease_loses_none_of_its_copies():
    registries = Registries(*ZONES)
    many = 1500
    registries["zk"].write(*(native(f"orders-{n // 10}", f"k{n}") for n in range(many)))
    opened, store = registries.opened["consul"], registries["consul"]

    @asynccontextmanager
    async def slowly() -> AsyncIterator[Memory]:
        async with opened() as memory:
            put = memory.put

            async def waited(instances: Sequence[Instance]) -> Sequence[Result]:
                await asyncio.sleep(0.8)
                return await put(instances)

            memory.put = waited  # type: ignore[method-assign]
            yield memory

    registries.opened["consul"] = slowly
    gone: list[str] = []
    forget = store.forget
    store.forget = lambda key: gone.append(key) or forget(key)  # type: ignore[method-assign, func-returns-value]
    async with running(configured(ZONES, [rule("r", "zk", "consul", lease="2s")]), registries):
        await until(lambda: len(registries.copies("consul")) == many)
        assert not gone
