"""Another hub: a registry like any other, read over one stream (`pilot_plus.peer.v1`).

The hub marks how far it has come at least every second; silence is a loss. A stream that breaks goes on where it was,
if the other hub still knows what has changed since.

What a peer says is believed only of its own cluster, and of clusters that our configuration lets it relay; edges only
of such a cluster's zones. The rest is skipped, with the reason.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final, cast

import grpc
import msgspec
from google.protobuf.message import DecodeError
from grpc import aio

from pilot_plus.metrics import PEER_BYTES
from pilot_plus.model import Alive, Drop, Instance, Origin, Put, Reset, Resumed, Service, Skipped, Update
from pilot_plus.ports import SourceLost
from pilot_plus.wire import peer_pb2 as pb
from pilot_plus.wire.peer import MAX_RECORDS, MAX_WORD, READ, Credentials, Exchange, Record, read
from pilot_plus.wire.selections import Rule, Selection, rule_of

SILENCE: Final = 5.0
"""Seconds without a mark after which the peer is lost."""
BYTES_EACH: Final = 2048
"""What a list may bring for each of the records that it may hold at most."""
EDGES: Final = ("pilot-plus", "edge")
_UNPROVED: Final = "CERTIFICATE_VERIFY_FAILED"
_SETTLING: Final = 0.01
"""Seconds for grpc's own task of a cancelled stream, which nothing can wait for, to see its end."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """A peer, as the hub's `peers` describes it."""

    cluster: str
    """Our own."""
    name: str
    """The peer's cluster."""
    address: str
    """`HOST:PORT`."""
    selections: tuple[Selection, ...] = ()
    """What we let in."""
    relay: frozenset[str] = frozenset()
    summary: bool = False
    credentials: Callable[[], Credentials] | None = None
    """Asked for each connection, for they rotate; None: plaintext. Raises `SourceLost` if there are none."""
    exchange: Exchange | None = None
    """Where both sides say whom to believe; None: in plaintext nobody does."""
    max_records: int = MAX_RECORDS


