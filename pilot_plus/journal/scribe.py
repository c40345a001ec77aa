"""The scribe: rows gather in a chapter, are written together, and the oldest chapters are let go.

    add ─▶ open chapter ─ every half second ─▶ archive ─ when it is full, or old ─▶ a complete one, sorted into pages

A database that is slow or gone makes rows wait in memory, as far as there is room; then `add` is to wait. Of several
copies of the hub that share a journal one writes, and the others stand by.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from time import monotonic
from typing import Final

import msgspec

from pilot_plus import metrics
from pilot_plus.catalog.changes import Change, Remembered
from pilot_plus.catalog.events import Event, What
from pilot_plus.journal.archive import Archive, Listed
from pilot_plus.journal.chapter import Chapter

log = logging.getLogger(__name__)

GATHER: Final = 0.4
"""Seconds in which changes gather before they are written together: out of step with the journal's records, so that a
publish that has to wait waits for one of them."""
RETRY: Final = 1.0
TOGETHER: Final = 500
"""Rows of one batch."""
FULL: Final = 8 << 20
"""Bytes of an open chapter, as which it is complete; with half as much again nothing more is taken in."""
LEAST: Final = 4 << 10
CHAPTERS: Final = 24
"""Into how many chapters a quiet day's history falls: how finely it is forgotten."""
LAST: Final = 3.0
"""Seconds for the last write, when the hub ends."""
WAITED_FOR: Final = 0.5
"""Seconds that the journal's records wait for history: they must be written within one."""
SOURCES: Final = ""
"""Under this name lies what concerns every source."""


class Bounds(msgspec.Struct, frozen=True):
    """How much of the past is kept."""

    keep: float
    """Seconds."""
    max: int
    """Bytes."""


def wall() -> float:
    """Wall clock, seconds since 1970: what people read. Order never comes from it."""
    return datetime.now(UTC).timestamp()


