"""Writes our own registry: what arrives while a transaction is being committed shares the next one.

A caller is answered when its write is on the disk. One task writes, so a caller that goes away leaves no half of a
transaction behind.
"""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from pilot_plus.model import Instance
from pilot_plus.ports import Done, Failed, Refused, Result
from pilot_plus.sql import Store
from registries.database.record import Row, decode, encode
from registries.database.statements import Statements
from registries.layouts.recent import Recent

TURN: Final = 1
"""Our turn at the database; the triggers take the same one."""
NO_FENCES: Final[Mapping[str, str]] = {}
MOST: Final = 500
"""Rows of a transaction: a writer that comes after it waits for a few milliseconds."""


class Written(msgspec.Struct, frozen=True):
    """What a transaction has brought into the database."""

    tick: int
    rows: Sequence[Row]
    dropped: Sequence[str]


class _Job(msgspec.Struct, eq=False):
    rows: Sequence[Row]
    drops: Sequence[str]
    fences: Mapping[str, str]
    done: asyncio.Future[frozenset[str]]


class Writer:
    """The queue before the database."""

    def __init__(self, store: Store, statements: Statements, identity: int) -> None:
        self._store = store
        self._say = statements
        self._identity = identity
        self._encoded = Recent(_encoded)
        self._jobs: deque[_Job] = deque()
        self._wanted = asyncio.Event()
        self._closed = ""

    def preview(self, instance: Instance) -> Instance | Refused:
        """What will become of a write: nearly everything is held."""
        row = self._encoded.foresee(instance)
        return row if isinstance(row, Refused) else decode(row)

    async def put(self, instances: Sequence[Instance], fences: Mapping[str, str] = NO_FENCES) -> list[Result]:
        """Write each; a copy is refused where an original holds its key.

        `fences`: locks that must still be as their owners hold them.
        """
        encoded = [self._encoded.take(instance) for instance in instances]
        rows = [row for row in encoded if isinstance(row, Row)]
        refused: frozenset[str] = frozenset()
        for start in range(0, len(rows), MOST):
            try:
                refused |= await self._ask(rows[start : start + MOST], (), fences)
            except OSError as error:
                return [row if isinstance(row, Refused) else Failed(str(error)) for row in encoded]
        return [row if isinstance(row, Refused) else _result(row.key, refused) for row in encoded]

    async def drop(self, keys: Sequence[str], fences: Mapping[str, str] = NO_FENCES) -> list[Result]:
        """Remove each; one that is not there is removed already."""
        for start in range(0, len(keys), MOST):
            try:
                await self._ask((), keys[start : start + MOST], fences)
            except OSError as error:
                return [Failed(str(error)) for _ in keys]
        return [Done(key) for key in keys]

    async def write_next(self) -> Written:
        """Wait for something to write, and write it in one transaction.

        Raises:
            OSError: the database is gone; everybody who waits has been told.
        """
        await self._wanted.wait()
        taken = self._take()
        try:
            async with self._store.writing(TURN) as connection:
                jobs = await self._fenced(connection, taken)
                rows = list({row.key: row for job in jobs for row in job.rows}.values())
                drops = [key for job in jobs for key in job.drops]
                refused = await self._refused(connection, rows)
                kept = [row for row in rows if row.key not in refused]
                tick = await self._write(connection, kept, drops)
        except OSError as error:
            self._fail(taken, error)
            raise
        except BaseException:  # we leave; whoever else is there writes it, for the second time at the worst
            self._jobs.extendleft(reversed(taken))
            self._wanted.set()
            raise
        for job in jobs:
            if not job.done.done():
                job.done.set_result(refused)
        return Written(tick, kept, drops)

    def close(self, reason: str) -> None:
        """Answer everybody who still waits, and from now on at once, that it can't be written."""
        self._closed = self._closed or reason
        self._fail(self._jobs, ConnectionError(self._closed))
        self._jobs.clear()

    async def _ask(self, rows: Sequence[Row], drops: Sequence[str], fences: Mapping[str, str]) -> frozenset[str]:
        if self._closed:
            raise ConnectionError(self._closed)
        job = _Job(rows, drops, dict(fences), asyncio.get_running_loop().create_future())
        self._jobs.append(job)
        self._wanted.set()
        return await job.done

    def _take(self) -> list[_Job]:
        """The next jobs, in order; puts and drops of one key never share a transaction, since there drops go last."""
        taken: list[_Job] = []
        dropped: set[str] = set()
        size = 0
        while self._jobs and (not taken or size + len(self._jobs[0].rows) + len(self._jobs[0].drops) <= MOST):
            if any(row.key in dropped for row in self._jobs[0].rows):
                break
            job = self._jobs.popleft()
            taken.append(job)
            dropped.update(job.drops)
            size += len(job.rows) + len(job.drops)
        if not self._jobs:
            self._wanted.clear()
        return taken

    async def _fenced(self, connection: AsyncConnection, jobs: Sequence[_Job]) -> list[_Job]:
        """The jobs whose locks are still theirs; the others are told."""
        names = {name for job in jobs for name in job.fences}
        owners = {name: await self._owner(connection, name) for name in sorted(names)}
        fenced_off = [job for job in jobs if any(owners[name] != owner for name, owner in job.fences.items())]
        self._fail(fenced_off, PermissionError("the lock is somebody else's now"))
        return [job for job in jobs if job not in fenced_off]

    async def _owner(self, connection: AsyncConnection, name: str) -> str | None:
        row = (await connection.execute(self._say.lock, {"lock": name})).one_or_none()
        return row.owner if row else None

    async def _refused(self, connection: AsyncConnection, rows: Sequence[Row]) -> frozenset[str]:
        """Keys of copies whose place an original holds: what was registered here is nobody's to overwrite."""
        copies = [row.key for row in rows if row.copied]
        if not copies:
            return frozenset()
        found = await connection.execute(self._say.originals, {"keys": self._say.many(copies)})
        return frozenset(found.scalars())

    async def _write(self, connection: AsyncConnection, rows: Sequence[Row], drops: Sequence[str]) -> int:
        tick = 0
        if rows:
            tick = await connection.scalar(self._say.next_tick) or 0
            await connection.execute(self._say.put, [msgspec.structs.asdict(row) for row in rows])
            keys = self._say.many([row.key for row in rows])
            await connection.execute(self._say.beat, {"keys": keys, "now": tick, "by": self._identity})
        if drops:
            await connection.execute(self._say.drop, {"keys": self._say.many(drops)})
        return tick

    def _fail(self, jobs: Sequence[_Job] | deque[_Job], error: OSError) -> None:
        for job in jobs:
            if not job.done.done():
                job.done.set_exception(error)


def _encoded(instance: Instance) -> Row | Refused:
    try:
        return encode(instance)
    except ValueError as error:
        return Refused(str(error)[:300])


def _result(key: str, refused: frozenset[str]) -> Result:
    return Refused("an instance that was registered here holds this key") if key in refused else Done(key)
