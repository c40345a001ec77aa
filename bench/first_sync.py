"""First sync of many instances into an empty target, against a bare client that writes the same records, in turn.

`python -m bench first_sync [--kinds etcd zookeeper …] [--instances N] [--rounds N] [--lease 15] [--profile]`

Ours is the whole path: plan, index, sink, and meanwhile the target's own source that reports every copy; the clock
stops with the last answer of the registry. The bare client has many requests on their way, each with one record: 200 at
etcd, all at ZooKeeper, 8 at Consul and PostgreSQL, one at SQLite, which knows no more. Behind a kind with a number it
writes so many records in a transaction, which is what a client made for nothing but this write would do.
"""

import argparse
import asyncio
import cProfile
import pstats
import tempfile
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp
import aiosqlite
import asyncpg
import msgspec
from immutables import Map
from kazoo.client import KazooClient

from bench.harness.figures import conditions
from devservers import Consul, Etcd, Postgres, ZooKeeper
from pilot_plus.catalog import Catalog, Holder, Source
from pilot_plus.catalog.admission import admission_of
from pilot_plus.catalog.fold import Rules
from pilot_plus.config import Config, parse
from pilot_plus.ingest import Ingest, Watched
from pilot_plus.journal import Journal
from pilot_plus.model import Instance, Port, instance
from pilot_plus.ports import Done
from pilot_plus.sync import Sync
from registries import consul, database, etcd, kubernetes, memory, zookeeper
from registries.consul.catalog_sink import NODE
from registries.consul.encode import encode as registration_of
from registries.consul.encode import lease_service
from registries.consul.preview import LEASE
from registries.database.record import encode as row_of
from registries.etcd import wire_pb2 as wire
from registries.etcd.client import open_client
from registries.etcd.copies import copy_of
from registries.etcd.methods import GRANT, TXN
from registries.kubernetes import bodies
from registries.kubernetes.bodies import Ours
from registries.kubernetes.encode import placed
from registries.kubernetes.kinds import SERVICES, SLICES
from registries.kubernetes.shelf import Shelf, arranged, front_for
from registries.zookeeper.writes import intent_of
from tests.kube import Kubectl, Process, kubeconfig
from tests.kube.real import RealKube, assets

Open = Callable[[], AbstractAsyncContextManager[Any]]
OF_EACH = 10


class Target:
    """A fresh registry, how we open it, and how a bare client writes copies into it."""

    def __init__(self, open_: Open, bare: Callable[[Sequence[Instance]], Awaitable[float]]) -> None:
        self.open = open_
        self.bare = bare


def native(n: int, protocol: str) -> Instance:
    return instance(
        key=f"svc-{n // OF_EACH}/{n}",
        name=f"com.example.Svc{n // OF_EACH}",
        id=f"svc-{n}",
        address=f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}",
        ports=[Port(protocol, 9000, protocol)],
        metadata={"team": "shop", "version": "v1", "app": f"app-{n % 50}"},
    )


# ------------------------------------------------------------------------------------------------ the bare clients


async def windowed(requests: Sequence[Any], send: Callable[[Any], Awaitable[object]], width: int) -> None:
    left = deque(requests)

    async def some() -> None:
        while left:
            await send(left.popleft())

    async with asyncio.TaskGroup() as tasks:
        for _ in range(width):
            tasks.create_task(some())


def batched(things: Sequence[Any], of_each: int) -> list[Sequence[Any]]:
    return [things[start : start + of_each] for start in range(0, len(things), of_each)]


def zookeeper_target(started: ExitStack, layout: str) -> Target:
    server = started.enter_context(ZooKeeper(java_flags=["-Xmx1g"]))
    settings = zookeeper.Settings(hosts=server.address, layouts=(layout,), session_timeout=4)
    (written,) = settings.as_written()

    def write(copies: Sequence[Instance]) -> float:
        client = KazooClient(hosts=server.address, timeout=4.0)
        client.start()
        raws = [intent_of(copy, written).raw for copy in copies]
        begun = time.perf_counter()
        made: set[str] = set()
        answers = []
        for raw in raws:
            steps = raw.path.strip("/").split("/")[:-1]
            for end in range(1, len(steps) + 1):
                parent = "/" + "/".join(steps[:end])
                if parent not in made:
                    made.add(parent)
                    answers.append(client.create_async(parent))
            answers.append(client.create_async(raw.path, raw.data, ephemeral=bool(copies[0].lease)))
        for answer in answers:
            answer.wait()
        took = time.perf_counter() - begun
        client.stop()
        client.close()
        return took

    return Target(lambda: zookeeper.connect(settings), lambda copies: asyncio.to_thread(write, copies))


