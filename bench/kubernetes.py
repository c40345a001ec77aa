"""Kubernetes: a change until an HTTP watcher has it, against a bare watch; and how long a first list holds up the loop.

    python -m bench kubernetes [--rounds 400] [--slices 5000] [--of-each 10] [--only visibility,stalls]

The API server is the tests' own (`tests/kube`) as a process, or a real one where `KUBEBUILDER_ASSETS` names its folder.
"""

import argparse
import asyncio
import gc
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from immutables import Map

from bench.harness.figures import conditions
from bench.harness.filled import CHANGING, address_of
from bench.harness.watchers import Sightings, events_of
from bench.visibility import compared
from pilot_plus.catalog import Catalog, Holder, Source
from pilot_plus.catalog.admission import Admission
from pilot_plus.catalog.fold import Rules
from pilot_plus.catalog.guard import Limits
from pilot_plus.ingest import Ingest, Watched
from registries.kubernetes import Settings, connect
from tests.feature.hub import hub
from tests.kube import Process, kubeconfig
from tests.kube.real import RealKube, assets
from tests.kube.rights import ADMIN
from tests.kube.world import SERVICES, SLICES

AT_ONCE = 16
MARK_SIZE = 40
Server = Process | RealKube


@contextmanager
def started() -> Iterator[tuple[Server, Path]]:
    """A server, and a kubeconfig for it."""
    with tempfile.TemporaryDirectory() as folder:
        real = assets()
        server: Server = RealKube(Path(folder), real) if real else Process(Path(folder))
        server.start()
        file = Path(folder) / "kubeconfig"
        unverified: dict[str, Any] = {"insecure-skip-tls-verify": True} if real else {}
        file.write_text(kubeconfig(server.url, **unverified))
        try:
            yield server, file
        finally:
            server.kill()


@asynccontextmanager
async def session_of(server: Server) -> AsyncIterator[aiohttp.ClientSession]:
    tls = server.tls if isinstance(server, RealKube) else None
    headers = {"Authorization": f"Bearer {ADMIN}", "Content-Type": "application/json"}
    timeout = aiohttp.ClientTimeout(total=None)
    connector = aiohttp.TCPConnector(ssl=tls or True)
    async with aiohttp.ClientSession(server.url, headers=headers, timeout=timeout, connector=connector) as session:
        yield session


def registry_of(server: Server, file: Path) -> dict[str, Any]:
    """As a hub's configuration has it."""
    allow = ["insecure"] if isinstance(server, RealKube) else []
    settings = {"kubeconfig": str(file), "allow": allow}
    return {"name": "k8s", "kind": "kubernetes", "zone": "mesh", "settings": settings}


