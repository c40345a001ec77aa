"""The service that peers read from: one stream for each reader.

reader ── Open ─▶ hub        who it is, what it wants, how far it has come
       ◀─ Mark ──            while this hub has not heard all of its own registries yet: a sign of life
       ◀─ Begin ─            everything follows (or: the stream goes on where it was)
       ◀─ Batch … Mark(n)    what there is; the reader holds everything up to n
       ── Heard(n) ─▶
       ◀─ Batch, Mark(n+k)   every change, the newest of each record once
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import grpc
import msgspec
from grpc import StatusCode, aio

from pilot_plus.model import split_service
from pilot_plus.servers.join.calls import EXPECTED, Context, Pen, Refusal, decoded, encoded, refusal_of
from pilot_plus.servers.peer.feed import Feed, Feeds
from pilot_plus.servers.peer.readers import Reader, Readers
from pilot_plus.servers.peer.speech import speech
from pilot_plus.views.export import Terms
from pilot_plus.wire import peer_pb2 as pb
from pilot_plus.wire.meeting import MEET
from pilot_plus.wire.peer import READ, Exchange
from pilot_plus.wire.selections import Selection

MAX_PATTERNS: Final = 1000
"""Patterns and labels that a reader may send."""
MAX_STARS: Final = 3
"""In one pattern of a reader: what matching it costs grows with their number."""
OPEN_WITHIN: Final = 10.0
"""Seconds."""
SILENCE: Final = 30.0
"""Seconds without a word of the reader, which confirms every mark, after which it is gone."""


class Embassy(Exchange, Protocol):
    """Who knows the hubs of other clusters."""

    def why_not(self, context: Context, cluster: str) -> str:
        """Why whoever calls may not speak for a cluster; empty if it may."""
        ...

    async def welcome(self, said: pb.Introduction) -> pb.Introduction:
        """Somebody introduces itself with a token. Raises `Denied`, `ValueError` and `OSError`."""
        ...


class PeerService:
    """Answers readers."""

    def __init__(
        self,
        feeds: Feeds,
        offers: Callable[[str], Terms | None],
        is_ready: Callable[[], bool],
        embassy: Embassy,
    ) -> None:
        """`offers`: our side of the terms for a cluster; None: no peer of ours.

        `is_ready`: whether all that we export from has been heard, or the patience with it is over.
        `embassy`: who knows the hubs of other clusters.
        """
        self.readers = Readers()
        self._feeds = feeds
        self._offers = offers
        self._is_ready = is_ready
        self._embassy = embassy

    def handler(self) -> grpc.GenericRpcHandler:
        """To be added to a server."""
        _, service, read = READ.split("/")
        handlers = {
            read: grpc.stream_stream_rpc_method_handler(self._read, response_serializer=encoded),
            MEET.rpartition("/")[2]: grpc.unary_unary_rpc_method_handler(self._meet, response_serializer=encoded),
        }
        return grpc.method_handlers_generic_handler(service, handlers)

    async def _meet(self, data: bytes, context: Context) -> pb.Introduction:
        """Somebody introduces itself, with a token."""
        try:
            return await self._embassy.welcome(decoded(data, pb.Introduction))
        except EXPECTED as error:
            refusal = refusal_of(error)
            await context.abort(refusal.code, refusal.details)
            raise AssertionError("abort raises") from error

    async def _read(self, _: object, context: Context) -> None:
        """One reader's stream, from its first word to its status."""
        try:
            await self._served(context)
        except EXPECTED as error:
            refusal = refusal_of(error)
            await context.abort(refusal.code, refusal.details)
        except aio.BaseError:  # the connection is gone
            pass

    async def _served(self, context: Context) -> None:
        opened = await _opened(context)
        offer = self._offers(opened.cluster)
        if offer is None:
            raise Refusal(StatusCode.PERMISSION_DENIED, f"{opened.cluster[:80]!r} is not among the `peers` here")
        if why := self._embassy.why_not(context, opened.cluster):
            raise Refusal(StatusCode.PERMISSION_DENIED, why)
        context.set_compression(grpc.Compression.Gzip)
        reader = self.readers.enter(opened.cluster)
        try:
            with self._feeds.lent(_terms(offer, opened)) as feed:
                async with asyncio.TaskGroup() as tasks:
                    pen = Pen(context)
                    speaking = tasks.create_task(self._speak(feed, opened, reader, pen))
                    refusal = await self._listen(context, reader)
                    await pen.rest()
                    speaking.cancel()
        finally:
            self.readers.leave(reader)
        if refusal:
            raise refusal

    async def _listen(self, context: Context, reader: Reader) -> Refusal | None:
        """Hear how far the reader has come, until it ends, or why that must end.

        What else it says is for later versions.
        """
        try:
            while True:
                async with asyncio.timeout(SILENCE):
                    word = await _word(context)
                if word is None:
                    return None
                if word.WhichOneof("word") == "heard":
                    reader.hear(word.heard.revision)
                elif word.WhichOneof("word") == "trust":
                    await self._embassy.learn(reader.cluster, word.trust)
        except TimeoutError:
            return Refusal(StatusCode.DEADLINE_EXCEEDED, f"nothing was heard for {SILENCE:.0f} s")
        except Refusal as refusal:
            return refusal
        except aio.BaseError:
            return None

    async def _speak(self, feed: Feed, opened: pb.Open, reader: Reader, pen: Pen) -> None:
        try:
            async for word in speech(feed, opened, reader, self._is_ready, self._embassy.trust):
                reader.bytes += word.ByteSize()
                await pen.write(word)
        except aio.BaseError:  # the connection is gone, as `_listen` hears too
            pass


async def _opened(context: Context) -> pb.Open:
    try:
        async with asyncio.timeout(OPEN_WITHIN):
            word = await _word(context)
    except TimeoutError as error:
        raise Refusal(StatusCode.DEADLINE_EXCEEDED, f"nothing was said within {OPEN_WITHIN:.0f} s") from error
    if word is None or word.WhichOneof("word") != "open":
        raise ValueError("expected `open` first")
    _check(word.open)
    return word.open


async def _word(context: Context) -> pb.ReaderWord | None:
    data: object = await context.read()
    return decoded(data, pb.ReaderWord) if isinstance(data, bytes) else None


def _terms(offer: Terms, opened: pb.Open) -> Terms:
    """Both sides' terms together."""
    return msgspec.structs.replace(
        offer,
        wanted=tuple(_selection(said) for said in opened.selections),
        relay=frozenset(opened.relay),
        summary=offer.summary or opened.summary,
    )


def _selection(said: pb.Selection) -> Selection:
    return Selection(services=tuple(said.services), labels=tuple(sorted(said.labels.items())), deny=said.deny)


def _check(opened: pb.Open) -> None:
    """Refuse what would cost too much.

    Raises:
        ValueError: too many, too long, or no patterns.
    """
    patterns: Sequence[str] = [pattern for said in opened.selections for pattern in said.services]
    if len(patterns) + sum(len(said.labels) for said in opened.selections) > MAX_PATTERNS:
        raise ValueError(f"more than {MAX_PATTERNS} patterns and labels")
    if len(opened.relay) > MAX_PATTERNS or len(opened.cluster) > 253:
        raise ValueError("too many names, or one that is too long")
    for pattern in patterns:
        if len(pattern) > 1000 or pattern.count("*") > MAX_STARS:
            raise ValueError(f"{pattern[:80]!r}: a pattern of at most 1000 characters with at most {MAX_STARS} stars")
        split_service(pattern)