def etcd_target(started: ExitStack, of_each: int) -> Target:
    server = started.enter_context(Etcd())
    settings = etcd.Settings(
        endpoints=(server.url,), layouts=({"naming": {"prefix": "services", "protocol": "http"}},), cluster="east"
    )
    (layout,) = settings.known_layouts

    async def write(copies: Sequence[Instance]) -> float:
        async with open_client(settings, wire.RangeRequest(key=b"x")) as client:
            lease = (await client.call(GRANT, wire.LeaseGrantRequest(TTL=60))).ID
            pairs = [(one.path, one.data) for one in (copy_of(layout, copy) for copy in copies)]
            begun = time.perf_counter()
            batches = batched(pairs, of_each)
            await windowed(batches, lambda batch: client.call(TXN, _puts(batch, lease)), 8 if of_each > 1 else 200)
            return time.perf_counter() - begun

    return Target(lambda: etcd.connect(settings), write)


def _puts(pairs: Sequence[tuple[bytes, bytes]], lease: int) -> wire.TxnRequest:
    operations = [
        wire.RequestOp(request_put=wire.PutRequest(key=key, value=value, lease=lease)) for key, value in pairs
    ]
    return wire.TxnRequest(success=operations)


def consul_target(started: ExitStack, write_to: str, of_each: int = 1) -> Target:
    server = started.enter_context(Consul(durable=write_to == "catalog"))
    settings = consul.Settings(url=server.url, write=write_to, connections=2000)  # type: ignore[arg-type]

    async def write(copies: Sequence[Instance]) -> float:
        lease = LEASE + "bare" if copies[0].lease else ""
        bodies = [registration_of(copy, lease) for copy in copies]
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=8)) as session:

            async def put(path: str, body: object) -> None:
                async with session.put(server.url + path, data=msgspec.json.encode(body)) as reply:
                    assert reply.status == 200, await reply.text()

            if lease:
                await put("/v1/agent/service/register", lease_service(lease, 600.0))
            begun = time.perf_counter()
            if write_to == "agent":
                await windowed(bodies, lambda body: put("/v1/agent/service/register", body), 8)
                return time.perf_counter() - begun
            await put("/v1/catalog/register", {"Node": NODE, "Address": "127.0.0.1"})
            operations = [{"Service": {"Verb": "set", "Node": NODE, "Service": _service(body)}} for body in bodies]
            await windowed(batched(operations, of_each), lambda batch: put("/v1/txn", batch), 8)
            return time.perf_counter() - begun

    return Target(lambda: consul.connect(settings), write)


def _service(body: Any) -> dict[str, object]:
    raw = msgspec.to_builtins(body)
    return {
        "Service": raw["Name"],
        **{name: raw[name] for name in ("ID", "Address", "Port", "Tags", "Meta", "Weights")},
    }


def kubernetes_target(started: ExitStack) -> Target:
    folder = Path(started.enter_context(tempfile.TemporaryDirectory()))
    real = assets()
    server = RealKube(folder, real) if real else Process(folder)
    server.start()
    started.callback(server.kill)
    tls = server.tls if isinstance(server, RealKube) else None
    unverified: dict[str, Any] = {"insecure-skip-tls-verify": True} if tls else {}
    (folder / "kubeconfig").write_text(kubeconfig(server.url, **unverified))
    settings = kubernetes.Settings(
        kubeconfig=str(folder / "kubeconfig"),
        cluster="east",
        namespaces=("b",),
        allow=("insecure",) if tls else (),
    )

    async def prepare() -> None:
        await Kubectl(server.url, tls=tls).ask("POST", "/api/v1/namespaces", {"metadata": {"name": "b"}})

    @asynccontextmanager
    async def opened() -> AsyncIterator[Any]:
        await prepare()
        async with kubernetes.connect(settings) as connected:
            yield connected

    async def write(copies: Sequence[Instance]) -> float:
        await prepare()
        bodies = _objects(copies)
        headers = {"Authorization": "Bearer admin", "Content-Type": "application/json"}
        connector = aiohttp.TCPConnector(ssl=tls or True)
        async with aiohttp.ClientSession(headers=headers, connector=connector) as session:

            async def post(one: tuple[str, bytes]) -> None:
                async with session.post(server.url + one[0], data=one[1]) as reply:
                    assert reply.status == 201, await reply.text()

            begun = time.perf_counter()
            await windowed(bodies, post, 16)
            return time.perf_counter() - begun

    return Target(opened, write)


