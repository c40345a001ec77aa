"""History: what is published is remembered, answers for any time, survives a crash, is bounded, and delays nobody."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from random import Random

import msgspec
import pytest
import sqlalchemy as sa

from devservers import Postgres
from pilot_plus.catalog import Catalog
from pilot_plus.catalog.admission import Admission
from pilot_plus.catalog.changes import Change, Kind
from pilot_plus.catalog.events import Event, What
from pilot_plus.catalog.guard import Limits
from pilot_plus.journal import Changes, Journal
from pilot_plus.journal.past import Past
from pilot_plus.journal.recorder import Recorder
from pilot_plus.journal.scribe import Bounds
from pilot_plus.model import Instance
from pilot_plus.sql import open_store
from pilot_plus.views.past import Told
from tests.pilot_plus.test_ingest import World, copy, keys

DAY = Bounds(86400.0, 1 << 30)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.live)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/journal.db"
    return str(request.getfixturevalue("postgres").fresh_database())


class Clock:
    """A wall clock that moves when it is told to."""

    def __init__(self, time: float = 1000.0) -> None:
        self.time = time

    def __call__(self) -> float:
        return self.time


class Recording:
    """A hub's heart with history: memory stores, a journal, and a clock."""

    def __init__(self, world: World, journal: Journal, clock: Clock, bounds: Bounds) -> None:
        self.world = world
        self.clock = clock
        self.recorder = Recorder(world.holder, journal.archive, bounds, clock=clock)
        self.past = Past(self.recorder, journal.archive)
        self.running: list[asyncio.Task[None]] = []

    def stop(self) -> None:
        for task in self.running:
            task.cancel()

    async def write(self, *records: Instance, at: float) -> None:
        """Write into zk at a time, and wait until that is recorded."""
        self.clock.time = at
        self.world.stores["zk"].write(*records)
        await self.until_seen(lambda c: all(record in self.shown(c) for record in records))

    async def remove(self, *gone: str, at: float) -> None:
        self.clock.time = at
        self.world.stores["zk"].remove(*gone)
        await self.until_seen(lambda c: not set(gone) & set(c.sources["zk"].instances))

    def shown(self, catalog: Catalog) -> list[Instance]:
        return [
            msgspec.structs.replace(one, namespace="", zone="", origin=copy("x").origin)
            for one in catalog.sources["zk"].instances.values()
        ]

    async def until_seen(self, is_so: Callable[[Catalog], bool]) -> None:
        async with asyncio.timeout(20):
            while not is_so(self.recorder.seen):  # noqa: ASYNC110 - the recorder wakes nobody
                await asyncio.sleep(0.005)

    async def until_written(self) -> None:
        async with asyncio.timeout(20):
            while self.recorder.scribe.has_unwritten:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async def told(self, at: float | None = None, service: str = "zk/orders", limit: int = 1000) -> Told:
        told = await self.past.service(service, at, limit)
        assert told is not None
        return told

    async def weights(self, at: float | None = None, service: str = "zk/orders") -> dict[str, int]:
        told = await self.told(at, service)
        return {place[1]: one.instance.weight for place, one in told.state.items()}


@asynccontextmanager
async def recording(
    url: str, clock: Clock | None = None, bounds: Bounds = DAY, world: World | None = None
) -> AsyncIterator[Recording]:
    world = world or World("zk")
    async with Journal.open(url) as journal, asyncio.TaskGroup() as tasks:
        made = Recording(world, journal, clock or Clock(), bounds)
        tasks_of = [tasks.create_task(made.recorder.run()), tasks.create_task(world.ingest.run())]
        await world.until_synced("zk")
        made.running = tasks_of
        try:
            yield made
        finally:
            made.stop()


def weigh(key: str, weight: int) -> Instance:
    return msgspec.structs.replace(copy(key), weight=weight)


async def some_days(hub: Recording) -> None:
    await hub.write(copy("a"), copy("b"), at=1010)
    await hub.write(weigh("a", 50), at=1020)
    await hub.remove("b", at=1030)
    await hub.write(copy("c"), weigh("a", 70), at=1040)


async def check_some_days(hub: Recording) -> None:
    assert await hub.weights(1009) == {}
    assert await hub.weights(1010) == {"a": 100, "b": 100}
    assert await hub.weights(1029.9) == {"a": 50, "b": 100}
    assert await hub.weights(1030) == {"a": 50}
    assert await hub.weights(1040) == {"a": 70, "c": 100}


class Ticking(Clock):
    """A clock that goes on while something is written down, as it does on a busy machine."""

    def __call__(self) -> float:
        self.time += 0.01
        return self.time


