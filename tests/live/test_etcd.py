"""etcd broken in the ways in which it breaks, each ending with what the source says compared with what etcd holds."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest

from devservers.etcd import Etcd as Server
from devservers.fault_proxy import FaultProxy
from devservers.pytest_plugin import Fresh
from pilot_plus.model import Alive, Drop, Instance, Put, Reset, Resumed, Update
from pilot_plus.ports import SourceLost
from registries.etcd import Settings, connect
from registries.etcd.client import MAX_RECEIVE, open_client
from registries.etcd.following import follow
from registries.etcd.methods import RANGE
from registries.etcd.progress import Position
from registries.etcd.ranges import union
from registries.etcd.wire_pb2 import RangeRequest
from registries.layouts.dubbo_url import encoded_part

pytestmark = pytest.mark.live
BOUND = 30.0
ROOT = "services/"


def settings(url: str, **options: object) -> Settings:
    layouts = [{"naming": {"prefix": "services"}}]
    return msgspec.convert({"endpoints": [url], "layouts": layouts, "silence": 1.5, **options}, Settings)


def write(server: Server, *names: str, **metadata: str) -> int:
    """Put one instance of each service."""
    value = json.dumps({"Addr": "10.2.0.1:9000", "Metadata": metadata or None})
    return [server.put(f"{ROOT}{name}/10.2.0.1:9000", value) for name in names][-1]


@asynccontextmanager
async def listening(of: Settings, after: str | None = None) -> AsyncIterator["Ear"]:
    async with asyncio.timeout(BOUND), connect(of) as source:
        updates = source.watch(after)
        try:
            yield Ear(updates)
        finally:
            await updates.aclose()  # type: ignore[attr-defined]  # it is an async generator


class Ear:
    """Takes updates one by one."""

    def __init__(self, updates: AsyncIterator[Update]) -> None:
        self._updates = updates

    async def next(self) -> Update:
        return await anext(self._updates)

    async def change(self) -> Update:
        """The next that is no sign of life."""
        while isinstance(update := await self.next(), Alive):
            pass
        return update

    async def alive(self) -> str:
        while not isinstance(update := await self.next(), Alive):
            pass
        return update.progress

    async def end(self) -> str:
        """Listen until it is lost; why."""
        try:
            while True:
                await self.next()
        except SourceLost as lost:
            return str(lost)


async def names(ear: Ear) -> list[str]:
    reset = await ear.change()
    assert isinstance(reset, Reset)
    return sorted(one.name for one in reset.instances)


async def progress_now(of: Settings) -> str:
    async with listening(of) as ear:
        return await ear.alive()


async def test_a_list_of_many_pages_is_complete_and_of_one_revision(etcd: Server):
    written = [f"paged-{n:03}" for n in range(100)]
    write(etcd, *written)
    async with listening(settings(etcd.url, page=7)) as ear:
        assert [name for name in await names(ear) if name.startswith("paged-")] == written


async def test_a_list_cut_in_the_middle_is_a_loss_and_no_shorter_list(fresh: Fresh):
    server = fresh(Server)
    write(server, *(f"s{n}" for n in range(200)), note="x" * 500)
    async with FaultProxy(server.address) as proxy:
        async with asyncio.timeout(BOUND), connect(settings(f"http://{proxy.address}", page=20)) as source:
            proxy.cut_after(60_000)
            with pytest.raises(SourceLost):
                await anext(source.watch())
        proxy.heal()
        async with listening(settings(f"http://{proxy.address}", page=20)) as ear:
            assert len(await names(ear)) == 200


async def test_a_page_larger_than_one_answer_may_be_is_asked_for_in_halves(fresh: Fresh):
    server = fresh(Server)
    count = MAX_RECEIVE // 1_000_000 + 2
    write(server, *(f"s{n}" for n in range(count)), note="x" * 1_000_000)
    async with listening(settings(server.url, timeout=20)) as ear:
        assert len(await names(ear)) == count


async def test_a_stalled_connection_is_a_loss(etcd: Server):
    async with FaultProxy(etcd.address) as proxy, listening(settings(f"http://{proxy.address}")) as ear:
        await ear.alive()
        proxy.stall()
        assert "no sign of life for 1.5 s" in await ear.end()


async def test_a_black_hole_at_the_start_is_a_loss(etcd: Server):
    async with FaultProxy(etcd.address) as proxy:
        proxy.stall()
        with pytest.raises(SourceLost, match=r"no answer within 0\.5 s"):
            async with connect(settings(f"http://{proxy.address}", timeout=0.5)):
                pass


async def test_signs_of_life_come_while_nothing_happens(etcd: Server):
    async with listening(settings(etcd.url)) as ear:
        assert await ear.alive() == await ear.alive()


async def test_a_watch_goes_on_where_it_was_left_and_misses_nothing(fresh: Fresh):
    server = fresh(Server)
    write(server, "a", "b")
    after = await progress_now(settings(server.url))
    write(server, "c")
    server.delete(f"{ROOT}a/10.2.0.1:9000")
    server.kill()
    server.start_again()
    async with listening(settings(server.url), after) as ear:
        assert isinstance(await ear.change(), Resumed)
        changes = [await ear.change() for _ in range(4)]  # each with the end of a skip that may have been
        assert [one.record.name for one in changes if isinstance(one, Put)] == ["c"]
        assert [one.key for one in changes if isinstance(one, Drop)] == [f"{ROOT}a/10.2.0.1:9000"]


async def test_a_compacted_history_is_read_anew(fresh: Fresh):
    server = fresh(Server)
    write(server, "a")
    after = await progress_now(settings(server.url))
    write(server, "b")
    server.delete(f"{ROOT}a/10.2.0.1:9000")
    server.compact()
    async with listening(settings(server.url), after) as ear:
        assert await names(ear) == ["b"]


@pytest.mark.parametrize("is_deletion", [False, True])
async def test_a_wiped_server_that_counted_on_is_not_taken_for_the_old_one(fresh: Fresh, is_deletion: bool):
    server = fresh(Server)
    write(server, "a", "b", "c")
    if is_deletion:
        async with listening(settings(server.url)) as ear:
            assert await names(ear) == ["a", "b", "c"]
            server.delete(f"{ROOT}b/10.2.0.1:9000")
            await ear.change()
            after = await ear.alive()
    else:
        after = await progress_now(settings(server.url))
    server.wipe()
    write(server, "x", "y", "z", "u", "v", "w")
    async with listening(settings(server.url), after) as ear:
        assert await names(ear) == ["u", "v", "w", "x", "y", "z"]


async def test_a_wiped_server_that_is_empty_is_not_taken_for_the_old_one(fresh: Fresh):
    server = fresh(Server)
    write(server, "a")
    after = await progress_now(settings(server.url))
    server.wipe()
    async with listening(settings(server.url), after) as ear:
        assert await names(ear) == []


@pytest.mark.parametrize("text", ["", "{}", "null", "[1]", '[1,"",[1],null]', "\ud800"])
async def test_a_mark_that_is_none_of_ours_is_nothing_to_go_on_from(etcd: Server, text: str):
    async with listening(settings(etcd.url), text) as ear:
        assert isinstance(await ear.change(), Reset)


async def test_other_layouts_than_before_know_nothing(etcd: Server):
    write(etcd, "reread")
    after = await progress_now(settings(etcd.url))
    other = settings(etcd.url, layouts=[{"naming": {"prefix": "services", "protocol": "http"}}])
    async with listening(other, after) as ear:
        assert isinstance(await ear.change(), Reset)


async def watch_from(server: Server, ahead: int) -> None:
    """Watch from a revision that is so far ahead of the server's (or behind it)."""
    of = settings(server.url)
    ranges = union([ROOT])
    async with asyncio.timeout(BOUND), open_client(of, RangeRequest(key=b"x")) as client:
        header = (await client.call(RANGE, RangeRequest(key=b"x"))).header
        position = Position(header.cluster_id, "", (header.revision + ahead,))
        async with follow(client, ranges, position, 1.0) as following:
            while True:
                await following.next()


