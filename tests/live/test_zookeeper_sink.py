"""Writing into ZooKeeper: what is put comes back, and nobody else's record is touched."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from urllib.parse import quote

import msgspec
import pytest

from devservers.fault_proxy import FaultProxy
from devservers.pytest_plugin import Fresh
from devservers.zookeeper import ZooKeeper
from pilot_plus.model import Alive, Drop, Health, Instance, Origin, Port, Put, instance
from pilot_plus.ports import Done, Failed, Refused, Sink, SourceLost
from registries.layouts.layout import LayoutSetting
from registries.zookeeper import Settings, Zookeeper, connect
from tests.contract.backend_zookeeper import plain_client
from tests.contract.mirror import Mirror
from tests.live.test_zookeeper import end_session

pytestmark = pytest.mark.live

PROTOCOLS = {"dubbo": "dubbo", "spring": "http", "curator": "unknown", "sofarpc": "bolt", "dubbo3": "tri"}


def settings(server: ZooKeeper, root: str, *layouts: str, address: str = "") -> Settings:
    chosen: list[LayoutSetting] = [{name: {"root": f"{root}/{name}"}} for name in layouts]
    return Settings(hosts=address or server.address, layouts=tuple(chosen), session_timeout=4)


def copy(layout: str = "dubbo", number: int = 1, **fields: Any) -> Instance:
    protocol = PROTOCOLS.get(layout, "http")
    known: dict[str, Any] = {
        "key": "k",
        "name": "com.example.Orders",
        "id": f"10.1.0.{number}:8080",
        "address": f"10.1.0.{number}",
        "ports": [Port(protocol, 8080, protocol)],
        "metadata": {"team": "shop"},
        "origin": Origin("east", "consul", f"orders-{number}", ("north",)),
        "zone": "east/vm",
        "layout": layout,
        "lease": 15.0,
    }
    return instance(**(known | fields))


@asynccontextmanager
async def mirrored(chosen: Settings) -> AsyncIterator[tuple[Mirror, Zookeeper]]:
    """A sink, and what a source of its own says meanwhile."""
    mirror = Mirror()
    async with connect(chosen) as sink, connect(chosen) as source, asyncio.TaskGroup() as tasks:
        follow = tasks.create_task(mirror.follow(source))
        try:
            await mirror.until_synced()
            yield mirror, sink
        finally:
            follow.cancel()


def nodes(server: ZooKeeper, path: str) -> dict[str, tuple[bytes, Any]]:
    with plain_client(server) as client:
        return {name: client.get(f"{path}/{name}") for name in client.get_children(path)}


async def put(sink: Sink, *instances: Instance) -> list[str]:
    results = await sink.put(instances)
    assert all(isinstance(result, Done) for result in results), results
    return [result.key for result in results if isinstance(result, Done)]


@pytest.mark.parametrize("lease", [15.0, 0.0], ids=["leased", "durable"])
@pytest.mark.parametrize("layout", list(PROTOCOLS))
async def test_what_is_put_comes_back_with_its_origin(zookeeper: ZooKeeper, layout: str, lease: float):
    async with mirrored(settings(zookeeper, f"/back-{lease:g}", layout)) as (mirror, sink):
        one = copy(layout, lease=lease)
        (key,) = await put(sink, one)
        await mirror.until(lambda m: set(m.instances) == {key})
        assert mirror.instances[key] == msgspec.structs.replace(one, key=key, lease=0.0)
        assert await sink.drop([key]) == [Done(key)]
        await mirror.until(lambda m: not m.instances)
        assert await sink.drop([key]) == [Done(key)]


@pytest.mark.parametrize("layout", list(PROTOCOLS))
async def test_a_change_is_one_put_and_leaves_one_node(zookeeper: ZooKeeper, layout: str):
    async with mirrored(settings(zookeeper, "/change", layout)) as (mirror, sink):
        await put(sink, copy(layout))
        (key,) = await put(sink, copy(layout, metadata={"team": "web"}))
        await mirror.until(lambda m: [one.meta("team") for one in m.instances.values()] == ["web"])
        assert not [update for update in mirror.heard if isinstance(update, Drop) and update.key == key]
        await sink.drop([key])
        await mirror.until(lambda m: not m.instances)


@pytest.mark.parametrize("layout", list(PROTOCOLS))
async def test_the_same_again_writes_nothing(zookeeper: ZooKeeper, layout: str):
    chosen = settings(zookeeper, "/same", layout)
    async with connect(chosen) as sink:
        instances = [copy(layout, number, lease=float(number % 2)) for number in range(1, 9)]
        await put(sink, *instances)
        before = zookeeper.ask("srvr").partition("Zxid: ")[2].partition("\n")[0]
        keys = await put(sink, *instances)
        async with connect(chosen) as another:
            await put(another, *[one for one in instances if not one.lease])
        after = zookeeper.ask("srvr").partition("Zxid: ")[2].partition("\n")[0]
        assert int(after, 16) - int(before, 16) <= 2, "more than a session's begin and end"
        await sink.drop(keys)


async def test_a_foreign_record_is_a_conflict_and_is_left_alone(zookeeper: ZooKeeper):
    url = quote("dubbo://10.1.0.1:8080/com.example.Orders?weight=7", safe="")
    spring = b'{"name":"com.example.Orders","id":"10.1.0.1:8080","address":"9.9.9.9","port":1,"payload":'
    spring += b'{"@class":"org.springframework.cloud.zookeeper.discovery.ZookeeperInstance"}}'
    there = {
        f"/foreign/dubbo/com.example.Orders/providers/{url}": b"",
        "/foreign/spring/com.example.Orders/10.1.0.1:8080": spring,
    }
    with plain_client(zookeeper) as client:
        for path, data in there.items():
            client.create(path, data, makepath=True)
    async with connect(settings(zookeeper, "/foreign", "dubbo", "spring")) as sink:
        for lease in (0.0, 15.0):
            for result in await sink.put([copy("dubbo", lease=lease), copy("spring", lease=lease)]):
                assert isinstance(result, Refused)
                assert "conflict" in result.reason
        keys = ["/foreign/dubbo/com.example.Orders@dubbo://10.1.0.1:8080", list(there)[1]]
        assert [type(result) for result in await sink.drop(keys)] == [Refused, Refused]
    with plain_client(zookeeper) as client:
        assert {path: client.get(path)[0] for path in there} == there
        assert [client.get(path)[1].version for path in there] == [0, 0]


async def test_a_copy_of_another_truth_is_a_conflict(zookeeper: ZooKeeper):
    async with connect(settings(zookeeper, "/truths", "curator")) as sink, AsyncExitStack():
        keys = await put(sink, copy("curator"))
        other = copy("curator", origin=Origin("west", "etcd", "x"))
        (result,) = await sink.put([other])
        assert isinstance(result, Refused)
        assert await sink.drop(keys) == [Done(keys[0])]
        both = await sink.put([copy("curator"), other])
        assert [type(result) for result in both] == [Done, Refused]
        await sink.drop(keys)


async def test_a_leased_copy_ends_with_its_writer_and_a_durable_one_stays(zookeeper: ZooKeeper):
    chosen = settings(zookeeper, "/lives", "dubbo")
    async with connect(chosen) as sink:
        leased, durable = await put(sink, copy(number=1), copy(number=2, lease=0.0))
    async with mirrored(chosen) as (mirror, sink):
        assert set(mirror.instances) == {leased, durable}, "a restart within the lease makes no gap"
        await mirror.until(lambda m: set(m.instances) == {durable}, patience=15)
        assert await sink.drop([durable]) == [Done(durable)]


@pytest.mark.parametrize("layout", list(PROTOCOLS))
async def test_a_successor_takes_over_without_a_gap(zookeeper: ZooKeeper, layout: str):
    chosen = settings(zookeeper, "/heirs", layout)
    async with connect(chosen) as dead:
        (key,) = await put(dead, copy(layout))
        identity = dead._session.session_id, dead._session._client._session_passwd
    async with connect(chosen) as heir, mirrored(chosen) as (mirror, _):
        assert await put(heir, copy(layout)) == [key]
        await asyncio.to_thread(end_session, zookeeper, identity)
        await put(heir, copy(layout, metadata={"team": "web"}))
        await mirror.until(lambda m: [one.meta("team") for one in m.instances.values()] == ["web"])
        lists = [update for update in mirror.heard if not isinstance(update, Alive)]
        assert not [update for update in lists if isinstance(update, Drop) and update.key == key]
        await heir.drop([key])


async def test_a_copy_that_somebody_edits_or_deletes_by_hand_is_repaired(zookeeper: ZooKeeper):
    async with mirrored(settings(zookeeper, "/hands", "spring")) as (mirror, sink):
        (key,) = await put(sink, copy("spring", lease=0.0))
        with plain_client(zookeeper) as client:
            edited = client.get(key)[0].replace(b"10.1.0.1", b"10.1.0.9").replace(b"shop", b"web")
            client.set(key, edited)
        await mirror.until(lambda m: [one.address for one in m.instances.values()] == ["10.1.0.9"])
        await put(sink, copy("spring", lease=0.0))
        await mirror.until(lambda m: [one.address for one in m.instances.values()] == ["10.1.0.1"])
        with plain_client(zookeeper) as client:
            client.delete("/hands", recursive=True)
        await mirror.until(lambda m: not m.instances)
        (result,) = await sink.put([copy("spring", lease=0.0)])
        if isinstance(result, Failed):  # it believed that the directories were there
            await put(sink, copy("spring", lease=0.0))
        await mirror.until(lambda m: set(m.instances) == {key})


async def test_a_consumer_of_dubbo_3_finds_the_metadata_and_the_mapping_keeps_what_others_wrote(zookeeper: ZooKeeper):
    root = {"root": "/three/services", "mapping": "/three/mapping", "metadata": "/three/metadata"}
    chosen = Settings(hosts=zookeeper.address, layouts=({"dubbo3": dict[str, object](root)},))
    with plain_client(zookeeper) as client:
        client.create("/three/mapping/com.example.Orders", b"carts", makepath=True)
    one = copy("dubbo3", name="orders", metadata={"dubbo.interfaces": "com.example.Orders:1.0.0"})
    async with mirrored(chosen) as (mirror, sink):
        (key,) = await put(sink, one)
        await mirror.until(lambda m: {one.aliases for one in m.services.values()} == {("com.example.Orders",)})
        with plain_client(zookeeper) as client:
            assert client.get("/three/mapping/com.example.Orders")[0] == b"carts,orders"
            (revision,) = client.get_children("/three/metadata/orders")
            assert revision.encode() in client.get(key)[0]
            assert b'"com.example.Orders:1.0.0:tri"' in client.get(f"/three/metadata/orders/{revision}")[0]
        await sink.drop([key])


async def test_nothing_is_written_among_records_that_its_readers_could_not_read(zookeeper: ZooKeeper):
    data = b'{"name":"web","id":"1","address":"h","port":1,"payload":{"@class":"com.acme.Payload"}}'
    with plain_client(zookeeper) as client:
        client.create("/classes/web/1", data, makepath=True)
    layouts: tuple[LayoutSetting, ...] = ({"spring": {"root": "/classes"}}, {"curator": {"root": "/classes"}})
    async with connect(Settings(hosts=zookeeper.address, layouts=layouts)) as sink:
        for layout in ("spring", "curator"):
            (result,) = await sink.put([copy(layout, name="web")])
            assert isinstance(result, Refused)
            assert "com.acme.Payload" in result.reason
    acme: tuple[LayoutSetting, ...] = ({"curator": {"root": "/classes", "payload_class": "com.acme.Payload"}},)
    async with connect(Settings(hosts=zookeeper.address, layouts=acme)) as sink:
        await sink.drop(await put(sink, copy("curator", name="web")))


async def test_directories_that_we_made_are_taken_back_and_made_again_where_they_are_gone(zookeeper: ZooKeeper):
    async with connect(settings(zookeeper, "/tidy", "spring", "dubbo")) as sink:
        one, other = copy("spring", name="ours"), copy("dubbo", name="com.x.Ours")
        watched, beside = copy("dubbo", name="com.x.Watched"), copy("spring", name="theirs")
        with plain_client(zookeeper) as client:
            client.create("/tidy/spring/theirs", makepath=True)
            keys = await put(sink, one, other, watched, beside)
            client.create("/tidy/dubbo/com.x.Watched/consumers")
            assert {type(result) for result in await sink.drop(keys)} == {Done}
            client.delete("/tidy/spring/ours")  # as a server removes a container
            (key,) = await put(sink, copy("spring", name="ours", address="10.9.9.9"))
            await sink.tidy()
            assert sorted(client.get_children("/tidy/spring")) == ["ours", "theirs"]
            await sink.drop([key])
            await sink.tidy()
            assert client.get_children("/tidy/spring") == ["theirs"]
            assert client.get_children("/tidy/dubbo") == ["com.x.Watched"]
            assert sorted(client.get_children("/tidy/dubbo/com.x.Watched")) == ["consumers", "providers"]
            client.delete("/tidy/dubbo/com.x.Watched/consumers")
            await sink.tidy()
            assert client.get_children("/tidy") == ["spring"]


async def test_what_cannot_be_written_is_refused_with_a_reason(zookeeper: ZooKeeper):
    async with connect(settings(zookeeper, "/refused", "dubbo", "spring", "sofarpc")) as sink:
        results = await sink.put(
            [
                copy("dubbo", ports=[Port("http", 80, "http")]),
                copy("spring", name=".."),
                copy("sofarpc", health=Health.CRITICAL),
                copy("serverset"),
                copy("dubbo", name="../../zookeeper/quota"),
                copy("spring", name="../../zookeeper", id="../config"),
            ]
        )
        assert [type(result) for result in results] == [Refused] * 4 + [Done] * 2
        with plain_client(zookeeper) as client:
            assert client.get_children("/refused/spring") == ["..%2F..%2Fzookeeper"]
            assert client.get_children("/refused/dubbo") == ["..%2F..%2Fzookeeper%2Fquota"]
        await sink.drop([result.key for result in results if isinstance(result, Done)])


async def test_a_short_break_fails_what_was_under_way_and_ends_no_lease(fresh: Fresh):
    server = fresh(ZooKeeper)
    async with FaultProxy(server.address) as proxy:
        chosen = settings(server, "/break", "dubbo", address=proxy.address)
        async with connect(chosen) as sink, mirrored(settings(server, "/break", "dubbo")) as (mirror, _):
            (key,) = await put(sink, copy())
            proxy.reset()
            async with asyncio.timeout(20):
                while not isinstance((await sink.put([copy(number=2)]))[0], Done):
                    pass
            await mirror.until(lambda m: len(m.instances) == 2)
            assert not [update for update in mirror.heard if isinstance(update, Drop) and update.key == key]


async def test_a_session_that_has_ended_is_a_loss_for_the_sink_too(fresh: Fresh):
    server = fresh(ZooKeeper)
    async with connect(settings(server, "/over", "dubbo")) as sink:
        await put(sink, copy())
        server.kill()
        with pytest.raises(SourceLost):
            await put_for_ever(sink)


async def put_for_ever(sink: Sink) -> None:
    async with asyncio.timeout(30):
        while True:
            await sink.put([copy(number=2)])


async def test_a_thousand_copies_are_written_and_removed_in_one_batch(zookeeper: ZooKeeper):
    async with mirrored(settings(zookeeper, "/many", "dubbo", "spring")) as (mirror, sink):
        many = [
            copy(layout, address=f"10.1.{n // 200}.{n % 200 + 1}", id=f"i-{n}", name=f"service-{n % 50}")
            for n in range(500)
            for layout in ("dubbo", "spring")
        ]
        keys = await put(sink, *many)
        assert len(set(keys)) == 1000
        await mirror.until(lambda m: set(m.instances) == set(keys))
        assert {type(result) for result in await sink.drop(keys)} == {Done}
        await mirror.until(lambda m: not m.instances)
        assert isinstance(mirror.heard[-1], Put | Drop | Alive)


async def test_who_has_lost_the_lock_writes_nothing_until_it_is_his_again(zookeeper: ZooKeeper):
    locks, chosen = "/fenced/locks", settings(zookeeper, "/fenced", "curator")
    async with connect(msgspec.structs.replace(chosen, locks=locks)) as one:
        assert await one.claim("sync-east", "one", 4.0) == "one"
        (kept,) = await put(one, copy("curator", 9))
        with plain_client(zookeeper) as client:
            (ticket,) = client.get_children(f"{locks}/sync-east")
            client.delete(f"{locks}/sync-east/{ticket}")
        lost = Failed("the lock is somebody else's now")
        assert await one.put([copy("curator", number) for number in (1, 2, 3)]) == [lost] * 3
        assert await one.drop([kept]) == [lost]
        assert len(nodes(zookeeper, "/fenced/curator/com.example.Orders")) == 1
        assert await one.claim("sync-east", "one", 4.0) == "one"
        await put(one, *(copy("curator", number) for number in (1, 2, 3)))


async def test_a_lock_outlives_a_break_of_its_connection(fresh: Fresh):
    server = fresh(ZooKeeper)
    async with FaultProxy(server.address) as proxy, connect(settings(server, "/broken", "curator")) as other:
        async with connect(settings(server, "/broken", "curator", address=proxy.address)) as one:
            assert await one.claim("sync-east", "one", 4.0) == "one"
            proxy.reset()
            assert await one.claim("sync-east", "one", 4.0) == "one"
            assert await other.claim("sync-east", "other", 4.0) == "one"
        assert await other.claim("sync-east", "other", 4.0) == "other"
