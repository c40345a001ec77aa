"""Reads our own registry: the whole of it, and then its log of changes, from any revision that the log still holds.

    progress = "1047.552890"      the change 1047, and a number drawn when it was written

A watch goes on only behind a change that is still in the log *with its number*: a database that was put back from a
copy gives the same revisions to other changes, and must be listed anew.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from pilot_plus.model import Drop, Instance, Put, Reset, Skipped, Update
from pilot_plus.sql import Store
from registries.database.record import decode, row_of
from registries.database.statements import COLUMNS, Statements

PAGE: Final = 1000
"""Rows that are decoded without letting others run: about 5 ms."""


class Mark(msgspec.Struct, frozen=True):
    """A change in the log, by its revision and the number drawn for it."""

    revision: int
    nonce: int

    def __str__(self) -> str:
        """As it stands in `Alive.progress`."""
        return f"{self.revision}.{self.nonce}" if self.revision else ""


START: Final = Mark(0, 0)


def mark_of(progress: str | None) -> Mark | None:
    """The reverse of `str(mark)`; None where it is none of ours."""
    revision, dot, nonce = (progress or "").partition(".")
    try:
        mark = Mark(int(revision[:20]), int(nonce[:20]))
    except ValueError:
        return None
    return mark if dot and max(abs(mark.revision), abs(mark.nonce)) < 2**63 else None


class Log:
    """One reader of the database, with the change that it has seen last and the places that it could not read."""

    def __init__(self, store: Store, statements: Statements) -> None:
        self._store = store
        self._say = statements
        self._skipped: set[str] = set()
        self.mark = START

    async def resumes(self, mark: Mark) -> bool:
        """Go on behind that mark, if the log still proves that nothing between is missing."""
        async with self._store.reading() as connection:
            nonce = await connection.scalar(self._say.nonce_of, {"since": mark.revision})
        if nonce != mark.nonce:
            return False
        self.mark = mark
        return True

    async def list_all(self) -> AsyncIterator[Update]:
        """A `Reset` of everything, from one snapshot, and a `Skipped` for every row that can't be used."""
        instances: list[Instance] = []
        skips: list[Skipped] = []
        async with self._store.reading() as connection:
            mark = await _newest(connection, self._say)
            async for row in _rows(connection, self._say):
                said = _decoded(row)
                if isinstance(said, Skipped):
                    skips.append(said)
                else:
                    instances.append(said)
        self.mark = mark
        self._skipped = {skip.place for skip in skips}
        yield Reset(instances=instances)
        for skip in skips:
            yield skip

    async def changes(self) -> list[Update] | None:
        """What has changed since the mark, at most a page of it; None where the log does not reach back so far."""
        async with self._store.reading() as connection:
            found = await connection.execute(self._say.changes, {"since": self.mark.revision, "limit": PAGE + 1})
            rows = [dict(row) for row in found.mappings()]
        if self.mark.revision:
            if not rows or (rows[0]["revision"], rows[0]["nonce"]) != (self.mark.revision, self.mark.nonce):
                return None
            del rows[0]
        elif rows and rows[0]["revision"] != 1:
            return None
        if rows:
            self.mark = Mark(rows[-1]["revision"], rows[-1]["nonce"])
        newest = {row["changed"]: row for row in rows}
        return [update for row in rows if newest[row["changed"]] is row for update in self._said(row)]

    def _said(self, row: Mapping[str, Any]) -> list[Update]:
        """What one change says; the row holds the instance as it is now, which may be newer than the change."""
        key = row["changed"]
        if row["key"] is None:
            taken_back = self._readable(key)
            return [*taken_back, Drop(key, explicit=row["op"] == "drop")] if isinstance(key, str) else taken_back
        said = _decoded(row)
        if isinstance(said, Instance):
            return [*self._readable(key), Put(said)]
        self._skipped.add(said.place)
        return [Drop(said.place), said]

    def _readable(self, key: object) -> list[Update]:
        place = _place(key)
        if place not in self._skipped:
            return []
        self._skipped.discard(place)
        return [Skipped(place, "")]


async def _newest(connection: AsyncConnection, statements: Statements) -> Mark:
    row = (await connection.execute(statements.newest)).one_or_none()
    return Mark(row.revision, row.nonce) if row else START


async def _rows(connection: AsyncConnection, statements: Statements) -> AsyncIterator[Mapping[str, Any]]:
    """All rows in the order of their keys, letting others run after each page."""
    page = (await connection.execute(statements.first_page, {"limit": PAGE})).mappings().all()
    while page:
        for row in page:
            yield dict(row)
        await asyncio.sleep(0)
        after = {"after": page[-1]["key"], "limit": PAGE}
        page = (await connection.execute(statements.next_page, after)).mappings().all()


def _decoded(row: Mapping[str, Any]) -> Instance | Skipped:
    try:
        return decode(row_of([row[column] for column in COLUMNS]))
    except ValueError as error:
        return Skipped(_place(row["key"]), str(error)[:300])


def _place(key: object) -> str:
    """Where a record lies, for people; the key itself as far as it is one."""
    return key if isinstance(key, str) and key.isprintable() else ascii(key)[:300]
