"""Locks: a row for each, with a number that is drawn anew by each claim of its owner.

An owner whose number stands still for its `ttl` is gone. What is written under a lock asks in the same transaction
whether it is still ours; and as claims take turns with writes, the answer holds until the commit.
"""

import random
from typing import Final

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from pilot_plus.sql import Store
from registries.database.statements import Statements
from registries.vigil import Vigil

TURN: Final = 1
"""Claims take turns with the writes that they are to fence."""


class _Lock(msgspec.Struct, frozen=True):
    owner: str
    ttl: float
    beat: int


class Locks:
    """The locks that one connection has claimed."""

    def __init__(self, store: Store, statements: Statements, vigil: Vigil | None = None) -> None:
        """Nothing is claimed yet."""
        self._store = store
        self._say = statements
        self._vigil = vigil or Vigil()
        self.held: dict[str, str] = {}
        """Names, and as whose: what is written must find it so."""

    async def claim(self, name: str, owner: str, ttl: float) -> str:
        """Take a lock, or draw its number anew; see `pilot_plus.ports.Locking`.

        Raises:
            OSError: the database can't be read or written.
        """
        async with self._store.reading() as connection:
            seen = await self._read(connection, name)
        holder = owner
        if self._is_free(name, seen, owner, ttl):
            holder = await self._take(name, seen, _Lock(owner, ttl, random.getrandbits(62)))
        elif seen is not None:
            holder = seen.owner
        if holder == owner:
            self.held[name] = owner
        return holder

    async def release(self, name: str, owner: str) -> None:
        """Give a lock up, if it is the owner's.

        Raises:
            OSError: the database can't be written.
        """
        self.held.pop(name, None)
        async with self._store.writing(TURN, lasting=False) as connection:
            await connection.execute(self._say.drop_lock, {"lock": name, "who": owner})

    def _is_free(self, name: str, seen: _Lock | None, owner: str, ttl: float) -> bool:
        if seen is None or seen.owner == owner:
            return True
        return self._vigil.is_over(name, (seen.owner, seen.beat), max(ttl, seen.ttl))

    async def _take(self, name: str, seen: _Lock | None, mine: _Lock) -> str:
        """Write ourselves as the owner, unless somebody has moved since the lock was read; whose it is then."""
        async with self._store.writing(TURN, lasting=False) as connection:
            now = await self._read(connection, name)
            if now is not None and now != seen and now.owner != mine.owner:
                return now.owner
            await connection.execute(self._say.put_lock, {"name": name, **msgspec.structs.asdict(mine)})
        return mine.owner

    async def _read(self, connection: AsyncConnection, name: str) -> _Lock | None:
        row = (await connection.execute(self._say.lock, {"lock": name})).one_or_none()
        return _Lock(str(row.owner), float(row.ttl), int(row.beat)) if row else None
