"""The door: `connect` opens a session, and gives what the hub reads from."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pilot_plus.model import Update
from registries.zookeeper import source
from registries.zookeeper.connection import Connection, connection
from registries.zookeeper.settings import Settings


class Zookeeper:
    """One session with a ZooKeeper, as a source."""

    def __init__(self, session: Connection, settings: Settings) -> None:
        """Take an open session."""
        self._session = session
        self._settings = settings

    def watch(self, after: str | None = None) -> AsyncIterator[Update]:
        """Begin with a `Reset`, always: ZooKeeper has no way to go on where somebody left."""
        return source.watch(self._session, self._settings)


@asynccontextmanager
async def connect(settings: Settings) -> AsyncIterator[Zookeeper]:
    """Open a session.

    Raises:
        SourceLost: no server can be reached in time, or it refuses.
    """
    async with connection(settings) as session:
        yield Zookeeper(session, settings)
