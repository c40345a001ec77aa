"""Sync over real servers: what one registry knows is found in the others; nothing loops, flaps or is lost."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from devservers.consul import Consul
from devservers.etcd import Etcd
from devservers.zookeeper import ZooKeeper
from pilot_plus.catalog import Entry
from pilot_plus.model import Instance, Port, instance
from pilot_plus.ports import Done, Sink
from registries import consul as consul_kind
from registries import database as database_kind
from registries import etcd as etcd_kind
from registries import zookeeper as zookeeper_kind
from registries.layouts.layout import LayoutSetting
from tests.contract.backend_zookeeper import plain_client
from tests.pilot_plus.sync.hubs import Documents, Hub, configured, until

pytestmark = pytest.mark.live

PLACES = {"zk": "legacy", "etcd": "grid", "consul": "vm", "own": "mesh"}
RING = [
    {"name": f"{one}-{other}", "from": {"services": ["*/*"]}, "to": other}
    for one, other in zip(PLACES, [*list(PLACES)[1:], next(iter(PLACES))], strict=True)
]


class Real:
    """Four servers, and how each is opened."""

    def __init__(self, zookeeper: ZooKeeper, etcd: Etcd, consul: Consul, database: Path) -> None:
        self.zookeeper, self.etcd, self.consul = zookeeper, etcd, consul
        naming: LayoutSetting = {"naming": {"prefix": "services", "protocol": "http"}}
        zk = zookeeper_kind.Settings(hosts=zookeeper.address, layouts=("spring",), session_timeout=4)
        kv = etcd_kind.Settings(endpoints=(etcd.url,), layouts=(naming,), silence=3)
        agent = consul_kind.Settings(url=consul.url)
        own = database_kind.Settings(url=f"sqlite:///{database}")
        self.opened: dict[str, Callable[[], AbstractAsyncContextManager[Any]]] = {
            "zk": lambda: zookeeper_kind.connect(zk),
            "etcd": lambda: etcd_kind.connect(kv),
            "consul": lambda: consul_kind.connect(agent),
            "own": lambda: database_kind.connect(own),
        }


@contextmanager
def servers(tmp_path: Path) -> Iterator[Real]:
    with ExitStack() as started:
        zookeeper, etcd, consul = ZooKeeper(), Etcd(), Consul(durable=False)
        for server in (zookeeper, etcd, consul):
            started.enter_context(server)
        yield Real(zookeeper, etcd, consul, tmp_path / "own.db")


@pytest.fixture
def real(tmp_path: Path) -> Iterator[Real]:
    with servers(tmp_path) as made:
        yield made


@asynccontextmanager
async def running(
    real: Real, rules: Sequence[Mapping[str, object]], documents: Documents, owner: str
) -> AsyncIterator[Hub]:
    hub = Hub(configured(PLACES, rules), real, documents, owner, guard=False)  # type: ignore[arg-type]
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(hub.run())
        try:
            yield hub
        finally:
            task.cancel()


class Somebody:
    """Who writes into the registries without us."""

    def __init__(self, sinks: Mapping[str, Sink]) -> None:
        self._sinks = sinks
        self._keys: dict[tuple[str, str, int], str] = {}

    async def write(self, registry: str, service: str, number: int, weight: int = 100) -> None:
        found = native(registry, service, number, weight)
        (result,) = await self._sinks[registry].put([found])
        assert isinstance(result, Done), result
        self._keys[registry, service, number] = result.key

    async def remove(self, registry: str, service: str, number: int) -> None:
        (result,) = await self._sinks[registry].drop([self._keys.pop((registry, service, number))])
        assert isinstance(result, Done), result


@asynccontextmanager
async def somebody(real: Real) -> AsyncIterator[Somebody]:
    async with AsyncExitStack() as opened:
        yield Somebody({name: await opened.enter_async_context(open_()) for name, open_ in real.opened.items()})


def native(registry: str, service: str, number: int, weight: int = 100) -> Instance:
    address = f"10.{1 + list(PLACES).index(registry)}.0.{number}"
    return instance(
        key="",
        namespace=PLACES[registry],
        name=service,
        id=f"{service}-{number}",
        address=address,
        ports=[Port("http", 8080, "http")],
        weight=weight,
        metadata={"team": "shop"},
    )


def held(hub: Hub, registry: str) -> set[tuple[str, str, str]]:
    """What the hub sees in a registry: service, address, and where it originates."""
    source = hub.holder.current.sources[registry]
    return {(one.name, one.address, one.origin.registry) for one in source.instances.values()}


def everything(truth: Mapping[str, set[tuple[str, int]]]) -> set[tuple[str, str, str]]:
    return {
        (service, native(registry, service, number).address, registry)
        for registry, natives in truth.items()
        for service, number in natives
    }


async def until_all_hold(hub: Hub, truth: Mapping[str, set[tuple[str, int]]]) -> None:
    wanted = everything(truth)
    await until(
        lambda: all(held(hub, name) == wanted for name in PLACES),
        lambda: {name: (held(hub, name) - wanted, wanted - held(hub, name)) for name in PLACES},
        patience=30,
    )


async def until_nothing_is_written(hub: Hub, seconds: float = 1.0) -> None:
    """Wait until the hub has written nothing for a while: what a source says in answer to a write has come by then."""
    loop = asyncio.get_running_loop()
    before, since = hub.writes, loop.time()
    async with asyncio.timeout(30):
        while loop.time() - since < seconds:
            await asyncio.sleep(0.05)
            if hub.writes != before:
                before, since = hub.writes, loop.time()


async def test_in_a_ring_of_four_kinds_everything_is_everywhere_once(real: Real):
    documents = Documents()
    truth: dict[str, set[tuple[str, int]]] = {name: {(f"of-{name}", 1), (f"of-{name}", 2)} for name in PLACES}
    async with somebody(real) as people:
        for registry, natives in truth.items():
            for service, number in natives:
                await people.write(registry, service, number)
        async with running(real, RING, documents, "hub-1") as hub:
            await until_all_hold(hub, truth)
            for turn in range(3):
                for registry in PLACES:
                    await people.write(registry, f"of-{registry}", 10 + turn)
                    await people.remove(registry, f"of-{registry}", 1 if turn == 0 else 9 + turn)
                    truth[registry] -= {(f"of-{registry}", 1), (f"of-{registry}", 9 + turn)}
                    truth[registry] |= {(f"of-{registry}", 10 + turn)}
                await until_all_hold(hub, truth)
            await until_nothing_is_written(hub)
            assert {status.state for status in hub.sync.status().sync} == {"in_step"}, hub.sync.status()
            assert not (await hub.sync.plan()).has_work
        async with watching(real) as seen, running(real, RING, documents, "hub-2") as hub:
            await until_all_hold(hub, truth)
            await until_nothing_is_written(hub)
            await asyncio.sleep(6)  # longer than the session of the first hub lives
            await until_all_hold(hub, truth)
            assert hub.writes <= len(everything(truth)) - len(truth["zk"])  # ZooKeeper's copies, taken over
        assert set(seen) == {len(everything(truth))}


@asynccontextmanager
async def watching(real: Real) -> AsyncIterator[list[int]]:
    """How many instances ZooKeeper, whose copies belong to sessions, has at every moment, as somebody lists them."""
    seen: list[int] = []

    async def look() -> None:
        with plain_client(real.zookeeper) as client:
            while True:
                services = client.get_children("/services")
                seen.append(sum(len(client.get_children(f"/services/{service}")) for service in services))
                await asyncio.sleep(0.05)

    async with asyncio.TaskGroup() as tasks:
        looking = tasks.create_task(look())
        try:
            yield seen
        finally:
            looking.cancel()


async def test_every_kind_comes_back_and_is_put_right(real: Real):
    truth: dict[str, set[tuple[str, int]]] = {name: {(f"of-{name}", 1)} for name in PLACES}
    async with somebody(real) as people:
        for registry in PLACES:
            await people.write(registry, f"of-{registry}", 1)
        async with running(real, RING, Documents(), "hub-1") as hub:
            await until_all_hold(hub, truth)
            real.zookeeper.kill()
            real.etcd.kill()
            await until(lambda: all(hub.holder.current.sources[name].is_stale for name in ("zk", "etcd")), patience=30)
            await people.write("own", "of-own", 2)
            truth["own"] |= {("of-own", 2)}
            await asyncio.to_thread(real.zookeeper.start_again)
            await asyncio.to_thread(real.etcd.start_again)
            await until_all_hold(hub, truth)


async def test_a_deleted_and_an_edited_copy_are_repaired_in_every_kind(real: Real):
    truth: dict[str, set[tuple[str, int]]] = {name: {(f"of-{name}", 1)} for name in PLACES}
    async with somebody(real) as people:
        for registry in PLACES:
            await people.write(registry, f"of-{registry}", 1)
        async with running(real, RING, Documents(), "hub-1") as hub:
            await until_all_hold(hub, truth)
            await asyncio.to_thread(real.etcd.delete, "services/of-zk/10.1.0.1:8080")
            copy = _in(hub, "consul", "of-zk")
            await asyncio.to_thread(real.consul.deregister, copy.key.rpartition("/")[2])
            await until(lambda: _entry(hub, "vm/of-zk") is None or _in(hub, "consul", "of-zk") != copy, patience=10)
            await until_all_hold(hub, truth)


async def test_leased_copies_end_when_the_hub_is_gone_for_good(real: Real):
    rules = [
        {"name": f"to-{name}", "from": {"registries": ["own"]}, "to": name, "lease": "3s"} for name in ("zk", "etcd")
    ]
    async with somebody(real) as people:
        await people.write("own", "orders", 1)
        async with running(real, rules, Documents(), "hub-1") as hub:
            await until(lambda: held(hub, "zk") and held(hub, "etcd"), patience=60)
        async with running(real, [], Documents(), "watcher") as watcher:
            await until(lambda: watcher.holder.current.sources["etcd"].heard is not None, patience=10)
            hub_gone = lambda: not held(watcher, "zk") and not held(watcher, "etcd")  # noqa: E731
            await until(hub_gone, patience=30)


def _entry(hub: Hub, service: str) -> Entry | None:
    return hub.holder.current.entries.get(service)


def _in(hub: Hub, registry: str, name: str) -> Instance:
    (found,) = [one for one in hub.holder.current.sources[registry].instances.values() if one.name == name]
    return found


async def test_of_two_hubs_with_the_same_rule_one_writes_into_etcd_and_the_other_takes_over(real: Real):
    rules = [{"name": "r", "from": {"registries": ["own"]}, "to": "etcd", "lease": "6s"}]
    async with somebody(real) as people:
        await people.write("own", "orders", 1)
        first = running(real, rules, Documents(), "one")
        one = await first.__aenter__()
        await until(lambda: held(one, "etcd"), patience=60)
        async with running(real, rules, Documents(), "two") as two:
            await until(lambda: two.status("r").state == "standing_by", patience=60)
            for number in range(2, 12):
                await people.write("own", "orders", number)
            await until(lambda: len(held(two, "etcd")) == 11, patience=60)
            assert two.writes == 0
            await first.__aexit__(None, None, None)
            await people.write("own", "orders", 12)
            await until(lambda: len(held(two, "etcd")) == 12, patience=60)
            await asyncio.sleep(7)  # longer than the leases of the first hub live
            assert len(held(two, "etcd")) == 12