def _objects(copies: Sequence[Instance]) -> list[tuple[str, bytes]]:
    """The Services and the slices that hold these copies, as requests."""
    by_service: dict[tuple[str, str], list[Any]] = {}
    for copy in map(placed, copies):
        by_service.setdefault(copy.service, []).append(copy)
    made = []
    for service, members in by_service.items():
        slices = arranged(Shelf(service), members, (), "east")
        front = front_for(service, slices)
        meta, body = bodies.service_of(service, front, Ours("east"), None)
        made.append((SERVICES.path(service[0]), msgspec.json.encode({"metadata": meta, **body})))
        for one in slices:
            meta, body = bodies.slice_of(service, one, Ours("east"), None)
            made.append((SLICES.path(service[0]), msgspec.json.encode({"metadata": meta, **body})))
    return made


_INSERT = "INSERT INTO registry_instances (key, namespace, name, id, lease, copied, record) VALUES (%s)"


def database_target(started: ExitStack, kind: str, of_each: int = 1) -> Target:
    if kind == "sqlite":
        folder = started.enter_context(tempfile.TemporaryDirectory())
        url = f"sqlite:///{folder}/own.db"
    else:
        options = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
        url = started.enter_context(Postgres(settings=options)).url
    settings = database.Settings(url=url)

    async def write(copies: Sequence[Instance]) -> float:
        async with database.connect(settings):
            pass  # makes the tables
        batches = batched([msgspec.structs.astuple(row_of(copy)) for copy in copies], of_each)
        if kind == "sqlite":
            return await _write_sqlite(url.removeprefix("sqlite:///"), batches)
        async with asyncpg.create_pool(url, min_size=8, max_size=8) as pool:
            begun = time.perf_counter()
            await windowed(batches, lambda batch: pool.executemany(_INSERT % "$1, $2, $3, $4, $5, $6, $7", batch), 8)
            return time.perf_counter() - begun

    return Target(lambda: database.connect(settings), write)


async def _write_sqlite(file: str, batches: Sequence[Sequence[Any]]) -> float:
    async with aiosqlite.connect(file) as connection:
        await connection.execute("PRAGMA synchronous=FULL")
        begun = time.perf_counter()
        for batch in batches:
            await connection.executemany(_INSERT % "?, ?, ?, ?, ?, ?, ?", batch)
            await connection.commit()
        return time.perf_counter() - begun


TARGETS: dict[str, tuple[Callable[[ExitStack], Target], str]] = {
    "zookeeper": (lambda started: zookeeper_target(started, "spring"), "http"),
    "dubbo": (lambda started: zookeeper_target(started, "dubbo"), "dubbo"),
    "etcd": (lambda started: etcd_target(started, 1), "http"),
    "etcd-100": (lambda started: etcd_target(started, 100), "http"),
    "consul": (lambda started: consul_target(started, "agent"), "http"),
    "catalog": (lambda started: consul_target(started, "catalog"), "http"),
    "catalog-64": (lambda started: consul_target(started, "catalog", 64), "http"),
    "kubernetes": (kubernetes_target, "http"),
    "sqlite": (lambda started: database_target(started, "sqlite"), "http"),
    "sqlite-500": (lambda started: database_target(started, "sqlite", 500), "http"),
    "postgresql": (lambda started: database_target(started, "postgresql"), "http"),
    "postgresql-500": (lambda started: database_target(started, "postgresql", 500), "http"),
}


# ------------------------------------------------------------------------------------------------ ours


def configured(lease: float) -> Config:
    rule = {"name": "all", "from": {"registries": ["from"]}, "to": "to", "lease": f"{lease or 15:g}s"}
    whole = {
        "cluster": "east",
        "zones": [{"name": "a", "reaches": ["b"]}, {"name": "b", "reaches": ["a"]}],
        "registries": [{"name": "from", "kind": "memory", "zone": "a"}, {"name": "to", "kind": "memory", "zone": "b"}],
        "sync": [rule | {"lifetime": "leased" if lease else "durable"}],
    }
    return parse(msgspec.json.encode(whole).decode(), {})


