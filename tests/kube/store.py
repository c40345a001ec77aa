"""What the fake API server keeps: every object at every revision since the last compaction, as etcd does.

One counter serves all kinds: an object's resourceVersion is the revision of its last change. What lies below the floor
can't be read any more, and what lies below the window's start can't be watched any more.
"""

import asyncio
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

Object = dict[str, Any]


class Key(NamedTuple):
    """Where an object lies. Keys sort as in etcd: by resource, namespace, name."""

    resource: str
    namespace: str
    name: str


class Written(NamedTuple):
    """One revision: an object before and after it (None: not there)."""

    revision: int
    key: Key
    before: Object | None
    after: Object | None


class Store:
    """Objects with their history, in memory, and in a file if one is given."""

    def __init__(self, path: Path | None = None) -> None:
        self.revision = 1
        self.floor = 0
        self._versions: dict[Key, list[Written]] = {}
        self._log: list[Written] = []
        self.more = asyncio.Event()
        """Set by the next write, which puts another in its place."""
        self._file = path.open("ab") if path else None
        if path:
            for line in path.read_bytes().splitlines():
                revision, key, after = msgspec.json.decode(line, type=tuple[int, Key, Object | None])
                self._keep(revision, key, after)
        self.window = self.revision
        """Watches from before this revision are refused: a server that starts has no history of events."""

    def close(self) -> None:
        """Close the file."""
        if self._file:
            self._file.close()

    def get(self, key: Key) -> Object | None:
        """An object as it is now."""
        versions = self._versions.get(key)
        return versions[-1].after if versions else None

    def put(self, key: Key, after: Object | None) -> int:
        """Write or (None) remove an object, and wake the watches."""
        revision = self.revision + 1
        if after is not None:
            after["metadata"]["resourceVersion"] = str(revision)
        self._keep(revision, key, after)
        if self._file:
            self._file.write(msgspec.json.encode((revision, key, after)) + b"\n")
            self._file.flush()
        self.more.set()
        self.more = asyncio.Event()
        return revision

    def bump(self, revision: int) -> None:
        """Other kinds of objects, which nobody here sees, have moved the revision on."""
        self.revision = max(self.revision, revision)

    def at(self, revision: int, resource: str, namespace: str = "") -> Iterator[tuple[Key, Object]]:
        """All objects of a kind as they were at a revision, in the order of their keys."""
        for key in sorted(key for key in self._versions if key.resource == resource):
            if namespace and key.namespace != namespace:
                continue
            versions = self._versions[key]
            number = bisect_right(versions, revision, key=lambda written: written.revision)
            after = versions[number - 1].after if number else None
            if after is not None:
                yield key, after

    def since(self, revision: int) -> list[Written]:
        """What was written after a revision."""
        return self._log[bisect_right(self._log, revision, key=lambda written: written.revision) :]

    def compact(self) -> None:
        """Forget everything but the present."""
        self.floor = self.window = self.revision
        self._log.clear()
        for key, versions in list(self._versions.items()):
            if versions[-1].after is None:
                del self._versions[key]
            else:
                self._versions[key] = versions[-1:]

    def _keep(self, revision: int, key: Key, after: Object | None) -> None:
        written = Written(revision, key, self.get(key), after)
        self.revision = revision
        self._versions.setdefault(key, []).append(written)
        self._log.append(written)
