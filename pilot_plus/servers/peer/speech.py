"""The speech: what one reader is told, word by word, from the first list to every change.

What is said up to a mark is decided in one step with the mark's number. Between two words anything may change: it is
behind the mark then, and said before the next one.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Final

from pilot_plus.servers.peer.feed import Change, Feed
from pilot_plus.servers.peer.readers import Reader
from pilot_plus.wire import edge_pb2
from pilot_plus.wire import peer_pb2 as pb
from pilot_plus.wire.peer import BATCH, BATCH_BYTES, MARK_EVERY, MAX_RECORD, written

log = logging.getLogger(__name__)

MAX_STALE: Final = 20_000
"""Keys of stale records that one word may name: where there are more, the list itself says which they are."""


async def speech(
    feed: Feed, opened: pb.Open, reader: Reader, is_ready: Callable[[], bool], trust: Callable[[], edge_pb2.Trust]
) -> AsyncIterator[pb.HubWord]:
    """Every word for a reader that has opened a stream so, for ever.

    `is_ready`: whether what we export is complete. `trust`: whom to believe in our cluster.
    """
    while not (feed.is_whole and is_ready()):
        yield pb.HubWord(mark=pb.Mark())
        await asyncio.sleep(MARK_EVERY / 4)
    cluster, told = feed.terms.home.cluster, ""
    with feed.reading() as changed:
        revision, changes, stale = feed.revision, _from(feed, opened), feed.stale()
        if changes is not None and len(stale) > MAX_STALE:
            changes = None
        if changes is not None:
            yield pb.HubWord(begin=pb.Begin(cluster=cluster, epoch=feed.epoch, stale=stale))
        while True:
            if changes is None:
                revision, changes = feed.revision, feed.everything()
                yield pb.HubWord(begin=pb.Begin(cluster=cluster, epoch=feed.epoch, whole=True))
            for batch in batches(changes):
                reader.records += len(batch.put) + len(batch.drop)
                yield pb.HubWord(batch=batch)
            reader.sent = revision
            yield pb.HubWord(mark=pb.Mark(revision=revision))
            if (now := trust()).version != told:
                told = now.version
                yield pb.HubWord(trust=now)
            await _until(changed, MARK_EVERY)
            revision, changes = feed.revision, feed.since(revision)


def batches(changes: Iterable[Change]) -> Iterable[pb.Batch]:
    """Changes, a bounded number of records and bytes at a time."""
    batch, size = pb.Batch(), 0
    for change in changes:
        said = _said(change)
        size += (said.ByteSize() if said else 0) + len(change.key)
        if said:
            batch.put.append(said)
        else:
            batch.drop.append(change.key)
        if len(batch.put) + len(batch.drop) >= BATCH or size >= BATCH_BYTES:
            yield batch
            batch, size = pb.Batch(), 0
    if size:
        yield batch


def _said(change: Change) -> pb.Record | None:
    """The record for the wire; None: there is none, or none that can cross. One record must not end the link."""
    if change.record is None:
        return None
    try:
        said = written(change.record)
    except ValueError as error:
        log.warning("a record does not cross to a peer: %s", error, extra={"key": change.key[:200]})
        return None
    if said.ByteSize() > MAX_RECORD:
        log.warning(
            "a record does not cross to a peer: it has more than %s bytes", MAX_RECORD, extra={"key": change.key[:200]}
        )
        return None
    return said


def _from(feed: Feed, opened: pb.Open) -> Sequence[Change] | None:
    """What is new to a reader; None: that is not known, it gets everything."""
    return feed.since(opened.revision) if opened.epoch == feed.epoch else None


async def _until(changed: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await changed.wait()
    except TimeoutError:
        pass
    changed.clear()
