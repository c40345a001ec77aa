"""Keeps the leases of our own registry: writes heartbeats in batches, and removes those whose time has passed.

Every copy of the hub does this for all instances. A removal is made only where the counter has not moved since we
looked, so copies on one database agree, and none removes what another has just heard.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Final

from pilot_plus.ports import Done, Refused, Result
from pilot_plus.sql import Store
from registries.database.leases import GRACE_S, Leases
from registries.database.statements import Statements
from registries.database.writer import TURN, Written

EVERY_S: Final = 0.2
BATCH: Final = 500
"""Heartbeats of a transaction: few, so that a registration that comes meanwhile waits for a few milliseconds."""
PAGE: Final = 1000
LOG_ROWS: Final = 100_000
"""Changes that stay in the log: how far back a watch can go on."""
_TRIM_EVERY: Final = 50


class Keeper:
    """The leases as this process observes them."""

    def __init__(self, store: Store, statements: Statements, identity: int) -> None:
        self.leases = Leases()
        self._store = store
        self._say = statements
        self._identity = identity
        self._pending: dict[str, None] = {}
        self._revision = 0
        self._tick = 0
        self._rounds = 0

    async def load(self) -> None:
        """Learn what is there: the time of each lease begins anew, and nobody has been heard yet."""
        async with self._store.reading() as connection:
            newest = (await connection.execute(self._say.newest)).one_or_none()
            self._revision = newest.revision if newest else 0
            self._tick = await connection.scalar(self._say.clock) or 0
            after = ""
            while rows := (await connection.execute(self._say.leases, {"after": after, "limit": PAGE})).all():
                for key, lease, tick in rows:
                    self._see(key, lease, tick, heard=False)
                after = rows[-1].key
                await asyncio.sleep(0)

    async def renew(self, keys: Sequence[str]) -> list[Result]:
        """Note a heartbeat of each; only a key that we don't know yet is looked up in the database."""
        now = time.monotonic()
        strange = [key for key in keys if not self.leases.heard(key, now)]
        known: frozenset[str] = frozenset()
        if strange:
            async with self._store.reading() as connection:
                found = await connection.execute(self._say.known, {"keys": self._say.many(strange)})
                known = frozenset(found.scalars())
        unknown = frozenset(strange) - known
        self._pending.update(dict.fromkeys(key for key in keys if key not in unknown))
        return [Refused("no such instance: register it again") if key in unknown else Done(key) for key in keys]

    def written(self, written: Written) -> None:
        """Our own registrations and removals, known here before the log is read."""
        for row in written.rows:
            self._see(row.key, row.lease, written.tick, heard=True)
        for key in written.dropped:
            self.leases.forget(key)

    async def turn(self) -> bool:
        """One round of keeping; True where something has changed that watchers should hear of."""
        while self._pending:
            await self._flush()
        changed = await self._look()
        while due := self.leases.due(time.monotonic(), BATCH):
            changed |= await self._expire(due)
        self._rounds += 1
        if self._rounds % _TRIM_EVERY == 0:
            await self._trim()
        return changed

    def _see(self, key: object, lease: object, tick: object, *, heard: bool, late: float = 0.0) -> None:
        """Take over a row, whoever wrote it: what is no lease is never due."""
        if isinstance(key, str) and isinstance(tick, int):
            seconds = float(lease) if isinstance(lease, int | float) and lease > 0 else 0.0
            self.leases.seen(key, seconds, tick, time.monotonic() + late, heard=heard)

    async def _flush(self) -> None:
        """Write a batch of heartbeats; what the database does not know any more is forgotten."""
        keys = list(self._pending)[:BATCH]
        async with self._store.writing(TURN, lasting=False) as connection:
            tick = await connection.scalar(self._say.next_tick) or 0
            given = {"keys": self._say.many(keys)}
            beaten = await connection.execute(self._say.beat, {**given, "now": tick, "by": self._identity})
            found = frozenset(keys)
            if beaten.rowcount != len(keys):
                found = frozenset((await connection.execute(self._say.known, given)).scalars())
        for key in keys:
            self._pending.pop(key, None)
            if key in found:
                self.leases.written(key, tick)
            else:
                self.leases.forget(key)

    async def _look(self) -> bool:
        """Read what others have written: changes of instances, and heartbeats that came through other copies."""
        async with self._store.reading() as connection:
            parameters = {"since": self._revision, "limit": PAGE}
            changes = (await connection.execute(self._say.changed_leases, parameters)).all()
            tick = await connection.scalar(self._say.clock) or 0
            beats = []
            if tick != self._tick:
                parameters = {"since": self._tick, "by": self._identity}
                beats = list((await connection.execute(self._say.foreign_beats, parameters)).all())
        if self._is_another(changes):
            await self._load_again()
            return True
        news = [change for change in changes if change.revision > self._revision]
        for _, key, lease, beat in news:
            if beat is None:
                self.leases.forget(key)
            else:
                self._see(key, lease, beat, heard=True, late=GRACE_S)
        self._revision = changes[-1].revision if changes else self._revision
        self._tick = tick
        now = time.monotonic()
        for key, beat in beats:
            self.leases.moved(key, beat, now)
        return bool(news)

    def _is_another(self, changes: Sequence[object]) -> bool:
        """The log does not hold the change that we saw last: it was trimmed while we slept, emptied, or put back."""
        first = changes[0].revision if changes else None  # type: ignore[attr-defined]  # a row's column
        return first != self._revision if self._revision else first not in (None, 1)

    async def _load_again(self) -> None:
        self.leases = Leases()
        await self.load()

    async def _expire(self, due: Sequence[tuple[str, int]]) -> bool:
        keys, ticks = [key for key, _ in due], [tick for _, tick in due]
        async with self._store.writing(TURN) as connection:
            newest = (await connection.execute(self._say.newest)).one_or_none()
            parameters = {"keys": self._say.many(keys), "ticks": self._say.many(ticks)}
            gone = list((await connection.execute(self._say.expire, parameters)).scalars())
            if gone:
                parameters = {"keys": self._say.many(gone), "since": newest.revision if newest else 0}
                await connection.execute(self._say.mark_expired, parameters)
        for key in gone:
            self.leases.forget(key)
        return bool(gone)

    async def _trim(self) -> None:
        """Take a bounded number of the oldest changes out of the log."""
        async with self._store.reading() as connection:
            oldest = await connection.scalar(self._say.oldest) or 0
        end = min(self._revision - LOG_ROWS, oldest + PAGE)
        while oldest and oldest <= end:
            async with self._store.writing(TURN, lasting=False) as connection:
                await connection.execute(self._say.trim, {"since": end})
            oldest, end = end + 1, min(self._revision - LOG_ROWS, end + PAGE)
