"""What the hub writes into etcd: read back by its own source, kept by its lease, fenced by its lock."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import cast

import msgspec
import pytest

from devservers.etcd import Etcd as Server
from devservers.pytest_plugin import Fresh
from pilot_plus.model import NO_ORIGIN, Alive, Drop, Health, Instance, Origin, Port, Put, Reset, Update, instance
from pilot_plus.ports import Done, Failed, Locking, Previewing, Refused, Renewing, Sink, SourceLost
from registries.etcd import Etcd, Settings, connect
from registries.etcd.client import open_client
from registries.etcd.copies import Write, write_cost, write_txn
from registries.etcd.ownership import Owner
from registries.etcd.transactions import in_batches
from registries.etcd.wire_pb2 import PutRequest, RangeRequest, TxnResponse
from registries.layouts.layout import LayoutSetting

pytestmark = pytest.mark.live
BOUND = 30.0
ORIGIN = Origin("east", "zk", "/dubbo/x", ("north",))
NAMING: LayoutSetting = {"naming": {"prefix": "services"}}
WRITABLE: dict[str, LayoutSetting] = {
    "naming": NAMING,
    "go-zero": {"go-zero": {"prefix": "zero"}},
    "kratos": "kratos",
    "micro": "micro",
    "skydns": {"skydns": {"domain": "cluster.local", "protocol": "grpc"}},
    "dubbo": "dubbo",
}


def settings(server: Server, *layouts: LayoutSetting, **options: object) -> Settings:
    return msgspec.convert(
        {"endpoints": [server.url], "layouts": layouts or [NAMING], "silence": 1.5, "cluster": "east", **options},
        Settings,
    )


def made(name: str = "orders", number: int = 1, **fields: object) -> Instance:
    common: dict[str, object] = {
        "key": "",
        "name": name,
        "id": f"{name}-{number}",
        "address": f"10.1.{number // 250}.{number % 250 + 1}",
        "ports": (Port("grpc", 9000, "grpc"),),
        "origin": msgspec.structs.replace(ORIGIN, id=f"/{name}/{number}"),
        "zone": "east/legacy",
        "metadata": (("team", "shop"),),
    }
    return instance(**(common | fields))  # type: ignore[arg-type]  # fields by name


async def done(sink: Sink, *instances: Instance) -> list[str]:
    """Write, which must succeed; the keys."""
    results = await sink.put(instances)
    assert all(isinstance(one, Done) for one in results), results
    return [one.key for one in results if isinstance(one, Done)]


async def truth(of: Settings) -> Sequence[Instance]:
    async with connect(of) as source, aclosing(source.watch()) as updates:  # type: ignore[type-var]
        reset = await anext(updates)
        assert isinstance(reset, Reset)
        return reset.instances


@asynccontextmanager
async def opened(of: Settings) -> AsyncIterator[Etcd]:
    async with asyncio.timeout(BOUND), connect(of) as etcd:
        yield etcd


async def signs_of_life(etcd: Etcd, count: int) -> list[Update]:
    """What changes within so many signs of life, half a second apart."""
    changes: list[Update] = []
    updates = etcd.watch()
    async for update in updates:
        if isinstance(update, Alive):
            count -= 1
        elif not isinstance(update, Reset):
            changes.append(update)
        if not count:
            break
    await updates.aclose()  # type: ignore[attr-defined]  # it is an async generator
    return changes


def revision(server: Server) -> int:
    header = cast("dict[str, str]", server.call("/v3/kv/range", {"key": "AA=="})["header"])
    return int(header["revision"])


def put_with_lease(server: Server, key: str, value: str) -> None:
    lease = server.call("/v3/lease/grant", {"TTL": "60"})["ID"]
    pair = {name: base64.b64encode(text.encode()).decode() for name, text in (("key", key), ("value", value))}
    server.call("/v3/kv/put", {**pair, "lease": lease})


def test_it_is_everything_that_a_sink_can_be():
    for port in (Sink, Renewing, Previewing, Locking):
        assert issubclass(Etcd, port)


@pytest.mark.parametrize("layout", WRITABLE)
@pytest.mark.parametrize("lease", [0.0, 15.0])
async def test_what_is_put_is_reported_as_it_was_foreseen(fresh: Fresh, layout: str, lease: float):
    of = settings(fresh(Server), WRITABLE[layout])
    copies = [made(number=n, layout=layout, lease=lease, weight=50 + n) for n in range(3)]
    async with opened(of) as etcd:
        keys = await done(etcd, *copies)
        foreseen = [etcd.preview(copy) for copy in copies]
        reported = await truth(of)
        assert sorted(reported, key=lambda one: one.address) == foreseen
        assert [one.key for one in foreseen if isinstance(one, Instance)] == keys
        assert all(one.origin in (NO_ORIGIN, copy.origin) for one, copy in zip(reported, copies, strict=True))
        assert await etcd.drop(keys) == [Done(key) for key in keys]
        assert await etcd.drop(keys) == [Done(key) for key in keys]
    assert await truth(of) == []


async def test_writing_again_what_is_there_writes_nothing(fresh: Fresh):
    server = fresh(Server)
    async with opened(settings(server)) as etcd:
        await done(etcd, made(), made(number=2, lease=15.0))
        before = revision(server)
        await done(etcd, made(), made(number=2, lease=15.0))
        assert revision(server) == before


async def test_a_foreign_record_of_the_same_key_is_left_alone(fresh: Fresh):
    server = fresh(Server)
    key, value = "services/orders/10.1.0.2:9000", json.dumps({"Addr": "10.1.0.2:9000"})
    put_with_lease(server, key, value)
    server.put("services/orders/10.1.0.3:9000", value)
    async with opened(settings(server)) as etcd:
        first, second, third = await etcd.put([made(number=n) for n in (1, 2, 3)])
        assert isinstance(first, Refused)
        assert "somebody else's" in first.reason
        assert isinstance(second, Refused)
        assert isinstance(third, Done)
        assert isinstance((await etcd.drop([key]))[0], Refused)
    assert server.get(key) == value


async def test_another_cluster_is_somebody_else(fresh: Fresh):
    server = fresh(Server)
    async with opened(settings(server)) as east, opened(settings(server, cluster="west")) as west:
        (key,) = await done(east, made(lease=15.0))
        assert isinstance((await west.put([made(lease=15.0)]))[0], Refused)
        assert isinstance((await west.drop([key]))[0], Refused)
        assert isinstance((await west.renew([key]))[0], Refused)


async def test_what_was_edited_or_deleted_by_hand_is_repaired(fresh: Fresh):
    server = fresh(Server)
    for lease in (0.0, 15.0):
        async with opened(settings(server)) as etcd:
            (key,) = await done(etcd, made(lease=lease))
            server.put(key, "edited")
            await done(etcd, made(lease=lease))
            assert server.get(key) != "edited"
            server.delete(key)
            await done(etcd, made(lease=lease))
            server.put(key, "edited")
            assert await etcd.drop([key]) == [Done(key)]


async def test_what_was_edited_after_a_restart_is_known_if_it_carries_our_mark(fresh: Fresh):
    server = fresh(Server)
    async with opened(settings(server)) as etcd:
        (key,) = await done(etcd, made())
    value = json.loads(server.get(key) or "")
    value["Metadata"]["weight"] = 7
    server.put(key, json.dumps(value))
    async with opened(settings(server)) as etcd:
        await done(etcd, made())
    assert [one.weight for one in await truth(settings(server))] == [100]


async def test_what_a_real_server_took_over_is_its_own(fresh: Fresh):
    server = fresh(Server)
    async with opened(settings(server)) as etcd:
        (key,) = await done(etcd, made(lease=15.0))
        put_with_lease(server, key, '{"Addr":"10.1.0.2:9000"}')
        assert isinstance((await etcd.put([made(lease=15.0)]))[0], Refused)
        assert isinstance((await etcd.drop([key]))[0], Refused)


async def test_a_leased_copy_ends_with_its_writer_and_a_durable_one_stays(fresh: Fresh):
    of = settings(fresh(Server))
    async with opened(of) as etcd:
        leased, durable = await done(etcd, made(lease=1.0), made(number=2))
    async with opened(of) as etcd:
        assert await signs_of_life(etcd, 6) == [Drop(leased)]
    assert [one.key for one in await truth(of)] == [durable]


async def test_the_connection_keeps_the_leases(fresh: Fresh):
    of = settings(fresh(Server))
    async with opened(of) as etcd:
        await done(etcd, made(lease=1.0), made(number=2, lease=2.0))
        assert await signs_of_life(etcd, 7) == []


@pytest.mark.parametrize("by", ["renew", "put"])
async def test_the_next_connection_goes_on_with_the_leases(fresh: Fresh, by: str):
    of = settings(fresh(Server))
    async with opened(of) as etcd:
        keys = await done(etcd, made(lease=2.0), made(number=2, lease=2.0))
    async with opened(of) as etcd:
        if by == "renew":
            assert await etcd.renew([*keys, "services/none/1", "elsewhere"]) == [
                *(Done(key) for key in keys),
                Refused("it is not there, or on no lease of ours"),
                Refused("no layout here has such a key"),
            ]
            assert await etcd.renew(keys) == [Done(key) for key in keys]
        else:
            await done(etcd, made(number=3, lease=2.0))  # of as long a lease
        assert await signs_of_life(etcd, 7) == []


async def test_after_a_lease_has_ended_the_next_write_gets_a_new_one(fresh: Fresh):
    server = fresh(Server)
    async with opened(settings(server)) as etcd:
        await done(etcd, made(lease=60.0))
        server.call("/v3/lease/revoke", {"ID": str(Owner("east").lease_of(60.0))})
        results = [(await etcd.put([made(lease=60.0)]))[0]]
        while not isinstance(results[-1], Done):
            assert isinstance(results[-1], Failed)
            results += await etcd.put([made(lease=60.0)])
        assert len(results) <= 2
    assert len(await truth(settings(server))) == 1


async def test_a_changed_copy_is_one_change(fresh: Fresh):
    for layout, setting in WRITABLE.items():
        of = settings(fresh(Server), setting)
        async with opened(of) as etcd, aclosing(etcd.watch()) as updates:  # type: ignore[type-var]
            (key,) = await done(etcd, made(layout=layout))
            await anext(updates)
            await done(etcd, made(layout=layout, weight=70))
            while isinstance(update := await anext(updates), Alive) or layout in ("go-zero", "micro"):
                if isinstance(update, Alive):
                    break  # the layout holds no weight: nothing has changed
            if isinstance(update, Put):
                assert isinstance(update.record, Instance)
                assert (update.record.key, update.record.weight) == (key, 70)
        assert len(await truth(of)) == 1


async def test_two_instances_that_would_be_one_record_are_a_conflict(fresh: Fresh):
    async with opened(settings(fresh(Server))) as etcd:
        twin = made(origin=msgspec.structs.replace(ORIGIN, id="/other"))
        first, second, same = await etcd.put([made(), twin, made()])
        assert isinstance(first, Done)
        assert isinstance(second, Refused)
        assert same == first


async def test_what_a_layout_cannot_hold_is_refused_with_a_reason(fresh: Fresh):
    async with opened(settings(fresh(Server), NAMING, "apisix")) as etcd:
        wrong = [
            made(name="../../etc"),
            made(ports=(Port("dubbo", 1, "dubbo"),)),
            made(health=Health.CRITICAL),
            made(layout="apisix"),
            made(layout="spring"),
        ]
        results = await etcd.put(wrong)
        assert all(isinstance(one, Refused) and one.reason for one in results)
        assert [etcd.preview(one) for one in wrong] == results


async def test_of_two_hubs_one_has_the_lock_and_the_other_is_told_whose_it_is(fresh: Fresh):
    server = fresh(Server)
    async with opened(settings(server)) as a, opened(settings(server)) as b:
        assert await a.claim("sync of x/y", "hub-a", 60) == "hub-a"
        assert await b.claim("sync of x/y", "hub-b", 60) == "hub-a"
        assert await a.claim("sync of x/y", "hub-a", 60) == "hub-a"
        await b.release("sync of x/y", "hub-b")
        assert await b.claim("sync of x/y", "hub-b", 60) == "hub-a"
        await a.release("sync of x/y", "hub-a")
        assert await b.claim("sync of x/y", "hub-b", 60) == "hub-b"
        assert await b.claim("another", "hub-b", 60) == "hub-b"


async def test_a_lock_ends_with_its_owner(fresh: Fresh):
    server = fresh(Server)
    async with opened(settings(server)) as etcd:
        assert await etcd.claim("sync", "hub-a", 1) == "hub-a"
    async with opened(settings(server)) as etcd:
        watched = signs_of_life(etcd, 6)
        await watched
        assert await etcd.claim("sync", "hub-b", 1) == "hub-b"


async def test_who_has_lost_the_lock_writes_nothing_more(fresh: Fresh):
    server = fresh(Server)
    async with opened(settings(server)) as a, opened(settings(server)) as b:
        await a.claim("sync", "hub-a", 60)
        await done(a, made())
        server.delete("/pilot-plus/locks/sync")  # as its lease does when it ends
        assert await b.claim("sync", "hub-b", 60) == "hub-b"
        (result,) = await a.put([made(weight=1)])
        assert isinstance(result, Failed)
        assert "lock" in result.reason
        await done(b, made(weight=2))
        assert await a.claim("sync", "hub-a", 60) == "hub-b"


async def test_a_full_target_fails_each_write_and_stays_connected(fresh: Fresh):
    server = fresh(Server, quota_bytes=2 * 2**20)
    async with opened(settings(server)) as etcd:
        await done(etcd, made())
        is_full = False
        while not is_full:
            try:
                server.put("junk", "x" * 500_000)
            except OSError:
                is_full = True
        (result,) = await etcd.put([made(number=2)])
        assert isinstance(result, Failed)
        assert "space" in result.reason
        assert len(await truth(settings(server))) == 1


async def test_a_user_who_may_only_read_fails_each_write(fresh: Fresh):
    server = fresh(Server)
    everything = {"key": base64.b64encode(b"\0").decode(), "range_end": base64.b64encode(b"\0").decode()}
    server.call("/v3/auth/role/add", {"name": "reader"})
    server.call("/v3/auth/role/grant", {"name": "reader", "perm": {"permType": "READ", **everything}})
    server.call("/v3/auth/user/add", {"name": "reader", "password": "reader"})
    server.call("/v3/auth/user/grant", {"user": "reader", "role": "reader"})
    server.enable_auth()
    async with opened(settings(server, username="reader", password="reader")) as etcd:
        (result,) = await etcd.put([made()])
        assert isinstance(result, Failed)
        assert "may not do that" in result.reason


async def test_who_may_write_some_of_it_writes_that(fresh: Fresh):
    server = fresh(Server)
    server.call("/v3/auth/role/add", {"name": "some"})
    for kind, start, end in (("READ", b"\0", b"\0"), ("READWRITE", b"services/a/", b"services/a0")):
        span = {"key": base64.b64encode(start).decode(), "range_end": base64.b64encode(end).decode()}
        server.call("/v3/auth/role/grant", {"name": "some", "perm": {"permType": kind, **span}})
    server.call("/v3/auth/user/add", {"name": "some", "password": "some"})
    server.call("/v3/auth/user/grant", {"user": "some", "role": "some"})
    server.enable_auth()
    async with opened(settings(server, username="some", password="some")) as etcd:
        results = await etcd.put([made("a"), made("b"), made("a", 2)])
        assert [type(one) for one in results] == [Done, Failed, Done]


async def test_one_record_that_somebody_changed_fails_alone(fresh: Fresh):
    server = fresh(Server)
    of = settings(server)
    changed = server.put("changed", "1")
    writes = [
        Write(name, ((name.encode(), seen),), PutRequest(key=name.encode(), value=b"2"), ())
        for name, seen in (("a", 0), ("changed", changed - 1), ("b", 0))
    ]
    async with asyncio.timeout(BOUND), open_client(of, RangeRequest(key=b"a")) as client:
        answers = in_batches(client, writes, write_cost, lambda batch: write_txn(batch, ()))
        said = {one.key: answer async for batch, answer in answers for one in batch}
    assert {key for key, answer in said.items() if isinstance(answer, TxnResponse) and answer.succeeded} == {"a", "b"}
    assert [server.get(key) for key in ("a", "changed", "b")] == ["2", "1", "2"]


async def test_a_dead_server_is_a_loss_for_writers_too(fresh: Fresh):
    server = fresh(Server)
    async with opened(settings(server, timeout=1)) as etcd:
        await done(etcd, made(lease=15.0))
        server.kill()
        with pytest.raises(SourceLost):
            await etcd.put([made(number=2, lease=15.0)])


async def test_thousands_are_written_in_large_transactions(fresh: Fresh):
    server = fresh(Server)
    of = settings(server)
    many = [made(f"s{n % 50}", n, lease=15.0) for n in range(3_000)]
    async with opened(of) as etcd:
        before = revision(server)
        keys = await done(etcd, *many)
        assert len(set(keys)) == len(many)
        assert revision(server) - before <= 40
        assert len(await truth(of)) == len(many)
        assert await etcd.drop(keys) == [Done(key) for key in keys]
    assert await truth(of) == []
