"""Brings a database to the shape that this version needs: Alembic's revisions, run under a lock when it is opened."""

import asyncio
from pathlib import Path
from typing import Final
from weakref import WeakKeyDictionary

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from pilot_plus.sql.store import Store


class Migrations(msgspec.Struct, frozen=True):
    """The revisions of one owner of tables; several owners share a database, each with a table for its version."""

    folder: Path
    """Holds `versions/`."""
    version_table: str
    head: str
    """The newest revision: a database that is there already is left alone without loading Alembic."""
    turn: int
    """Copies of the hub that start at once take turns here."""


async def migrate(store: Store, migrations: Migrations) -> None:
    """Bring the database up to `head`; all of it happens, or nothing.

    Raises:
        OSError: the database can't be changed, or was made by a newer version.
    """
    async with store.writing(migrations.turn) as connection:
        if await _version(connection, migrations) != migrations.head:
            async with _alone():
                await connection.run_sync(_upgrade, migrations)


_turns: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock]] = WeakKeyDictionary()


def _alone() -> asyncio.Lock:
    """One migration at a time: Alembic's revisions speak to a global, and would meet the database of another one."""
    return _turns.setdefault(asyncio.get_running_loop(), asyncio.Lock())


async def _version(connection: AsyncConnection, migrations: Migrations) -> str | None:
    if not await connection.run_sync(lambda sync: sa.inspect(sync).has_table(migrations.version_table)):
        return None
    table = sa.table(migrations.version_table, sa.column("version_num"))
    return (await connection.execute(sa.select(table.c.version_num))).scalar()


def _upgrade(connection: sa.Connection, migrations: Migrations) -> None:
    # Alembic costs a tenth of a second to import, and is needed once in a database's life.
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.runtime.migration import MigrationContext, RevisionStep
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    script = ScriptDirectory(str(migrations.folder))

    def steps(revision: tuple[str, ...], _context: MigrationContext) -> list[RevisionStep]:
        return script._upgrade_revs("head", revision)  # type: ignore[arg-type]  # noqa: SLF001 - as Alembic's own `upgrade` command does

    with EnvironmentContext(Config(), script, fn=steps) as environment:
        environment.configure(connection=connection, version_table=migrations.version_table)
        try:
            environment.run_migrations()
        except CommandError as error:
            raise OSError(f"its tables were made by a newer version than this one: {error}") from error
