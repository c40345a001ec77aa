"""Ingest: sources are kept open, losses are not removals, and one registry never disturbs another."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count
from time import monotonic

from immutables import Map

from pilot_plus.catalog import Catalog, Holder, Source, Standing
from pilot_plus.catalog.admission import Admission
from pilot_plus.catalog.fold import Rules
from pilot_plus.catalog.guard import Limits
from pilot_plus.ingest import Ingest, Watched
from pilot_plus.model import Alive, Instance, Port, Put, Reset, Resumed, Update, instance
from pilot_plus.ports import SourceLost
from pilot_plus.views.overview import age
from registries import memory

_stores = count()


def copy(key: str, name: str = "orders") -> Instance:
    return instance(key=key, name=name, id=key, address="10.1.0.7", ports=[Port("http", 80, "http")])


class World:
    """A hub's heart in process: a holder, ingest, and a memory store for each registry."""

    def __init__(self, *names: str, guard: Limits | None = None) -> None:
        self.settings = {name: memory.Settings(store=f"ingest-{next(_stores)}") for name in names}
        self.stores = {name: memory.store(settings.store) for name, settings in self.settings.items()}
        sources = {name: Source(name=name, kind="memory", zone="east/z") for name in names}
        self.holder = Holder(Catalog(epoch="e", sources=Map(sources)))
        self.ingest = Ingest(self.holder, {name: self.watched(name, guard) for name in names})

    def watched(self, name: str, guard: Limits | None) -> Watched:
        admission = Admission(cluster="east", registry=name, zone="east/z", namespace=name)
        return Watched(name, lambda: memory.connect(self.settings[name]), Rules(admission, guard))

    @asynccontextmanager
    async def running(self) -> AsyncIterator["World"]:
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(self.ingest.run())
            try:
                yield self
            finally:
                running.cancel()

    async def until(self, is_so: Callable[[Catalog], bool]) -> None:
        with self.holder.following() as follower:
            async with asyncio.timeout(20):
                while not is_so(self.holder.current):
                    await follower.changes()

    async def until_synced(self, *names: str) -> None:
        await self.until(lambda c: all(c.sources[name].standing is Standing.SYNCED for name in names))


def keys(catalog: Catalog, service: str) -> list[str]:
    entry = catalog.entries.get(service)
    return sorted(key for _, key in entry.instances) if entry else []


async def test_what_a_source_says_is_published():
    async with World("zk").running() as world:
        await world.until_synced("zk")
        world.stores["zk"].write(copy("a"))
        await world.until(lambda c: keys(c, "zk/orders") == ["a"])
        world.stores["zk"].remove("a")
        await world.until(lambda c: keys(c, "zk/orders") == [])


async def test_a_lost_source_keeps_its_instances_stale_and_disturbs_no_other():
    async with World("zk", "consul").running() as world:
        world.stores["zk"].write(copy("a"))
        await world.until(lambda c: keys(c, "zk/orders") == ["a"])
        world.stores["zk"].fail("no route")
        await world.until(lambda c: c.sources["zk"].standing is Standing.LOST)
        assert world.holder.current.sources["zk"].error == "no route"
        world.stores["consul"].write(copy("x"))
        await world.until(lambda c: keys(c, "consul/orders") == ["x"])
        assert keys(world.holder.current, "zk/orders") == ["a"]
        world.stores["zk"].remove("a")
        world.stores["zk"].heal()
        await world.until_synced("zk")
        assert keys(world.holder.current, "zk/orders") == []


async def test_a_registry_that_is_down_at_the_start_does_not_keep_the_others_from_starting():
    world = World("zk", "consul")
    world.stores["zk"].fail("refused")
    async with world.running():
        await world.until_synced("consul")
        await world.until(lambda c: c.sources["zk"].error == "refused")
        assert world.holder.current.sources["zk"].standing is Standing.NEVER_SYNCED
        world.stores["zk"].heal()
        await world.until_synced("zk")


async def test_an_adapter_with_a_defect_is_a_lost_source_and_no_crash():
    class Broken:
        async def watch(self, after: str | None = None) -> AsyncIterator[Update]:
            yield Reset(instances=[copy("a")])
            raise ZeroDivisionError

    @asynccontextmanager
    async def broken() -> AsyncIterator[Broken]:
        yield Broken()

    world = World("zk", "consul")
    rules = world.watched("zk", None).rules
    world.ingest = Ingest(world.holder, {"zk": Watched("zk", broken, rules), "consul": world.watched("consul", None)})
    async with world.running():
        await world.until(lambda c: "ZeroDivisionError" in c.sources["zk"].error)
        await world.until_synced("consul")
        assert keys(world.holder.current, "zk/orders") == ["a"]


