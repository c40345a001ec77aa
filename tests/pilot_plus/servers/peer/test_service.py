"""The service that peers read from, by a reader of its own over a real connection."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from grpc import StatusCode, aio

from pilot_plus.quantities import Address
from pilot_plus.servers import xds
from pilot_plus.servers.join.calls import Context
from pilot_plus.servers.peer import PeerService, feeding
from pilot_plus.servers.peer import feed as feeds
from pilot_plus.wire import edge_pb2
from pilot_plus.wire import peer_pb2 as pb
from pilot_plus.wire.peer import BATCH_BYTES, MAX_RECORD, READ
from tests.pilot_plus.servers.peer.east import East
from tests.pilot_plus.views.world import copy

EVERYTHING = pb.Selection(services=["*/*"])


class Nobody:
    """Knows no other hub, and asks for no proof."""

    def why_not(self, context: Context, cluster: str) -> str:
        return ""

    async def welcome(self, said: pb.Introduction) -> pb.Introduction:
        raise AssertionError

    def trust(self) -> edge_pb2.Trust:
        return edge_pb2.Trust(version="1")

    async def learn(self, cluster: str, trust: edge_pb2.Trust) -> None:
        raise AssertionError


class Reader:
    """One stream; what it was told up to the last mark."""

    def __init__(self, channel: aio.Channel, **opened: Any) -> None:
        self._call = channel.stream_stream(READ, pb.ReaderWord.SerializeToString, pb.HubWord.FromString)()
        self._opened = pb.Open(cluster="west", **opened)
        self.epoch, self.revision = "", 0
        self.held: dict[str, int] = {}
        self.words: list[pb.HubWord] = []

    async def open(self) -> "Reader":
        await self._call.write(pb.ReaderWord(open=self._opened))
        return self

    async def next(self) -> pb.HubWord:
        async with asyncio.timeout(20):
            word = await self._call.read()
        assert isinstance(word, pb.HubWord), await self._call.details()
        self.words.append(word)
        match word.WhichOneof("word"):
            case "begin":
                self.epoch = word.begin.epoch
            case "batch":
                self.held |= {said.id: said.weight for said in word.batch.put}
        return word

    async def until_mark(self) -> None:
        """Read up to the next mark that says how far."""
        while not (await self.next()).mark.revision:
            pass
        self.revision = self.words[-1].mark.revision

    async def refused(self) -> tuple[StatusCode, str]:
        async with asyncio.timeout(20):
            with suppress(aio.AioRpcError):
                while await self._call.read() is not aio.EOF:
                    pass
            return await self._call.code(), await self._call.details() or ""


@asynccontextmanager
async def serving(east: East) -> AsyncIterator[aio.Channel]:
    """What east exports, and a line to it."""
    door = xds.bind(Address("127.0.0.1:0"), None)
    async with feeding(east.holder) as opened:
        service = PeerService(opened, lambda _: east.feed.terms, lambda: True, Nobody())
        async with xds.serving(door, [service.handler()]), aio.insecure_channel(str(door.address)) as channel:
            yield channel


async def test_readers_of_other_terms_do_not_end_each_others_feed_and_there_are_not_many(monkeypatch):
    monkeypatch.setattr(feeds, "MAX_STREAMS", 1)
    east = East()
    east.put("zk", copy("a", namespace="n"), copy("b", "carts", namespace="n"))
    async with serving(east) as channel:
        kinds = ["*/*", "n/c*", "n/1", "n/2"]
        readers = [await Reader(channel, selections=[pb.Selection(services=[one])]).open() for one in kinds]
        for reader in readers:
            while not reader.epoch:
                await reader.next()
        for reader in readers[:2]:
            await reader.until_mark()
        assert [sorted(reader.held) for reader in readers[:2]] == [["a", "b"], ["b"]]
        east.put("zk", copy("b", "carts", namespace="n", weight=7))
        for reader in readers[:2]:
            while reader.held["b"] != 7:
                await reader.next()
        code, why = await (await Reader(channel, selections=[pb.Selection(services=["n/3"])]).open()).refused()
        assert (code, "different terms" in why) == (StatusCode.INVALID_ARGUMENT, True)
        code, why = await (await Reader(channel, selections=[EVERYTHING]).open()).refused()
        assert (code, "by 1 streams already" in why) == (StatusCode.INVALID_ARGUMENT, True)


async def test_a_batch_ends_before_it_is_too_large_and_a_record_that_is_too_large_stays():
    east = East()
    large = {"text": "x" * (MAX_RECORD - 1000)}
    east.put("zk", *(copy(f"i-{n}", namespace="n", metadata=large, address=f"10.1.1.{n}") for n in range(50)))
    east.put("zk", copy("huge", namespace="n", metadata={"text": "x" * MAX_RECORD}))
    async with serving(east) as channel:
        reader = await Reader(channel, selections=[EVERYTHING]).open()
        await reader.until_mark()
        assert len(reader.held) == 50
        assert max(word.ByteSize() for word in reader.words) <= BATCH_BYTES + MAX_RECORD


@pytest.mark.parametrize(
    ("selections", "why"),
    [
        ([pb.Selection(services=["*" * 9])], "at most 3 stars"),
        ([pb.Selection(services=["x/y"] * 1001)], "more than 1000 patterns"),
        ([pb.Selection(services=["no-slash"])], "no-slash"),
    ],
)
async def test_a_reader_that_asks_for_what_would_cost_too_much_is_told_so(selections, why):
    async with serving(East()) as channel:
        code, said = await (await Reader(channel, selections=selections).open()).refused()
        assert (code, why in said) == (StatusCode.INVALID_ARGUMENT, True)
