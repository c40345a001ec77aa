"""Where a record lies, of registries whose keys don't say it: asked of real servers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import pytest

from devservers import Etcd, ZooKeeper
from devservers.pytest_plugin import Fresh
from pilot_plus.ports import Source
from registries import etcd, zookeeper
from tests.contract.backend_zookeeper import do_with
from tests.contract.mirror import Mirror

pytestmark = pytest.mark.live


def provider(weight: int, service: str = "com.example.Orders") -> str:
    url = f"dubbo://10.1.0.7:20880/{service}?version=1.0.0&weight={weight}"
    return f"/dubbo/{service}/providers/{quote(url, safe='')}"


@asynccontextmanager
async def followed(source: Source, count: int) -> AsyncIterator[Mirror]:
    mirror = Mirror()
    async with asyncio.TaskGroup() as tasks:
        following = tasks.create_task(mirror.follow(source))
        await mirror.until(lambda mirror: len(mirror.instances) == count)
        yield mirror
        following.cancel()


async def test_zookeeper_says_the_node_of_a_provider_and_both_while_it_is_replaced(fresh: Fresh):
    server = fresh(ZooKeeper)
    spring = b'{"name":"web","id":"1","address":"10.1.0.9","port":80,"payload":null}'

    def write(client: Any) -> None:
        for path, data in ((provider(1), b""), (provider(1, "com.example.Other"), b""), ("/services/web/1", spring)):
            client.create(path, data, makepath=True)

    await asyncio.to_thread(do_with, server, write)
    settings = zookeeper.Settings(hosts=server.address, layouts=("dubbo", "curator"))
    async with zookeeper.connect(settings) as source, followed(source, 3) as mirror:
        (key,) = (one.key for one in mirror.instances.values() if one.name == "com.example.Orders:1.0.0")
        assert await source.locate([*mirror.instances, "nothing", "/dubbo/gone@dubbo://10.0.0.1:1"]) == {
            key: [provider(1)],
            key.replace("Orders", "Other"): [provider(1, "com.example.Other")],
        }
        await asyncio.to_thread(do_with, server, lambda client: client.create(provider(2)))
        await mirror.until(lambda mirror: mirror.instances[key].weight == 2)
        assert sorted((await source.locate([key]))[key]) == [provider(1), provider(2)]


async def test_etcd_says_the_record_of_a_provider_and_of_an_upstreams_nodes(fresh: Fresh):
    server = fresh(Etcd)
    server.put(provider(1), "1")
    server.put(provider(2), "1")
    server.put("/apisix/upstreams/7", '{"name":"web","nodes":{"10.2.0.5:5":1,"10.2.0.6:6":1}}')
    server.put("services/orders/1", '{"Addr":"10.2.0.1:1"}')
    layouts = ("dubbo", "apisix", {"naming": {"prefix": "services"}})
    settings = etcd.Settings(endpoints=(server.url,), layouts=layouts)  # type: ignore[arg-type]
    async with etcd.connect(settings) as source, followed(source, 4) as mirror:
        places = await source.locate(list(mirror.instances))
    found = {mirror.instances[key].id: list(where) for key, where in places.items()}
    assert found == {
        "10.1.0.7:20880": [provider(2), provider(1)],
        "10.2.0.5:5": ["/apisix/upstreams/7"],
        "10.2.0.6:6": ["/apisix/upstreams/7"],
    }
