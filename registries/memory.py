"""The reference implementation: a registry in this process's memory. The smallest thing that keeps every promise.

Stores have names, so that a source and a sink, two hubs in one process, or a test find the same one. What the hub
writes lies in a store beside what others write (`Store.write`), and is told apart by a flag, as other registries tell
by an ephemeral owner or a lease.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from heapq import heappop, heappush
from math import inf
from time import monotonic
from typing import Final

import msgspec

from pilot_plus.model import Alive, Drop, Instance, Put, Reset, Service, Update
from pilot_plus.ports import Done, Failed, Refused, Result, SourceLost

ALIVE_EVERY: Final = 5.0
"""Seconds."""
_LOCK_LOST: Final = Failed("the lock is somebody else's now")


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which store of this process."""

    store: str = "default"


class _Record(msgspec.Struct, frozen=True):
    record: Instance | Service
    is_ours: bool = False
    expires: float | None = None


class Store:
    """What one memory registry holds. Not for several threads."""

    def __init__(self) -> None:
        """Begin empty."""
        self.records: dict[str, _Record] = {}
        self.watches: set[_Watch] = set()
        self.locks: dict[str, tuple[str, float]] = {}
        """By name: whose, and until when (monotonic seconds)."""
        self._due: list[tuple[float, str]] = []
        self._queued: dict[str, float] = {}
        self.down: str = ""
        """Why nobody can connect, if so."""
        self.breaks = 0
        """How often all watches have been lost."""

    def write(self, *records: Instance | Service) -> None:
        """Create or replace records, as somebody else than the hub would."""
        for record in records:
            self.keep(record.key, _Record(record))

    def remove(self, *keys: str) -> None:
        """Remove records, whoever wrote them."""
        for key in keys:
            self.forget(key)

    def fail(self, reason: str) -> None:
        """Lose every watch, and refuse new ones until `heal`."""
        self.down = reason
        self.breaks += 1
        for watch in self.watches:
            watch.changed.set()

    def heal(self) -> None:
        """Let people connect again."""
        self.down = ""

    def keep(self, key: str, record: _Record) -> None:
        """Put a record, and tell everybody."""
        self.lease(key, record)
        for watch in self.watches:
            watch.note(key, Put(record.record))

    def forget(self, key: str) -> None:
        """Take a record away, and tell everybody."""
        if self.records.pop(key, None) is not None:
            for watch in self.watches:
                watch.note(key, Drop(key))

    def lease(self, key: str, record: _Record) -> None:
        """Replace a record by one that says the same, with another end, or its first."""
        self.records[key] = record
        if record.expires is not None and record.expires < self._queued.get(key, inf):
            self._queued[key] = record.expires
            heappush(self._due, (record.expires, key))

    def expire(self) -> float | None:
        """Remove what is over; say when to ask again (monotonic seconds). A lease that was renewed is put off."""
        now = monotonic()
        while self._due and self._due[0][0] <= now:
            at, key = heappop(self._due)
            if self._queued.get(key) != at:
                continue  # it was queued anew for an earlier time
            del self._queued[key]
            record = self.records.get(key)
            if record is None or record.expires is None:
                continue
            if record.expires <= now:
                self.forget(key)
            else:
                self.lease(key, record)
        return self._due[0][0] if self._due else None


class _Watch:
    """What one watcher has not been told yet: the latest update of each key, so it can't grow beyond the store."""

    def __init__(self) -> None:
        self.pending: dict[str, Update] = {}
        self.changed = asyncio.Event()

    def note(self, key: str, update: Update) -> None:
        self.pending.pop(key, None)
        self.pending[key] = update
        self.changed.set()


STORES: Final[dict[str, Store]] = {}


def store(name: str = "default") -> Store:
    """The store of that name; made on first use."""
    return STORES.setdefault(name, Store())


