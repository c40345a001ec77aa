"""Our own registry, connected: a source, and a sink whose leases are ours to keep."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    aclosing,
    asynccontextmanager,
    contextmanager,
    suppress,
)
from typing import Final

from pilot_plus.model import Alive, Instance, Resumed, Update
from pilot_plus.ports import Refused, Result, SourceLost
from registries.database.household import Household, opened, shared
from registries.database.locks import Locks
from registries.database.log import Log, mark_of
from registries.database.settings import Settings
from registries.tasks import beside

ALIVE_S: Final = 1.0
QUIET_S: Final = 1.0


class Database:
    """Our own registry on one database, as one of those who share it; made by `connect`."""

    def __init__(self, house: Household) -> None:
        self._house = house
        self._locks = Locks(house.store, house.say)
        self._closed = ""

    def __repr__(self) -> str:
        """Show where it is and how it fares."""
        house = self._house
        return f"<database at {house.store.place.shown}, {len(house.keeper.leases)} instances, {self._lost or 'well'}>"

    @property
    def _lost(self) -> str:
        return self._house.lost or self._closed

    async def watch(self, after: str | None = None) -> AsyncIterator[Update]:
        """Say everything, or go on behind `after`, and then every change."""
        with self._house.bell.listener() as news:
            try:
                async with aclosing(self._updates(after, news)) as updates:
                    async for update in updates:
                        yield update
            except OSError as error:
                raise SourceLost(str(error)) from error

    def preview(self, instance: Instance) -> Instance | Refused:
        """What will become of a write."""
        return self._house.writer.preview(instance)

    async def put(self, instances: Sequence[Instance]) -> Sequence[Result]:
        """Register or update each; answered when it is on the disk."""
        with self._losing():
            return await self._house.writer.put(instances, self._locks.held)

    async def drop(self, keys: Sequence[str]) -> Sequence[Result]:
        """Deregister each."""
        with self._losing():
            return await self._house.writer.drop(keys, self._locks.held)

    async def renew(self, keys: Sequence[str]) -> Sequence[Result]:
        """Take a heartbeat of each: it counts at once, and is in the database within a fraction of a second."""
        with self._losing():
            return await self._house.keeper.renew(keys)

    async def claim(self, name: str, owner: str, ttl: float) -> str:
        """Take a lock, or draw its number anew; whose it is now. What is written from then on is fenced by it."""
        with self._losing():
            return await self._locks.claim(name, owner, ttl)

    async def release(self, name: str, owner: str) -> None:
        """Give a lock up."""
        with self._losing():
            await self._locks.release(name, owner)

    def unheard(self) -> frozenset[str]:
        """Keys of leased instances that nobody has vouched for since we connected: stale until heard, or gone."""
        return self._house.keeper.leases.unheard

    async def _updates(self, after: str | None, news: asyncio.Event) -> AsyncGenerator[Update, None]:
        log = Log(self._house.store, self._house.say)
        mark = mark_of(after)
        if mark is not None and await log.resumes(mark):
            yield Resumed()
        else:
            async for update in log.list_all():
                yield update
        alive = -ALIVE_S
        while True:
            self._check()
            news.clear()
            changes = await log.changes()
            if changes is None:
                async for update in log.list_all():
                    yield update
            elif changes:
                for update in changes:
                    yield update
                continue
            now = asyncio.get_running_loop().time()
            if now - alive >= ALIVE_S:
                alive = now
                yield Alive(str(log.mark))
            with suppress(TimeoutError):
                async with asyncio.timeout(QUIET_S):
                    await news.wait()

    def _check(self) -> None:
        if self._lost:
            raise ConnectionError(self._lost)

    @contextmanager
    def _losing(self) -> Iterator[None]:
        """Once the database is gone this connection is of no use any more: whoever holds it opens another."""
        try:
            self._check()
            yield
        except OSError as error:
            raise SourceLost(str(error)) from error

    def close(self) -> None:
        """Answer everybody who still watches or writes here: this ends now."""
        self._closed = "closed"
        self._house.bell.ring()


def connect(settings: Settings) -> AbstractAsyncContextManager[Database]:
    """Open our own registry, or share it with who has it open here; its leases are kept as long as it is open.

    Raises (when it is entered):
        ValueError: the settings name no database.
        SourceLost: the database can't be opened.
    """
    return _connected(settings, shared)


def connect_alone(settings: Settings) -> AbstractAsyncContextManager[Database]:
    """As `connect`, sharing nothing: as another process does."""
    return _connected(settings, opened)


@asynccontextmanager
async def _connected(
    settings: Settings, open_: Callable[[str], AbstractAsyncContextManager[Household]]
) -> AsyncIterator[Database]:
    if not settings.url:
        raise ValueError("url: our own registry needs a database: sqlite:///FILE or postgresql://USER@HOST/NAME")
    async with AsyncExitStack() as closing:
        try:
            house = await closing.enter_async_context(open_(settings.url))
        except OSError as error:
            raise SourceLost(str(error)) from error
        database = Database(house)
        closing.callback(database.close)
        async with beside(house.write(), house.keep()):
            yield database