class Counting:
    """How many copies were answered with Done, what they were, and when the last one was."""

    def __init__(self, open_: Open, expected: int) -> None:
        self._open = open_
        self._expected = expected
        self._keys: set[str] = set()
        self.copies: dict[str, Instance] = {}
        self.last = 0.0
        self.all = asyncio.Event()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Any]:
        async with self._open() as opened:
            put = opened.put

            async def counted(copies: Sequence[Instance]) -> Any:
                results = await put(copies)
                self.last = time.perf_counter()
                for copy, result in zip(copies, results, strict=True):
                    if isinstance(result, Done):
                        self._keys.add(result.key)
                        self.copies[result.key] = copy
                if len(self._keys) >= self._expected:
                    self.all.set()
                return results

            opened.put = counted
            yield opened


async def ours(target: Target, count: int, protocol: str, lease: float, profile: cProfile.Profile | None) -> Any:
    """Seconds until all are written, seconds until all are in step, CPU seconds, and the copies."""
    config = configured(lease)
    store = memory.store(f"first-{time.perf_counter()}")
    store.write(*(native(n, protocol) for n in range(count)))
    counting = Counting(target.open, count)
    opens: dict[str, Open] = {"from": lambda: _memory(store), "to": target.open}
    zones = {registry.name: config.zone_of(registry) for registry in config.registries}
    sources = {name: Source(name=name, kind="memory", zone=zone) for name, zone in zones.items()}
    holder = Holder(Catalog(epoch="e", sources=Map(sources)))
    watched = {
        registry.name: Watched(registry.name, opens[registry.name], Rules(admission_of(config, registry), None))
        for registry in config.registries
    }
    with tempfile.TemporaryDirectory() as folder:
        async with Journal.open(f"sqlite:///{folder}/j.db") as journal, asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(Ingest(holder, watched).run())
            while any(source.is_stale for source in holder.current.sources.values()):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            sync = Sync(config, holder, opens | {"to": counting.open}, journal.documents, owner="hub-1")
            begun, cpu = time.perf_counter(), time.process_time()
            if profile:
                profile.enable()
            writing = tasks.create_task(sync.run())
            await counting.all.wait()
            written, cpu = counting.last - begun, time.process_time() - cpu
            while len(holder.current.sources["to"].instances) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            if profile:
                profile.disable()
            in_step = time.perf_counter() - begun
            for task in (reading, writing):
                task.cancel()
    return written, in_step, cpu, list(counting.copies.values())


@asynccontextmanager
async def _memory(store: memory.Store) -> AsyncIterator[memory.Memory]:
    yield memory.Memory(store)


async def measure(kind: str, arguments: argparse.Namespace) -> None:
    make, protocol = TARGETS[kind]
    count = arguments.instances
    figures: list[tuple[float, float, float]] = []
    bare: list[float] = []
    profile = cProfile.Profile() if arguments.profile else None
    for _ in range(arguments.rounds):
        with ExitStack() as started:
            written, in_step, cpu, copies = await ours(make(started), count, protocol, arguments.lease, profile)
        with ExitStack() as started:
            bare.append(await make(started).bare(copies))
        figures.append((written, in_step, cpu))
    written, in_step, cpu = (median(one[n] for one in figures) for n in range(3))
    bare_s = median(bare)
    print(
        f"{kind:>14}: bare {count / bare_s:7.0f}/s  ours {count / written:7.0f}/s  = {bare_s / written:4.0%}"
        f"   (in step after {in_step:.2f} s; hub {cpu / count * 1e6:.0f} µs CPU a copy)",
        flush=True,
    )
    if profile:
        pstats.Stats(profile).sort_stats(arguments.sort).print_stats(45)


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kinds", nargs="+", default=list(TARGETS), choices=list(TARGETS))
    parser.add_argument("--instances", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--lease", type=float, default=15.0)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--sort", default="tottime")
    arguments = parser.parse_args()
    print(f"first sync of {arguments.instances} instances, lease {arguments.lease:g} s; {conditions()}")
    for kind in arguments.kinds:
        await measure(kind, arguments)


if __name__ == "__main__":
    asyncio.run(main())
