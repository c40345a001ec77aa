"""Where identity keeps what must outlive the process: documents by kind and key, written by comparing revisions.

The journal has them; the store in memory is the reference, for tests and for a hub without a journal.
"""

from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

ABSENT: Final = 0
"""The revision of a document that is not there."""


class Conflict(Exception):  # noqa: N818 - an event of the domain, not a programming error
    """Somebody else, perhaps another copy of the hub, has written or removed the document meanwhile."""


class Stored(Protocol):
    """A document as it is now."""

    @property
    def key(self) -> str:
        """Unique in its kind."""
        ...

    @property
    def revision(self) -> int:
        """Never given out twice, also not after a removal."""
        ...

    @property
    def payload(self) -> bytes:
        """JSON."""
        ...


class Store(Protocol):
    """Documents. Every method raises `OSError` where the store can't be read or written."""

    async def get(self, kind: str, key: str) -> Stored | None:
        """One document."""
        ...

    async def list(self, kind: str) -> Sequence[Stored]:
        """All documents of a kind."""
        ...

    async def put(self, kind: str, key: str, payload: bytes, *, expected: int | None = None) -> Stored:
        """Write a document; with `expected`, only if that is its revision (`ABSENT`: none), else `Conflict`."""
        ...

    async def delete(self, kind: str, key: str, *, expected: int | None = None) -> None:
        """Remove a document; one that is not there is no error. With `expected` as `put`."""
        ...


class JournalStore:
    """The journal's documents; its word for a conflict becomes ours."""

    def __init__(self, documents: Store, conflict: type[Exception]) -> None:
        self._documents = documents
        self._conflict = conflict

    async def get(self, kind: str, key: str) -> Stored | None:
        """As `Store`."""
        return await self._documents.get(kind, key)

    async def list(self, kind: str) -> Sequence[Stored]:
        """As `Store`."""
        return await self._documents.list(kind)

    async def put(self, kind: str, key: str, payload: bytes, *, expected: int | None = None) -> Stored:
        """As `Store`."""
        try:
            return await self._documents.put(kind, key, payload, expected=expected)
        except self._conflict as error:
            raise Conflict(str(error)) from error

    async def delete(self, kind: str, key: str, *, expected: int | None = None) -> None:
        """As `Store`."""
        try:
            await self._documents.delete(kind, key, expected=expected)
        except self._conflict as error:
            raise Conflict(str(error)) from error


class Memory(msgspec.Struct, frozen=True):
    """A document in memory."""

    key: str
    revision: int
    payload: bytes


class MemoryStore:
    """Documents that end with the process."""

    def __init__(self) -> None:
        self._documents: dict[tuple[str, str], Memory] = {}
        self._revision = ABSENT

    async def get(self, kind: str, key: str) -> Memory | None:
        """As `Store`."""
        return self._documents.get((kind, key))

    async def list(self, kind: str) -> Sequence[Memory]:
        """As `Store`."""
        return [found for (of, _), found in sorted(self._documents.items()) if of == kind]

    async def put(self, kind: str, key: str, payload: bytes, *, expected: int | None = None) -> Memory:
        """As `Store`."""
        self._expect(kind, key, expected)
        self._revision += 1
        made = Memory(key, self._revision, payload)
        self._documents[kind, key] = made
        return made

    async def delete(self, kind: str, key: str, *, expected: int | None = None) -> None:
        """As `Store`."""
        self._expect(kind, key, expected)
        self._documents.pop((kind, key), None)

    def _expect(self, kind: str, key: str, expected: int | None) -> None:
        found = self._documents.get((kind, key))
        if expected is not None and expected != (found.revision if found else ABSENT):
            raise Conflict(f"{kind} {key!r} was written meanwhile")
