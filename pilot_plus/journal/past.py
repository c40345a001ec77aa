"""The past: what happened to a service, and how it was at a time, read from chapters, batches and memory.

    chapter 7           chapter 9                 open chapter            now
    [b r r] ··········· [r r r b r r] ··········· [r r]                   catalog
               at ─▲          │
                   └──────────┘ the rows up to the next base (b) are read, and taken back from it, the last one first

A service's rows lie in as few pages as there are chapters in which it changed, and a page without a base is followed
by few rows until the next: what a question costs does not depend on how long ago it was, nor on the other services.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

import msgspec

from pilot_plus.catalog import Source
from pilot_plus.catalog.changes import Change, State, state_of, undo
from pilot_plus.catalog.events import Event
from pilot_plus.journal.archive import Archive, Found
from pilot_plus.journal.recorder import Recorder
from pilot_plus.journal.rows import Row, Rows, decoded, rows_of
from pilot_plus.journal.scribe import SOURCES
from pilot_plus.views.past import Moment, Told

_ALL: Final = 1 << 62
_PATIENCE: Final = 10.0
"""Seconds to wait for what an earlier run has left; `TimeoutError` is an `OSError`."""
_EVENT_PAGES: Final = 200
"""Pages of one source that are read at most."""


class _Leaf(msgspec.Struct, frozen=True):
    """A page that may not be read yet."""

    chapter: int
    epoch: str
    first: float
    place: Found | None
    rows: Rows = ()


class Past:
    """Answers from what a recorder has recorded."""

    def __init__(self, recorder: Recorder, archive: Archive) -> None:
        self._recorder = recorder
        self._archive = archive

    @property
    def known_from(self) -> float:
        """From when on it answers (wall clock, seconds)."""
        return self._recorder.scribe.known_from

    async def service(self, service: str, at: float | None, limit: int) -> Told | None:
        """A service at a time (None: now), and the newest `limit` things that had happened; None if never heard of.

        Raises:
            OSError: the database can't be read.
        """
        if self._recorder.has_failed:
            raise OSError("history has ended by a defect of the hub; its log says more")
        async with asyncio.timeout(_PATIENCE):
            await self._recorder.scribe.recovered.wait()
        await asyncio.sleep(0)  # what was just published is recorded now
        sources = self._recorder.seen.sources
        state = state_of(self._recorder.seen, self._recorder.entry_of(service))
        is_there = service in self._recorder.seen.entries
        leaves = await self._leaves([service, SOURCES, *sources])
        own = leaves[service]
        if not own and not is_there:
            return None
        if at is not None:
            state = await self._rewound(state, own, at)
        moments = await self._newest(own, at, limit)
        concerned = {place[0] for place in state} | {one.happened.registry for one in moments}
        stood: dict[str, Moment] = {}
        events: list[Moment] = []
        for name in (SOURCES, *sorted(concerned)):
            found = await self._newest(leaves.get(name, [])[-_EVENT_PAGES:], at, limit)
            events += found
            if found:
                stood[name] = found[-1]
        oldest = moments[0].place if len(moments) == limit else (0, 0)
        told = sorted((*moments, *(one for one in events if one.place >= oldest)), key=lambda one: one.place)
        return Told(
            known_from=self.known_from,
            at=at,
            state=state,
            sources={name: _as_it_stood(name, sources.get(name), stood.get(name), at) for name in concerned},
            moments=told[-limit:],
        )

    async def _leaves(self, names: Sequence[str]) -> dict[str, list[_Leaf]]:
        """The pages of services and sources, the oldest first. What is in memory is read before anything is awaited."""
        chapters = self._recorder.scribe.chapters if self._recorder.scribe.writes else await self._archive.incomplete()
        kept = {
            name: [
                _Leaf(chapter.number or _ALL, chapter.epoch, page.first, None, [decoded(row) for row in page.rows])
                for chapter in chapters
                if (page := chapter.pages.get(name)) is not None
            ]
            for name in names
        }
        epochs = {one.chapter: one.epoch for one in self._recorder.scribe.listed}
        before = min((chapter.number for chapter in chapters if chapter.number), default=_ALL)
        leaves: dict[str, list[_Leaf]] = {name: [] for name in names}
        for place in await self._archive.found(names, before):
            epoch = epochs.get(place.chapter, "")
            leaves[place.service].append(_Leaf(place.chapter, epoch, place.first, place))
        return {name: [*leaves[name], *kept[name]] for name in names}

    async def _rows(self, leaf: _Leaf) -> Rows:
        if leaf.place is None:
            return leaf.rows
        pages = await self._archive.pages([leaf.place])
        return rows_of(pages[leaf.place]) if leaf.place in pages else ()

    async def _rewound(self, present: State, leaves: Sequence[_Leaf], at: float) -> State:
        """The state at a time: what came after it, up to the next base, taken back."""
        anchor = _last_from(leaves, at)
        later: list[Row] = []
        state = present
        for index in range(max(anchor, 0), len(leaves)):
            rows = await self._rows(leaves[index])
            fresh = rows[_upto(rows, at) :] if index == anchor else rows
            based = next((place for place, row in enumerate(fresh) if row.base is not None), None)
            later += fresh[:based]
            if based is not None:
                state = {(one.registry, one.instance.key): one for one in fresh[based].base or ()}
                break
        for row in reversed(later):
            if isinstance(row.happened, Change):
                undo(state, row.happened)
        return state

    async def _newest(self, leaves: Sequence[_Leaf], at: float | None, limit: int) -> list[Moment]:
        """The last rows up to a time, in their order."""
        last = len(leaves) - 1 if at is None else _last_from(leaves, at)
        found: list[Moment] = []
        for index in range(last, -1, -1):
            leaf = leaves[index]
            rows = await self._rows(leaf)
            if at is not None and index == last:
                rows = rows[: _upto(rows, at)]
            found[:0] = [_moment(leaf, row) for row in rows]
            if len(found) >= limit:
                break
        return found[-limit:]


def _moment(leaf: _Leaf, row: Row) -> Moment:
    return Moment((leaf.chapter, row.order), row.time, f"{leaf.epoch}.{row.number}", row.happened)


def _last_from(leaves: Sequence[_Leaf], at: float) -> int:
    """The last page that begins by then; -1 for none."""
    return next((index for index in range(len(leaves) - 1, -1, -1) if leaves[index].first <= at), -1)


def _upto(rows: Rows, at: float) -> int:
    """How many rows had happened by then: up to the last one that says so, whatever the clock did between."""
    return next((index + 1 for index in range(len(rows) - 1, -1, -1) if rows[index].time <= at), 0)


def _as_it_stood(name: str, now: Source | None, last: Moment | None, at: float | None) -> Source:
    """A source as it stood; as it stands, where history says nothing or nobody asks for a time."""
    source = now or Source(name=name, kind="", zone="")
    if at is None or last is None or not isinstance(last.happened, Event):
        return source
    return msgspec.structs.replace(source, standing=last.happened.standing, since=last.time, heard=last.time)