class Memory:
    """A connection to a store: source, sink, keeper of its leases and of locks."""

    def __init__(self, held: Store) -> None:
        """Connect to a store."""
        self._store = held
        self._held: dict[str, str] = {}

    async def watch(self, after: str | None = None) -> AsyncIterator[Update]:
        """Say the whole truth, then every change."""
        held, watch = self._store, _Watch()
        breaks = held.breaks
        held.watches.add(watch)
        try:
            held.expire()
            yield _truth(held)
            while True:
                try:
                    async with asyncio.timeout(_pause(held.expire())):
                        await watch.changed.wait()
                except TimeoutError:
                    yield Alive()
                    continue
                watch.changed.clear()
                if held.breaks != breaks:
                    raise SourceLost(held.down or "the store was lost for a moment")
                updates, watch.pending = watch.pending, {}
                for update in updates.values():
                    yield update
        finally:
            held.watches.discard(watch)

    async def put(self, instances: Sequence[Instance]) -> Sequence[Result]:
        """Write each, unless somebody else's record is in its place."""
        if self._is_fenced_off():
            return [_LOCK_LOST for _ in instances]
        return [self._put(instance) for instance in instances]

    async def drop(self, keys: Sequence[str]) -> Sequence[Result]:
        """Remove each that is ours."""
        if self._is_fenced_off():
            return [_LOCK_LOST for _ in keys]
        return [self._drop(key) for key in keys]

    async def renew(self, keys: Sequence[str]) -> Sequence[Result]:
        """Begin the leases anew."""
        return [self._renew(key) for key in keys]

    def preview(self, instance: Instance) -> Instance | Refused:
        """Everything is held as it is."""
        return msgspec.structs.replace(instance, key=key_of(instance))

    async def claim(self, name: str, owner: str, ttl: float) -> str:
        """Take a lock that is free or over, or keep one's own."""
        now, (holder, until) = monotonic(), self._store.locks.get(name, ("", 0.0))
        if holder not in ("", owner) and now < until:
            return holder
        self._store.locks[name] = (owner, now + ttl)
        self._held[name] = owner
        return owner

    async def release(self, name: str, owner: str) -> None:
        """Give a lock up."""
        self._held.pop(name, None)
        if self._store.locks.get(name, ("", 0.0))[0] == owner:
            del self._store.locks[name]

    def _is_fenced_off(self) -> bool:
        """Whether a lock that we took is not ours any more: then nothing is written."""
        return any(self._store.locks.get(name, ("", 0.0))[0] != owner for name, owner in self._held.items())

    def _put(self, instance: Instance) -> Result:
        key = key_of(instance)
        there = self._store.records.get(key)
        if there and not there.is_ours:
            return Refused(f"{key} is somebody else's record")
        expires = monotonic() + instance.lease if instance.lease else None
        written = _Record(msgspec.structs.replace(instance, key=key), is_ours=True, expires=expires)
        if there and there.record == written.record:
            self._store.lease(key, written)
        else:
            self._store.keep(key, written)
        return Done(key)

    def _drop(self, key: str) -> Result:
        there = self._store.records.get(key)
        if there and not there.is_ours:
            return Refused(f"{key} is somebody else's record")
        self._store.forget(key)
        return Done(key)

    def _renew(self, key: str) -> Result:
        there = self._store.records.get(key)
        if there is None or not isinstance(there.record, Instance):
            return Refused(f"{key} is not registered")
        expires = monotonic() + there.record.lease if there.record.lease else None
        self._store.lease(key, msgspec.structs.replace(there, expires=expires))
        return Done(key)


def key_of(instance: Instance) -> str:
    """Where an instance lies."""
    return f"{instance.service}/{instance.id}"


@asynccontextmanager
async def connect(settings: Settings) -> AsyncIterator[Memory]:
    """Open a store."""
    held = store(settings.store)
    if held.down:
        raise SourceLost(held.down)
    yield Memory(held)


def _truth(held: Store) -> Reset:
    records = [held_record.record for held_record in held.records.values()]
    return Reset(
        services=[record for record in records if isinstance(record, Service)],
        instances=[record for record in records if isinstance(record, Instance)],
    )


def _pause(next_lease: float | None) -> float:
    return ALIVE_EVERY if next_lease is None else min(ALIVE_EVERY, max(0.0, next_lease - monotonic()) + 0.005)