async def test_a_watch_from_a_future_revision_is_a_history_that_began_anew(etcd: Server):
    with pytest.raises(SourceLost, match="wiped or restored"):
        await watch_from(etcd, 1000)


async def test_a_watch_behind_a_compaction_is_a_loss(fresh: Fresh):
    server = fresh(Server)
    write(server, "a", "b", "c", "d")
    server.compact()
    with pytest.raises(SourceLost, match="compacted up to 5"):
        await watch_from(server, -3)


async def test_what_was_missed_arrives_in_pieces_and_whole(fresh: Fresh):
    server = fresh(Server)
    after = await progress_now(settings(server.url))
    written = [f"s{n}" for n in range(8)]
    write(server, *written, note="x" * 900_000)
    async with listening(settings(server.url), after) as ear:
        puts: list[str] = []
        while len(puts) < len(written):
            if isinstance(update := await ear.change(), Put):
                puts.append(update.record.name)
        assert puts == written
        assert f"[{len(written) + 1}]" in await ear.alive()


async def test_a_record_whose_lease_ends_is_gone(etcd: Server):
    lease = etcd.call("/v3/lease/grant", {"TTL": "60"})["ID"]
    async with listening(settings(etcd.url)) as ear:
        await ear.change()
        write(etcd, "leased")
        key = f"{ROOT}leased/10.2.0.1:9000"
        put = await ear.change()
        assert isinstance(put, Put)
        assert put.record.key == key
        body = {"key": _base64(key), "value": _base64('{"Addr":"10.2.0.1:9000"}'), "lease": lease}
        etcd.call("/v3/kv/put", body)
        assert isinstance(await ear.change(), Put)
        etcd.call("/v3/lease/revoke", {"ID": lease})
        assert await ear.change() == Drop(key)


