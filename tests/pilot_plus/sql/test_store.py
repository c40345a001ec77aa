"""An open database: writers take turns, readers see snapshots, errors are of one kind."""

import asyncio
import stat
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa

from pilot_plus.sql import Store, open_store

READ = sa.text("SELECT n FROM counter")
WRITE = sa.text("UPDATE counter SET n = :n")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.live)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/store.db"
    return str(request.getfixturevalue("postgres").fresh_database())


async def make_counter(store: Store) -> None:
    async with store.writing(9) as connection:
        await connection.execute(sa.text("CREATE TABLE counter (n BIGINT)"))
        await connection.execute(sa.text("INSERT INTO counter VALUES (0)"))


async def count(store: Store, times: int) -> None:
    for _ in range(times):
        async with store.writing(9) as connection:
            found = await connection.scalar(READ) or 0
            await connection.execute(WRITE, {"n": found + 1})


async def test_no_update_is_lost_between_a_read_and_a_write(url: str):
    async with open_store(url) as first, open_store(url) as second:
        await make_counter(first)
        async with asyncio.TaskGroup() as tasks:
            for store in (first, second, first, second):
                tasks.create_task(count(store, 25))
        async with first.reading() as connection:
            assert await connection.scalar(READ) == 100


async def test_a_reader_sees_one_moment(url: str):
    async with open_store(url) as store:
        await make_counter(store)
        async with store.reading() as connection:
            before = await connection.scalar(READ)
            await count(store, 1)
            assert await connection.scalar(READ) == before == 0


async def test_a_block_that_fails_leaves_nothing_behind(url: str):
    async with open_store(url) as store:
        await make_counter(store)

        async def fail() -> None:
            async with store.writing(9) as connection:
                await connection.execute(WRITE, {"n": 7})
                raise LookupError

        with pytest.raises(LookupError):
            await fail()
        async with store.reading() as connection:
            assert await connection.scalar(READ) == 0


async def test_a_cancelled_writer_leaves_nothing_behind_and_the_next_one_writes(url: str):
    async with open_store(url) as store:
        await make_counter(store)
        inside = asyncio.Event()

        async def hesitate() -> None:
            async with store.writing(9) as connection:
                await connection.execute(WRITE, {"n": 7})
                inside.set()
                await asyncio.Event().wait()

        async with asyncio.TaskGroup() as tasks:
            hesitating = tasks.create_task(hesitate())
            await inside.wait()
            hesitating.cancel()
        await count(store, 1)
        async with store.reading() as connection:
            assert await connection.scalar(READ) == 1


async def test_a_statement_that_was_cancelled_lets_go_of_the_file_whoever_still_holds_its_error(tmp_path: Path):
    up = "WITH RECURSIVE up(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM up WHERE n < 100000) SELECT seen(n) FROM up"
    loop, runs = asyncio.get_running_loop(), asyncio.Event()

    def seen(n: int) -> int:
        if n == 1:
            loop.call_soon_threadsafe(runs.set)
        return n

    async def write(store: Store) -> None:
        async with store.writing(9) as connection:
            link = (await connection.get_raw_connection()).driver_connection
            assert link is not None
            await link.create_function("seen", 1, seen)
            await connection.execute(sa.text(f"INSERT INTO counter {up} RETURNING n"))

    async with open_store(f"sqlite:///{tmp_path}/store.db") as store:
        await make_counter(store)
        async with asyncio.TaskGroup() as tasks:
            writing = tasks.create_task(write(store))
            await runs.wait()
            writing.cancel()
            held = (await asyncio.gather(writing, return_exceptions=True))[0]
        assert isinstance(held, asyncio.CancelledError)
        await count(store, 1)


async def test_what_a_database_complains_about_is_an_os_error(url: str):
    async with open_store(url) as store:
        with pytest.raises(OSError, match="nowhere"):
            async with store.reading() as connection:
                await connection.execute(sa.text("SELECT 1 FROM nowhere"))


async def test_no_thread_outlives_the_store(tmp_path: Path):
    before = set(threading.enumerate())
    async with open_store(f"sqlite:///{tmp_path}/store.db") as store:
        await make_counter(store)
    async with asyncio.timeout(20):
        while not set(threading.enumerate()) <= before:  # noqa: ASYNC110 - a thread's end wakes nobody
            await asyncio.sleep(0.01)


async def test_a_new_file_is_its_owners_alone(tmp_path: Path):
    file = tmp_path / "store.db"
    async with open_store(f"sqlite:///{file}") as store:
        await make_counter(store)
        assert modes(tmp_path) == {0o600}
    async with open_store(f"sqlite:///{file}"):
        pass


async def test_a_file_that_is_gone_is_noticed(tmp_path: Path):
    file = tmp_path / "store.db"
    async with open_store(f"sqlite:///{file}") as store:
        await make_counter(store)
        file.unlink()
        with pytest.raises(OSError, match="removed or replaced"):
            await count(store, 1)


def modes(folder: Path) -> set[int]:
    return {stat.S_IMODE(one.stat().st_mode) for one in folder.iterdir()}