async def test_a_source_goes_on_from_where_it_was_heard_last_if_it_can():
    asked: list[str | None] = []
    gate = asyncio.Event()

    class Resumable:
        async def watch(self, after: str | None = None) -> AsyncIterator[Update]:
            asked.append(after)
            yield Resumed() if after else Reset(instances=[copy("a")])
            yield Put(copy("b")) if after else Alive("7")
            if not after:
                raise SourceLost("cut")
            await gate.wait()

    @asynccontextmanager
    async def resumable() -> AsyncIterator[Resumable]:
        yield Resumable()

    world = World("zk")
    world.ingest = Ingest(world.holder, {"zk": Watched("zk", resumable, world.watched("zk", None).rules)})
    async with world.running():
        await world.until(lambda c: keys(c, "zk/orders") == ["a", "b"])
    assert asked == [None, "7"]


async def test_a_source_that_goes_on_where_what_it_had_said_was_taken_out_must_say_everything_again():
    """A stream is opened while the source is frozen; what was known is taken out; then the source goes on."""
    asked: list[str | None] = []
    is_open, thawed = asyncio.Event(), asyncio.Event()

    class Frozen:
        async def watch(self, after: str | None = None) -> AsyncIterator[Update]:
            asked.append(after)
            if after:
                is_open.set()
                await thawed.wait()
                yield Resumed()
            else:
                yield Reset(instances=[copy("a")])
                yield Alive("7")
            if len(asked) < 3:
                raise SourceLost("frozen")
            await asyncio.Event().wait()

    @asynccontextmanager
    async def frozen() -> AsyncIterator[Frozen]:
        yield Frozen()

    world = World("zk")
    world.ingest = Ingest(world.holder, {"zk": Watched("zk", frozen, world.watched("zk", None).rules)})
    async with world.running():
        async with asyncio.timeout(20):
            await is_open.wait()
        await world.ingest.forget("zk")
        await world.until(lambda c: keys(c, "zk/orders") == [])
        thawed.set()
        await world.until(lambda c: not c.sources["zk"].is_stale and keys(c, "zk/orders") == ["a"])
    assert asked == [None, "7", None]


async def test_a_mass_removal_is_held_until_it_is_released():
    world = World("zk", guard=Limits(max_removal=0.5, window=30, hold_for=600, min=5))
    world.stores["zk"].write(*(copy(f"i{n}") for n in range(10)))
    async with world.running():
        await world.until(lambda c: len(keys(c, "zk/orders")) == 10)
        world.stores["zk"].remove(*(f"i{n}" for n in range(10)))
        await world.until(lambda c: len(c.sources["zk"].held) == 10)
        assert len(keys(world.holder.current, "zk/orders")) == 10
        assert await world.ingest.release("zk") == 10
        await world.until(lambda c: keys(c, "zk/orders") == [])


async def test_a_hold_runs_out_by_itself():
    world = World("zk", guard=Limits(max_removal=0.5, window=30, hold_for=0.2, min=5))
    world.stores["zk"].write(*(copy(f"i{n}") for n in range(10)))
    async with world.running():
        await world.until(lambda c: len(keys(c, "zk/orders")) == 10)
        world.stores["zk"].remove(*(f"i{n}" for n in range(10)))
        await world.until(lambda c: keys(c, "zk/orders") == [])


async def test_what_the_journal_knew_is_shown_stale_until_the_source_is_heard():
    world = World("zk")
    world.stores["zk"].fail("down")
    known = world.watched("zk", None).rules.admission.instance(copy("a"))
    world.ingest.restore("zk", [known], 1e7)
    async with world.running():
        await world.until(lambda c: c.sources["zk"].error == "down")
        assert keys(world.holder.current, "zk/orders") == ["a"]
        source = world.holder.current.sources["zk"]
        assert source.is_stale
        assert 1e7 <= age(source, monotonic()) < 1.1e7
        world.stores["zk"].heal()
        await world.until_synced("zk")
        assert keys(world.holder.current, "zk/orders") == []


async def test_one_change_among_many_sources_wakes_only_who_follows_it():
    async with World("zk", "consul").running() as world:
        await world.until_synced("zk", "consul")
        with world.holder.following({"zk/orders"}) as mine, world.holder.following({"zk/carts"}) as other:
            world.stores["zk"].write(copy("a"))
            async with asyncio.timeout(20):
                assert await mine.changes() == {"zk/orders"}
            assert other.touched == set()


async def test_a_resumed_consumer_learns_what_was_touched_since_or_that_it_must_compare_in_full():
    async with World("zk").running() as world:
        await world.until_synced("zk")
        revision = world.holder.current.revision
        world.stores["zk"].write(copy("a"), copy("b", "carts"))
        await world.until(lambda c: keys(c, "zk/orders") == ["a"])
        assert world.holder.touched_since(revision) == frozenset({"zk/orders", "zk/carts"})
        assert world.holder.touched_since(world.holder.current.revision) == frozenset()
        assert world.holder.touched_since("other.1") is None
        assert world.holder.touched_since("nonsense") is None
        assert world.holder.touched_since("e.999999") is None
