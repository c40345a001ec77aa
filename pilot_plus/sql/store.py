"""An open database: one writer whose transactions queue up, and readers that see snapshots.

SQLite allows one writer to a file. Its own way to wait for it is to sleep and to try again, up to 100 ms at a time, so
the stores of one file in one process take turns at a lock of ours first, in the order in which they came; only
another process is waited for in SQLite's way. On PostgreSQL transactions of one `turn` take turns all the same, at
an advisory lock: they commit in the order in which they began, and numbers given out in them are never seen out of
order. `docs/adr/0010-sql-databases.md` has the figures.
"""

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, Final
from weakref import WeakSet, WeakValueDictionary

import asyncpg
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from pilot_plus.sql.url import Place, place_of

CONNECT_S: Final = 5.0
ANSWER_S: Final = 8.0
"""So long one statement may take: what is slower is gone."""
READERS: Final = 3
_BUSY_MS: Final = 3000
"""So long SQLite waits for another process; its thread can't be woken meanwhile, so closing waits longer."""
_CLOSE_S: Final = {"sqlite": _BUSY_MS / 1000 + 1, "postgresql": 1.0}
LOCK_SPACE: Final = 7080
"""The first half of our advisory locks in PostgreSQL; the second is the turn."""

_turns: WeakValueDictionary[tuple[int, str], asyncio.Lock] = WeakValueDictionary()


class Store:
    """A database that is open; made by `open_store`."""

    def __init__(self, place: Place, writer: AsyncEngine, reader: AsyncEngine, turn: asyncio.Lock) -> None:
        self.place = place
        self._writer = writer
        self._reader = reader
        self._turn = turn
        self._file = _identity(place)

    def __repr__(self) -> str:
        """Show where it is."""
        return f"<store {self.place!r}>"

    @property
    def is_sqlite(self) -> bool:
        """Statements that the two databases write differently ask this."""
        return self.place.kind == "sqlite"

    @property
    def file_is_gone(self) -> bool:
        """The file that we hold open is not the one under its name any more: removed, or put back from a copy."""
        return self.is_sqlite and _identity(self.place) != self._file

    @asynccontextmanager
    async def writing(self, turn: int, *, lasting: bool = True) -> AsyncIterator[AsyncConnection]:
        """A transaction that writes, in its turn; it is committed at the end of the block.

        `lasting` ones are on the disk when they end. The others survive the death of the process, but the last
        moment of them not a power failure: for what is said again soon.

        Raises:
            OSError: the database can't be written; nothing of the block is in it.
        """
        with errors_of(self.place):
            async with self._turn, self._writer.connect() as connection:
                await self._begin(connection, turn, lasting=lasting)
                yield connection
                await connection.commit()

    async def _begin(self, connection: AsyncConnection, turn: int, *, lasting: bool) -> None:
        if self.is_sqlite:
            self._check_file()
            await _synchronous(connection, "FULL" if lasting else "NORMAL")
            await connection.begin()
            return
        await connection.begin()
        await connection.execute(_TAKE_TURN, {"space": LOCK_SPACE, "turn": turn})
        if not lasting:
            await connection.execute(_NOT_LASTING)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A snapshot: what is read in the block is the state of one moment.

        Raises:
            OSError: the database can't be read.
        """
        with errors_of(self.place):
            self._check_file()
            async with self._reader.connect() as connection:
                yield connection

    def _check_file(self) -> None:
        if self.file_is_gone:
            raise FileNotFoundError("its file was removed or replaced")


async def _synchronous(connection: AsyncConnection, mode: str) -> None:
    """Say how safely SQLite writes from here on; past SQLAlchemy, which would begin a transaction first."""
    info = connection.sync_connection.info if connection.sync_connection else {}
    if info.get("synchronous") != mode:
        link: Any = (await connection.get_raw_connection()).driver_connection
        await (await link.execute(f"PRAGMA synchronous={mode}")).close()
        info["synchronous"] = mode


_TAKE_TURN: Final = sa.text("SELECT pg_advisory_xact_lock(:space, :turn)")
_NOT_LASTING: Final = sa.text("SET LOCAL synchronous_commit = off")


@asynccontextmanager
async def open_store(url: str) -> AsyncIterator[Store]:
    """Open a database; a SQLite file that is not there is made, readable by its owner alone.

    Raises:
        ValueError: the URL is none.
        OSError: the database can't be opened.
    """
    place = place_of(url)
    async with AsyncExitStack() as closing:
        with errors_of(place):
            if place.kind == "sqlite":
                _make_file(place.path)
                engines = [_sqlite_engine(place, writes=True), _sqlite_engine(place, writes=False)]
            else:
                links: WeakSet[Any] = WeakSet()
                closing.callback(_cut, links)
                engines = [_postgresql_engine(place, links, writes=writes) for writes in (True, False)]
            turn = _turn_at(place)
            async with turn:  # a new SQLite file is switched to WAL by one connection, while no other has it open
                for engine in engines:
                    closing.push_async_callback(_close, engine)
                    async with engine.connect() as connection:
                        await connection.execute(sa.text("SELECT 1"))
        yield Store(place, engines[0], engines[1], turn)


@contextmanager
def errors_of(place: Place) -> Iterator[None]:
    """Turn what drivers raise into one `OSError` of one line that names the place and holds no secret."""
    try:
        yield
    except TimeoutError as error:
        raise TimeoutError(f"{place.shown}: no answer within {ANSWER_S:g} s") from error
    except OSError as error:
        if str(error).startswith(f"{place.shown}: "):  # it has come this way once already
            raise
        raise OSError(f"{place.shown}: {error.strerror or error}") from error
    except sa.exc.DBAPIError as error:
        raise OSError(f"{place.shown}: {_line(error.orig)}") from error
    except (sa.exc.TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise OSError(f"{place.shown}: {_line(error)}") from error


def _line(error: BaseException | None) -> str:
    """The first line of a driver's message, without the names of classes that adapters put before it."""
    lines = str(error).splitlines() or [type(error).__name__]
    return lines[0].rpartition("'>: ")[2][:300]


