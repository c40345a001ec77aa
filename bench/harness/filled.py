"""Registries filled with many services, quickly, and one change of one instance at a time."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from itertools import islice
from typing import Any, Protocol
from urllib.parse import quote

import aiohttp
from kazoo.client import KazooClient

from devservers import Consul, Etcd, ZooKeeper
from registries.etcd import wire_pb2 as wire
from registries.etcd.client import Client, open_client
from registries.etcd.methods import TXN
from registries.etcd.settings import Settings as EtcdSettings

PREFIX = "services"
ROOT = "/bench"
CHANGING = "svc-0"
"""The service of which an instance changes."""


def address_of(n: int) -> str:
    return f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}"


class Writer(Protocol):
    """Changes one instance of `CHANGING`, so that its record holds a mark."""

    async def write(self, mark: str) -> None: ...


def naming(n: int, mark: str = "") -> bytes:
    """The value of an instance in etcd's client naming."""
    metadata = {"team": "shop", "version": "v1", "mark": mark}
    return json.dumps({"Op": 0, "Addr": f"{address_of(n)}:9000", "Metadata": metadata}).encode()


class EtcdWriter:
    def __init__(self, client: Client) -> None:
        self.client = client
        self.of_each = 10

    async def put(self, pairs: list[tuple[str, bytes]]) -> None:
        operations = [
            wire.RequestOp(request_put=wire.PutRequest(key=key.encode(), value=value)) for key, value in pairs
        ]
        await self.client.call(TXN, wire.TxnRequest(success=operations))

    async def delete(self, key: str) -> None:
        operation = wire.RequestOp(request_delete_range=wire.DeleteRangeRequest(key=key.encode()))
        await self.client.call(TXN, wire.TxnRequest(success=[operation]))

    async def write(self, mark: str) -> None:
        await self.put([(f"{PREFIX}/{CHANGING}/{address_of(0)}:9000", naming(0, mark))])

    async def put_all(self, marked: Iterable[tuple[int, str]]) -> None:
        """Change these instances, where there are `self.of_each` in a service."""
        left = iter(marked)
        while chunk := list(islice(left, 100)):
            await self.put(
                [(f"{PREFIX}/svc-{n // self.of_each}/{address_of(n)}:9000", naming(n, mark)) for n, mark in chunk]
            )

    async def fill(self, first: int, last: int, of_each: int) -> None:
        """Instances from `first` to `last`, `of_each` in a service."""
        self.of_each = of_each
        for start in range(first, last, 100):
            numbers = range(start, min(start + 100, last))
            await self.put([(f"{PREFIX}/svc-{n // of_each}/{address_of(n)}:9000", naming(n)) for n in numbers])


@asynccontextmanager
async def etcd_writer(server: Etcd) -> AsyncIterator[EtcdWriter]:
    async with open_client(
        EtcdSettings(endpoints=(server.url,), layouts=("naming",)), wire.RangeRequest(key=b"x")
    ) as client:
        yield EtcdWriter(client)


def etcd_registry(server: Etcd) -> dict[str, Any]:
    layouts = [{"naming": {"prefix": PREFIX, "protocol": "http"}}]
    return {"name": "etcd", "kind": "etcd", "zone": "vm", "settings": {"endpoints": [server.url], "layouts": layouts}}


def dubbo_url(n: int, service: str, mark: str = "") -> str:
    return (
        f"dubbo://{address_of(n)}:20880/{service}?application=app&interface={service}&methods=find,save"
        f"&side=provider&timestamp=1700000000000&version=1.0.0&mark={mark}"
    )


class ZooKeeperWriter:
    def __init__(self, client: KazooClient) -> None:
        self.client = client
        self._path = ""

    def providers(self, service: str) -> str:
        return f"{ROOT}/{service}/providers"

    async def write(self, mark: str) -> None:
        """Another instance takes the place of the one before: Dubbo's records lie in the names of nodes."""
        before = self._path
        self._path = f"{self.providers(CHANGING)}/{quote(dubbo_url(10_000_000, CHANGING, mark), safe='')}"
        change = self.client.transaction()
        change.create(self._path)
        if before:
            change.delete(before)
        pending = change.commit_async()
        await asyncio.to_thread(pending.get, timeout=10)

    async def fill(self, services: int, of_each: int) -> None:
        def filled() -> None:
            self.client.ensure_path(ROOT)
            for service in (f"svc-{s}" for s in range(services)):
                change = self.client.transaction()
                change.create(f"{ROOT}/{service}")
                change.create(self.providers(service))
                first = int(service[4:]) * of_each
                for n in range(first, first + of_each):
                    change.create(f"{self.providers(service)}/{quote(dubbo_url(n, service), safe='')}")
                change.commit_async()
            self.client.get(ROOT)

        await asyncio.to_thread(filled)


@asynccontextmanager
async def zookeeper_writer(server: ZooKeeper) -> AsyncIterator[ZooKeeperWriter]:
    client = KazooClient(server.address)
    await asyncio.to_thread(client.start)
    try:
        yield ZooKeeperWriter(client)
    finally:
        await asyncio.to_thread(client.stop)
        await asyncio.to_thread(client.close)


def zookeeper_registry(server: ZooKeeper) -> dict[str, Any]:
    settings = {"hosts": server.address, "layouts": [{"dubbo": {"root": ROOT}}]}
    return {"name": "zk", "kind": "zookeeper", "zone": "vm", "settings": settings}


class ConsulWriter:
    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self.session = session

    async def put(self, path: str, body: object) -> None:
        async with self.session.put(f"{self.url}{path}", json=body) as answer:
            if answer.status != 200:
                raise RuntimeError(f"Consul refuses {path}: {answer.status} {await answer.text()}")

    async def register(self, service: str, n: int, mark: str = "") -> None:
        meta = {"team": "shop", "version": "v1", "mark": mark}
        body = {"ID": f"{service}-{n}", "Name": service, "Address": address_of(n), "Port": 8080, "Meta": meta}
        await self.put("/v1/agent/service/register", body)

    async def write(self, mark: str) -> None:
        await self.register(CHANGING, 0, mark)

    async def fill(self, services: int, of_each: int) -> None:
        """The changing service at the agent, the others in the catalog on a node of their own, which is far quicker."""
        for n in range(of_each):
            await self.register(CHANGING, n)
        await self.put("/v1/catalog/register", {"Node": "bench", "Address": "10.9.9.9"})
        numbers = range(of_each, services * of_each)
        operations = [
            {
                "Service": {
                    "Verb": "set",
                    "Node": "bench",
                    "Service": {
                        "ID": f"i-{n}",
                        "Service": f"svc-{n // of_each}",
                        "Address": address_of(n),
                        "Port": 8080,
                        "Meta": {"team": "shop", "version": "v1"},
                    },
                }
            }
            for n in numbers
        ]
        for start in range(0, len(operations), 64):
            await self.put("/v1/txn", operations[start : start + 64])


@asynccontextmanager
async def consul_writer(server: Consul) -> AsyncIterator[ConsulWriter]:
    async with aiohttp.ClientSession() as session:
        yield ConsulWriter(server.url, session)


def consul_registry(server: Consul, connections: int = 150) -> dict[str, Any]:
    return {
        "name": "consul",
        "kind": "consul",
        "zone": "vm",
        "settings": {"url": server.url, "connections": connections},
    }
