"""Registries that are written into: by the hub, and by whoever knows them best."""

import asyncio
import tempfile
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import aiosqlite
import asyncpg
import msgspec
from kazoo.client import KazooClient

from devservers import Consul, Etcd, Postgres, ZooKeeper
from pilot_plus.model import Instance, Port, instance
from registries import consul, database, etcd, kubernetes, zookeeper
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
