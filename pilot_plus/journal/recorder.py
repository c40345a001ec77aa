"""The recorder: writes down every change of an instance, and what happens to sources, and delays nobody.

It is one more follower of the catalog. With each publish it compares the services that were touched, and gives what
has changed to the scribe, who writes within half a second. A database that is slow or gone makes it hold back: then it
compares later, against a newer catalog, and says how often it has merged two states of a service into one. Nothing
that it holds grows beyond a chapter and the services that were touched.
"""

import asyncio
import logging
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Sequence
from itertools import count
from operator import attrgetter
from typing import Final

from pilot_plus import metrics
from pilot_plus.catalog import Catalog, Entry, Follower, Holder, Standing
from pilot_plus.catalog.catalog import Place
from pilot_plus.catalog.changes import Change, Remembered, between, gone, holds_between, state_of, undo
from pilot_plus.catalog.events import events_between, started
from pilot_plus.journal.archive import Archive
from pilot_plus.journal.scribe import Bounds, Scribe, wall
from pilot_plus.model import Instance

log = logging.getLogger(__name__)

BREATH: Final = 64
"""Services that are compared without letting others run."""
MOST_BASES: Final = 200_000


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
        self.has_failed = False
        """Whether a defect has ended it."""
        self._holder = holder
        self._waiting: OrderedDict[str, Entry | None] = OrderedDict()  # taken from its front, which a dict makes slow
        """Services that were touched and not compared yet, as they were before."""
        self._holds: dict[str, list[Change]] = {}
        self._since_base: dict[str, int] = {}
        self._expected: dict[str, dict[Place, Instance]] = {}
        """By service: what an earlier run has seen, and a source that is not synced yet hasn't said again."""
        self.scribe = Scribe(archive, bounds, self.seen.epoch, clock, self._since_base.clear)

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
        """As `Scribe.until_written`; there is nothing to wait for where a defect has ended history."""
        if not self.has_failed:
            await self.scribe.until_written(number)

    async def run(self) -> None:
        """Record what differs from the present catalog from now on, until cancelled; then write what is left."""
        self.seen = self._holder.current
        self._waiting = OrderedDict((service, self.seen.entries.get(service)) for service in self._waiting)
        for source in self.seen.sources.values():
            self.scribe.add(source.name, started(source), self.seen.number)
        try:
            with self._holder.following() as follower:
                follower.wake(self._waiting)
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._listen(follower), name="history: compare")
                    tasks.create_task(self.scribe.run(), name="history: write")
        except* Exception:  # a defect of history must not take the hub with it
            self.has_failed = True
            log.exception("history ends: a defect of the hub")
        finally:
            await self.scribe.write_last()

    async def _listen(self, follower: Follower) -> None:
        was_full = False
        while True:
            touched = await follower.changes()
            merged = follower.forget_merged()
            metrics.HISTORY_MERGED.inc(merged)
            if was_full:  # that two came in one moment is no news
                self.scribe.add_merged(merged)
            was_full = False
            self._look(touched)
            for index in count(1):
                if not self._waiting:
                    break
                if not self.scribe.has_room:
                    was_full = True
                    await self.scribe.until_room()
                self._compare(next(iter(self._waiting)))
                if index % BREATH == 0:
                    await asyncio.sleep(0)
            self.scribe.note(self.seen.number)

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
                self.scribe.add(name, event, now.number)
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
        base, time = self._base(service, after, (*holds, *changes)), self.scribe.time()
        for change in holds:
            self.scribe.add(service, change, self.seen.number, base, time)
            base = None
        for change in changes:
            self.scribe.add(service, change, after.changed if after else self.seen.number, base, time)
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
