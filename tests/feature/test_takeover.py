"""Of two hubs with the same rule one writes; when it is killed the other takes over before anything ends."""

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import asyncpg
import pytest

from devservers import Consul, Etcd, Postgres, ZooKeeper
from tests.contract.backend_zookeeper import children_of, do_with
from tests.feature.hub import Hub, hub
from tests.feature.test_sync import PLACES, ZONES, naming, rule, state, until, until_state, write

Target = tuple[dict[str, Any], Callable[[], int]]
"""Its section of the configuration, and how many copies another client finds there that may be called."""


def zookeeper_target(server: ZooKeeper) -> Target:
    settings = {"hosts": server.address, "layouts": [{"spring": {"root": "/takeover"}}], "session_timeout": 3}

    def count() -> int:
        return do_with(server, lambda client: len(children_of(client, "/takeover/orders")))

    return {"name": "zk", "kind": "zookeeper", "zone": PLACES["zk"], "settings": settings}, count


def consul_target(server: Consul) -> Target:
    def count() -> int:
        return len(cast("list[object]", server.call("GET", "/v1/health/service/orders?passing")))

    return {"name": "consul", "kind": "consul", "zone": PLACES["consul"], "settings": {"url": server.url}}, count


def database_target(server: Postgres) -> Target:
    url = server.fresh_database()

    async def counted() -> int:
        link: Any = await asyncpg.connect(url)
        try:
            found: int = await link.fetchval("SELECT count(*) FROM registry_instances")
        finally:
            await link.close()
        return found

    return {"name": "own", "kind": "database", "zone": PLACES["own"], "settings": {"url": url}}, lambda: asyncio.run(
        counted()
    )


TARGETS: dict[str, Callable[[Any], Target]] = {
    "zookeeper": zookeeper_target,
    "consul": consul_target,
    "postgres": database_target,
}


async def until_one_writes(one: Hub, two: Hub) -> tuple[Hub, Hub]:
    """Who writes, and who stands by."""

    async def states() -> list[str]:
        return [(await state(each, "r")).get("state", "") for each in (one, two)]

    found = await one.until(states, lambda said: sorted(said) == ["in_step", "standing_by"])
    return (one, two) if found[0] == "in_step" else (two, one)


@pytest.mark.parametrize("kind", list(TARGETS))
async def test_the_next_hub_takes_over_from_one_that_was_killed_and_nobody_sees_a_gap(
    tmp_path: Path, etcd: Etcd, request: pytest.FixtureRequest, kind: str
):
    section, count = TARGETS[kind](request.getfixturevalue(kind))
    prefix = f"takeover-{kind}"
    write(etcd, prefix, "orders", 1, 2, 3)
    sections = {
        "cluster": "east",
        "zones": ZONES,
        "registries": [naming(etcd, prefix), section],
        "sync": [rule("r", "etcd", section["name"], lease="3s")],
    }
    async with hub(tmp_path / "one", **sections) as first, hub(tmp_path / "two", **sections) as second:
        writer, other = await until_one_writes(first, second)
        await until(writer, count, lambda found: found == 3)
        writer.end(signal.SIGKILL)
        write(etcd, prefix, "orders", 4)
        seen: list[int] = []

        def look() -> int:
            seen.append(count())
            return seen[-1]

        await until(other, look, lambda found: found == 4)
        await until_state(other, "r", "in_step")
        async with asyncio.timeout(30):
            for _ in range(3):  # as long as anything of the dead hub lives
                await asyncio.sleep(1)
                assert await asyncio.to_thread(look) == 4
        assert min(seen) == 3
