"""The source: one whole list, then every change, until something may have been missed."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Final

from pilot_plus.model import Alive, Instance, Put, Reset, Service, Skipped, Update
from registries.layouts.tree import TreeLayout
from registries.zookeeper.connection import Connection
from registries.zookeeper.records import Records
from registries.zookeeper.requests import Stat
from registries.zookeeper.tree import tree_of

QUIET: Final = 4.0
"""Seconds without an event after which the server is asked whether it is still there."""


async def watch(connection: Connection, layouts: tuple[TreeLayout, ...]) -> AsyncIterator[Update]:
    """Say what lies in the tree, and what becomes of it.

    Raises:
        SourceLost: always, in the end: events may have been missed, or a part could not be read.
    """
    records = Records(layouts)
    tree = await tree_of(connection, records, layouts)
    await tree.read()
    reset, skips = await _everything(records)
    yield reset
    for skip in skips:
        yield skip
    heard = time.monotonic()
    while True:
        events = await connection.events(QUIET)
        if events:
            await tree.follow(events)
        else:
            await connection.ask([Stat("/")])
        for update in records.updates():
            yield update
        if not events or time.monotonic() - heard > QUIET:
            heard = time.monotonic()
            yield Alive()


async def _everything(records: Records) -> tuple[Reset, list[Skipped]]:
    services: list[Service] = []
    instances: list[Instance] = []
    skips: list[Skipped] = []
    for number, update in enumerate(records.updates(), 1):
        match update:
            case Put(record=Instance() as instance):
                instances.append(instance)
            case Put(record=Service() as service):
                services.append(service)
            case Skipped():
                skips.append(update)
        if number % 500 == 0:
            await asyncio.sleep(0)
    return Reset(services, instances), skips
