"""xDS: from a write to the bytes of an update, one change to many streams, a storm of reconnects, memory of a stream.

    python -m bench xds [--only latency,fanout,storm,envoy,sustained] [--streams 1000] [--rounds 300]

latency   a write in etcd until the EDS update is at a raw client, and until etcd's own watch has it; in turn
fanout    one change to all streams, and etcd's to as many watchers; CPU is of the hub, and of etcd, per message
envoy     a write in etcd until a real Envoy's caller reaches the new endpoint
sustained 1,000 changes a second for a while
storm     all streams come at once over mutual TLS, each for 50 clusters and their endpoints; and to a bare gRPC server
          that sends the same bytes. Meanwhile `/healthz` is asked every 10 ms
"""

import argparse
import asyncio
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median

import httpx

from bench.harness import filled
from bench.harness.bare import bare_server
from bench.harness.figures import conditions, cpu_of, milliseconds, quantile, resident_of
from bench.harness.streams import port_in, requests_of, streams
from devservers import Etcd, free_port
from devservers.envoy import Envoy
from pilot_plus.quantities import Address
from pilot_plus.views.xds.resource import Type
from pilot_plus.wire.folder import Folder
from pilot_plus.wire.joining import obtain
from pilot_plus.wire.jointoken import parse_token
from pilot_plus.wire.trust import Held
from registries.etcd import wire_pb2 as wire
from registries.etcd.client import open_client
from registries.etcd.methods import WATCH
from registries.etcd.settings import Settings as EtcdSettings
from tests.feature.hub import Hub, hub
from tests.live.traffic import Backend
from tests.pilot_plus.cli.calling import Command

SERVICES = 50
EDS = (Type.ENDPOINTS,)
CLUSTER = f"http.{filled.CHANGING}.vm.mesh"
Seen = Callable[[int], None]


@asynccontextmanager
async def watching(server: Etcd, **sections: object) -> AsyncIterator[Hub]:
    with tempfile.TemporaryDirectory() as folder:
        registries = [filled.etcd_registry(server)]
        async with hub(Path(folder), zones=[{"name": "vm"}], registries=registries, **sections) as running:
            await running.until(lambda: running.registry("etcd"), lambda one: one["instances"] >= SERVICES * 10)
            yield running


async def change(writer: filled.EtcdWriter, port: int) -> None:
    value = json.dumps({"Op": 0, "Addr": f"{filled.address_of(0)}:{port}"}).encode()
    await writer.put([(f"{filled.PREFIX}/{filled.CHANGING}/{filled.address_of(0)}:9000", value)])


