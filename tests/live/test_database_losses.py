"""Our own registry when its server is killed, its connection cut or its file taken away: what was answered is there."""

import asyncio
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from devservers import FaultProxy, Postgres
from devservers.pytest_plugin import Fresh
from pilot_plus.ports import Done, Failed, SourceLost
from registries.database import Settings, connect
from tests.contract.mirror import Mirror
from tests.live.test_database import key, orders, until_keys, watching

pytestmark = pytest.mark.live


async def test_who_connects_after_a_loss_begins_anew_while_others_still_hold_what_is_lost(fresh: Fresh):
    server = fresh(Postgres)
    settings = Settings(url=server.url)
    async with connect(settings) as before, watching(before) as mirror:
        await before.put([orders(1)])
        await until_keys(mirror, 1)
        await asyncio.to_thread(server.start_again)
        await mirror.until_lost()
        async with connect(settings) as after, watching(after) as again:
            await until_keys(again, 1)
            assert await after.put([orders(2)]) == [Done(key(2))]
            with pytest.raises(SourceLost):
                await before.put([orders(3)])


async def test_a_file_put_back_from_a_copy_is_a_loss_and_then_read_anew(tmp_path: Path):
    url = f"sqlite:///{tmp_path}/own.db"
    async with connect(Settings(url=url)) as own:
        await own.put([orders(1)])
    shutil.copy(tmp_path / "own.db", tmp_path / "copy.db")
    async with connect(Settings(url=url)) as own, watching(own) as mirror:
        await own.put([orders(2)])
        await until_keys(mirror, 1, 2)
        await mirror.until(lambda m: m.progress.startswith("2."), "the mark behind the second change")
        (tmp_path / "copy.db").rename(tmp_path / "own.db")
        await mirror.until_lost()
        for ask in (own.put([orders(3)]), own.renew([key(1)])):
            with pytest.raises(SourceLost):
                await ask
    for rest in ("own.db-wal", "own.db-shm"):
        (tmp_path / rest).unlink(missing_ok=True)
    async with connect(Settings(url=url)) as own:
        await own.put([orders(4)])
        async with watching(own, mirror.progress) as again:
            await until_keys(again, 1, 4)


async def test_a_killed_server_fails_what_is_written_and_loses_nothing(fresh: Fresh):
    server = fresh(Postgres)
    async with connect(Settings(url=server.url)) as own, watching(own) as mirror:
        await own.put([orders(1)])
        await until_keys(mirror, 1)
        server.kill()
        await mirror.until_lost()
        for ask in (own.put([orders(2)]), own.drop([key(1)]), own.renew([key(1)])):
            with pytest.raises(SourceLost):
                await ask
        assert set(mirror.instances) == {key(1)}
    await asyncio.to_thread(server.start_again)
    async with connect(Settings(url=server.url)) as own, watching(own) as mirror:
        await until_keys(mirror, 1)


async def test_a_stopped_server_is_a_loss_and_a_put_under_way_is_answered(fresh: Fresh):
    server = fresh(Postgres)
    async with connect(Settings(url=server.url)) as own, watching(own) as mirror:
        await own.put([orders(1)])
        server.pause()
        try:
            async with asyncio.timeout(15):
                assert isinstance((await own.put([orders(2)]))[0], Failed)
                await mirror.until_lost()
        finally:
            server.resume()


@pytest.fixture
def writer(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """A hub in a process of its own that registers one instance after the other, and says which are there."""
    program = """
import asyncio, sys
from tests.live.test_database import orders
from registries.database import Settings, connect
async def main():
    async with connect(Settings(url=sys.argv[1])) as own:
        for n in range(1, 100_000):
            print((await own.put([orders(n % 250, id=f"orders-{n}")]))[0].key, flush=True)
asyncio.run(main())
"""
    command = [sys.executable, "-c", program, f"sqlite:///{tmp_path}/own.db"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


async def test_what_was_answered_is_there_after_a_kill_9(tmp_path: Path, writer: "subprocess.Popen[str]"):
    assert writer.stdout is not None
    answered = [await asyncio.to_thread(writer.stdout.readline) for _ in range(50)]
    writer.send_signal(signal.SIGKILL)
    answered += writer.stdout.read().splitlines(keepends=True)
    whole = {line.strip() for line in answered if line.endswith("\n")}
    async with connect(Settings(url=f"sqlite:///{tmp_path}/own.db")) as own, watching(own) as mirror:
        assert whole <= set(mirror.instances)


async def test_another_process_that_writes_the_file_is_heard(tmp_path: Path, writer: "subprocess.Popen[str]"):
    assert writer.stdout is not None
    await asyncio.to_thread(writer.stdout.readline)
    async with connect(Settings(url=f"sqlite:///{tmp_path}/own.db")) as own, watching(own) as mirror:
        assert await own.put([orders(1, id="mine")]) == [Done("shop/orders/mine")]
        news = (await asyncio.to_thread(writer.stdout.readline)).strip()
        await mirror.until(lambda m: news in m.instances, "what the other process wrote")


@pytest.mark.parametrize("limit", [20_000, 200_000, 1_000_000])
async def test_a_connection_cut_in_the_middle_of_a_list_is_a_loss_and_never_fewer(postgres: Postgres, limit: int):
    url = postgres.fresh_database()
    async with connect(Settings(url=url)) as own:
        await own.put([orders(n % 250, id=f"orders-{n}", metadata={"fill": "x" * 500}) for n in range(3000)])
    mirror = Mirror()
    async with FaultProxy(postgres.address) as proxy:
        proxy.cut_after(limit)
        with suppress(SourceLost):
            async with connect(Settings(url=url.replace(postgres.address, proxy.address))) as own:
                await mirror.follow(own)
    assert not mirror.heard


async def test_a_connection_that_turned_into_a_black_hole_is_noticed(postgres: Postgres):
    url = postgres.fresh_database()
    async with FaultProxy(postgres.address) as proxy:
        settings = Settings(url=url.replace(postgres.address, proxy.address))
        async with connect(settings) as own, watching(own) as mirror:
            proxy.stall()
            await mirror.until_lost(15)
