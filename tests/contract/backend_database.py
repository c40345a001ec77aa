"""Our own registry as two backends: a SQLite file and a PostgreSQL server, written with SQL by a plain client.

SQLite has no server to break. *Killed* is its folder moved away, *paused* is another process that holds the file's
locks and lets nobody read.
"""

import asyncio
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from abc import abstractmethod
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, closing
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

import asyncpg
import msgspec

from devservers import Postgres
from pilot_plus.model import Health
from pilot_plus.ports import Source
from registries.database import Settings, connect
from tests.contract.backend import Sample

COLUMNS = "key, namespace, name, id, lease, record"
GARBAGE = ("shop/garbage/1", "shop", "garbage", "1", 0.0, "{half a rec")


def row(sample: Sample, lease: float = 0.0) -> tuple[object, ...]:
    """A row as the documentation describes it."""
    record = {
        "address": sample.address,
        "ports": [{"name": "http", "number": sample.port, "protocol": "http"}],
        "health": sample.health.value,
        "weight": sample.weight,
        "metadata": dict(sample.metadata),
    }
    key = f"shop/{sample.service}/{sample.address}"
    return key, "shop", sample.service, sample.address, lease, msgspec.json.encode(record).decode()


class DatabaseBackend:
    """What both have in common: the tables, which the first hub that connects makes."""

    holds_metadata = True
    holds_health = True
    weight_step = 1
    namespace = "shop"
    insert: ClassVar[str]
    delete: ClassVar[str]
    url: str

    def connect(self) -> AbstractAsyncContextManager[Source]:
        return connect(self.settings)

    @property
    def settings(self) -> Settings:
        return Settings(url=self.url)

    async def write(self, *samples: Sample) -> None:
        await self.execute(self.insert, [row(sample) for sample in samples])

    async def remove(self, *samples: Sample) -> None:
        await self.execute(self.delete, [(row(sample)[0],) for sample in samples])

    async def truth(self) -> set[Sample]:
        return {
            _sample(*found)
            for found in await self.rows("SELECT name, record FROM registry_instances WHERE name <> 'garbage'")
        }

    async def write_garbage(self) -> str | None:
        await self.execute(self.insert, [GARBAGE])
        return GARBAGE[0]

    async def remove_garbage(self) -> None:
        await self.execute(self.delete, [(GARBAGE[0],)])

    async def make_tables(self) -> None:
        async with self.connect():
            pass

    @abstractmethod
    async def execute(self, statement: str, rows: Sequence[Sequence[object]]) -> None: ...

    @abstractmethod
    async def rows(self, query: str) -> Sequence[Any]: ...


def _sample(name: str, record: str) -> Sample:
    decoded = msgspec.json.decode(record)
    return Sample(
        name,
        decoded["address"],
        decoded["ports"][0]["number"],
        decoded["weight"],
        tuple(sorted(decoded["metadata"].items())),
        Health(decoded["health"]),
    )


class SQLiteBackend(DatabaseBackend):
    """A file in a folder of its own."""

    insert = f"INSERT OR REPLACE INTO registry_instances ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)"
    delete = "DELETE FROM registry_instances WHERE key = ?"

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="pilot-plus-sqlite-"))
        self.away = self.folder.with_suffix(".away")
        self.file = self.folder / "own.db"
        self.url = f"sqlite:///{self.file}"
        self._holder: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.resume()
        for folder in (self.folder, self.away):
            shutil.rmtree(folder, ignore_errors=True)

    async def execute(self, statement: str, rows: Sequence[Sequence[object]]) -> None:
        if not self.file.exists():
            await self.make_tables()
        await asyncio.to_thread(self._execute, statement, rows)

    async def rows(self, query: str) -> Sequence[Any]:
        if not self.file.exists():
            await self.make_tables()
        return await asyncio.to_thread(self._rows, query)

    def _execute(self, statement: str, rows: Sequence[Sequence[Any]]) -> None:
        with closing(sqlite3.connect(self.file)) as connection, connection:
            connection.executemany(statement, rows)

    def _rows(self, query: str) -> Sequence[Any]:
        with closing(sqlite3.connect(self.file)) as connection:
            return connection.execute(query).fetchall()

    def kill(self) -> None:
        if self.folder.exists():
            self.folder.rename(self.away)

    async def start_again(self) -> None:
        if self.away.exists():
            self.away.rename(self.folder)

    async def restart_empty(self) -> None:
        self.kill()
        shutil.rmtree(self.away)
        self.folder.mkdir()

    def pause(self) -> None:
        """Another process takes the locks that every reader needs (bytes 120 to 127 of the index beside the file)."""
        program = (
            "import fcntl, sys, time\n"
            "held = open(sys.argv[1], 'r+b')\n"
            "fcntl.lockf(held, fcntl.LOCK_EX, 8, 120)\n"
            "print('held', flush=True)\n"
            "sys.stdin.read()\n"
        )
        command = [sys.executable, "-c", program, f"{self.file}-shm"]
        self._holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == b"held\n"

    def resume(self) -> None:
        if self._holder is not None:
            self._holder.communicate()
            self._holder = None


class PostgreSQLBackend(DatabaseBackend):
    """A server of its own."""

    insert = f"""INSERT INTO registry_instances ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT (key) DO UPDATE SET record = excluded.record, lease = excluded.lease"""
    delete = "DELETE FROM registry_instances WHERE key = $1"

    def __init__(self) -> None:
        self.server = Postgres()
        self._has_tables = False

    @property
    def url(self) -> str:  # type: ignore[override]  # of the server
        return self.server.url

    def __enter__(self) -> Self:
        self.server.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.server.__exit__(kind, error, at)

    async def execute(self, statement: str, rows: Sequence[Sequence[object]]) -> None:
        connection = await self._connect()
        try:
            await connection.executemany(statement, rows)
        finally:
            await connection.close()

    async def rows(self, query: str) -> Sequence[Any]:
        connection = await self._connect()
        try:
            return [tuple(found) for found in await connection.fetch(query)]
        finally:
            await connection.close()

    async def _connect(self) -> Any:
        if not self._has_tables:
            await self.make_tables()
            self._has_tables = True
        return await asyncpg.connect(self.url)

    def kill(self) -> None:
        self.server.kill()

    async def start_again(self) -> None:
        await asyncio.to_thread(self.server.start_again)

    async def restart_empty(self) -> None:
        self._has_tables = False
        await asyncio.to_thread(self.server.wipe)

    def pause(self) -> None:
        self.server.pause()

    def resume(self) -> None:
        self.server.resume()