async def test_what_came_together_is_there_as_a_whole_at_the_time_that_is_told(url: str):
    async with recording(url, Ticking()) as hub:
        await hub.write(copy("a"), copy("b"), copy("c"), at=1010)
        (time,) = {moment.time for moment in (await hub.told()).moments if isinstance(moment.happened, Change)}
        assert await hub.weights(time) == {"a": 100, "b": 100, "c": 100}


async def test_the_state_at_any_time_is_known_and_what_had_happened_by_then(url: str):
    async with recording(url) as hub:
        await some_days(hub)
        await check_some_days(hub)
        assert await hub.weights() == {"a": 70, "c": 100}
        told = await hub.told(1030)
        changes = [one.happened for one in told.moments if isinstance(one.happened, Change)]
        assert [(one.kind, one.id) for one in changes] == [
            (Kind.CAME, "a"), (Kind.CAME, "b"), (Kind.CHANGED, "a"), (Kind.GONE, "b"),
        ]  # fmt: skip
        events = [one.happened.what for one in told.moments if isinstance(one.happened, Event)]
        assert events == [What.STARTED, What.SYNCED]
        revisions = [int(one.revision.rpartition(".")[2]) for one in told.moments]
        assert revisions == sorted(revisions)
        assert len((await hub.told(limit=2)).moments) == 2
        assert await hub.past.service("zk/nosuch", None, 10) is None


async def test_a_hub_that_ends_and_starts_again_still_knows_and_chapters_are_complete_then(url: str):
    async with recording(url) as hub:
        await some_days(hub)
        known = list(hub.world.holder.current.sources["zk"].instances.values())
    world = World("zk")
    world.ingest.restore("zk", known)  # type: ignore[arg-type] # as the hub does with what its journal knows
    world.stores["zk"].write(weigh("a", 90), copy("c"))
    async with recording(url, Clock(2000), world=world) as hub:
        await check_some_days(hub)
        assert await hub.weights() == {"a": 90, "c": 100}
        assert hub.past.known_from == 1000
        assert [one.changes for one in hub.recorder.scribe.listed] != []
        whats = [one.happened.what for one in (await hub.told()).moments if isinstance(one.happened, Event)]
        assert whats.count(What.STARTED) == 2


async def test_what_was_written_in_batches_outlives_a_hub_that_just_died(url: str):
    async with Journal.open(url) as journal:
        world = World("zk")
        async with asyncio.TaskGroup() as tasks:
            hub = Recording(world, journal, Clock(), DAY)
            running = [tasks.create_task(hub.recorder.run()), tasks.create_task(world.ingest.run())]
            await world.until_synced("zk")
            await some_days(hub)
            await hub.until_written()

            async def never() -> None:
                return None

            hub.recorder.scribe._write_all = never  # type: ignore[method-assign] # it dies: nothing is written any more
            for task in running:
                task.cancel()
        known = list(world.holder.current.sources["zk"].instances.values())
    after = World("zk")
    after.ingest.restore("zk", known)  # type: ignore[arg-type]
    async with recording(url, Clock(2000), world=after) as hub:
        assert await hub.weights(1029.9) == {"a": 50, "b": 100}
        assert await hub.weights(1030) == {"a": 50}


async def test_many_changes_fall_into_chapters_and_any_time_is_still_found(url: str):
    async with recording(url, bounds=Bounds(86400.0, 1 << 20)) as hub:  # chapters of 128 KB
        await hub.write(*(copy(f"i{n}") for n in range(20)), at=1001)
        for step in range(150):
            hub.clock.time = 1010 + step
            hub.world.stores["zk"].write(*(weigh(f"i{n}", step + 1) for n in range(20)))
            await hub.until_seen(lambda c, step=step: weigh("i7", step + 1) in hub.shown(c))  # type: ignore[misc]
        await hub.until_written()
        assert len(hub.recorder.scribe.listed) >= 2
        for at in (1001, 1010, 1050, 1100, 1142, 1159, 9999):
            expected = 100 if at < 1010 else min(150, at - 1009)
            assert set((await hub.weights(at)).values()) == {expected}
        assert len((await hub.told(1100, limit=30)).moments) == 30


async def test_what_is_old_or_too_much_is_forgotten_and_the_present_stays(url: str):
    async with recording(url, bounds=Bounds(86400.0, 64 << 10)) as hub:
        await hub.write(*(copy(f"i{n}") for n in range(50)), at=1001)
        random = Random(7)
        for step in range(40):
            hub.clock.time = 1010 + step
            changed = [
                msgspec.structs.replace(copy(f"i{n}"), metadata=(("noise", random.randbytes(200).hex()),))
                for n in range(8)
            ]
            hub.world.stores["zk"].write(*changed)
            await hub.until_seen(lambda c, one=changed[0]: one in hub.shown(c))  # type: ignore[misc]
        async with asyncio.timeout(20):
            while hub.past.known_from == 1000 or sum(one.bytes for one in hub.recorder.scribe.listed) > 64 << 10:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert len(await hub.weights(1049)) == 50
        assert len(await hub.weights(hub.past.known_from + 1)) == 50


