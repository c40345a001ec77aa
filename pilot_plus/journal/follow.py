"""The follower: writes what the catalog shows into the journal, within a second of the change.

It is one more consumer of the catalog: it is told which services were touched, and compares only those with what it
has written before. A slow disk makes its batches larger, and nobody wait.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final

from pilot_plus.catalog import Catalog, Entry, Holder, Standing
from pilot_plus.journal.journal import Journal
from pilot_plus.journal.progress import Progress
from pilot_plus.journal.records import Changes
from pilot_plus.model import Instance, Service

log = logging.getLogger(__name__)

GATHER: Final = 0.25
"""Seconds in which changes gather before they are written together."""
RETRY: Final = 1.0
BATCH: Final = 256
"""Services that are compared without letting others run."""


async def follow(
    holder: Holder,
    journal: Journal,
    registries: frozenset[str],
    progress: Progress | None = None,
    until_recorded: Callable[[int], Awaitable[None]] | None = None,
    unshown: frozenset[str] = frozenset(),
) -> None:
    """Keep the journal in step with the catalog, until cancelled; of these registries.

    `progress` is told how far it is. `until_recorded` waits until history is as far as a catalog's number. `unshown`:
    registries whose records the catalog did not begin with, so that what differs from it is not what differs from the
    journal: their first list is written whole.
    """
    written = holder.current
    progress = progress or Progress()
    progress.reach(written.number)
    unwritten: frozenset[str] = frozenset()
    with holder.following() as follower:
        while True:
            unwritten |= await follower.changes()
            await asyncio.sleep(GATHER)
            unwritten |= follower.take()
            now = holder.current
            changes = await differences(written, now, unwritten, registries)
            listed = {name for name in unshown if now.sources[name].standing is not Standing.NEVER_SYNCED}
            if listed:
                changes = [change for change in changes if change.registry not in listed]
                changes += [Changes(name, tuple(now.sources[name].instances.values()), whole=True) for name in listed]
            if changes and until_recorded:
                await until_recorded(now.number)
            if not await _write(journal, changes):
                await asyncio.sleep(RETRY)
                follower.wake()
                continue
            written, unwritten, unshown = now, frozenset(), unshown - listed
            progress.reach(written.number)


async def differences(
    before: Catalog, after: Catalog, touched: Iterable[str], registries: frozenset[str]
) -> Sequence[Changes]:
    """What must be written to come from one catalog to a later one, in which only these services were touched."""
    puts: dict[str, dict[str, Instance | Service]] = {}
    drops: dict[str, set[str]] = {}
    for index, service in enumerate(touched):
        old, new = _records(before.entries.get(service)), _records(after.entries.get(service))
        for (registry, key), record in new.items():
            if registry in registries and old.get((registry, key)) != record:
                puts.setdefault(registry, {})[key] = record
        for registry, key in old.keys() - new.keys():
            if registry in registries:
                drops.setdefault(registry, set()).add(key)
        if index % BATCH == BATCH - 1:
            await asyncio.sleep(0)
    return [
        Changes(registry, tuple(put.values()), tuple(drops.get(registry, set()) - put.keys()))
        for registry in puts.keys() | drops.keys()
        for put in (puts.get(registry, {}),)
    ]


def _records(entry: Entry | None) -> dict[tuple[str, str], Instance | Service]:
    return {**entry.records, **entry.instances} if entry else {}


async def _write(journal: Journal, changes: Sequence[Changes]) -> bool:
    if not changes:
        return True
    try:
        await journal.write(changes)
    except OSError as error:
        log.warning("the journal can't be written, trying again: %s", error)
        return False
    return True
