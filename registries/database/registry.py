"""Our own registry, connected: a source, and a sink whose leases are ours to keep."""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from pilot_plus.model import Alive, Instance, Resumed, Update
from pilot_plus.ports import Failed, Refused, Result, SourceLost
from pilot_plus.sql import Migrations, Store, errors_of, link_to, migrate, open_store
from registries.database.bell import Bell, bell_of
from registries.database.keeper import EVERY_S, Keeper
from registries.database.log import Log, mark_of
from registries.database.record import decode, encode
from registries.database.settings import Settings
from registries.database.statements import Statements
from registries.database.writer import Writer

MIGRATIONS: Final = Migrations(Path(__file__).with_name("migrations"), "registry_version", head="0001", turn=0)
CHANNEL: Final = "registry_changes"
"""Where PostgreSQL tells of changes; the triggers name it too."""
ALIVE_S: Final = 1.0
QUIET_S: Final = 1.0


class Database:
    """Our own registry on one database; made by `connect`."""

    def __init__(self, store: Store) -> None:
        identity = random.getrandbits(62)  # tells copies of the hub apart, protects nothing
        self._store = store
        self._say = Statements(is_sqlite=store.is_sqlite)
        self._bell: Bell = bell_of(store)
        self._writer = Writer(store, self._say, identity)
        self._keeper = Keeper(store, self._say, identity)
        self._lost = ""

    def __repr__(self) -> str:
        """Show where it is and how it fares."""
        return f"<database at {self._store.place.shown}, {len(self._keeper.leases)} instances, {self._lost or 'well'}>"

    async def watch(self, after: str | None = None) -> AsyncIterator[Update]:
        """Say everything, or go on behind `after`, and then every change."""
        with self._bell.listener() as news:
            try:
                async with aclosing(self._updates(after, news)) as updates:
                    async for update in updates:
                        yield update
            except OSError as error:
                raise SourceLost(str(error)) from error

    def preview(self, instance: Instance) -> Instance | Refused:
        """What will become of a write: nearly everything is held."""
        try:
            return decode(encode(instance))
        except ValueError as error:
            return Refused(str(error)[:300])

    async def put(self, instances: Sequence[Instance]) -> Sequence[Result]:
        """Register or update each; answered when it is on the disk."""
        return await self._writer.put(instances)

    async def drop(self, keys: Sequence[str]) -> Sequence[Result]:
        """Deregister each."""
        return await self._writer.drop(keys)

    async def renew(self, keys: Sequence[str]) -> Sequence[Result]:
        """Take a heartbeat of each: it counts at once, and is in the database within a fraction of a second."""
        if self._lost:
            return [Failed(self._lost) for _ in keys]
        try:
            return await self._keeper.renew(keys)
        except OSError as error:
            return [Failed(str(error)) for _ in keys]

    def unheard(self) -> frozenset[str]:
        """Keys of leased instances that nobody has vouched for since we connected: stale until heard, or gone."""
        return self._keeper.leases.unheard

    async def _updates(self, after: str | None, news: asyncio.Event) -> AsyncGenerator[Update, None]:
        log = Log(self._store, self._say)
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

    async def open(self) -> None:
        """Make the tables if they aren't there, and learn the leases."""
        await migrate(self._store, MIGRATIONS)
        await self._keeper.load()

    async def write(self) -> None:
        """Write what is put and dropped, until the database is gone."""
        with self._losing():
            while True:
                self._keeper.written(await self._writer.write_next())
                self._bell.ring()

    async def keep(self) -> None:
        """Keep the leases, until the database is gone."""
        with self._losing():
            while True:
                await asyncio.sleep(EVERY_S)
                if await self._keeper.turn():
                    self._bell.ring()

    async def listen(self, link: Any) -> None:
        """Hear PostgreSQL's notifications on a connection of their own, until it breaks."""
        broken = asyncio.Event()
        link.add_termination_listener(lambda _: broken.set())
        with self._losing(), errors_of(self._store.place):
            await link.add_listener(CHANNEL, lambda *_: self._bell.ring())
            await broken.wait()
            raise ConnectionError("the server has closed the connection")

    def close(self, reason: str) -> None:
        """Answer everybody who waits: this ends here."""
        self._lost = self._lost or reason
        self._writer.close(self._lost)
        self._bell.ring()

    @contextmanager
    def _losing(self) -> Iterator[None]:
        """When the database is gone, watchers and writers learn it, and nothing is tried again."""
        try:
            yield
        except OSError as error:
            self.close(str(error))


@asynccontextmanager
async def connect(settings: Settings) -> AsyncIterator[Database]:
    """Open our own registry, and keep its leases as long as it is open.

    Raises:
        ValueError: the settings name no database.
        SourceLost: the database can't be opened.
    """
    if not settings.url:
        raise ValueError("url: our own registry needs a database: sqlite:///FILE or postgresql://USER@HOST/NAME")
    async with AsyncExitStack() as opened:
        try:
            store = await opened.enter_async_context(open_store(settings.url))
            database = Database(store)
            await database.open()
            link = None if store.is_sqlite else await link_to(store.place)
        except OSError as error:
            raise SourceLost(str(error)) from error
        work = [database.write(), database.keep()]
        if link is not None:
            opened.callback(link.terminate)
            work.append(database.listen(link))
        opened.callback(database.close, "closed")
        async with _beside(*work):
            yield database


@asynccontextmanager
async def _beside(*work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run the work beside the block and end it with the block, whose own error comes out as it was."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in work]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
    except BaseExceptionGroup as errors:
        if len(errors.exceptions) == 1:
            raise errors.exceptions[0] from None
        raise