async def test_text_that_no_unicode_can_hold_stops_nothing(url: str):
    odd = msgspec.structs.replace(copy("a"), metadata=(("team", "\ud800shop"), ("nul", "\0")))
    async with recording(url) as hub:
        await hub.write(copy("a"), copy("b"), at=1010)
        await hub.write(odd, at=1020)
        await hub.write(copy("a"), at=1030)
        await hub.until_written()
        assert await hub.weights(1020) == {"a": 100, "b": 100}
        fields = {field.name: field.new for one in (await hub.told(1020)).moments[-1:] for field in one.happened.fields}  # type: ignore[union-attr]
        assert fields == {"metadata.nul": "\0", "metadata.team": "\\ud800shop"}


async def test_a_clock_that_jumps_changes_no_order_and_takes_nothing_away(url: str):
    async with recording(url) as hub:
        await hub.write(copy("a"), at=5000)
        await hub.write(weigh("a", 50), at=3000)
        await hub.write(weigh("a", 70), at=10_000_000)
        assert [one.time for one in (await hub.told()).moments][-3:] == [5000, 3000, 10_000_000]
        assert await hub.weights(5000) == {"a": 50}
        assert await hub.weights(10_000_000) == {"a": 70}


async def test_a_mass_removal_that_is_held_was_held_then(url: str):
    limits = Limits(max_removal=0.5, window=30, hold_for=600, min=5)
    world = World("zk", guard=limits)
    world.stores["zk"].write(*(copy(f"i{n}") for n in range(10)))
    async with recording(url, world=world) as hub:
        await hub.until_seen(lambda c: len(keys(c, "zk/orders")) == 10)
        hub.clock.time = 1020
        hub.world.stores["zk"].remove(*(f"i{n}" for n in range(8)))
        await hub.until_seen(lambda c: len(c.sources["zk"].held) == 8)
        hub.clock.time = 1030
        await hub.world.ingest.release("zk")
        await hub.until_seen(lambda c: keys(c, "zk/orders") == ["i8", "i9"])
        assert [one.is_held for one in (await hub.told(1019)).state.values()] == [False] * 10
        assert sum(one.is_held for one in (await hub.told(1020)).state.values()) == 8
        assert len(await hub.weights(1030)) == 2


async def test_a_database_that_is_gone_merges_states_says_so_and_loses_none_of_what_comes_after(tmp_path: Path):
    url = f"sqlite:///{tmp_path}/journal.db"
    async with recording(url, bounds=Bounds(86400.0, 512 << 10)) as hub:  # a chapter is full at 64 KB
        await hub.write(copy("a"), copy("b"), at=1010)
        await hub.until_written()
        with closing(sqlite3.connect(tmp_path / "journal.db")) as other:
            other.execute("BEGIN IMMEDIATE")  # nobody else can write
            for step in range(3000):
                hub.world.stores["zk"].write(weigh("a", step), weigh("b", step))
                await hub.world.until(lambda c, step=step: c.sources["zk"].instances["a"].weight == step)  # type: ignore[misc]
            assert sum(chapter.size for chapter in hub.recorder.scribe.chapters) < 128 << 10
            other.rollback()
        hub.clock.time = 1050
        await hub.until_seen(lambda c: weigh("a", 2999) in hub.shown(c))
        await hub.until_written()
        assert await hub.weights(1050) == {"a": 2999, "b": 2999}
        merged = [one.happened for one in (await hub.told()).moments if isinstance(one.happened, Event)]
        assert any(event.what is What.MERGED and event.count > 0 for event in merged)


async def test_the_first_list_is_compared_with_what_an_earlier_run_has_seen(tmp_path: Path):
    world = World("zk", "other")
    for each in ("zk", "other"):
        world.stores[each].write(copy("a"), copy("b"))
    async with Journal.open(f"sqlite:///{tmp_path}/journal.db") as journal, asyncio.TaskGroup() as tasks:
        recorder = Recorder(world.holder, journal.archive, DAY, clock=Clock())
        seen = [copy("a"), copy("gone"), copy("away", "carts")]
        admission = Admission(cluster="east", registry="zk", zone="east/z", namespace="zk")
        recorder.expect("zk", [admission.instance(one) for one in seen])
        running = [tasks.create_task(recorder.run()), tasks.create_task(world.ingest.run())]
        await world.until(lambda c: keys(c, "zk/orders") == ["a", "b"])
        past = Past(recorder, journal.archive)
        found = set()
        for service in ("zk/orders", "zk/carts", "other/orders"):
            async with asyncio.timeout(20):
                while (told := await past.service(service, None, 100)) is None:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            found |= {(service, m.happened.kind, m.happened.id) for m in told.moments if isinstance(m.happened, Change)}
        assert found == {
            ("zk/orders", Kind.CAME, "b"),
            ("zk/orders", Kind.GONE, "gone"),
            ("zk/carts", Kind.GONE, "away"),
            ("other/orders", Kind.CAME, "a"),
            ("other/orders", Kind.CAME, "b"),
        }
        for task in running:
            task.cancel()


