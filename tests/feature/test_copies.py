"""Several copies of a hub with one journal: what one of them did, the others know when it is gone."""

import asyncio
import signal
from contextlib import AsyncExitStack
from pathlib import Path

from devservers import Etcd, Postgres
from tests.feature.hub import Hub, hub
from tests.feature.test_sync import ZONES, naming, rule, until, until_state, write


async def test_a_killed_copy_leaves_neither_registrations_nor_unmarked_copies_behind(
    tmp_path: Path, postgres: Postgres, etcd: Etcd
):
    """`other` is go-zero's layout: an address, without a mark."""
    sections = {
        "journal": postgres.fresh_database(),
        "zones": ZONES,
        "registries": [naming(etcd, "copies"), naming(etcd, "bare-copies", "other", "go-zero")],
        "sync": [rule("r", "etcd", "other", lease="6s"), rule("back", "other", "etcd", lease="6s")],
    }
    write(etcd, "copies", "orders", 1, 2)
    async with AsyncExitStack() as opened:
        one: Hub = await opened.enter_async_context(hub(tmp_path / "one", **sections))
        await until(one, lambda: etcd.keys("bare-copies/"), lambda found: len(found) == 2)
        two: Hub = await opened.enter_async_context(hub(tmp_path / "two", **sections))
        await until_state(two, "r", "standing_by")
        write(etcd, "copies", "orders", 3)  # after the second copy has read the journal
        await until(one, lambda: etcd.keys("bare-copies/"), lambda found: len(found) == 3)
        where = ("--address", "10.3.0.4", "--port", "http:8080/http", "--registry", "etcd", "--ttl", "6s", "--id", "x")
        assert (await one.call("register", "grid/carts", *where)).code == 0

        async def beaten() -> int:
            return (await two.put("/instances/grid/carts/x/heartbeat")).status_code

        await two.until(beaten, lambda status: status == 204)
        one.end(signal.SIGKILL)
        key = "copies/carts/10.3.0.4:8080"
        async with asyncio.timeout(30):  # longer than any lease of the killed copy lives
            for _ in range(10):
                assert await beaten() == 204
                assert etcd.get(key)
                assert len(etcd.keys("bare-copies/")) == 4
                await asyncio.sleep(1)
        await until_state(two, "r", "in_step")
        assert set(etcd.keys("copies/")) == {key, *(f"copies/orders/10.2.0.{n}:9000" for n in (1, 2, 3))}
        assert (await two.call("deregister", "grid/carts", "x", "--registry", "etcd")).code == 0
        await until(two, lambda: etcd.get(key), lambda found: found is None)
        await until(two, lambda: etcd.keys("bare-copies/"), lambda found: len(found) == 3)
