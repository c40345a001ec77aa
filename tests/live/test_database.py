"""Our own registry on SQLite and on PostgreSQL: registration, leases, several hubs, and what can go wrong."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import asyncpg
import msgspec
import pytest

from devservers import Postgres
from pilot_plus.model import Drop, Instance, Origin, Port, Put, Reset, Resumed, instance
from pilot_plus.ports import Done, Failed, Refused, Sink, Source, SourceLost
from registries.database import Settings, connect, key_of
from registries.database.registry import connect_alone
from tests.contract.mirror import Mirror

pytestmark = pytest.mark.live
PATIENCE = 60.0
HEARTBEAT = 0.15
"""Seconds between the heartbeats of an instance with a lease of 1 s."""


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/own.db"
    return str(request.getfixturevalue("postgres").fresh_database())


def orders(n: int, **fields: object) -> Instance:
    given: dict[str, object] = {"namespace": "shop", "name": "orders", "id": f"orders-{n}", "address": f"10.3.0.{n}"}
    ports = (Port("http", 8080, "http"),)
    return instance(key="", ports=ports, **{"lease": 60.0, **given, **fields})  # type: ignore[arg-type]


def key(n: int) -> str:
    return key_of("shop", "orders", f"orders-{n}")


@asynccontextmanager
async def watching(source: Source, after: str | None = None) -> AsyncIterator[Mirror]:
    mirror = Mirror()
    async with asyncio.TaskGroup() as tasks:
        following = tasks.create_task(mirror.follow(source, after))
        await mirror.until_synced()
        try:
            yield mirror
        finally:
            following.cancel()


async def until_keys(mirror: Mirror, *numbers: int) -> None:
    expected = {key(n) for n in numbers}
    await mirror.until(lambda m: set(m.instances) == expected, f"{expected}", PATIENCE)


async def test_it_is_a_source_and_a_sink(url: str):
    async with connect(Settings(url=url)) as own:
        assert isinstance(own, Source)
        assert isinstance(own, Sink)


async def test_what_is_registered_is_reported_back_as_it_was_given(url: str):
    given = orders(1, weight=30, metadata={"team": "shop"})
    copy = orders(2, zone="west/vm", origin=Origin("west", "consul", "n1/web", ("north",)))
    async with connect(Settings(url=url)) as own, watching(own) as mirror:
        assert await own.put([given, copy]) == [Done(key(1)), Done(key(2))]
        await until_keys(mirror, 1, 2)
        assert mirror.instances[key(1)] == msgspec.structs.replace(given, key=key(1))
        assert mirror.instances[key(2)] == msgspec.structs.replace(copy, key=key(2))


async def test_registering_the_same_again_is_no_change(url: str):
    async with connect(Settings(url=url)) as own, watching(own) as mirror:
        for _ in range(3):
            await own.put([orders(1)])
        await own.put([orders(2)])
        await until_keys(mirror, 1, 2)
        assert len([update for update in mirror.heard if isinstance(update, Put)]) == 2


async def test_a_changed_registration_is_one_put_under_the_same_key(url: str):
    async with connect(Settings(url=url)) as own, watching(own) as mirror:
        await own.put([orders(1)])
        await until_keys(mirror, 1)
        await own.put([orders(1, weight=7)])
        await mirror.until(lambda m: m.instances[key(1)].weight == 7, "the new weight")
        assert not [update for update in mirror.heard if isinstance(update, Drop)]


async def test_deregistering_is_explicit_and_what_is_not_there_is_done(url: str):
    async with connect(Settings(url=url)) as own, watching(own) as mirror:
        await own.put([orders(1)])
        await until_keys(mirror, 1)
        assert await own.drop([key(1), key(9)]) == [Done(key(1)), Done(key(9))]
        await until_keys(mirror)
        assert Drop(key(1), explicit=True) in mirror.heard


async def test_a_refused_registration_keeps_no_other_from_being_written(url: str):
    async with connect(Settings(url=url)) as own:
        results = await own.put([orders(1), orders(2, namespace=""), orders(3, lease=0.1)])
    assert results == [
        Done(key(1)),
        Refused("the service has no namespace"),
        Refused("a lease of 0.1 s is neither 0 (durable) nor between 1 s and 24 h"),
    ]


async def test_a_copy_never_overwrites_what_was_registered_here(url: str):
    copy = orders(1, weight=5, origin=Origin("west", "consul", "x"))
    async with connect(Settings(url=url)) as own, watching(own) as mirror:
        await own.put([orders(1)])
        assert await own.put([copy]) == [Refused("an instance that was registered here holds this key")]
        await until_keys(mirror, 1)
        assert mirror.instances[key(1)].weight == 100


async def test_many_registrations_at_once_are_all_answered_and_all_there(url: str):
    async with connect(Settings(url=url)) as own, watching(own) as mirror:
        async with asyncio.TaskGroup() as tasks:
            asked = [tasks.create_task(own.put([orders(n)])) for n in range(1, 250)]
        assert [list(task.result()) for task in asked] == [[Done(key(n))] for n in range(1, 250)]
        await until_keys(mirror, *range(1, 250))


async def test_put_and_drop_of_one_key_keep_their_order(url: str):
    async with connect(Settings(url=url)) as own, watching(own) as mirror:
        async with asyncio.TaskGroup() as tasks:
            for n in range(1, 40):
                tasks.create_task(own.put([orders(n)]))
                tasks.create_task(own.drop([key(n)]))
                if n % 2:
                    tasks.create_task(own.put([orders(n)]))
        await until_keys(mirror, *range(1, 40, 2))


async def test_a_heartbeat_of_a_stranger_is_refused_so_that_he_registers_again(url: str):
    async with connect(Settings(url=url)) as own:
        await own.put([orders(1)])
        known, unknown = await own.renew([key(1), key(2)])
        assert known == Done(key(1))
        assert isinstance(unknown, Refused)


async def test_an_instance_that_is_silent_for_longer_than_its_lease_goes_and_one_with_heartbeats_stays(url: str):
    async with connect(Settings(url=url)) as own, watching(own) as mirror:
        await own.put([orders(1, lease=1.0), orders(2, lease=1.0), orders(3, lease=0.0)])
        await until_keys(mirror, 1, 2, 3)
        async with asyncio.timeout(PATIENCE):
            while key(1) in mirror.instances:
                assert await own.renew([key(2)]) == [Done(key(2))]
                await asyncio.sleep(HEARTBEAT)
        await until_keys(mirror, 2, 3)
        assert Drop(key(1), explicit=False) in mirror.heard
        await until_keys(mirror, 3)
        assert isinstance((await own.renew([key(2)]))[0], Refused)


async def test_after_a_restart_an_instance_is_unheard_until_it_is_heard(url: str):
    async with connect(Settings(url=url)) as own:
        await own.put([orders(1), orders(2), orders(3, lease=0.0)])
        assert own.unheard() == frozenset()
    async with connect(Settings(url=url)) as own:
        assert own.unheard() == {key(1), key(2)}
        await own.renew([key(1)])
        await own.put([orders(2)])
        assert own.unheard() == frozenset()


async def test_after_a_restart_leases_begin_anew(url: str):
    async with connect(Settings(url=url)) as own:
        await own.put([orders(1, lease=1.0)])
    async with connect(Settings(url=url)) as own, watching(own) as mirror:
        assert set(mirror.instances) == {key(1)}
        await until_keys(mirror)


async def test_two_hubs_on_one_database_see_the_same_and_keep_what_either_hears(url: str):
    settings = Settings(url=url)
    async with (
        connect_alone(settings) as first,
        connect_alone(settings) as second,
        watching(first) as left,
        watching(second) as right,
    ):
        await first.put([orders(1, lease=1.0)])
        await second.put([orders(2, lease=1.0)])
        await until_keys(left, 1, 2)
        await until_keys(right, 1, 2)
        for _ in range(15):  # for more than twice its lease, always through the other hub
            assert await second.renew([key(1)]) == [Done(key(1))]
            await asyncio.sleep(HEARTBEAT)
        assert key(1) in left.instances
        await until_keys(left)
        await until_keys(right)


async def test_those_who_share_a_database_go_on_when_one_of_them_leaves(url: str):
    settings = Settings(url=url)
    async with connect(settings) as first, watching(first) as mirror:
        async with connect(settings) as second, asyncio.TaskGroup() as tasks:
            asked = [tasks.create_task(second.put([orders(n)])) for n in range(1, 40)]
        assert [list(one.result()) for one in asked] == [[Done(key(n))] for n in range(1, 40)]
        async with connect(settings) as third:
            await first.put([orders(50, lease=1.0)])
            assert await third.renew([key(50)]) == [Done(key(50))]
        with pytest.raises(SourceLost, match="closed"):
            await third.put([orders(51)])
        await first.put([orders(52)])
        await until_keys(mirror, *range(1, 40), 52)  # 50 has ended: the leases are still kept


async def test_who_has_lost_the_lock_writes_nothing_until_it_is_his_again(url: str):
    async with connect(Settings(url=url)) as hub, connect(Settings(url=url)) as caller:
        assert await hub.claim("sync-east", "one", 60.0) == "one"
        assert await hub.put([orders(9)]) == [Done(key(9))]
        await by_hand(url, "UPDATE registry_locks SET owner = 'two'")
        lost = Failed("the lock is somebody else's now")
        fenced, free, dropped = await asyncio.gather(hub.put([orders(1)]), caller.put([orders(2)]), hub.drop([key(9)]))
        assert (fenced, free, dropped) == ([lost], [Done(key(2))], [lost])
        await by_hand(url, "DELETE FROM registry_locks")
        assert await hub.put([orders(1)]) == [lost]
        assert await hub.claim("sync-east", "one", 60.0) == "one"
        assert await hub.put([orders(1)]) == [Done(key(1))]


async def test_a_watch_goes_on_where_it_was_and_misses_nothing(url: str):
    async with connect(Settings(url=url)) as own:
        async with watching(own) as before:
            await own.put([orders(1), orders(2)])
            await until_keys(before, 1, 2)
            await before.until(lambda m: m.progress != "", "a mark")
            progress = before.progress
        await own.drop([key(1)])
        await own.put([orders(3)])
        after = Mirror()
        after.instances = dict(before.instances)
        async with asyncio.TaskGroup() as tasks:
            following = tasks.create_task(after.follow(own, progress))
            await until_keys(after, 2, 3)
            following.cancel()
        assert isinstance(after.heard[0], Resumed)


@pytest.mark.parametrize("progress", ["", "x", "1.1", "999999.5", "-1.0", "1", "9" * 400 + ".1"])
async def test_a_mark_that_the_log_does_not_hold_is_answered_with_everything(url: str, progress: str):
    async with connect(Settings(url=url)) as own:
        await own.put([orders(1)])
        async with watching(own, progress) as mirror:
            assert isinstance(mirror.heard[0], Reset)
            await until_keys(mirror, 1)


async def test_a_log_that_was_cut_off_is_answered_with_everything(url: str):
    async with connect(Settings(url=url)) as own, watching(own) as mirror:
        await own.put([orders(1)])
        await until_keys(mirror, 1)
        await by_hand(url, "DELETE FROM registry_changes")
        await by_hand(url, "DELETE FROM registry_instances")
        await by_hand(url, "DELETE FROM registry_changes")
        await until_keys(mirror)
        await own.put([orders(2)])
        await until_keys(mirror, 2)


async def test_a_change_by_hand_is_seen_and_leased_like_any_other(url: str):
    row = "'shop/orders/orders-1', 'shop', 'orders', 'orders-1', 1.0, '{\"address\": \"10.3.0.1\", \"ports\": []}'"
    async with connect(Settings(url=url)) as own, watching(own) as mirror:
        insert = f"INSERT INTO registry_instances (key, namespace, name, id, lease, record) VALUES ({row})"
        await by_hand(url, insert)
        await until_keys(mirror, 1)
        await until_keys(mirror)


async def test_a_database_of_a_newer_version_is_left_alone(url: str):
    async with connect(Settings(url=url)):
        pass
    await by_hand(url, "UPDATE registry_version SET version_num = 'ffff'")
    with pytest.raises(SourceLost, match="newer version"):
        async with connect(Settings(url=url)):
            pass


async def test_copies_that_start_at_once_make_the_tables_once(url: str):
    async def start() -> int:
        async with connect(Settings(url=url)) as own:
            return len(await own.put([orders(1)]))

    async with asyncio.TaskGroup() as tasks:
        started = [tasks.create_task(start()) for _ in range(4)]
    assert [task.result() for task in started] == [1, 1, 1, 1]


async def test_a_truncated_table_is_an_empty_registry(postgres: Postgres):
    url = postgres.fresh_database()
    async with connect(Settings(url=url)) as own, watching(own) as mirror:
        await own.put([orders(1)])
        await until_keys(mirror, 1)
        await by_hand(url, "TRUNCATE registry_instances")
        await until_keys(mirror)


async def test_every_type_in_every_column_of_sqlite_is_skipped_and_stops_nothing(tmp_path: Path):
    url = f"sqlite:///{tmp_path}/own.db"
    async with connect(Settings(url=url)) as own:
        await own.put([orders(1)])
        rows = [
            ("'shop/a/1'", "'shop'", "'a'", "'1'", "'soon'", "'{}'"),
            ("x'ff'", "x'ff'", "x'ff'", "x'ff'", "x'ff'", "x'ff'"),
            ("CAST(x'ff00' AS TEXT)", "''", "''", "''", "9e999", "CAST(x'ff' AS TEXT)"),
            ("''", "''", "''", "''", "-1", f"'{'x' * 70_000}'"),
        ]
        for row in rows:
            values = ", ".join(row)
            await by_hand(
                url, f"INSERT INTO registry_instances (key, namespace, name, id, lease, record) VALUES ({values})"
            )
        async with watching(own) as mirror:
            await mirror.until(lambda m: len(m.skipped) == len(rows), "the skips")
            await own.put([orders(2)])
            await until_keys(mirror, 1, 2)
            await by_hand(url, "DELETE FROM registry_instances WHERE name <> 'orders'")
            await mirror.until(lambda m: not m.skipped, "the skips taken back")


async def by_hand(url: str, statement: str) -> None:
    """What somebody with a SQL prompt does."""
    if url.startswith("sqlite"):

        def execute() -> None:
            with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection, connection:
                connection.execute(statement)

        await asyncio.to_thread(execute)
        return
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
