"""Another hub that says what it should not: it is skipped with a reason, or the hub is lost; nothing else happens."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import aclosing, asynccontextmanager
from typing import Any, cast

import grpc
import pytest
from grpc import aio

from pilot_plus.model import Alive, Drop, Put, Reset, Skipped, Update
from pilot_plus.ports import SourceLost
from pilot_plus.wire import peer_pb2 as pb
from pilot_plus.wire.peer import MAX_RECORD, MAX_WORD, READ
from pilot_plus.wire.selections import Selection
from registries.peer import Settings, connect

SHOP = (Selection(services=("shop/*",)), Selection(services=("shop/secret*",), deny=True))


def begin(**more: Any) -> bytes:
    return pb.HubWord(begin=pb.Begin(cluster="west", epoch="e", whole=True, **more)).SerializeToString()


def batch(*records: pb.Record) -> bytes:
    return pb.HubWord(batch=pb.Batch(put=records)).SerializeToString()


MARK = pb.HubWord(mark=pb.Mark(revision=1)).SerializeToString()


def record(key: str, **more: Any) -> pb.Record:
    said = pb.Record(
        key=key, namespace="shop", name="orders", id=key, address="10.3.0.1", zone="west/vm", weight=1,
        ports=[pb.Port(name="http", number=80, protocol="http")], origin_cluster="west", origin_registry="own",
        origin_id=key,
    )  # fmt: skip
    said.MergeFrom(pb.Record(**more))
    return said


class Hub:
    """Says what it is given to say, whatever it is asked."""

    def __init__(self, words: Iterable[bytes], compression: grpc.Compression) -> None:
        self._words = words
        self._compression = compression
        self.heard: asyncio.Queue[object] = asyncio.Queue()

    async def read(self, _: object, context: aio.ServicerContext[bytes, bytes]) -> None:
        await context.read()
        context.set_compression(self._compression)
        async with asyncio.TaskGroup() as tasks:
            hearing = tasks.create_task(self._hear(context))
            for word in self._words:
                await context.write(word)
                await asyncio.sleep(0)
            await hearing

    async def _hear(self, context: aio.ServicerContext[bytes, bytes]) -> None:
        while (word := cast("object", await context.read())) is not aio.EOF:
            await self.heard.put(word)


@asynccontextmanager
async def watching(
    *words: bytes, endless: bool = False, compression: grpc.Compression = grpc.Compression.NoCompression, **more: Any
) -> AsyncIterator[tuple[Hub, AsyncGenerator[Update, None]]]:
    """A hub that says these words (the last one for ever, if it is `endless`), and what the adapter makes of them."""

    def said() -> Iterable[bytes]:
        yield from words
        while endless:
            yield words[-1]

    hub, server = Hub(said(), compression), aio.server()
    _, service, method = READ.split("/")
    handlers = {method: grpc.stream_stream_rpc_method_handler(hub.read)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    settings = Settings(cluster="east", name="west", address=f"127.0.0.1:{port}", selections=SHOP, **more)
    try:
        async with (
            connect(settings) as peer,
            aclosing(cast("AsyncGenerator[Update, None]", peer.watch())) as updates,
            asyncio.timeout(30),
        ):
            yield hub, updates
    finally:
        await server.stop(None)


async def until_alive(updates: AsyncIterator[Update]) -> list[Update]:
    found = []
    async for update in updates:
        found.append(update)
        if isinstance(update, Alive):
            break
    return found


FORBIDDEN = {
    "of our own cluster": record("a", origin_cluster="east"),
    "has come through it": record("b", hops=["east"]),
    "of cluster 'north'": record("c", origin_cluster="north", zone="north/vm"),
    "its zone 'east/vm'": record("d", zone="east/vm"),
    "8 clusters": record("e", hops=[f"c{n}" for n in range(8)]),
    "health 9": record("f", health=9),
    "port 70000": record("g", ports=[pb.Port(name="big", number=70000)]),
    "more than 1000": record("h", ports=[pb.Port(name=str(n), number=1) for n in range(1001)]),
    f"more than {MAX_RECORD}": record("i", metadata={"text": "x" * MAX_RECORD}),
    "two ports have one name": record("j", ports=[pb.Port(name="http", number=81)]),
    "control": record("k", id="\x1b[2J"),
    "weight 2000000": record("l", weight=2_000_000),
}


async def test_what_a_peer_may_not_say_is_skipped_with_the_reason_and_what_is_not_imported_is_left_out():
    elsewhere = record("x", namespace="other")
    elsewhere.namespace = "other"
    denied = record("y")
    denied.name = "secrets"
    async with watching(begin(), batch(record("good"), elsewhere, denied, *FORBIDDEN.values()), MARK) as (_, updates):
        reset, *skipped, alive = await until_alive(updates)
    assert isinstance(reset, Reset)
    assert [one.id for one in reset.instances] == ["good"]
    assert reset.services == []
    assert all(isinstance(one, Skipped) for one in skipped)
    reasons = {one.place: one.reason for one in skipped if isinstance(one, Skipped)}
    assert [why for why, said in FORBIDDEN.items() if why not in reasons[said.key]] == []
    assert alive == Alive("e:1")


async def test_a_record_that_may_not_be_said_any_more_is_gone_and_comes_back_when_it_may():
    again = batch(record("a"))
    async with watching(begin(), again, MARK, batch(record("a", hops=["east"])), MARK, again, MARK) as (_, updates):
        assert isinstance((await until_alive(updates))[0], Reset)
        drop, skipped, _alive = await until_alive(updates)
        assert (drop, isinstance(skipped, Skipped)) == (Drop("a"), True)
        mended, put, _alive = await until_alive(updates)
        assert (mended, isinstance(put, Put)) == (Skipped("a", ""), True)


async def test_what_is_no_list_yet_changes_nothing():
    before = pb.HubWord(mark=pb.Mark()).SerializeToString()
    async with watching(before, batch(record("early")), MARK, begin(), batch(record("a")), MARK) as (_, updates):
        (reset, _alive) = await until_alive(updates)
    assert isinstance(reset, Reset)
    assert [one.id for one in reset.instances] == ["a"]


async def test_each_part_of_a_long_list_is_confirmed_for_silence_is_a_loss():
    parts = [batch(record(f"i-{n}")) for n in range(30)]
    async with watching(begin(), *parts, MARK) as (hub, updates):
        await until_alive(updates)
        for _ in parts:
            await hub.heard.get()


@pytest.mark.parametrize(
    ("words", "more", "why"),
    [
        ((b"\xff\xff\xff",), {}, "says what is no message"),
        ((begin(), b"x" * (MAX_WORD + 1)), {}, "resource_exhausted"),
        ((begin(), b"\0" * (64 << 20)), {"compression": grpc.Compression.Gzip}, "resource_exhausted"),
        ((begin(), *(batch(record(f"i-{n}")) for n in range(11))), {"max_records": 10}, "more than 10 records"),
        ((begin(), batch(record("same"))), {"max_records": 10, "endless": True}, "for each of so many"),
        ((begin(), batch(record("bad", health=9))), {"max_records": 10, "endless": True}, "for each of so many"),
        (
            (begin(), MARK, *(batch(record(f"i-{n}", health=9)) for n in range(30))),
            {"max_records": 10},
            "can't be used",
        ),
        ((pb.HubWord(begin=pb.Begin(cluster="north", whole=True)).SerializeToString(),), {}, "hub of cluster 'north'"),
    ],
)
async def test_a_hub_that_says_too_much_or_nonsense_is_lost(words: tuple[bytes, ...], more: dict[str, Any], why: str):
    async with watching(*words, **more) as (_, updates):
        with pytest.raises(SourceLost, match=why):
            async for _update in updates:
                pass