class Sightings:
    """When each of many has seen a port."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._port = 0
        self.at: list[float] = []
        self._all = asyncio.Event()

    def expect(self, port: int) -> None:
        self._port, self.at = port, []
        self._all.clear()

    def saw(self, port: int) -> None:
        if port == self._port:
            self.at.append(time.perf_counter())
            if len(self.at) == self._count:
                self._all.set()

    async def all(self) -> list[float]:
        async with asyncio.timeout(60):
            await self._all.wait()
        return self.at


async def rounds(writer: filled.EtcdWriter, seen: Sightings, count: int, first: int) -> list[float]:
    values: list[float] = []
    for port in range(first, first + count):
        seen.expect(port)
        begun = time.perf_counter()
        await change(writer, port)
        values += [at - begun for at in await seen.all()]
        await asyncio.sleep(0.004)
    return values


@asynccontextmanager
async def hub_streams(running: Hub, count: int) -> AsyncIterator[Sightings]:
    seen = Sightings(count)
    first = requests_of("web-7", [CLUSTER], EDS)
    async with streams(running.xds, count, first, 1, hear=lambda data: seen.saw(port_in(data))):
        yield seen


@asynccontextmanager
async def etcd_watchers(server: Etcd, count: int) -> AsyncIterator[Sightings]:
    """As many watches, each over a connection of its own."""
    seen, prefix = Sightings(count), f"{filled.PREFIX}/{filled.CHANGING}/"
    created = wire.WatchCreateRequest(key=prefix.encode(), range_end=f"{prefix[:-1]}0".encode())
    ready = [asyncio.Event() for _ in range(count)]

    async def requests() -> AsyncIterator[wire.WatchRequest]:
        yield wire.WatchRequest(create_request=created)
        await asyncio.Event().wait()

    settings = EtcdSettings(endpoints=(server.url,), layouts=("naming",))

    async def watch(is_ready: asyncio.Event) -> None:
        async with (
            open_client(settings, wire.RangeRequest(key=b"x")) as client,
            client.stream(WATCH, requests()) as stream,
        ):
            while True:
                answer = await stream.read(3600)
                is_ready.set()
                for event in answer.events:
                    seen.saw(int(json.loads(event.kv.value)["Addr"].rpartition(":")[2]))

    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(watch(one)) for one in ready]
        for one in ready:
            await one.wait()
        yield seen
        for task in running:
            task.cancel()


async def compared(server: Etcd, running: Hub, count: int, total: int) -> None:
    """In turn (A B B A), with CPU per message."""
    found: dict[str, list[float]] = {"etcd": [], "hub": []}
    cpu = dict.fromkeys(found, 0.0)
    pids = {"etcd": server.pid, "hub": running.pid}
    port = 10_000
    async with filled.etcd_writer(server) as writer:
        for leg in ("etcd", "hub", "hub", "etcd") * 2:
            opened = etcd_watchers(server, count) if leg == "etcd" else hub_streams(running, count)
            async with opened as seen:
                await rounds(writer, seen, 3, port)
                before = cpu_of(pids[leg])
                found[leg] += await rounds(writer, seen, max(1, total // 8), port + 3)
                cpu[leg] += cpu_of(pids[leg]) - before
            port += total // 8 + 10
    for name, values in found.items():
        each = cpu[name] / len(values) * 1e6
        print(f"  {name:>6} {milliseconds(values)}   CPU {each:7.1f} µs a message")
    p50 = median(found["hub"]) / median(found["etcd"])
    p99 = quantile(found["hub"], 0.99) / quantile(found["etcd"], 0.99)
    print(f"  hub / etcd: p50 {p50:.2f}  p99 {p99:.2f}")


async def latency(_streams: int, total: int) -> None:
    with Etcd() as server:
        async with filled.etcd_writer(server) as writer:
            await writer.fill(0, SERVICES * 10, 10)
        async with watching(server) as running:
            print("latency: one stream, one watcher")
            await compared(server, running, 1, total)


async def fanout(count: int, _rounds: int) -> None:
    with Etcd() as server:
        async with filled.etcd_writer(server) as writer:
            await writer.fill(0, SERVICES * 10, 10)
        async with watching(server) as running:
            print(f"fanout: {count} streams, {count} watchers")
            await compared(server, running, count, 80)


# ------------------------------------------------------------------------------------------------ storm


async def identity(running: Hub, folder: Path) -> Held:
    answer = await running.post("/tokens", {"zone": "vm", "name": "web-7"})
    return await obtain(Address(running.xds), parse_token(answer.json()["token"]), "web-7", Folder(folder))


async def asked(url: str, found: list[float]) -> None:
    """Ask whether it is well, every 10 ms."""
    async with httpx.AsyncClient(timeout=30) as client:
        while True:
            begun = time.perf_counter()
            (await client.get(f"{url}/healthz")).raise_for_status()
            found.append(time.perf_counter() - begun)
            await asyncio.sleep(0.01)


@asynccontextmanager
async def another_asks(url: str, found: list[float]) -> AsyncIterator[None]:
    """Somebody else asks meanwhile: our own loop is busy being a thousand clients."""
    code = f"import asyncio; from bench.xds import asking; asyncio.run(asking({url!r}))"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "limit": 1 << 24}
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, **pipes)  # type: ignore[arg-type]
    assert process.stdout is not None
    await process.stdout.readline()
    yield
    said, _ = await process.communicate(b"")
    found += json.loads(said)


async def asking(url: str) -> None:
    """Ask until the standard input ends; then say how long it took."""
    found: list[float] = []
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(asked(url, found))
        while len(found) < 5:  # noqa: ASYNC110 - the first answers open the connection
            await asyncio.sleep(0.01)
        found.clear()
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)
        task.cancel()
    print(json.dumps(found))


async def storm(count: int, _rounds: int) -> None:
    types = (Type.CLUSTER, Type.ENDPOINTS)
    names = [f"http.svc-{n}.vm.mesh" for n in range(SERVICES)]
    first = requests_of("web-7", names, types)
    with Etcd() as server, tempfile.TemporaryDirectory() as folder:
        async with filled.etcd_writer(server) as writer:
            await writer.fill(0, SERVICES * 10, 10)
        async with watching(server, identity={"tls": True}) as running:
            held = await identity(running, Path(folder) / "hub")
            async with streams(running.xds, 1, first, len(types), held) as (one, _seconds):
                bodies = [data.hex() for data in one[0].heard]
            ours: list[float] = []
            bare: list[float] = []
            health: list[float] = []
            weights: list[float] = []
            bare_weights: list[float] = []
            for leg in "ABBAAB":
                if leg == "A":
                    running.end(signal.SIGKILL)
                    running.start()
                    await running.until_state("etcd", "synced")
                    async with streams(running.xds, 1, first, len(types), held):
                        pass
                    pid = running.pid
                    before = resident_of(pid)
                    async with (
                        another_asks(running.url, health),
                        streams(running.xds, count, first, len(types), held) as (_clients, seconds),
                    ):
                        ours.append(seconds)
                        weights.append((resident_of(pid) - before) / count)
                else:
                    async with bare_server(bodies, Path(folder) / "bare") as (address, pid, whose):
                        async with streams(address, 1, first, len(types), whose):
                            pass
                        before = resident_of(pid)
                        async with streams(address, count, first, len(types), whose) as (_clients, seconds):
                            bare.append(seconds)
                            bare_weights.append((resident_of(pid) - before) / count)
    size = sum(len(body) // 2 for body in bodies)
    print(f"storm: {count} streams over mutual TLS, {SERVICES} services, {size} bytes each")
    print(f"  all accepted: hub {median(ours):.2f} s ({', '.join(f'{one:.2f}' for one in ours)})")
    print(f"                bare server {median(bare):.2f} s ({', '.join(f'{one:.2f}' for one in bare)})")
    print(f"                ratio {median(ours) / median(bare):.2f}")
    print(f"  health: {milliseconds(health)}  longest {max(health) * 1e3:.0f} ms, {len(health)} times")
    print(f"  memory: {median(weights) / 1000:.0f} KB a stream, bare server {median(bare_weights) / 1000:.0f} KB")


# ------------------------------------------------------------------------------------------------ Envoy, and a long run


async def envoy(_streams: int, total: int) -> None:
    """From a write in etcd to the first answer of the new endpoint by a real Envoy, and the last of the old one."""
    outbound = f"127.0.0.1:{free_port()}"
    first: list[float] = []
    late: list[float] = []
    with Etcd() as server:
        async with Backend("one") as one, Backend("two") as two, filled.etcd_writer(server) as writer:
            await point(writer, one.port)
            await writer.fill(10, SERVICES * 10 + 10, 10)
            async with watching(server) as running:
                words = ("bootstrap", "envoy", "--hub", running.xds, "--zone", "vm", "--outbound", outbound)
                made = await Command(running.url)(*words)
                with Envoy(json.loads(made.out)):
                    for n in range(min(total, 100)):
                        await switched(writer, (two, one)[n % 2], outbound, first, late)
    print(f"envoy: {len(first)} switches between two endpoints")
    print(f"  write to the first answer of the new {milliseconds(first)}")
    print(f"  answers of the old one after it: {len(late)}, longest after {max(late, default=0) * 1e3:.1f} ms")


async def point(writer: filled.EtcdWriter, port: int) -> None:
    value = json.dumps({"Op": 0, "Addr": f"127.0.0.1:{port}"}).encode()
    await writer.put([(f"{filled.PREFIX}/{filled.CHANGING}/one", value)])


async def switched(
    writer: filled.EtcdWriter, to: Backend, outbound: str, first: list[float], late: list[float]
) -> None:
    """One switch, under a steady stream of requests."""
    async with httpx.AsyncClient(headers={"Host": f"{filled.CHANGING}.vm.mesh"}) as client:
        (await client.get(f"http://{outbound}/")).raise_for_status()
        begun = time.perf_counter()
        await point(writer, to.port)
        seen = 0.0
        while not seen or time.perf_counter() - seen < 0.15:
            answer = await client.get(f"http://{outbound}/")
            now = time.perf_counter()
            if answer.status_code != 200:
                raise RuntimeError(f"a call failed: {answer.status_code} {answer.text}")
            if answer.text == to.name:
                seen = seen or now
            elif seen:
                late.append(now - seen)
        first.append(seen - begun)


async def sustained(_streams: int, _rounds: int, seconds: int = 60, rate: int = 1000) -> None:
    """So many changes a second, to 100 streams of 10 services each."""
    delays: list[float] = []
    written: dict[int, float] = {}
    with Etcd() as server:
        async with filled.etcd_writer(server) as writer:
            await writer.fill(0, SERVICES * 10, 10)
            async with watching(server) as running:

                def hear(data: bytes) -> None:
                    at = written.get(port_in(data))
                    if at is not None:
                        delays.append(time.perf_counter() - at)

                names = [f"http.svc-{n}.vm.mesh" for n in range(10)]
                async with streams(running.xds, 100, requests_of("web-7", names, EDS), 1, hear=hear):
                    sizes = []
                    begun = time.perf_counter()
                    for n in range(seconds * rate // 10):
                        port = 10_000 + n % 50_000
                        written[port] = time.perf_counter()
                        pairs = [
                            (f"{filled.PREFIX}/svc-{s}/{filled.address_of(s * 10)}:9000", value_of(s, port))
                            for s in range(n % 5 * 10, n % 5 * 10 + 10)
                        ]
                        await writer.put(pairs)
                        sizes.append(resident_of(running.pid))
                        await asyncio.sleep(max(0.0, begun + (n + 1) * 10 / rate - time.perf_counter()))
                    took = time.perf_counter() - begun
    drift = sizes[-1] / sizes[len(sizes) // 3] - 1
    print(f"sustained: {seconds * rate / took:.0f} changes a second for {took:.0f} s, 100 streams of 10 services")
    print(f"  {milliseconds(delays)}   resident memory drifts {drift * 100:+.1f} % after the first third")


def value_of(service: int, port: int) -> bytes:
    return json.dumps({"Op": 0, "Addr": f"{filled.address_of(service * 10)}:{port}"}).encode()


PARTS: dict[str, Callable[[int, int], Awaitable[None]]] = {
    "latency": latency,
    "fanout": fanout,
    "storm": storm,
    "envoy": envoy,
    "sustained": sustained,
}


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default=",".join(PARTS))
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=320)
    arguments = parser.parse_args()
    print(f"xds: {conditions()}")
    for part in arguments.only.split(","):
        await PARTS[part](arguments.streams, arguments.rounds)


if __name__ == "__main__":
    asyncio.run(main())