class Writer:
    """Fills the namespace `shop`, and changes the labels of one slice."""

    def __init__(self, session: aiohttp.ClientSession, of_each: int) -> None:
        self._session = session
        self._of_each = of_each

    async def make(self, namespace: str) -> None:
        await self._send("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}})

    async def fill(self, count: int) -> None:
        await self.make("shop")
        left = iter(range(count))

        async def some() -> None:
            for n in left:
                service = {"metadata": {"name": f"svc-{n}"}, "spec": {"clusterIP": "None", "ports": [{"port": 80}]}}
                await self._send("POST", SERVICES, service)
                await self._send("POST", SLICES, self._slice(n))

        async with asyncio.TaskGroup() as tasks:
            for _ in range(AT_ONCE):
                tasks.create_task(some())

    async def write(self, mark: str) -> None:
        await self._send("PUT", f"{SLICES}/{CHANGING}-x1", self._slice(0, mark))

    def _slice(self, n: int, mark: str = "m0") -> dict[str, Any]:
        labels = {"kubernetes.io/service-name": f"svc-{n}", "team": "shop", "mark": mark}
        first = n * self._of_each
        endpoints = [
            {
                "addresses": [address_of(number + 1)],
                "conditions": {"ready": True, "serving": True, "terminating": False},
                "nodeName": f"node-{number % 50}",
                "zone": f"zone-{number % 3}",
                "targetRef": {"kind": "Pod", "namespace": "shop", "name": f"svc-{n}-7d4b9c-{number}"},
            }
            for number in range(first, first + self._of_each)
        ]
        ports = [{"name": "http", "port": 8080, "protocol": "TCP", "appProtocol": "http"}]
        meta = {"name": f"svc-{n}-x1", "labels": labels}
        return {"metadata": meta, "addressType": "IPv4", "endpoints": endpoints, "ports": ports}

    async def _send(self, method: str, path: str, body: object) -> None:
        async with self._session.request(method, path, data=msgspec.json.encode(body)) as answer:
            assert answer.status in (200, 201, 409), await answer.text()
            await answer.read()


@asynccontextmanager
async def bare_watch(server: Server) -> AsyncIterator[Sightings]:
    """The same HTTP client, which looks for the mark in what comes, and no more."""
    sightings, ready = Sightings(), asyncio.Event()
    async with session_of(server) as session, asyncio.TaskGroup() as tasks:

        async def read() -> None:
            path, chosen = "/apis/discovery.k8s.io/v1/endpointslices", f"kubernetes.io/service-name={CHANGING}"
            async with session.get(path, params={"limit": "1"}) as answer:
                version = (await answer.json())["metadata"]["resourceVersion"]
            params = {"watch": "true", "labelSelector": chosen, "resourceVersion": version}
            async with session.get(path, params=params) as answer:
                ready.set()
                tail = b""  # a mark may stand across two chunks
                async for chunk in answer.content.iter_any():
                    sightings.look(tail + chunk)
                    tail = chunk[-MARK_SIZE:]

        reading = tasks.create_task(read())
        await ready.wait()
        yield sightings
        reading.cancel()


async def visibility(rounds: int, slices: int, of_each: int) -> None:
    with started() as (server, file):
        async with session_of(server) as session:
            writer = Writer(session, of_each)
            await writer.fill(slices)
            registry = registry_of(server, file)
            with tempfile.TemporaryDirectory() as folder:
                async with hub(Path(folder), zones=[{"name": "mesh"}], registries=[registry]) as running:
                    whole = slices * of_each
                    await running.until(lambda: running.registry("k8s"), lambda one: one["instances"] >= whole)
                    await asyncio.sleep(3)  # what follows the first list: the journal's and history's first write
                    ours = lambda: events_of(running.url, "shop", CHANGING)  # noqa: E731
                    await compared("Kubernetes", writer, lambda: bare_watch(server), ours, rounds)


class Stalls:
    """How long the loop was held up, by the clock and by the CPU that its thread used meanwhile."""

    def __init__(self) -> None:
        self.longest, self.busiest = 0.0, 0.0

    async def watch(self) -> None:
        while True:
            before, used = time.perf_counter(), time.thread_time()
            await asyncio.sleep(0)
            self.longest = max(self.longest, time.perf_counter() - before)
            self.busiest = max(self.busiest, time.thread_time() - used)


async def stalls(rounds: int, slices: int, of_each: int) -> None:
    gc.set_threshold(50_000, 20, 50)  # as a hub does
    with started() as (server, file):
        async with session_of(server) as session:
            await Writer(session, of_each).fill(slices)
        for _ in range(5):
            await first_list(server, file, slices * of_each)
            gc.collect()


async def first_list(server: Server, file: Path, instances: int) -> None:
    allow = ("insecure",) if isinstance(server, RealKube) else ()
    settings = Settings(kubeconfig=str(file), namespaces=("shop",), allow=allow)  # type: ignore[arg-type]
    rules = Rules(
        Admission(cluster="east", registry="k8s", zone="east/mesh", namespace="mesh"),
        Limits(max_removal=0.5, window=30, hold_for=600, min=5),
    )
    source = Source(name="k8s", kind="kubernetes", zone="east/mesh")
    holder = Holder(Catalog(epoch="e", sources=Map({"k8s": source})))
    ingest = Ingest(holder, {"k8s": Watched("k8s", lambda: connect(settings), rules)})
    stalled = Stalls()
    begun, used = time.perf_counter(), time.process_time()
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(ingest.run()), tasks.create_task(stalled.watch())]
        while len(holder.current.sources["k8s"].instances) < instances:  # noqa: ASYNC110 - a part of the figure
            await asyncio.sleep(0.005)
        took, cpu = time.perf_counter() - begun, time.process_time() - used
        longest, busiest = stalled.longest * 1e3, stalled.busiest * 1e3
        for task in running:
            task.cancel()
    held_up = f"longest stall {longest:.0f} ms, of CPU {busiest:.0f} ms"
    print(f"listed and published in {took:.2f} s ({cpu:.2f} s of CPU, with the ticking); {held_up}")


KINDS = {"visibility": visibility, "stalls": stalls}


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=400)
    parser.add_argument("--slices", type=int, default=5000)
    parser.add_argument("--of-each", type=int, default=10)
    parser.add_argument("--only", default=",".join(KINDS))
    arguments = parser.parse_args()
    which = "a real API server" if assets() else "the tests' API server"
    print(f"kubernetes: {which}, {arguments.slices} slices of {arguments.of_each}; {conditions()}")
    for kind in arguments.only.split(","):
        await KINDS[kind](arguments.rounds, arguments.slices, arguments.of_each)


if __name__ == "__main__":
    asyncio.run(main())
