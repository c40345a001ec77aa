"""The journal, opened."""

import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Self

import sqlalchemy as sa

from pilot_plus.journal.archive import Archive
from pilot_plus.journal.documents import Documents
from pilot_plus.journal.records import Changes, Known, Records
from pilot_plus.journal.tables import IDENTITY, MIGRATIONS, TURN
from pilot_plus.sql import Store, migrate, open_store
from pilot_plus.sql.presence import Presence

__all__ = ["Changes", "Journal", "Known"]


class Journal:
    """What outlives the process. One copy of the hub writes the records at a time; all may write documents."""

    id: str
    """Who this cluster is, drawn when its journal was made: the same for every copy and every start."""
    epoch: int
    """Higher at every opening, by any copy: the part of a revision that makes it ours."""

    def __init__(self, store: Store, identity: str, epoch: int) -> None:
        self.id = identity
        self.epoch = epoch
        self.documents = Documents(store)
        self.presence = Presence(store)
        self.archive = Archive(store)
        self._records = Records(store)
        self._store = store

    def __repr__(self) -> str:
        """Show where it is."""
        return f"<journal at {self._store.place.shown}, epoch {self.epoch}>"

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str) -> AsyncIterator[Self]:
        """Open the journal, making it if it is not there.

        Raises:
            ValueError: the URL is no database's.
            OSError: the database can't be opened, or was made by a newer version.
        """
        async with open_store(url) as store:
            await migrate(store, MIGRATIONS)
            journal = cls(store, *await _enter(store))
            try:
                yield journal
            finally:
                journal.presence.close()

    async def write(self, changes: Sequence[Changes]) -> None:
        """Remember what has changed: up to 1,000 changes in one transaction, every whole list as one step.

        Raises:
            OSError: the database can't be written. It may be tried again: writing twice is writing once.
        """
        await self._records.write(changes)

    async def last_known(self) -> Mapping[str, Known]:
        """The records of every registry, by its name.

        Raises:
            OSError: the database can't be read.
        """
        return await self._records.last_known()

    async def forget(self, registry: str) -> None:
        """Forget a registry that the configuration no longer holds.

        Raises:
            OSError: the database can't be written.
        """
        await self._records.forget(registry)


async def _enter(store: Store) -> tuple[str, int]:
    """Say who we are, and begin an epoch."""
    async with store.writing(TURN) as connection:
        begin = sa.update(IDENTITY).values(epoch=IDENTITY.c.epoch + 1).returning(IDENTITY.c.id, IDENTITY.c.epoch)
        row = (await connection.execute(begin)).one_or_none()
        if row is None:
            identity = secrets.token_hex(16)
            first = sa.insert(IDENTITY).values(only_row=1, id=identity, epoch=1, revision=0)
            await connection.execute(first)
            return identity, 1
        return row.id, row.epoch
