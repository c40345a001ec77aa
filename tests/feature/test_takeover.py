"""Of two hubs with the same rule one writes; when it is killed the other takes over before anything ends."""

import asyncio
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

import asyncpg

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


async def until_one_writes(one: Hub, two: Hub, name: str = "r") -> tuple[Hub, Hub]:
    """Who drives a rule, and who stands by."""

    async def states() -> list[str]:
        return [(await state(each, name)).get("state", "") for each in (one, two)]

    found = await one.until(states, lambda said: sorted(said) == ["in_step", "standing_by"])
    return (one, two) if found[0] == "in_step" else (two, one)


async def test_the_next_hub_takes_over_from_one_that_was_killed_and_nobody_sees_a_gap(
    tmp_path: Path, etcd: Etcd, zookeeper: ZooKeeper, consul: Consul, postgres: Postgres
):
    targets = (zookeeper_target(zookeeper), consul_target(consul), database_target(postgres))
    count = {section["name"]: look for section, look in targets}
    sections = {
        "cluster": "east",
        "zones": ZONES,
        "registries": [naming(etcd, "takeover"), *(section for section, _ in targets)],
        "sync": [rule(name, "etcd", name, lease="6s") for name in count],
    }
    write(etcd, "takeover", "orders", 1, 2, 3)
    seen: dict[str, list[int]] = {name: [] for name in count}

    def look(name: str) -> int:
        seen[name].append(count[name]())
        return seen[name][-1]

    async with hub(tmp_path / "one", **sections) as writer:
        for name, counted in count.items():
            await until_state(writer, name, "in_step")
            await until(writer, counted, lambda found: found == 3)
        async with hub(tmp_path / "two", **sections) as other:
            for name in count:
                await until_one_writes(other, writer, name)
            writer.end(signal.SIGKILL)
            write(etcd, "takeover", "orders", 4)
            async with asyncio.TaskGroup() as tasks:
                for name in count:
                    tasks.create_task(until(other, partial(look, name), lambda found: found == 4))
            for name in count:
                await until_state(other, name, "in_step")
            for _ in range(6):  # as long as anything of the dead hub lives
                await asyncio.sleep(1)
                assert [await asyncio.to_thread(look, name) for name in count] == [4, 4, 4]
    assert [min(found) for found in seen.values()] == [3, 3, 3]