def _turn_at(place: Place) -> asyncio.Lock:
    """The lock at which the writers of one SQLite file take turns in this process; else one of its own."""
    if place.kind != "sqlite":
        return asyncio.Lock()
    key = (id(asyncio.get_running_loop()), str(Path(place.path).resolve()))
    return _turns.setdefault(key, asyncio.Lock())


def _make_file(path: str) -> None:
    """Make a file that only we can read; one that exists is not touched.

    To open and close it beside SQLite would take away the locks that this process holds on it (POSIX says so).
    """
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def _identity(place: Place) -> tuple[int, int] | None:
    if place.kind != "sqlite":
        return None
    try:
        status = Path(place.path).stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


class _Link(sqlite3.Connection):
    """Ends its transaction when it is closed.

    One whose statement was cancelled has a cursor somewhere in that exception, and SQLite keeps what is closed
    under a statement, and its lock on the file, until the statement is gone too.
    """

    def close(self) -> None:
        if self.in_transaction:
            self.rollback()
        super().close()


def _sqlite_engine(place: Place, *, writes: bool) -> AsyncEngine:
    engine = create_async_engine(
        sa.URL.create("sqlite+aiosqlite", database=place.path),
        pool_size=1 if writes else READERS,
        max_overflow=0,
        connect_args={"factory": _Link},
    )
    sa.event.listen(engine.sync_engine, "connect", _prepare_sqlite)
    # The driver's own BEGIN comes too late (before the first write only): reads before it lose updates.
    begin: Callable[[sa.Connection], object] = _begin_immediate if writes else _begin_snapshot
    sa.event.listen(engine.sync_engine, "begin", begin)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None
    connection.driver_connection._conn.text_factory = _lenient_text  # noqa: SLF001 - no other way to reach it
    cursor = connection.cursor()
    for pragma in (f"busy_timeout={_BUSY_MS}", "journal_mode=WAL", "synchronous=FULL"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _lenient_text(value: bytes) -> str:
    """Text that is no UTF-8 must fail its own record's decoder, not the whole list."""
    return value.decode("utf-8", "surrogateescape")


def _begin_immediate(connection: sa.Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _begin_snapshot(connection: sa.Connection) -> None:
    connection.exec_driver_sql("BEGIN")


def _postgresql_engine(place: Place, links: "WeakSet[Any]", *, writes: bool) -> AsyncEngine:
    async def connect() -> Any:
        link = await link_to(place)
        links.add(link)
        return link

    return create_async_engine(
        "postgresql+asyncpg://",
        async_creator=connect,
        pool_size=1 if writes else READERS,
        max_overflow=0,
        isolation_level="READ COMMITTED" if writes else "REPEATABLE READ",
    )


async def link_to(place: Place) -> Any:
    """A bare connection to PostgreSQL, for what needs one of its own: to listen.

    Raises:
        OSError: the server can't be reached or refuses.
    """
    with errors_of(place):
        return await asyncpg.connect(
            place.dsn,
            timeout=CONNECT_S,
            command_timeout=ANSWER_S,
            server_settings={"application_name": "pilot-plus"},
        )


async def _close(engine: AsyncEngine) -> None:
    """Close gracefully, but not for ever: a server that was stopped never answers."""
    with suppress(OSError, sa.exc.SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError):
        async with asyncio.timeout(_CLOSE_S[engine.dialect.name]):
            await engine.dispose()


def _cut(links: "WeakSet[Any]") -> None:
    """Cut the connections that could not be closed."""
    for link in list(links):
        if not link.is_closed():
            link.terminate()