class Scribe:
    """Writes history into an archive."""

    def __init__(
        self, archive: Archive, bounds: Bounds, epoch: str, clock: Callable[[], float], stood_by: Callable[[], object]
    ) -> None:
        """`stood_by` is told when what was added is thrown away, because another copy of the hub writes."""
        self.recovered = asyncio.Event()
        """Set when what an earlier run has left is read, and history answers as far back as it goes."""
        self.writes = False
        """Whether it is this copy of the hub that writes."""
        self.listed: list[Listed] = []
        """The chapters that are complete, the oldest first."""
        self._archive = archive
        self._bounds = bounds
        self._epoch = epoch
        self._clock = clock
        self._stood_by = stood_by
        self._full = max(LEAST, min(FULL, bounds.max // 8))
        self._open = Chapter(epoch, clock())
        self._opened = monotonic()
        self._closed: list[Chapter] = []
        self._unwritten: list[tuple[str, bytes]] = []
        self._merged = 0
        self._added = self._written = 0
        """The number of the catalog up to which everything was added, and is written."""
        self._progress = asyncio.Event()
        self._news = asyncio.Event()
        self._room = asyncio.Event()

    def __repr__(self) -> str:
        return f"<Scribe: {len(self.listed)} chapters, {len(self._unwritten)} rows to write>"

    @property
    def chapters(self) -> Sequence[Chapter]:
        """What this copy has not completed in the database yet, the oldest first; the last is open."""
        return (*self._closed, self._open)

    @property
    def known_from(self) -> float:
        """From when on history answers (wall clock)."""
        return min(*(one.begun for one in self.listed), *(one.begun for one in self.chapters), self._open.begun)

    def time(self) -> float:
        """The time of what happens now, as it will be shown: who asks for what was shown means this."""
        return int(self._clock() * 1000) / 1000

    def add(
        self,
        service: str,
        happened: Change | Event,
        number: int,
        base: tuple[Remembered, ...] | None = None,
        time: float | None = None,
    ) -> None:
        """Take in what has happened to a service (or, under its name, to a source) with a catalog's number.

        `time`: what happened together has one, so that nobody who asks for it sees a half; left out, it is now.
        """
        row = self._open.add(service, self.time() if time is None else time, number, happened, base)
        self._unwritten.append((service, row))
        self._news.set()

    def add_merged(self, count: int) -> None:
        """So many states of services were merged because there was no room for them."""
        self._merged += count

    def note(self, number: int) -> None:
        """Everything up to this number of the catalog was added."""
        self._added = number
        if not self.has_unwritten:
            self._has_written(number)

    @property
    def has_unwritten(self) -> bool:
        """Whether there is something to write or to complete."""
        return bool(self._unwritten or self._closed)

    @property
    def has_room(self) -> bool:
        """Whether more may be added."""
        return sum(chapter.size for chapter in self.chapters) < self._full * 3 // 2

    async def until_room(self) -> None:
        """Wait until something was written."""
        self._room.clear()
        await self._room.wait()

    async def until_written(self, number: int) -> None:
        """Wait until all that was published up to a catalog's number is written; half a second at most.

        What the journal knows at a start is what the first lists are compared with. It must not be newer than history:
        else a change that a crash has taken from history, and not from the journal, would be none for ever, and what
        came in the last second would always have been there.
        """
        try:
            async with asyncio.timeout(WAITED_FOR):
                while self._written < number and (self.writes or not self.recovered.is_set()):
                    self._progress.clear()
                    await self._progress.wait()
        except TimeoutError:
            pass

    async def run(self) -> None:
        """Until cancelled, write what gathers, and let the oldest go; whatever the database says, try again."""
        is_failing = False
        while True:
            try:
                if not await self._archive.sole.claim():
                    await self._stand_by()
                    await asyncio.sleep(RETRY)
                    continue
                if not self.writes:
                    await self._recover()
                    self.writes = True
                    self.recovered.set()
                await self._write_all()
                await self._let_go()
            except OSError as error:
                if not is_failing:
                    log.warning("history can't be written, trying again: %s", error)
                is_failing = True
                await asyncio.sleep(RETRY)
                continue
            if is_failing:
                log.info("history is written again")
            is_failing = False
            await self._until_news()

    async def _until_news(self) -> None:
        """Wait until there is something to write and it has gathered, or the open chapter is old enough."""
        try:
            async with asyncio.timeout(max(0.0, self._opened + self._bounds.keep / CHAPTERS - monotonic())):
                await self._news.wait()
                if self.has_room:
                    await asyncio.sleep(GATHER)
        except TimeoutError:
            pass
        self._news.clear()

    async def _stand_by(self) -> None:
        """Another copy writes: forget what it has written, but for what may have come since."""
        self.listed = list(await self._archive.chapters())
        self.recovered.set()
        self.writes = False
        self._closed.clear()
        self._unwritten.clear()
        self._stood_by()
        self._open = Chapter(self._epoch, self._clock())
        self._merged = 0
        self._room.set()

    async def _recover(self) -> None:
        """Complete what somebody who died has left."""
        await self._archive.sweep()
        self.listed = list(await self._archive.chapters())
        for chapter in await self._archive.incomplete():
            self.listed.append(await self._archive.complete(chapter))
        self.listed.sort(key=lambda one: one.chapter)

    async def _write_all(self) -> None:
        if self._merged:
            self.add(SOURCES, Event(What.MERGED, SOURCES, count=self._merged), self._added)
            self._merged = 0
        if not self._closed:
            await self._append()
            is_old = monotonic() - self._opened >= self._bounds.keep / CHAPTERS
            if self._open.size >= self._full or is_old:
                self._close()
        while self._closed:
            self.listed.append(await self._archive.complete(self._closed[0]))
            del self._closed[0]
            self._room.set()

    async def write_last(self) -> None:
        """Write what is left; again, if the write that was cancelled has taken its connection with it."""
        try:
            async with asyncio.timeout(LAST):
                while True:
                    try:
                        if self.writes or await self._archive.sole.claim():  # it may not have come to that yet
                            await self._write_all()
                        break
                    except OSError as error:
                        log.warning("the last of history can't be written, trying again: %s", error)
                        await asyncio.sleep(LAST / 10)
        except TimeoutError:
            log.warning("the last of history is not written")
        await self._archive.sole.close()

    async def _append(self) -> None:
        left = len(self._unwritten)  # what comes meanwhile gathers again
        number = self._added
        while left:
            some = self._unwritten[: min(left, TOGETHER)]
            await self._archive.append(self._open, some)
            del self._unwritten[: len(some)]
            left -= len(some)
            metrics.HISTORY_ROWS.inc(len(some))
        self._has_written(number)

    def _has_written(self, number: int) -> None:
        self._written = max(self._written, number)
        self._progress.set()

    def _close(self) -> None:
        """Let the next chapter begin. What is not written of this one is written with its pages."""
        if self._open.changes:
            self._closed.append(self._open)
            self._open = Chapter(self._epoch, self._clock())
        self._opened = monotonic()
        self._unwritten.clear()

    async def _let_go(self) -> None:
        """Remove the oldest chapters, as far as the bounds say so.

        Of those that are too old at most two at a time: about as many as come. A clock that jumps ahead thus does not
        take everything at once.
        """
        too_old = self._clock() - self._bounds.keep
        number = sum(one.ended < too_old for one in self.listed[:2])
        size = self._open.size + sum(one.bytes for one in self.listed)
        metrics.HISTORY_BYTES.set(size)
        while self.listed and (number > 0 or size > self._bounds.max):
            await self._archive.remove(self.listed[0].chapter)
            size -= self.listed.pop(0).bytes
            number -= 1
