"""The follower: what the catalog shows is in the journal within a second, and nothing else is."""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

from pilot_plus.catalog.guard import Limits
from pilot_plus.journal import Changes, Journal, Known
from pilot_plus.journal.follow import follow
from pilot_plus.journal.progress import Progress
from tests.pilot_plus.test_ingest import World, copy


async def known_when(journal: Journal, is_so: Callable[[Mapping[str, Known]], bool]) -> Mapping[str, Known]:
    async with asyncio.timeout(20):
        while not is_so(known := await journal.last_known()):  # noqa: ASYNC110 - a disk wakes nobody
            await asyncio.sleep(0.02)
    return known


def keys(known: Mapping[str, Known], registry: str) -> set[str]:
    return {one.key for one in known[registry].instances} if registry in known else set()


async def test_what_is_published_is_written_and_what_goes_is_forgotten(tmp_path: Path):
    world = World("zk", "other")
    async with (
        Journal.open(f"sqlite:///{tmp_path}/journal.db") as journal,
        world.running(),
        asyncio.TaskGroup() as tasks,
    ):
        following = tasks.create_task(follow(world.holder, journal, frozenset({"zk"})))
        world.stores["zk"].write(copy("a"), copy("b", "carts"))
        world.stores["other"].write(copy("x"))
        await known_when(journal, lambda known: keys(known, "zk") == {"a", "b"})
        world.stores["zk"].remove("a")
        world.stores["zk"].write(copy("b", "moved"))
        known = await known_when(journal, lambda known: keys(known, "zk") == {"b"})
        assert [one.name for one in known["zk"].instances] == ["moved"]
        assert keys(known, "other") == set()
        following.cancel()


async def test_a_hub_that_starts_while_a_registry_is_down_shows_what_the_journal_knew(tmp_path: Path):
    url = f"sqlite:///{tmp_path}/journal.db"
    world = World("zk", guard=Limits(max_removal=0.5, window=30, hold_for=600, min=5))
    async with Journal.open(url) as journal, world.running(), asyncio.TaskGroup() as tasks:
        following = tasks.create_task(follow(world.holder, journal, frozenset({"zk"})))
        world.stores["zk"].write(copy("a"))
        await known_when(journal, lambda known: keys(known, "zk") == {"a"})
        following.cancel()
    after = World("zk")
    after.stores["zk"].fail("down")
    async with Journal.open(url) as journal:
        known = (await journal.last_known())["zk"]
        after.ingest.restore("zk", [*known.services, *known.instances])
    entry = after.holder.current.entries["zk/orders"]
    assert [(one.key, one.zone) for one in entry.instances.values()] == [("a", "east/z")]


async def test_who_is_about_to_end_can_wait_for_what_was_published_last(tmp_path: Path):
    world, progress = World("zk"), Progress()
    async with (
        Journal.open(f"sqlite:///{tmp_path}/journal.db") as journal,
        world.running(),
        asyncio.TaskGroup() as tasks,
    ):
        following = tasks.create_task(follow(world.holder, journal, frozenset({"zk"}), progress))
        world.stores["zk"].write(copy("a"))
        async with asyncio.timeout(20):
            await world.until(lambda catalog: "zk/orders" in catalog.entries)
            await progress.until(world.holder.current.number)
        assert keys(await journal.last_known(), "zk") == {"a"}
        following.cancel()


async def test_what_the_catalog_did_not_begin_with_is_written_whole_when_it_is_listed(tmp_path: Path):
    world = World("own")
    async with Journal.open(f"sqlite:///{tmp_path}/journal.db") as journal, asyncio.TaskGroup() as tasks:
        await journal.write([Changes("own", [copy("gone"), copy("stays")])])
        kept = frozenset({"own"})
        following = tasks.create_task(follow(world.holder, journal, kept, unshown=kept))
        world.stores["own"].write(copy("stays"), copy("new"))
        async with world.running():
            await known_when(journal, lambda known: keys(known, "own") == {"stays", "new"})
            world.stores["own"].remove("stays")
            await known_when(journal, lambda known: keys(known, "own") == {"new"})
        following.cancel()
