"""The archive: history's tables. What was recorded lies in batches first, and in chapters once they are complete.

    history_batches    chapter 9: batch 1, batch 2, …        as it came; whoever dies leaves them to the next
    history_pages      chapter 8: a page for each service    sorted and compressed: few bytes, quickly found
                       chapter 7: …                          the oldest chapters go when there is too much

A chapter counts from the transaction that lists it and removes its batches. Until then its pages are nobody's.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Final, ParamSpec

import msgspec
import sqlalchemy as sa

from pilot_plus.journal.chapter import Chapter
from pilot_plus.journal.rows import batch_of, decoded, page_of, rows_in
from pilot_plus.journal.tables import (
    HISTORY_BATCHES,
    HISTORY_CHAPTERS,
    HISTORY_PAGES,
    SOLE,
    TURN,
    next_revision,
    upsert,
)
from pilot_plus.sql import Sole, Store

P = ParamSpec("P")

PAGES: Final = 100
"""Pages of one transaction: a few milliseconds, and nobody waits long for the database."""
BREATH: Final = 8
"""Pages that are compressed without letting others run."""
_LARGE: Final = 128 << 10
"""Bytes."""
_OVERHEAD: Final = 40
"""Bytes that a row of a database weighs beside what is in it."""


class Listed(msgspec.Struct, frozen=True):
    """A complete chapter."""

    chapter: int
    epoch: str
    begun: float
    ended: float
    """Wall clock, seconds."""
    changes: int
    bytes: int


class Found(msgspec.Struct, frozen=True):
    """Where a page lies."""

    chapter: int
    service: str
    first: float


class Archive:
    """History in one store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.sole = Sole(store, SOLE)
        """Of several copies of the hub one writes."""
        self._put_batch = upsert(HISTORY_BATCHES, ("chapter", "batch"), is_sqlite=store.is_sqlite)
        self._put_page = upsert(HISTORY_PAGES, ("chapter", "service"), is_sqlite=store.is_sqlite)
        self._put_chapter = upsert(HISTORY_CHAPTERS, ("chapter",), is_sqlite=store.is_sqlite)

    async def append(self, chapter: Chapter, rows: Sequence[tuple[str, bytes]]) -> None:
        """Write rows as the next batch of a chapter, which gets its number with the first.

        Raises:
            OSError: the database can't be written; nothing of it is.
        """
        payload = await _aside(sum(len(row) for _, row in rows), batch_of, chapter.epoch, rows)
        await self._number(chapter)
        row = {"chapter": chapter.number, "batch": chapter.batches, "payload": payload}
        async with self._store.writing(TURN, lasting=False) as connection:
            await connection.execute(self._put_batch, row)
        chapter.batches += 1

    async def complete(self, chapter: Chapter) -> Listed:
        """Write a chapter's pages, list it, and remove its batches. May be tried again.

        Raises:
            OSError: the database can't be written.
        """
        await self._number(chapter)
        size, pages = 0, chapter.sorted()
        while some := list(islice(pages, PAGES)):
            rows = []
            for index, (service, page) in enumerate(some):
                payload = await _aside(sum(map(len, page.rows)), page_of, page.rows)
                if index % BREATH == BREATH - 1:
                    await asyncio.sleep(0)
                size += len(payload) + len(service.encode()) + _OVERHEAD
                rows.append({"chapter": chapter.number, "service": service, "first": page.first, "payload": payload})
            async with self._store.writing(TURN, lasting=False) as connection:
                await connection.execute(self._put_page, rows)
            await asyncio.sleep(0)
        listed = Listed(chapter.number, chapter.epoch, chapter.begun, chapter.ended, chapter.changes, size)
        async with self._store.writing(TURN, lasting=False) as connection:
            await connection.execute(self._put_chapter, msgspec.structs.asdict(listed))
            of_it = HISTORY_BATCHES.c.chapter == chapter.number
            await connection.execute(sa.delete(HISTORY_BATCHES).where(of_it))
        return listed

    async def _number(self, chapter: Chapter) -> None:
        """Give a chapter its number, in a transaction of its own: a write that is cancelled is tried again under it."""
        if not chapter.number:
            async with self._store.writing(TURN, lasting=False) as connection:
                number = await next_revision(connection)
            chapter.number = number

    async def incomplete(self) -> Sequence[Chapter]:
        """The chapters that somebody who died has left, read from their batches.

        Raises:
            OSError: the database can't be read.
        """
        left: dict[int, Chapter] = {}
        columns = sa.select(HISTORY_BATCHES.c.chapter, HISTORY_BATCHES.c.payload)
        async with self._store.reading() as connection:
            found = await connection.execute(columns.order_by(HISTORY_BATCHES.c.chapter, HISTORY_BATCHES.c.batch))
            for number, payload in found:
                batch = rows_in(payload)
                for service, raw in batch.rows if batch else ():
                    row = decoded(bytes(raw))
                    if number not in left:
                        left[number] = Chapter(batch.epoch if batch else "", row.time)
                        left[number].number = number
                    if row.order >= left[number].next:  # a batch may have been written twice
                        left[number].take(service, row.order, row.time, bytes(raw))
                await asyncio.sleep(0)
        return list(left.values())

    async def chapters(self) -> Sequence[Listed]:
        """The complete chapters, the oldest first.

        Raises:
            OSError: the database can't be read.
        """
        async with self._store.reading() as connection:
            rows = await connection.execute(sa.select(HISTORY_CHAPTERS).order_by(HISTORY_CHAPTERS.c.chapter))
            return [Listed(*row) for row in rows]

    async def found(self, services: Sequence[str], before: int) -> Sequence[Found]:
        """Where pages of services (or sources) lie in complete chapters below `before`, the oldest first.

        Raises:
            OSError: the database can't be read.
        """
        async with self._store.reading() as connection:
            rows = await connection.execute(_found, {"names": list(services), "before": before})
            return [Found(*row) for row in rows]

    async def pages(self, places: Sequence[Found]) -> Mapping[Found, bytes]:
        """The pages there; one that was removed meanwhile is left out.

        Raises:
            OSError: the database can't be read.
        """
        pages = {}
        async with self._store.reading() as connection:
            for place in places:
                payload = await connection.scalar(_page, {"of": place.chapter, "name": place.service})
                if payload is not None:
                    pages[place] = payload
        return pages

    async def remove(self, chapter: int) -> None:
        """Forget a chapter; its pages go a piece at a time.

        Raises:
            OSError: the database can't be written.
        """
        async with self._store.writing(TURN, lasting=False) as connection:
            await connection.execute(sa.delete(HISTORY_CHAPTERS).where(HISTORY_CHAPTERS.c.chapter == chapter))
        await self._sweep(HISTORY_PAGES.c.chapter == chapter)

    async def sweep(self) -> None:
        """Remove pages of chapters that are not listed: somebody died while they came or went.

        Raises:
            OSError: the database can't be written.
        """
        listed = sa.select(HISTORY_CHAPTERS.c.chapter)
        await self._sweep(HISTORY_PAGES.c.chapter.not_in(listed))

    async def _sweep(self, which: sa.ColumnElement[bool]) -> None:
        oldest = sa.select(HISTORY_PAGES.c.chapter).where(which).order_by(HISTORY_PAGES.c.chapter).limit(1)
        while True:
            async with self._store.writing(TURN, lasting=False) as connection:
                gone = await connection.scalar(oldest)
                if gone is None:
                    return
                of_it = HISTORY_PAGES.c.chapter == gone
                last = sa.select(HISTORY_PAGES.c.service).where(of_it).order_by(HISTORY_PAGES.c.service)
                end = await connection.scalar(last.offset(5 * PAGES).limit(1))
                here = HISTORY_PAGES.c.service <= end if end is not None else sa.true()
                await connection.execute(sa.delete(HISTORY_PAGES).where(of_it, here))
            await asyncio.sleep(0)


async def _aside(size: int, make: Callable[P, bytes], *args: P.args, **kwargs: P.kwargs) -> bytes:
    """Compress in place, or in a thread what would take more than two milliseconds."""
    return await asyncio.to_thread(make, *args, **kwargs) if size > _LARGE else make(*args, **kwargs)


_found: Final = (
    sa.select(HISTORY_PAGES.c.chapter, HISTORY_PAGES.c.service, HISTORY_PAGES.c.first)
    .where(
        HISTORY_PAGES.c.chapter.in_(
            sa.select(HISTORY_CHAPTERS.c.chapter).where(HISTORY_CHAPTERS.c.chapter < sa.bindparam("before"))
        ),
        HISTORY_PAGES.c.service.in_(sa.bindparam("names", expanding=True)),
    )
    .order_by(HISTORY_PAGES.c.chapter, HISTORY_PAGES.c.service)
)
_page: Final = sa.select(HISTORY_PAGES.c.payload).where(
    HISTORY_PAGES.c.chapter == sa.bindparam("of"), HISTORY_PAGES.c.service == sa.bindparam("name")
)
