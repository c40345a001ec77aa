"""etcd as a registry: the source, and the door to the sink."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Final

from pilot_plus.model import Alive, Instance, Reset, Resumed, Service, Skipped, Update
from pilot_plus.ports import Refused, Result
from registries.etcd import wire_pb2 as wire
from registries.etcd.claims import Record
from registries.etcd.client import Client, open_client
from registries.etcd.following import PUT, Following, follow
from registries.etcd.leases import Leases, keeping
from registries.etcd.listing import pages
from registries.etcd.locks import Locks
from registries.etcd.ownership import Owner
from registries.etcd.progress import Position, Witness, is_same_history, position_of, reading_of, seen_put
from registries.etcd.ranges import union
from registries.etcd.records import Records, reader_of
from registries.etcd.settings import CLAIMING, Settings
from registries.etcd.sink import Writer

CHUNK: Final = 500
"""Records that are decoded without a pause for others in this event loop."""


@asynccontextmanager
async def connect(settings: Settings) -> AsyncIterator["Etcd"]:
    """Open an etcd.

    Raises:
        SourceLost: no endpoint answers, or none lets us in.
    """
    first = union(layout.root for layout in settings.known_layouts)[0]
    probe = wire.RangeRequest(key=first.start, range_end=first.end, limit=1, keys_only=True)
    owner = Owner(settings.cluster)
    async with (
        open_client(settings, probe) as client,
        keeping(Leases(client, owner, settings.silence_seconds)) as leases,
    ):
        locks = Locks(client, settings.locks, settings.timeout_seconds)
        yield Etcd(client, settings, Writer(client, settings.known_layouts, leases, locks, owner), locks)


class Etcd:
    """An open etcd."""

    def __init__(self, client: Client, settings: Settings, writer: Writer, locks: Locks) -> None:
        self._client = client
        self._writer = writer
        self._locks = locks
        self._settings = settings
        self._layouts = settings.known_layouts
        self._ranges = union(layout.root for layout in self._layouts)
        self._reading = reading_of(self._layouts)
        self._readers = [reader_of(layout, is_plain=layout.name not in CLAIMING) for layout in self._layouts]
        self._records = Records(self._readers)
        self._can_resume = all(reader.is_plain and reader.root for reader in self._readers)

    def __repr__(self) -> str:
        return f"<Etcd by {self._client!r}>"

    async def watch(self, after: str | None = None) -> AsyncIterator[Update]:
        """Say the truth, then every change."""
        position = await self._resumed(after) if after else None
        if position is None:
            position, records, opening = await self._listed()
        else:
            records, opening = Records(self._readers, past_is_known=False), [Resumed()]
        self._records = records
        async with follow(self._client, self._ranges, position, self._settings.silence_seconds) as following:
            for update in opening:
                yield update
            opening.clear()  # the whole truth need not stay in memory here
            yield self._alive(following)
            while True:
                events = await following.next()
                for at, event in enumerate(events, 1):
                    kv = event.kv
                    changes = records.put(kv.key, kv.value) if event.type == PUT else records.delete(kv.key)
                    for update in changes:
                        yield update
                    if at % CHUNK == 0:
                        await asyncio.sleep(0)
                if not events:
                    yield self._alive(following)

    async def locate(self, keys: Sequence[str]) -> Mapping[str, Sequence[str]]:
        """The keys in etcd of records that say several instances, or whose key changes with what they say."""
        return {key: places for key in keys if (places := self._records.places(key))}

    def preview(self, instance: Instance) -> Instance | Refused:
        """What will become of a write."""
        return self._writer.preview(instance)

    async def put(self, instances: Sequence[Instance]) -> Sequence[Result]:
        """Write each instance, on a lease of ours, unless somebody else's record is in its place."""
        return await self._writer.put(instances)

    async def drop(self, keys: Sequence[str]) -> Sequence[Result]:
        """Remove the records of those keys that are ours."""
        return await self._writer.drop(keys)

    async def renew(self, keys: Sequence[str]) -> Sequence[Result]:
        """Go on with the leases that these keys are on, for as long as this connection lives."""
        return await self._writer.renew(keys)

    async def claim(self, name: str, owner: str, ttl: float) -> str:
        """Take a lock, or begin its time anew; whose it is now. What is written from then on is fenced by it."""
        return await self._locks.claim(name, owner, ttl)

    async def release(self, name: str, owner: str) -> None:
        """Give a lock up."""
        await self._locks.release(name, owner)

    def _alive(self, following: Following) -> Alive:
        return Alive(following.position.text() if self._can_resume else "")

    async def _resumed(self, after: str) -> Position | None:
        """Where to go on from; None where nothing proves that we know all up to there."""
        position = position_of(after)
        if position is None or not self._can_resume or position.reading != self._reading:
            return None
        if len(position.revisions) != len(self._ranges):
            return None
        return position if await is_same_history(self._client, self._ranges, position) else None

    async def _listed(self) -> tuple[Position, Records, list[Update]]:
        """The whole truth, what is known of it from now on, and where it stands."""
        records = Records(self._readers)
        found: list[Record] = []
        skips: list[Skipped] = []
        witness: Witness | None = None
        header = wire.Header()
        async with aclosing(pages(self._client, self._ranges, self._settings.page)) as all_pages:
            async for page in all_pages:
                if not header.revision:
                    header.CopyFrom(page.header)
                for at, kv in enumerate(page.kvs, 1):
                    records.take(kv.key, kv.value, found, skips)
                    if at % CHUNK == 0:
                        await asyncio.sleep(0)
                if page.kvs:
                    witness = seen_put(page.kvs[-1].key, page.kvs[-1].mod_revision, page.kvs[-1].value)
        found += records.claimed()
        position = Position(header.cluster_id, self._reading, (header.revision,) * len(self._ranges), witness)
        return position, records, [_reset(found), *skips]


def _reset(found: list[Record]) -> Reset:
    services = [record for record in found if isinstance(record, Service)]
    return Reset(services, [record for record in found if isinstance(record, Instance)])
