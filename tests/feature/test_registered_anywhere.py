"""What was registered through the hub lies in its registry again after that was killed and emptied."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from devservers import Consul, Etcd, Server, ZooKeeper
from devservers.pytest_plugin import Fresh
from tests.contract.backend_zookeeper import children_of, do_with
from tests.feature.hub import hub
from tests.feature.test_sync import ZONES, agent, naming, tree, until

Target = tuple[dict[str, Any], Callable[[], int]]
"""Its section of the configuration, and how many instances another client finds there."""


def in_zookeeper(server: ZooKeeper) -> Target:
    def count() -> int:
        return do_with(server, lambda client: len(children_of(client, "/services/orders")))

    return tree(server, {"spring": {}}), count


def in_consul(server: Consul) -> Target:
    return agent(server), lambda: len(cast("list[object]", server.call("GET", "/v1/health/service/orders?passing")))


def in_etcd(server: Etcd) -> Target:
    return naming(server, "services"), lambda: len(server.keys("services/orders/"))


async def test_what_was_registered_is_there_again_after_its_registry_was_killed_and_emptied(
    tmp_path: Path, fresh: Fresh
):
    kinds: list[tuple[Server, Callable[[Any], Target]]] = [
        (fresh(ZooKeeper), in_zookeeper),
        (fresh(Consul), in_consul),
        (fresh(Etcd), in_etcd),
    ]
    servers = {(made := target(server))[0]["name"]: (server, *made) for server, target in kinds}
    async with hub(tmp_path, zones=ZONES, registries=[section for _, section, _ in servers.values()]) as running:
        for name, (_, _, count) in servers.items():
            await running.until_state(name, "synced")
            where = ("--address", "10.7.0.1", "--port", "http:8080/http", "--registry", name, "--ttl", "10m")
            got = await running.call("register", "mesh/orders", *where, "--id", name)
            assert got.code == 0, got.err
            await until(running, count, lambda found: found == 1)
        for server, _, _ in servers.values():
            await asyncio.to_thread(server.wipe)
        for name, (_, _, count) in servers.items():
            await running.until_state(name, "synced")
            await until(running, count, lambda found: found == 1)
            got = await running.call("deregister", "mesh/orders", name, "--registry", name)
            assert got.code == 0, got.err
            await until(running, count, lambda found: found == 0)
