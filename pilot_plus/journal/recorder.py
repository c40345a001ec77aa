"""The recorder: writes down every change of an instance, and what happens to sources, and delays nobody.

It is one more follower of the catalog. With each publish it compares the services that were touched, encodes what has
changed, and writes that within half a second, in batches. A database that is slow or gone makes it hold back:
then it compares later, against a newer catalog, and says how often it has merged two states of a service into one.
Nothing that it holds grows beyond a chapter and the services that were touched.
"""

import asyncio
import logging
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from itertools import count
from operator import attrgetter
from time import monotonic
from typing import Final

import msgspec

from pilot_plus import metrics
from pilot_plus.catalog import Catalog, Entry, Follower, Holder, Standing
from pilot_plus.catalog.catalog import Place
from pilot_plus.catalog.changes import Change, Remembered, between, gone, holds_between, state_of, undo
from pilot_plus.catalog.events import Event, What, events_between, started
from pilot_plus.journal.archive import Archive, Listed
from pilot_plus.journal.chapter import Chapter
from pilot_plus.model import Instance

log = logging.getLogger(__name__)

GATHER: Final = 0.4
"""Seconds in which changes gather before they are written together: out of step with the journal's records, so that a
publish that has to wait waits for one of them."""
RETRY: Final = 1.0
BREATH: Final = 64
"""Services that are compared without letting others run."""
TOGETHER: Final = 500
"""Rows of one batch."""
FULL: Final = 8 << 20
"""Bytes of an open chapter, as which it is complete; with half as much again nothing more is taken in."""
LEAST: Final = 4 << 10
CHAPTERS: Final = 24
"""Into how many chapters a quiet day's history falls: how finely it is forgotten."""
LAST: Final = 3.0
"""Seconds for the last write, when the hub ends."""
MOST_BASES: Final = 200_000
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


