"""The door: `connect` opens a session, and gives what the hub reads from and writes to."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from pilot_plus.model import Instance, Update
from pilot_plus.ports import Refused, Result
from registries.zookeeper import source
from registries.zookeeper.connection import Connection, connection
from registries.zookeeper.locating import located
from registries.zookeeper.locks import Locks
from registries.zookeeper.settings import Settings
from registries.zookeeper.sink import Writer


class Zookeeper:
    """One session with a ZooKeeper, as a source and as a sink; and one more for its locks, once it claims any."""

    def __init__(self, session: Connection, settings: Settings, locks: Locks) -> None:
        """Take an open session."""
        self._session = session
        self._settings = settings
        self._locks = locks
        self._writer = Writer(session, settings, locks)

    def watch(self, after: str | None = None) -> AsyncIterator[Update]:
        """Begin with a `Reset`, always: ZooKeeper has no way to go on where somebody left."""
        return source.watch(self._session, self._settings)

    async def locate(self, keys: Sequence[str]) -> Mapping[str, Sequence[str]]:
        """The nodes of records that are their node's name, for whose key is not that name."""
        return await located(self._session, self._settings.tree_layouts(), keys)

    def preview(self, instance: Instance) -> Instance | Refused:
        """What will become of a write: what the layout reads in what it writes."""
        return self._writer.preview(instance)

    async def put(self, instances: Sequence[Instance]) -> Sequence[Result]:
        """Write each instance in its layout, or the first; on a lease it lives as long as our session."""
        return await self._writer.put(instances)

    async def drop(self, keys: Sequence[str]) -> Sequence[Result]:
        """Remove the records of those keys that are ours."""
        return await self._writer.drop(keys)

    async def tidy(self) -> None:
        """Remove the directories that we made and that are empty."""
        await self._writer.tidy()

    async def claim(self, name: str, owner: str, ttl: float) -> str:
        """Take a lock, or stay in its queue; whose it is now. What is written from then on is fenced by it."""
        return await self._locks.claim(name, owner, ttl)

    async def release(self, name: str, owner: str) -> None:
        """Give a lock up."""
        await self._locks.release(name, owner)


@asynccontextmanager
async def connect(settings: Settings) -> AsyncIterator[Zookeeper]:
    """Open a session.

    Raises:
        SourceLost: no server can be reached in time, or it refuses.
    """
    async with connection(settings) as session, AsyncExitStack() as opened:
        yield Zookeeper(session, settings, Locks(settings, opened))
