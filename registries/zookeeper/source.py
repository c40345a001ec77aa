"""The source: one whole list, then every change, until something may have been missed."""

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Final

from pilot_plus.model import Alive, Instance, Put, Reset, Service, Skipped, Update
from registries.zookeeper.connection import Connection, connection
from registries.zookeeper.records import Records
from registries.zookeeper.requests import Stat
from registries.zookeeper.settings import Settings
from registries.zookeeper.tree import OldTree, Tree, breathing, roots_of, watched_tree

QUIET: Final = 4.0
"""Seconds without an event after which the server is asked whether it is still there."""


async def watch(session: Connection, settings: Settings) -> AsyncIterator[Update]:
    """Say what lies in the tree, and what becomes of it.

    Raises:
        SourceLost: always, in the end: events may have been missed, or a part could not be read.
    """
    layouts = settings.tree_layouts()
    records = Records(layouts)
    tree: Tree | None = await watched_tree(session, records, layouts)
    async with AsyncExitStack() as opened:
        if tree is None:  # an old server, which ended the session over it
            session = await opened.enter_async_context(connection(settings))
            tree = OldTree(session, records, roots_of(layouts))
        async for update in _said(session, records, tree):
            yield update


async def _said(session: Connection, records: Records, tree: Tree) -> AsyncIterator[Update]:
    await tree.read()
    reset, skips = await _everything(records)
    yield reset
    for skip in skips:
        yield skip
    spoke = time.monotonic()
    while True:
        events = await session.events(QUIET)
        if events:
            await tree.follow(events)
        else:
            await session.ask([Stat("/")])
        async for update in breathing(records.updates()):
            yield update
        if not events or time.monotonic() - spoke > QUIET:
            spoke = time.monotonic()
            yield Alive()


async def _everything(records: Records) -> tuple[Reset, list[Skipped]]:
    services: list[Service] = []
    instances: list[Instance] = []
    skips: list[Skipped] = []
    async for update in breathing(records.updates()):
        match update:
            case Put(record=Instance() as instance):
                instances.append(instance)
            case Put(record=Service() as service):
                services.append(service)
            case Skipped():
                skips.append(update)
    return Reset(services, instances), skips