class Peer:
    """A connection to another hub."""

    def __init__(self, channel: aio.Channel, settings: Settings) -> None:
        self._channel = channel
        self._settings = settings
        self._stale: set[str] = set()
        self._rules: dict[str, Rule | None] = {}
        self._skipped: set[str] = set()
        self._introduced = ""
        """The version of our trust that the other hub was told."""

    def unheard(self) -> frozenset[str]:
        """The keys of records that the other hub itself has only heard of long ago."""
        return frozenset(self._stale)

    async def watch(self, after: str | None = None) -> AsyncIterator[Update]:
        """Say what the other hub exports to us, then every change."""
        epoch, _, revision = (after or "").rpartition(":")
        call = self._channel.stream_stream(READ, pb.ReaderWord.SerializeToString)()
        try:
            await self._say(call, pb.ReaderWord(open=self._open(epoch, int(revision) if epoch else 0)))
            async for update in self._told(call):
                yield update
        except aio.AioRpcError as error:
            raise self._lost(error) from error
        except aio.BaseError as error:
            raise SourceLost(f"{self._named}: the stream has ended") from error
        finally:
            call.cancel()
            await asyncio.sleep(_SETTLING)

    async def _told(self, call: aio.StreamStreamCall) -> AsyncGenerator[Update, None]:
        listed: _List | None = None
        epoch = ""
        while True:
            word = await self._next(call)
            match word.WhichOneof("word"):
                case "begin":
                    epoch = self._begun(word.begin)
                    listed = _List() if word.begin.whole else None
                    if listed is None:
                        yield Resumed()
                case "batch" if listed is not None:
                    self._collect(word.batch, listed)
                    await self._say(call, pb.ReaderWord(heard=pb.Heard()))  # a long list is no silence
                case "batch" if epoch:
                    for update in self._changes(word.batch):
                        yield update
                case "mark" if epoch:
                    if listed is not None:
                        for update in listed.said():
                            yield update
                        listed = None
                    revision = word.mark.revision
                    await self._say(call, pb.ReaderWord(heard=pb.Heard(revision=revision)))
                    await self._introduce(call)
                    yield Alive(f"{epoch}:{revision}")
                case "trust" if self._settings.exchange:
                    await self._settings.exchange.learn(self._settings.name, word.trust)
                case _:  # a sign of life before it begins, or what a later version says
                    await self._say(call, pb.ReaderWord(heard=pb.Heard()))

    async def _introduce(self, call: aio.StreamStreamCall) -> None:
        """Say whom to believe in our cluster, once and whenever that changes."""
        if self._settings.exchange is None:
            return
        trust = self._settings.exchange.trust()
        if trust.version != self._introduced:
            self._introduced = trust.version
            await self._say(call, pb.ReaderWord(trust=trust))

    def _open(self, epoch: str, revision: int) -> pb.Open:
        settings = self._settings
        selections = [
            pb.Selection(services=one.services, labels=dict(one.labels), deny=one.deny) for one in settings.selections
        ]
        return pb.Open(
            cluster=settings.cluster, selections=selections, relay=sorted(settings.relay), summary=settings.summary,
            epoch=epoch, revision=revision,
        )  # fmt: skip

    def _begun(self, begin: pb.Begin) -> str:
        if begin.cluster != self._settings.name:
            raise SourceLost(
                f"{self._named}: it is the hub of cluster {begin.cluster[:80]!r}: check `name` or `address`"
            )
        self._stale = set(begin.stale)
        return begin.epoch

    def _collect(self, batch: pb.Batch, listed: "_List") -> None:
        for update in self._changes(batch):
            listed.take(update)
        listed.bytes += batch.ByteSize()
        most = self._settings.max_records
        if len(listed) > most or listed.bytes > most * BYTES_EACH:
            raise SourceLost(
                f"{self._named}: it exports more than {most} records, or {BYTES_EACH} bytes for each of so many"
            )

    def _changes(self, batch: pb.Batch) -> list[Update]:
        updates = self._said(batch)
        if len(self._skipped) + len(self._stale) > 2 * self._settings.max_records:
            raise SourceLost(f"{self._named}: it says too much that can't be used")
        return updates

    def _said(self, batch: pb.Batch) -> list[Update]:
        updates: list[Update] = []
        for said in batch.put:
            try:
                record = self._admitted(said)
            except ValueError as error:
                self._skipped.add(said.key)
                updates += (Drop(said.key), Skipped(said.key[:200], str(error)))
                continue
            updates += self._mended(said.key)
            if record is None:
                updates.append(Drop(said.key))
                continue
            updates.append(Put(record))
            if said.stale:
                self._stale.add(said.key)
            else:
                self._stale.discard(said.key)
        for key in batch.drop:
            self._stale.discard(key)
            updates += (*self._mended(key), Drop(key))
        return updates

    def _mended(self, key: str) -> list[Update]:
        if key not in self._skipped:
            return []
        self._skipped.discard(key)
        return [Skipped(key[:200], "")]

    def _admitted(self, said: pb.Record) -> Record | None:
        """The record under its name here; None if we don't let it in.

        Raises:
            ValueError: it can't be used, or the peer may not say it.
        """
        record = read(said)
        if isinstance(record, Instance):
            _check_whose(record, self._settings)
        if (record.namespace, record.name) == EDGES and isinstance(record, Instance):
            return self._come_through(record)
        name = self._name_here(record)
        if name is None:
            return None
        namespace, _, short = name.partition("/")
        named = msgspec.structs.replace(record, namespace=namespace, name=short)
        return self._come_through(named) if isinstance(named, Instance) else named

    def _come_through(self, record: Instance) -> Instance:
        """With the peer among its hops, if it is not the peer's own."""
        origin = record.origin
        if origin.cluster == self._settings.name:
            return record
        hops = (*origin.hops, self._settings.name)
        return msgspec.structs.replace(record, origin=Origin(origin.cluster, origin.registry, origin.id, hops))

    def _name_here(self, record: Record) -> str | None:
        service = record.service
        if service not in self._rules:
            if len(self._rules) > 100_000:
                self._rules.clear()
            self._rules[service] = rule_of(self._settings.selections, service)
        rule = self._rules[service]
        return rule.name_of(record.metadata) if rule else None

    async def _next(self, call: aio.StreamStreamCall) -> pb.HubWord:
        try:
            async with asyncio.timeout(SILENCE):
                data: object = await call.read()
        except TimeoutError as error:
            raise SourceLost(f"{self._named}: no sign of life for {SILENCE:g} s") from error
        if not isinstance(data, bytes):
            status = cast("grpc.StatusCode", await call.code())
            raise SourceLost(f"{self._named}: {status.name.lower()}: {await call.details() or 'it ended the stream'}")
        PEER_BYTES.labels(self._settings.name).inc(len(data))
        try:
            return pb.HubWord.FromString(data)
        except DecodeError as error:
            raise SourceLost(f"{self._named}: it says what is no message") from error

    async def _say(self, call: aio.StreamStreamCall, word: pb.ReaderWord) -> None:
        async with asyncio.timeout(SILENCE):
            await call.write(word)

    @property
    def _named(self) -> str:
        return f"the hub of {self._settings.name} at {self._settings.address}"

    def _lost(self, error: aio.AioRpcError) -> SourceLost:
        details = " ".join((error.details() or "").split())[:300]
        if _UNPROVED in details:
            return SourceLost(
                f"{self._named}: it does not prove that it is the hub that we have met: check `address`, or meet again "
                f"(`peer token {self._settings.cluster}` there, `peer join {self._settings.name} TOKEN` here)"
            )
        return SourceLost(f"{self._named}: {error.code().name.lower()}: {details}")


