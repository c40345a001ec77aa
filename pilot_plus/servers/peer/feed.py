"""A feed: what readers of equal terms get, and a bounded log of what has changed.

    items    key -> (number of its last change, record)
    log      the keys of change 501, 502, …: a reader that holds everything up to 500 gets these, each once, as they
             are now. One that holds less than the log does gets everything

The numbers belong to one life of the feed (its epoch). A change costs what the touched service has instances.
"""

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Final

import msgspec

from pilot_plus.catalog import Holder
from pilot_plus.model import Instance
from pilot_plus.views.edges import EDGES
from pilot_plus.views.export import Terms, edges, exported
from pilot_plus.wire.peer import Exported

log = logging.getLogger(__name__)

LOG: Final = 200_000
"""Changes that are remembered."""
PAUSE_EVERY: Final = 100
"""Services between two pauses, while the first list is made."""


MAX_FEEDS: Final = 4
"""Of one reader: the copies of its hub may have different configurations for a while."""
MAX_STREAMS: Final = 64
"""That read one feed at once: the copies of a hub, and streams whose end has not been noticed yet."""


class Change(msgspec.Struct, frozen=True):
    """What a reader gets of one key; None: it is gone."""

    key: str
    record: Exported | None


class Feed:
    """The exports for one kind of reader."""

    def __init__(self, holder: Holder, terms: Terms) -> None:
        self.terms = terms
        self.epoch = secrets.token_hex(8)
        self.revision = 0
        self.is_whole = False
        """The first list has been made."""
        self._holder = holder
        self._items: dict[str, Exported] = {}
        self._of: dict[str, frozenset[str]] = {}
        """The keys of each service."""
        self._owner: dict[str, str] = {}
        """The service of each key: records move from one to another."""
        self._zones: dict[str, int] = {}
        """How many records are exported from each zone: where there are any, its edges go with them."""
        self._log: list[str] = []
        self._readers: set[asyncio.Event] = set()

    def __len__(self) -> int:
        return len(self._items)

    def __repr__(self) -> str:
        return f"<Feed for {self.terms.reader}, {len(self)} records, revision {self.revision}>"

    async def run(self) -> None:
        """Follow the catalog until cancelled."""
        with self._holder.following() as follower:
            for number, service in enumerate(list(self._holder.current.entries)):
                self._look_at(service)
                if number % PAUSE_EVERY == 0:
                    await asyncio.sleep(0)
            self.is_whole = True
            self._wake()
            while True:
                for service in await follower.changes():
                    self._look_at(service)
                self._wake()

    def _look_at(self, service: str) -> None:
        """As `update`; a defect with one service must not take the others, or the hub."""
        try:
            self.update(service)
        except Exception:
            log.exception("peers: a service can't be told", extra={"service": service, "reader": self.terms.reader})

    def update(self, service: str) -> None:
        """Look at a service again."""
        catalog = self._holder.current
        if service == EDGES:
            self._take(EDGES, edges(catalog, self.terms, frozenset(self._zones)))
            return
        entry = catalog.entries.get(service)
        zones = set(self._zones)
        self._take(service, exported(catalog, entry, self.terms) if entry else {})
        if zones != set(self._zones):
            self._take(EDGES, edges(catalog, self.terms, frozenset(self._zones)))

    def since(self, revision: int) -> Sequence[Change] | None:
        """What has changed after a revision, each key once; None if that is not known any more."""
        behind = self.revision - revision
        if behind < 0 or behind > len(self._log):
            return None
        keys = dict.fromkeys(self._log[len(self._log) - behind :])
        return [Change(key, self._items.get(key)) for key in keys]

    def everything(self) -> Sequence[Change]:
        """All there is."""
        return [Change(key, record) for key, record in self._items.items()]

    def stale(self) -> list[str]:
        """The keys of records that may not be true any more."""
        return [key for key, record in self._items.items() if record.is_stale]

    @contextmanager
    def reading(self) -> Iterator[asyncio.Event]:
        """An event that is set whenever something has changed; the reader clears it."""
        changed = asyncio.Event()
        self._readers.add(changed)
        try:
            yield changed
        finally:
            self._readers.discard(changed)

    def _take(self, service: str, now: Mapping[str, Exported]) -> None:
        before = self._of.get(service, frozenset())
        for key in before - now.keys():
            if self._owner.get(key) == service:  # else it has moved to another service, which was looked at first
                del self._owner[key]
                self._note(key, None)
        for key, record in now.items():
            self._owner[key] = service
            if self._items.get(key) != record:
                self._note(key, record)
        if now:
            self._of[service] = frozenset(now)
        else:
            self._of.pop(service, None)

    def _note(self, key: str, record: Exported | None) -> None:
        before = self._items.pop(key, None)
        self._count(before, -1)
        self._count(record, +1)
        if record is not None:
            self._items[key] = record
        self.revision += 1
        self._log.append(key)
        if len(self._log) > 2 * LOG:
            del self._log[:LOG]

    def _count(self, exported: Exported | None, by: int) -> None:
        record = exported.record if exported else None
        if not isinstance(record, Instance) or record.service == EDGES:
            return
        count = self._zones.get(record.zone, 0) + by
        if count:
            self._zones[record.zone] = count
        else:
            self._zones.pop(record.zone, None)

    def _wake(self) -> None:
        for changed in self._readers:
            changed.set()


class _Lent:
    """A feed that runs, and how many streams read it."""

    def __init__(self, feed: Feed, running: asyncio.Task[None]) -> None:
        self.feed = feed
        self.running = running
        self.readers = 0


class Feeds:
    """The feeds of all readers, kept for a while after the last reader has gone, so that it can go on."""

    def __init__(self, holder: Holder, tasks: asyncio.TaskGroup) -> None:
        self._holder = holder
        self._tasks = tasks
        self._lent: list[_Lent] = []

    @contextmanager
    def lent(self, terms: Terms) -> Iterator[Feed]:
        """The feed for a reader of these terms, for as long as it reads.

        A reader has one feed; more only while copies of its hub read by other terms at once. What nobody reads ends
        when its reader comes with other terms.

        Raises:
            ValueError: it reads by too many terms, or streams, at once already.
        """
        lent = self._of(terms)
        if lent.readers >= MAX_STREAMS:
            raise ValueError(f"{terms.reader!r} reads by {lent.readers} streams already")
        lent.readers += 1
        try:
            yield lent.feed
        finally:
            lent.readers -= 1

    def _of(self, terms: Terms) -> _Lent:
        theirs = [lent for lent in self._lent if lent.feed.terms.reader == terms.reader]
        if known := next((lent for lent in theirs if lent.feed.terms == terms), None):
            return known
        for idle in [lent for lent in theirs if not lent.readers]:
            idle.running.cancel()
            self._lent.remove(idle)
            theirs.remove(idle)
        if len(theirs) >= MAX_FEEDS:
            raise ValueError(f"{terms.reader!r} reads by {len(theirs)} different terms already")
        feed = Feed(self._holder, terms)
        self._lent.append(_Lent(feed, self._tasks.create_task(feed.run(), name=f"feed for {terms.reader}")))
        return self._lent[-1]

    def end(self) -> None:
        """End every feed."""
        for lent in self._lent:
            lent.running.cancel()
        self._lent.clear()


@asynccontextmanager
async def feeding(holder: Holder) -> AsyncIterator[Feeds]:
    """Feeds that end together."""
    async with asyncio.TaskGroup() as tasks:
        feeds = Feeds(holder, tasks)
        try:
            yield feeds
        finally:
            feeds.end()