class Recorder:
    """Records what a holder publishes."""

    def __init__(
        self,
        holder: Holder,
        archive: Archive,
        bounds: Bounds,
        *,
        clock: Callable[[], float] = wall,
    ) -> None:
        self.seen: Catalog = holder.current
        """The catalog up to which everything is compared, but for `entry_of`."""
        self.recovered = asyncio.Event()
        """Set when what an earlier run has left is read, and history answers as far back as it goes."""
        self.writes = False
        """Whether it is this copy of the hub that writes."""
        self.has_failed = False
        """Whether a defect has ended it."""
        self.listed: list[Listed] = []
        """The chapters that are complete, the oldest first."""
        self._holder = holder
        self._archive = archive
        self._bounds = bounds
        self._clock = clock
        self._full = max(LEAST, min(FULL, bounds.max // 8))
        self._open = Chapter(self.seen.epoch, clock())
        self._opened = monotonic()
        self._closed: list[Chapter] = []
        self._unwritten: list[tuple[str, bytes]] = []
        self._waiting: OrderedDict[str, Entry | None] = OrderedDict()  # taken from its front, which a dict makes slow
        """Services that were touched and not compared yet, as they were before."""
        self._holds: dict[str, list[Change]] = {}
        self._since_base: dict[str, int] = {}
        self._expected: dict[str, dict[Place, Instance]] = {}
        """By service: what an earlier run has seen, and a source that is not synced yet hasn't said again."""
        self._compared = self._written = 0
        """The number of the catalog up to which everything is compared, and is written."""
        self._progress = asyncio.Event()
        self._merged = 0
        """States merged because the database was too slow; that two came in one moment is no news."""
        self._news = asyncio.Event()
        self._room = asyncio.Event()

    @property
    def chapters(self) -> Sequence[Chapter]:
        """What this copy has not completed in the database yet, the oldest first; the last is open."""
        return (*self._closed, self._open)

    @property
    def known_from(self) -> float:
        """From when on history answers (wall clock)."""
        return min(*(one.begun for one in self.listed), *(one.begun for one in self.chapters), self._open.begun)

    def entry_of(self, service: str) -> Entry | None:
        """A service as it was after its last row."""
        return self._waiting[service] if service in self._waiting else self.seen.entries.get(service)

    def forget(self, registry: str, instances: Sequence[Instance]) -> None:
        """Note, before `run`, what the journal still knew of a registry that is not there any more."""
        of = Counter(instance.service for instance in instances)
        for instance in sorted(instances, key=attrgetter("key")):
            self._waiting[instance.service] = None
            change = gone((registry, instance.key), instance, of[instance.service])
            self._holds.setdefault(instance.service, []).append(change)

    def expect(self, registry: str, instances: Sequence[Instance]) -> None:
        """Note, before `run`, what an earlier run has seen of a registry: its first list is compared with that."""
        for instance in instances:
            self._expected.setdefault(instance.service, {})[registry, instance.key] = instance

    async def until_written(self, number: int) -> None:
        """Wait until all that was published up to a catalog's number is written; half a second at most.

        What the journal knows at a start is what the first lists are compared with. It must not be newer than history:
        else a change that a crash has taken from history, and not from the journal, would be none for ever, and what
        came in the last second would always have been there.
        """
        try:
            async with asyncio.timeout(WAITED_FOR):
                while self._written < number and not self.has_failed and (self.writes or not self.recovered.is_set()):
                    self._progress.clear()
                    await self._progress.wait()
        except TimeoutError:
            pass

    async def run(self) -> None:
        """Record what differs from the present catalog from now on, until cancelled; then write what is left."""
        self.seen = self._holder.current
        self._waiting = OrderedDict((service, self.seen.entries.get(service)) for service in self._waiting)
        for source in self.seen.sources.values():
            self._add(source.name, started(source), self.seen.number)
        try:
            with self._holder.following() as follower:
                follower.wake(self._waiting)
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._listen(follower), name="history: compare")
                    tasks.create_task(self._write(), name="history: write")
        except* Exception:  # a defect of history must not take the hub with it
            self.has_failed = True
            log.exception("history ends: a defect of the hub")
        finally:
            await self._write_last()

    # -------------------------------------------------------------------------------------------- comparing

    async def _listen(self, follower: Follower) -> None:
        was_full = False
        while True:
            touched = await follower.changes()
            merged = follower.forget_merged()
            metrics.HISTORY_MERGED.inc(merged)
            self._merged += merged if was_full else 0
            was_full = False
            self._look(touched)
            for index in count(1):
                if not self._waiting:
                    break
                if not self._has_room:
                    was_full = True
                    self._room.clear()
                    await self._room.wait()
                self._compare(next(iter(self._waiting)))
                if index % BREATH == 0:
                    await asyncio.sleep(0)
            self._compared = self.seen.number
            if not self._unwritten and not self._closed:
                self._has_written(self._compared)

    def _look(self, touched: Iterable[str]) -> None:
        """Move on to the current catalog; note what must be compared, and what has happened to sources."""
        seen, now = self.seen, self._holder.current
        for service in touched:
            if service not in self._waiting:
                self._waiting[service] = seen.entries.get(service)
        for name, source in now.sources.items():
            before = seen.sources[name]
            if before is source:
                continue
            for event in events_between(before, source):
                self._add(name, event, now.number)
            if self._expected and before.standing is Standing.NEVER_SYNCED:
                for service in self._expected:
                    self._waiting.setdefault(service, seen.entries.get(service))
            for service, change in holds_between(seen, now, name):
                self._waiting.setdefault(service, seen.entries.get(service))
                self._holds.setdefault(service, []).append(change)
        self.seen = now

    def _compare(self, service: str) -> None:
        """Record what has happened to one service."""
        before, after = self._waiting.pop(service), self.seen.entries.get(service)
        holds = self._holds.pop(service, [])
        changes = sorted(between(before, after, self._said_again(service)), key=attrgetter("place"))
        if not holds and not changes:
            return
        base = self._base(service, after, (*holds, *changes))
        for change in holds:
            self._add(service, change, self.seen.number, base)
            base = None
        for change in changes:
            self._add(service, change, after.changed if after else self.seen.number, base)
            base = None
        self._since_base[service] += len(holds) + len(changes)

    def _said_again(self, service: str) -> dict[Place, Instance]:
        """What was expected of a service, of the sources that have said now what they hold."""
        expected = self._expected.pop(service, None)
        if expected is None:
            return {}
        sources = self.seen.sources
        open_ = {place: one for place, one in expected.items() if sources[place[0]].standing is Standing.NEVER_SYNCED}
        if open_:
            self._expected[service] = open_
        return {place: one for place, one in expected.items() if place not in open_}

    def _base(self, service: str, after: Entry | None, changes: Sequence[Change]) -> tuple[Remembered, ...] | None:
        """The service before these changes, if it is time to write that down again: the longer, the larger it is."""
        since = self._since_base.get(service)
        if since is not None and since < max(64, 2 * len(after.instances) if after else 0):
            return None
        if len(self._since_base) >= MOST_BASES:
            self._since_base.clear()
        self._since_base[service] = 0
        state = state_of(self.seen, after)
        for place, expected in self._expected.get(service, {}).items():
            state.setdefault(place, Remembered(place[0], expected))
        for change in reversed(changes):
            undo(state, change)
        return tuple(state.values())

    def _add(
        self, service: str, happened: Change | Event, number: int, base: tuple[Remembered, ...] | None = None
    ) -> None:
        time = int(self._clock() * 1000) / 1000  # as it will be shown: who asks for what was shown means this
        row = self._open.add(service, time, number, happened, base)
        self._unwritten.append((service, row))
        self._news.set()

    @property
    def _has_room(self) -> bool:
        return sum(chapter.size for chapter in self.chapters) < self._full * 3 // 2

    # -------------------------------------------------------------------------------------------- writing

    async def _write(self) -> None:
        """Write what gathers, and let the oldest go; whatever the database says, try again."""
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
                if self._has_room:
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
        self._since_base.clear()
        self._open = Chapter(self.seen.epoch, self._clock())
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
            self._add(SOURCES, Event(What.MERGED, SOURCES, count=self._merged), self.seen.number)
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

    async def _write_last(self) -> None:
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
        number = self._compared
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
            self._open = Chapter(self.seen.epoch, self._clock())
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