class _List:
    """A list under way: complete at the next mark."""

    def __init__(self) -> None:
        self.bytes = 0
        self._records: dict[str, Record] = {}
        self._skipped: dict[str, Skipped] = {}

    def __len__(self) -> int:
        return len(self._records) + len(self._skipped)

    def take(self, update: Update) -> None:
        match update:
            case Put(record):
                self._records[record.key] = record
            case Skipped(place, reason) if reason:
                self._skipped[place] = update
            case Skipped(place):
                self._skipped.pop(place, None)
            case Drop(key):
                self._records.pop(key, None)

    def said(self) -> list[Update]:
        records = self._records.values()
        services = [record for record in records if isinstance(record, Service)]
        instances = [record for record in records if isinstance(record, Instance)]
        return [Reset(services, instances), *self._skipped.values()]


def _check_whose(record: Instance, settings: Settings) -> None:
    """Check that the peer may say this.

    Raises:
        ValueError: it is another cluster's.
    """
    cluster, zone_cluster = record.origin.cluster, record.zone.partition("/")[0]
    if cluster == settings.cluster or settings.cluster in record.origin.hops:
        raise ValueError("it is of our own cluster, or has come through it")
    if cluster != settings.name and cluster not in settings.relay:
        raise ValueError(f"it is of cluster {cluster[:80]!r}, which `relay` does not let {settings.name!r} pass on")
    if zone_cluster != cluster:
        raise ValueError(f"its zone {record.zone[:80]!r} is not one of its cluster {cluster[:80]!r}")


@asynccontextmanager
async def connect(settings: Settings) -> AsyncIterator[Peer]:
    """Open a line to another hub. It is reached when the watch begins.

    Raises:
        SourceLost: there are no credentials yet.
    """
    options: list[tuple[str, int | str]] = [
        ("grpc.max_receive_message_length", MAX_WORD),
        ("grpc.keepalive_time_ms", 10_000),
        ("grpc.keepalive_timeout_ms", 5_000),
        ("grpc.enable_retries", 0),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.enable_http_proxy", 0),
    ]
    if settings.credentials is None:
        channel = aio.insecure_channel(settings.address, options=options)
    else:
        held = settings.credentials()
        options.append(("grpc.ssl_target_name_override", held.name))
        tls = grpc.ssl_channel_credentials(held.roots, held.key, held.chain)
        channel = aio.secure_channel(settings.address, tls, options=options)
    async with channel:
        yield Peer(channel, settings)
