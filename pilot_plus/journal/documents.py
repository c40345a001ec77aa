"""Small things that the hub must not forget, by kind and key: plain ports, the index of what sync wrote, tokens.

Each has a revision that is never given out again, also not after a removal: who writes with the revision that they
have read loses nobody else's write.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from pilot_plus.journal.form import check_key
from pilot_plus.journal.tables import DOCUMENTS, IDENTITY, TURN, next_revision, upsert
from pilot_plus.sql import Store

ABSENT: Final = 0
"""The revision of a document that is not there."""
CHUNK: Final = 500


class Conflict(Exception):  # noqa: N818 - an event of the domain, not a programming error
    """Somebody else has written, or removed, the document meanwhile."""


class Document(msgspec.Struct, frozen=True):
    """A document as it is now."""

    key: str
    revision: int
    payload: bytes
    """JSON; what it means, its owner knows."""


_row: Final = (DOCUMENTS.c.key, DOCUMENTS.c.revision, DOCUMENTS.c.payload)


class Documents:
    """The documents in one store. Writes are on the disk when they return."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._upsert = upsert(DOCUMENTS, ("kind", "key"), is_sqlite=store.is_sqlite)

    async def get(self, kind: str, key: str) -> Document | None:
        """One document."""
        async with self._store.reading() as connection:
            row = (await connection.execute(sa.select(*_row).where(_is(kind, key)))).one_or_none()
        return Document(row.key, row.revision, row.payload.encode()) if row else None

    async def list(self, kind: str) -> Sequence[Document]:
        """All documents of a kind, in the order of their keys as the database sorts them."""
        page = sa.select(*_row).where(DOCUMENTS.c.kind == kind).order_by(DOCUMENTS.c.key).limit(CHUNK)
        found: list[Document] = []
        async with self._store.reading() as connection:
            rows = (await connection.execute(page)).all()
            while rows:
                found += (Document(key, revision, payload.encode()) for key, revision, payload in rows)
                rows = (await connection.execute(page.where(DOCUMENTS.c.key > rows[-1].key))).all()
        return found

    async def changed(self, kind: str, since: int) -> Sequence[Document]:
        """The documents of a kind that were written after a revision; what was removed is not told."""
        later = sa.select(*_row).where(DOCUMENTS.c.kind == kind, DOCUMENTS.c.revision > since)
        async with self._store.reading() as connection:
            rows = (await connection.execute(later)).all()
        return [Document(row.key, row.revision, row.payload.encode()) for row in rows]

    async def revision(self) -> int:
        """The newest revision that any copy of the hub was given: as long as it stands, nothing has been written."""
        async with self._store.reading() as connection:
            return int(await connection.scalar(sa.select(IDENTITY.c.revision)) or 0)

    async def put(self, kind: str, key: str, payload: bytes, *, expected: int | None = None) -> Document:
        """Write a document; with `expected`, only if that is still its revision (`ABSENT`: it is not there).

        Raises:
            Conflict: it has another revision.
            ValueError: the payload is no JSON text, or the key can't be held.
            OSError: the database can't be written.
        """
        check_key(key)
        text = msgspec.json.format(payload, indent=-1).decode()
        async with self._store.writing(TURN) as connection:
            await _expect(connection, kind, key, expected)
            revision = await next_revision(connection)
            row = {"kind": kind, "key": key, "revision": revision, "payload": text}
            await connection.execute(self._upsert, row)
        return Document(key, revision, text.encode())

    async def delete(self, kind: str, key: str, *, expected: int | None = None) -> None:
        """Remove a document; one that is not there is no error.

        Raises:
            Conflict: `expected` is not its revision.
            OSError: the database can't be written.
        """
        async with self._store.writing(TURN) as connection:
            await _expect(connection, kind, key, expected)
            await next_revision(connection)
            await connection.execute(sa.delete(DOCUMENTS).where(_is(kind, key)))

    async def write(self, kind: str, puts: Mapping[str, bytes], deletes: Sequence[str] = ()) -> None:
        """Write many documents of a kind in one transaction, whatever was there.

        Raises:
            ValueError: a payload is no JSON text, or a key can't be held; nothing is written.
            OSError: the database can't be written; nothing is written.
        """
        for key in puts:
            check_key(key)
        texts = {key: msgspec.json.format(payload, indent=-1).decode() for key, payload in puts.items()}
        async with self._store.writing(TURN) as connection:
            revision = await next_revision(connection)
            rows = [{"kind": kind, "key": key, "revision": revision, "payload": text} for key, text in texts.items()]
            for start in range(0, len(rows), CHUNK):
                await connection.execute(self._upsert, rows[start : start + CHUNK])
            for start in range(0, len(deletes), CHUNK):
                await connection.execute(_delete_many, {"of": kind, "keys": deletes[start : start + CHUNK]})


_delete_many: Final = sa.delete(DOCUMENTS).where(
    DOCUMENTS.c.kind == sa.bindparam("of"), DOCUMENTS.c.key.in_(sa.bindparam("keys", expanding=True))
)


def _is(kind: str, key: str) -> sa.ColumnElement[bool]:
    return sa.and_(DOCUMENTS.c.kind == kind, DOCUMENTS.c.key == key)


async def _expect(connection: AsyncConnection, kind: str, key: str, expected: int | None) -> None:
    if expected is None:
        return
    found = await connection.scalar(sa.select(DOCUMENTS.c.revision).where(_is(kind, key))) or ABSENT
    if found != expected:
        raise Conflict(f"{kind} {key!r} has the revision {found}, not {expected}: somebody has written it meanwhile")
