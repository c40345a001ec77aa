"""What was registered through the hub lies in its registry again after that was killed and emptied."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from devservers import Consul, Etcd, ZooKeeper
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


KINDS: dict[str, tuple[Callable[..., Any], Callable[[Any], Target]]] = {
    "zookeeper": (ZooKeeper, in_zookeeper),
    "consul": (Consul, in_consul),
    "etcd": (Etcd, in_etcd),
}


@pytest.mark.parametrize("kind", list(KINDS))
async def test_what_was_registered_is_there_again_after_its_registry_was_killed_and_emptied(
    tmp_path: Path, fresh: Fresh, kind: str
):
    make, target = KINDS[kind]
    server = fresh(make)
    section, count = target(server)
    name = section["name"]
    async with hub(tmp_path, zones=ZONES, registries=[section]) as running:
        await running.until_state(name, "synced")
        where = ("--address", "10.7.0.1", "--port", "http:8080/http", "--registry", name, "--ttl", "10m", "--id", "x")
        got = await running.call("register", "mesh/orders", *where)
        assert got.code == 0, got.err
        await until(running, count, lambda found: found == 1)
        server.wipe()
        await running.until_state(name, "synced")
        await until(running, count, lambda found: found == 1)
        got = await running.call("deregister", "mesh/orders", "x", "--registry", name)
        assert got.code == 0, got.err
        await until(running, count, lambda found: found == 0)
