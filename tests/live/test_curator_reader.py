"""Proof with a reader that isn't ours: Apache Curator's discovery library finds what the sink has written."""

import asyncio
from pathlib import Path

import pytest

from devservers.java import compile_java, curator_classpath
from devservers.zookeeper import ZooKeeper
from pilot_plus.model import Origin, Port, instance
from pilot_plus.ports import Done
from registries.zookeeper import Settings, connect

pytestmark = pytest.mark.live


async def test_curator_reads_what_we_wrote(zookeeper: ZooKeeper):
    reader = compile_java(Path(__file__).with_name("CuratorReader.java"), curator_classpath())
    copies = [
        instance(
            key="k",
            name="orders",
            id=f"orders-{number}",
            address=f"10.1.0.{number}",
            ports=[Port("http", 8080, "http")],
            metadata={"team": "shop"} if number == 1 else {},
            origin=Origin("east", "consul", "orders-1") if number == 1 else Origin(),
            lease=15.0,
        )
        for number in (1, 2)
    ]
    settings = Settings(hosts=zookeeper.address, layouts=({"curator": {"root": "/curator-reads"}},))
    async with connect(settings) as sink:
        results = await sink.put(copies)
        assert [type(result) for result in results] == [Done, Done]
        said = await asyncio.to_thread(reader.run, zookeeper.address, "/curator-reads", "orders")
        await sink.drop([result.key for result in results if isinstance(result, Done)])
    assert sorted(line for line in said.splitlines() if line.startswith(("names", "orders"))) == [
        "names [orders]",
        "orders-1 10.1.0.1:8080 {pilot-plus-origin=east|consul|orders-1|, team=shop}",
        "orders-2 10.1.0.2:8080 null",
    ]
