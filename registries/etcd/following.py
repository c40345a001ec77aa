"""The watch: what happened since a position, in order, and a sign of life every few seconds.

One stream holds a watcher for each range. The server is asked for its progress again and again; the answer proves that
it is there, but not that we have seen everything up to the revision in it (before 3.4.25 and 3.5.8 it may overtake
events), so a position moves only with events and with the notices that the server sends by its own clock.

A history that isn't the one that was listed ends the watch: compacted beyond the position, or begun anew (a server that
was wiped accepts a watch from a future revision, and then says nothing for ever).
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Final

import msgspec

from registries.etcd import wire_pb2 as wire
from registries.etcd.client import Client, Stream
from registries.etcd.methods import WATCH
from registries.etcd.progress import Position, seen_delete, seen_put
from registries.etcd.ranges import KeyRange

PUT: Final = wire.Event.PUT
QUESTIONS: Final = 3
"""How often the server is asked for a sign of life before its silence is taken for death."""


class Following:
    """A running watch."""

    def __init__(
        self, client: Client, stream: "Stream[wire.WatchResponse]", position: Position, silence: float
    ) -> None:
        self._client = client
        self._stream = stream
        self._silence = silence
        self._start = position
        self._revisions = list(position.revisions)
        self._witness = position.witness
        self._range_of: dict[int, int] = {}  # a watcher's number to the index of its range
        self._early: list[wire.Event] = []

    @property
    def position(self) -> Position:
        """Everything up to here has been handed out."""
        return msgspec.structs.replace(self._start, revisions=tuple(self._revisions), witness=self._witness)

    async def begin(self) -> None:
        """Wait until the server has accepted every watcher.

        Raises:
            SourceLost: it refuses one, or has another history.
        """
        while len(self._range_of) < len(self._revisions):
            self._early += self._taken(await self._stream.read(self._silence))

    async def next(self) -> Iterable[wire.Event]:
        """What happened next; nothing is a sign of life.

        Raises:
            SourceLost: the server is silent, gone, or has lost the history that we follow.
        """
        if self._early:
            early, self._early = self._early, []
            return early
        return self._taken(await self._stream.read(self._silence))

    def _taken(self, answer: wire.WatchResponse) -> Iterable[wire.Event]:
        if answer.canceled:
            raise self._client.ended(_why_cancelled(answer))
        if answer.created:
            self._accept(answer)
        elif answer.events:
            self._see(answer)
        else:
            self._hear(answer)
        return answer.events

    def _accept(self, answer: wire.WatchResponse) -> None:
        index = len(self._range_of)  # watchers are made in the order in which they were asked for
        self._range_of[answer.watch_id] = index
        header = answer.header
        if header.cluster_id != self._start.cluster or header.revision < self._revisions[index]:
            raise self._client.ended(self._gone_back(header.revision))

    def _see(self, answer: wire.WatchResponse) -> None:
        last = answer.events[-1]
        revision = last.kv.mod_revision
        if last.type == PUT:
            self._witness = seen_put(last.kv.key, revision, last.kv.value)
        else:
            self._witness = seen_delete(last.kv.key, revision)
        if not answer.fragment:  # else the rest of this revision is still to come
            self._revisions[self._range_of[answer.watch_id]] = revision

    def _hear(self, answer: wire.WatchResponse) -> None:
        """Take a notice, which events that are newer may have overtaken: the server queues them apart."""
        index = self._range_of.get(answer.watch_id)
        if index is not None:  # its own notice, not the answer to a question
            self._revisions[index] = max(self._revisions[index], answer.header.revision)

    def _gone_back(self, revision: int) -> str:
        return f"its history was at {max(self._revisions)} and is now at {revision}: it was wiped or restored"


@asynccontextmanager
async def follow(
    client: Client, ranges: Sequence[KeyRange], position: Position, silence: float
) -> AsyncIterator[Following]:
    """Watch the ranges from a position on; every watcher is accepted when this is entered.

    Raises:
        SourceLost: as `Following.begin`.
    """
    requests = _requests(ranges, position.revisions, silence / QUESTIONS)
    async with client.stream(WATCH, requests) as stream:
        following = Following(client, stream, position, silence)
        await following.begin()
        yield following


async def _requests(
    ranges: Sequence[KeyRange], revisions: Sequence[int], pause: float
) -> AsyncIterator[wire.WatchRequest]:
    for keys, revision in zip(ranges, revisions, strict=True):
        create = wire.WatchCreateRequest(
            key=keys.start, range_end=keys.end, start_revision=revision + 1, progress_notify=True, fragment=True
        )
        yield wire.WatchRequest(create_request=create)
    while True:
        await asyncio.sleep(pause)
        yield wire.WatchRequest(progress_request=wire.WatchProgressRequest())


def _why_cancelled(answer: wire.WatchResponse) -> str:
    if answer.compact_revision:
        return f"its history was compacted up to {answer.compact_revision} before we had seen it"
    return f"it cancelled the watch: {answer.cancel_reason[:300] or 'no reason given'}"
