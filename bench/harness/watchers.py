"""Watchers with one harness: each says when it first saw a mark, through a registry's own watch or through the hub."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from urllib.parse import quote, urlsplit

import aiohttp
from kazoo.client import KazooClient

from bench.harness.filled import CHANGING, PREFIX
from devservers import Consul, Etcd, ZooKeeper
from registries.etcd import wire_pb2 as wire
from registries.etcd.client import open_client
from registries.etcd.methods import WATCH
from registries.etcd.settings import Settings as EtcdSettings

MARK = re.compile(rb"mark[^0-9a-z]{0,5}(m[0-9]+)")
"""In JSON (`"mark":"m7"`), and in Dubbo's quoted names (`mark%3Dm7`, whose `3D` the second pattern skips)."""
QUOTED = re.compile(rb"mark%3D(m[0-9]+)")


class Sightings:
    """When each mark was first seen."""

    def __init__(self) -> None:
        self._seen: dict[str, asyncio.Future[float]] = {}

    def of(self, mark: str) -> asyncio.Future[float]:
        """The moment (of `perf_counter`) at which a mark is seen."""
        return self._seen.setdefault(mark, asyncio.get_running_loop().create_future())

    def look(self, data: bytes) -> None:
        """Note the marks in what has just been received."""
        now = time.perf_counter()
        for pattern in (MARK, QUOTED):
            for found in pattern.findall(data):
                seen = self.of(found.decode())
                if not seen.done():
                    seen.set_result(now)


@asynccontextmanager
async def events_of(url: str, namespace: str, service: str) -> AsyncIterator[Sightings]:
    """The hub's server-sent events of one service, over a bare socket."""
    place = urlsplit(url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    path = f"/api/v1/watch?namespace={namespace}&name={quote(service, safe='')}"
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {place.netloc}\r\n\r\n".encode())
    sightings = Sightings()
    ready = asyncio.Event()

    async def read() -> None:
        while line := await reader.readline():
            if line.startswith(b"data:"):
                sightings.look(line)
                ready.set()
        raise RuntimeError("the hub ended the watch")

    try:
        async with _running(read, ready):
            yield sightings
    finally:
        writer.close()


@asynccontextmanager
async def etcd_watch(server: Etcd) -> AsyncIterator[Sightings]:
    """etcd's own watch of the changing service's prefix."""
    sightings = Sightings()
    async with etcd_events(server, f"{PREFIX}/{CHANGING}/", lambda event: sightings.look(event.kv.value)):
        yield sightings


@asynccontextmanager
async def etcd_events(server: Etcd, prefix: str, look: Callable[[wire.Event], None]) -> AsyncIterator[None]:
    """etcd's own watch of a prefix, which shows each event."""
    request = wire.WatchRequest(
        create_request=wire.WatchCreateRequest(key=prefix.encode(), range_end=f"{prefix[:-1]}0".encode())
    )
    ready = asyncio.Event()

    async def requests() -> AsyncIterator[wire.WatchRequest]:
        yield request
        await asyncio.Event().wait()

    async with open_client(
        EtcdSettings(endpoints=(server.url,), layouts=("naming",)), wire.RangeRequest(key=b"x")
    ) as client:

        async def read() -> None:
            async with client.stream(WATCH, requests()) as stream:
                while True:
                    answer = await stream.read(3600)
                    ready.set()
                    for event in answer.events:
                        look(event)

        async with _running(read, ready):
            yield


@asynccontextmanager
async def consul_query(server: Consul) -> AsyncIterator[Sightings]:
    """Consul's own blocking query of the changing service."""
    sightings, ready = Sightings(), asyncio.Event()
    async with aiohttp.ClientSession() as session:

        async def read() -> None:
            index = "0"
            while True:
                url = f"{server.url}/v1/health/service/{CHANGING}?index={index}&wait=60s"
                async with session.get(url) as answer:
                    sightings.look(await answer.read())
                    index = answer.headers["X-Consul-Index"]
                ready.set()

        async with _running(read, ready):
            yield sightings


@asynccontextmanager
async def child_watch(server: ZooKeeper, path: str) -> AsyncIterator[Sightings]:
    """ZooKeeper's own child watch, and the list that makes it usable."""
    loop, sightings = asyncio.get_running_loop(), Sightings()
    client = KazooClient(server.address)

    def look(_event: object = None) -> None:
        client.get_children_async(path, watch=look).rawlink(listed)

    def listed(answer: object) -> None:
        names = answer.get()  # type: ignore[attr-defined]
        loop.call_soon_threadsafe(sightings.look, "\n".join(names).encode())

    await asyncio.to_thread(client.start)
    try:
        look()
        await asyncio.sleep(0.2)
        yield sightings
    finally:
        await asyncio.to_thread(client.stop)
        await asyncio.to_thread(client.close)


@asynccontextmanager
async def _running(read: Callable[[], Coroutine[None, None, None]], ready: asyncio.Event) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(read())
        async with asyncio.timeout(30):
            await ready.wait()
        try:
            yield
        finally:
            task.cancel()