async def test_the_journal_is_never_ahead_of_history(tmp_path: Path):
    async with recording(f"sqlite:///{tmp_path}/journal.db") as hub:
        await hub.write(copy("a"), at=1010)
        number = hub.world.holder.current.number
        await hub.recorder.until_written(number)
        with closing(sqlite3.connect(tmp_path / "journal.db")) as other:
            (batches,) = other.execute("SELECT count(*) FROM history_batches").fetchone()
        assert batches >= 1


async def test_a_defect_of_history_ends_history_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async with recording(f"sqlite:///{tmp_path}/journal.db") as hub:
        await hub.write(copy("a"), at=1010)

        def defect(*_: object) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(hub.recorder, "_compare", defect)
        hub.world.stores["zk"].write(copy("b"))
        async with asyncio.timeout(20):
            while not hub.recorder.has_failed:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        hub.world.stores["zk"].write(copy("c"))
        await hub.world.until(lambda c: keys(c, "zk/orders") == ["a", "b", "c"])
        with pytest.raises(OSError, match="ended by a defect"):
            await hub.told()


async def test_a_journal_that_was_made_before_there_was_history_is_brought_up_to_it(url: str):
    known = copy("a")
    async with Journal.open(url) as journal:
        await journal.write([Changes("zk", [known])])
    async with open_store(url) as store, store.writing(1) as connection:
        for table in ("history_batches", "history_chapters", "history_pages"):
            await connection.execute(sa.text(f"DROP TABLE {table}"))
        await connection.execute(sa.text("UPDATE journal_version SET version_num = '0001'"))
    async with recording(url) as hub:
        await some_days(hub)
        await check_some_days(hub)
    async with Journal.open(url) as journal:
        assert (await journal.last_known())["zk"].instances == [known]


async def test_what_belonged_to_a_registry_that_is_not_configured_any_more_is_gone_and_was_there(tmp_path: Path):
    url = f"sqlite:///{tmp_path}/journal.db"
    async with recording(url) as hub:
        await hub.write(copy("a"), copy("b"), at=1010)
        known = list(hub.world.holder.current.sources["zk"].instances.values())
    async with Journal.open(url) as journal, asyncio.TaskGroup() as tasks:
        world = World("other")
        recorder = Recorder(world.holder, journal.archive, DAY, clock=Clock(2000))
        recorder.forget("zk", known)
        running = tasks.create_task(recorder.run())
        past = Past(recorder, journal.archive)
        told = await past.service("zk/orders", None, 10)
        assert told is not None
        assert told.state == {}
        gone = [one.happened for one in told.moments if isinstance(one.happened, Change)][-2:]
        assert [(one.kind, one.id, one.of) for one in gone] == [(Kind.GONE, "a", 2), (Kind.GONE, "b", 2)]
        told = await past.service("zk/orders", 1500, 10)
        assert told is not None
        assert sorted(told.state) == [("zk", "a"), ("zk", "b")]
        running.cancel()


@pytest.mark.live
async def test_of_two_copies_one_writes_and_the_other_takes_over(postgres: Postgres):
    url = postgres.fresh_database()
    leaving = asyncio.Event()
    async with recording(url) as other, asyncio.TaskGroup() as tasks:
        await until_written_by(other)

        async def stand_by() -> None:
            async with recording(url, world=World("zk")) as standing:
                await other.write(copy("a"), at=1010)
                await other.write(weigh("a", 50), at=1020)
                await other.until_written()
                assert not standing.recorder.scribe.writes
                await standing.write(weigh("a", 50), at=1020)  # it sees the same registry
                told = await standing.told()
                changes = [one.happened for one in told.moments if isinstance(one.happened, Change)]
                assert [change.kind for change in changes] == [Kind.CAME, Kind.CHANGED]
                assert await standing.weights(1015) == {"a": 100}
                async with asyncio.timeout(20):
                    while standing.recorder.scribe.chapters[-1].changes:  # noqa: ASYNC110 - it forgets what the other wrote
                        await asyncio.sleep(0.01)
                leaving.set()
                await until_written_by(standing)
                await standing.write(weigh("a", 70), at=1030)
                await standing.until_written()
                assert await standing.weights(1025) == {"a": 50}
                assert await standing.weights(1015) == {"a": 100}

        tasks.create_task(stand_by())
        await leaving.wait()
        other.stop()


async def until_written_by(hub: Recording) -> None:
    async with asyncio.timeout(20):
        while not hub.recorder.scribe.writes:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