async def test_every_layout_is_read_from_one_server(fresh: Fresh):
    server = fresh(Server)
    server.put("user.rpc/123", "10.2.0.1:1")
    server.put("/services/d3/10.2.0.9:9", '{"serviceName":"d3","host":"10.2.0.9","port":9}')
    server.put(f"/dubbo/com.X/providers/{_dubbo(100)}", "1")
    server.put("/microservices/k/1", '{"id":"1","name":"k","endpoints":["grpc://10.2.0.2:2?isSecure=false"]}')
    server.put("/micro/registry/m/1", '{"name":"m","nodes":[{"id":"1","address":"10.2.0.3:3"}]}')
    server.put("/skydns/local/d/x1", '{"host":"10.2.0.4","port":4}')
    server.put("/apisix/upstreams/1", '{"name":"u","nodes":{"10.2.0.5:5":1,"10.2.0.6:6":1}}')
    server.put("/reg/t/1", '{"address":"10.2.0.7","port":7}')
    layouts = [
        "dubbo",
        "dubbo3",
        "go-zero",
        "kratos",
        "micro",
        "skydns",
        "apisix",
        {"template": {"pattern": "/reg/{service}/{id}"}},
    ]
    async with listening(settings(server.url, layouts=layouts, page=2)) as ear:
        assert await names(ear) == ["com.X", "d.local", "d3", "k", "m", "t", "u", "u", "user.rpc"]
        server.put("/apisix/upstreams/1", '{"name":"u","nodes":{"10.2.0.6:6":1}}')
        assert [type(await ear.change()) for _ in range(2)] == [Put, Drop]
        server.delete("/skydns/local/d/x1")
        assert await ear.change() == Drop("/skydns/local/d/x1")
        server.put("/reg/t/2", '{"address":"10.2.0.8","port":8}')
        put = await ear.change()
        assert isinstance(put, Put)
        assert isinstance(put.record, Instance)
        assert put.record.layout == "template"


async def test_a_new_weight_of_a_dubbo_provider_is_one_change_and_a_configurator_counts(fresh: Fresh):
    server = fresh(Server)
    folder = "/dubbo/com.X"
    server.put(f"{folder}/providers/{_dubbo(100)}", "1")
    async with listening(settings(server.url, layouts=["dubbo"])) as ear:
        assert await names(ear) == ["com.X"]
        server.put(f"{folder}/providers/{_dubbo(50)}", "1")
        server.delete(f"{folder}/providers/{_dubbo(100)}")
        assert await _weight(ear) == 50
        server.put(f"{folder}/configurators/{encoded_part('override://0.0.0.0/com.X?weight=7')}", "")
        assert await _weight(ear) == 7
        server.delete(f"{folder}/providers/{_dubbo(50)}")
        assert isinstance(await ear.change(), Drop)


async def test_a_big_first_list_never_holds_up_the_loop_for_long(fresh: Fresh):
    """Not by the clock: others get their turns while the list is decoded."""
    server = fresh(Server)
    write(server, *(f"s{n}" for n in range(2_000)))
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with listening(settings(server.url)) as ear, asyncio.TaskGroup() as tasks:
        counting = tasks.create_task(count())
        assert len(await names(ear)) == 2_000
        counting.cancel()
    assert turns > 3


def _dubbo(weight: int) -> str:
    return encoded_part(f"dubbo://10.2.0.8:8/com.X?interface=com.X&weight={weight}")


async def _weight(ear: Ear) -> int:
    put = await ear.change()
    assert isinstance(put, Put)
    assert isinstance(put.record, Instance)
    return put.record.weight


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
