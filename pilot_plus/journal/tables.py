"""The journal's tables, and the few statements that its parts share. `migrations` makes them."""

from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from pilot_plus.sql import Migrations

MIGRATIONS: Final = Migrations(Path(__file__).with_name("migrations"), "journal_version", head="0002", turn=0)
TURN: Final = 2
"""The journal's turn at the database; our own registry has another."""
SOLE: Final = 12
"""Held by the copy of the hub that writes history."""

REGISTRIES: Final = sa.table("journal_registries", sa.column("registry", sa.Text), sa.column("generation"))
RECORDS: Final = sa.table(
    "journal_records",
    sa.column("registry", sa.Text),
    sa.column("generation", sa.BigInteger),
    sa.column("key", sa.Text),
    sa.column("form", sa.SmallInteger),
    sa.column("payload", sa.LargeBinary),
)
DOCUMENTS: Final = sa.table(
    "journal_documents",
    sa.column("kind", sa.Text),
    sa.column("key", sa.Text),
    sa.column("revision", sa.BigInteger),
    sa.column("payload", sa.Text),
)
HISTORY_BATCHES: Final = sa.table(
    "history_batches",
    sa.column("chapter", sa.BigInteger),
    sa.column("batch", sa.BigInteger),
    sa.column("payload", sa.LargeBinary),
)
HISTORY_CHAPTERS: Final = sa.table(
    "history_chapters",
    sa.column("chapter", sa.BigInteger),
    sa.column("epoch", sa.Text),
    sa.column("begun", sa.Float),
    sa.column("ended", sa.Float),
    sa.column("changes", sa.BigInteger),
    sa.column("bytes", sa.BigInteger),
)
HISTORY_PAGES: Final = sa.table(
    "history_pages",
    sa.column("chapter", sa.BigInteger),
    sa.column("service", sa.Text),
    sa.column("first", sa.Float),
    sa.column("payload", sa.LargeBinary),
)
IDENTITY: Final = sa.table(
    "journal_identity",
    sa.column("only_row", sa.SmallInteger),
    sa.column("id", sa.Text),
    sa.column("epoch", sa.BigInteger),
    sa.column("revision", sa.BigInteger),
)


def upsert(table: sa.TableClause, index: tuple[str, ...], *, is_sqlite: bool) -> sqlite.Insert | postgresql.Insert:
    """Insert a row given by parameters named after the columns, or replace what is not part of the index."""
    row: dict[str, sa.BindParameter[Any]] = {column.name: sa.bindparam(column.name) for column in table.columns}
    insert = (sqlite.insert if is_sqlite else postgresql.insert)(table).values(row)
    new = {column: insert.excluded[column] for column in row if column not in index}
    return insert.on_conflict_do_update(index_elements=list(index), set_=new)


_next: Final = (
    sa.update(IDENTITY).values(revision=IDENTITY.c.revision + sa.literal_column("1")).returning(IDENTITY.c.revision)
)


async def next_revision(connection: AsyncConnection) -> int:
    """A number that was never given out before, in any table of this journal."""
    return int((await connection.execute(_next)).scalar_one())
