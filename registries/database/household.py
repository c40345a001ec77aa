"""An open database and what is done about it, shared by all of this process who connect to it.

    ingest ────┐
    registrar ─┼─▶ one household: one store, one writer, one keeper of leases
    sync ──────┘   opened by who comes first, closed by who leaves last

Each of those who share it works for it; at one time one of them writes, and one keeps the leases. When that one
leaves, the next goes on where it was. When the database is gone the household is lost for all of them, and who
connects then begins a new one.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final
from weakref import WeakValueDictionary

from pilot_plus.sql import Migrations, Store, errors_of, link_to, migrate, open_store, place_of
from registries.database.bell import bell_of
from registries.database.keeper import EVERY_S, Keeper
from registries.database.statements import Statements
from registries.database.writer import Writer

MIGRATIONS: Final = Migrations(Path(__file__).with_name("migrations"), "registry_version", head="0002", turn=0)
CHANNEL: Final = "registry_changes"
"""Where PostgreSQL tells of changes; the triggers name it too."""


class Household:
    """A database that is open; made by `opened` or `shared`."""

    def __init__(self, store: Store) -> None:
        identity = random.getrandbits(62)  # tells copies of the hub apart, protects nothing
        self.store = store
        self.say = Statements(is_sqlite=store.is_sqlite)
        self.bell = bell_of(store)
        self.writer = Writer(store, self.say, identity)
        self.keeper = Keeper(store, self.say, identity)
        self.lost = ""
        """Why the database is gone, if it is."""
        self._writing = asyncio.Lock()
        self._keeping = asyncio.Lock()

    async def write(self) -> None:
        """Write what is put and dropped, until the database is gone."""
        async with self._writing:
            with self._losing():
                while not self.lost:
                    self.keeper.written(await self.writer.write_next())
                    self.bell.ring()

    async def keep(self) -> None:
        """Keep the leases, until the database is gone."""
        async with self._keeping:
            with self._losing():
                while not self.lost:
                    await asyncio.sleep(EVERY_S)
                    if await self.keeper.turn():
                        self.bell.ring()

    def close(self, reason: str) -> None:
        """Answer everybody who waits: this ends here."""
        self.lost = self.lost or reason
        self.writer.close(self.lost)
        self.bell.ring()

    @contextmanager
    def _losing(self) -> Iterator[None]:
        """When the database is gone, watchers and writers learn it, and nothing is tried again."""
        try:
            yield
        except OSError as error:
            self.close(str(error))


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Household]:
    """Open a database as a household of its own; its tables are made if they aren't there.

    Raises:
        OSError: the database can't be opened.
    """
    async with AsyncExitStack() as closing:
        store = await closing.enter_async_context(open_store(url))
        house = Household(store)
        await migrate(store, MIGRATIONS)
        await house.keeper.load()
        if not store.is_sqlite:
            link = await link_to(store.place)
            closing.callback(link.terminate)
            link.add_termination_listener(lambda _: house.close("the server has closed the connection"))
            with errors_of(store.place):
                await link.add_listener(CHANNEL, lambda *_: house.bell.ring())
        closing.callback(house.close, "closed")
        yield house


class _Door:
    """Where those of one event loop who want one database meet."""

    def __init__(self) -> None:
        self.one_at_a_time = asyncio.Lock()
        self.inside: _Shared | None = None


class _Shared:
    """A household, and how many share it."""

    def __init__(self, house: Household, closing: AsyncExitStack) -> None:
        self.house = house
        self.closing = closing
        self.users = 0


_doors: WeakValueDictionary[tuple[int, str], _Door] = WeakValueDictionary()


@asynccontextmanager
async def shared(url: str) -> AsyncIterator[Household]:
    """The household of a database, with all others of this event loop who are there.

    Raises:
        OSError: the database can't be opened.
    """
    door = _doors.setdefault(_address(url), _Door())
    async with door.one_at_a_time:
        if door.inside is None or door.inside.house.lost:
            door.inside = await _begun(url)
        mine = door.inside
        mine.users += 1
    try:
        yield mine.house
    finally:
        mine.users -= 1
        if not mine.users:
            if door.inside is mine:
                door.inside = None
            await mine.closing.aclose()


async def _begun(url: str) -> _Shared:
    closing = AsyncExitStack()
    return _Shared(await closing.enter_async_context(opened(url)), closing)


def _address(url: str) -> tuple[int, str]:
    place = place_of(url)
    return id(asyncio.get_running_loop()), str(Path(place.path).resolve()) if place.path else place.dsn
