"""A tree of nodes, listed completely and then followed: the I/O between a connection and `Records`.

Two ways to follow. With one persistent recursive watch for each root every change comes by itself, named; old servers
don't have it: there each directory and each record has a watch of its own, and a change in a directory is found by
listing it again. Either way the watches stand before the list is read, so that nothing falls between the two.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Final, TypeVar

from registries.layouts.tree import Place, TreeLayout
from registries.zookeeper.connection import DELETED, Connection
from registries.zookeeper.records import Records
from registries.zookeeper.requests import AddWatch, Children, Data, Stat

LATER: Final = 1 << 62
"""Orders of nodes that were seen to be created: after every transaction that a list tells us of."""
_BREATH: Final = 200
"""Records that are decoded without letting others run: some milliseconds."""


class Tree:
    """Everything below some roots, followed by recursive watches."""

    def __init__(self, connection: Connection, records: Records, roots: Sequence[str]) -> None:
        """Choose what to read; nothing is asked yet."""
        self._connection = connection
        self._records = records
        self._roots = [root or "/" for root in roots]
        self._seen_created = LATER

    async def read(self) -> None:
        """Put every node into the records.

        Raises:
            SourceLost: a part of it could not be read.
        """
        await self._read_below(list(self._roots))

    async def follow(self, events: dict[str, int]) -> None:
        """Bring the records into step with these changes.

        Raises:
            SourceLost: a part of it could not be read.
        """
        to_read: list[str] = []
        to_check: list[str] = []
        async for path in breathing(events):
            place = self._records.place(path)
            if place in (Place.DATA, Place.RULE):
                to_read.append(path)
            elif place is Place.NAME and events[path] == DELETED:
                to_check.append(path)
            elif events[path] == DELETED:
                self._remove(path)
            elif place is not Place.ELSEWHERE:
                self._put_named(path)
        await self._check(to_check)
        await self._read_data(to_read)

    def _put_named(self, path: str) -> None:
        self._seen_created += 1
        self._records.put(path, b"", self._seen_created)

    async def _check(self, paths: list[str]) -> None:
        """Remove what is really gone: a node that was replaced in one transaction is there again already."""
        for path, stat in zip(paths, await self._connection.ask([Stat(path) for path in paths]), strict=True):
            if stat is None:
                self._remove(path)
            else:
                self._put_named(path)

    async def _read_below(self, directories: list[str]) -> None:
        """List directories and all below them, one depth after the other."""
        while directories:
            named, with_data, deeper = await self._list(directories)
            await self._read_names(named)
            await self._read_data(with_data)
            directories = deeper

    async def _list(self, directories: list[str]) -> tuple[list[str], list[str], list[str]]:
        """The nodes below: records by name, records with data, directories."""
        listed = await self._connection.ask([Children(path, watch=self._watches) for path in directories])
        found: dict[Place, list[str]] = {place: [] for place in Place}
        for directory, names in zip(directories, listed, strict=True):
            if names is None:
                await self._miss(directory)
                continue
            self._records.put(directory, b"", 0)
            async for name in breathing(self._new_in(directory, names)):
                path = f"{directory.rstrip('/')}/{name}"
                found[self._records.place(path)].append(path)
        return found[Place.NAME], found[Place.DATA] + found[Place.RULE], found[Place.DIRECTORY]

    async def _read_names(self, paths: list[str]) -> None:
        """Put records that are in their names; where several speak for one, in the order of their creation."""
        first: dict[str, str] = {}
        contested: dict[str, None] = {}
        async for path in breathing(paths):
            key = self._records.put(path, b"", 0)
            if key and self._records.is_contested(key):
                contested |= {first.get(key, path): None, path: None}
            elif key:
                first[key] = path
        await self._settle(list(contested))

    async def _settle(self, paths: list[str]) -> None:
        """Put nodes that speak for one record in the order in which they were created."""
        for path, stat in zip(paths, await self._connection.ask([Stat(path) for path in paths]), strict=True):
            if stat is None:
                self._remove(path)
            else:
                self._records.put(path, b"", stat.czxid)

    async def _read_data(self, paths: list[str]) -> None:
        for start in range(0, len(paths), _BREATH):
            some = paths[start : start + _BREATH]
            requests = [Data(path, watch=self._watches) for path in some]
            for path, node in zip(some, await self._connection.ask(requests), strict=True):
                if node is None:
                    self._remove(path)
                else:
                    self._records.put(path, node.data, node.stat.czxid)

    _watches = False

    def _new_in(self, _: str, names: list[str]) -> Iterable[str]:
        """What is to be read of a directory: all of it; a recursive watch tells what changes in it."""
        return names

    async def _miss(self, directory: str) -> None:
        """Hear that a directory is not there; a recursive watch tells when it comes."""
        self._remove(directory)

    def _remove(self, path: str) -> None:
        """Hear that a node is not there."""
        self._records.remove(path)


class OldTree(Tree):
    """The same with a watch for each node, for servers before 3.6."""

    _watches = True

    def __init__(self, connection: Connection, records: Records, roots: Sequence[str]) -> None:
        """Choose what to read; nothing is asked yet."""
        super().__init__(connection, records, roots)
        self._names: dict[str, set[str]] = {}
        """By directory, the names in it that were looked at; a name that is not among them is looked at."""

    async def follow(self, events: dict[str, int]) -> None:
        """List or read again what has changed, which also sets its watch again."""
        await self._read_below([path for path in events if self._records.place(path) is Place.DIRECTORY])
        await self._read_data([path for path in events if self._records.place(path) in (Place.DATA, Place.RULE)])

    def _new_in(self, directory: str, names: list[str]) -> Iterable[str]:
        """Take back what is no longer there; what was there before has a watch already."""
        known = self._names.get(directory, set())
        self._names[directory] = set(names)
        for name in known.difference(names):
            self._remove(f"{directory.rstrip('/')}/{name}")
        return self._names[directory].difference(known)

    async def _miss(self, directory: str) -> None:
        """Take back all below it; a root is awaited."""
        self._remove(directory)
        if directory in self._roots:
            await self._connection.ask([Stat(directory, watch=True)])

    def _remove(self, path: str) -> None:
        """And all below it. Its directory may be listed when it is there again already: then it is new."""
        for name in self._names.pop(path, ()):
            self._remove(f"{path.rstrip('/')}/{name}")
        directory, _, name = path.rpartition("/")
        if (names := self._names.get(directory or "/")) is not None:
            names.discard(name)
        super()._remove(path)


T = TypeVar("T")


async def breathing(items: Iterable[T]) -> AsyncIterator[T]:
    """The same, letting others run at the beginning and now and then."""
    for number, item in enumerate(items):
        if number % _BREATH == 0:
            await asyncio.sleep(0)
        yield item


async def watched_tree(connection: Connection, records: Records, layouts: Sequence[TreeLayout]) -> Tree | None:
    """The tree that holds what these layouts read, its recursive watches set; None where the server refuses them.

    A server that doesn't know them ends the session as well.

    Raises:
        SourceLost: the connection is no longer what it was.
    """
    roots = roots_of(layouts)
    answers = await connection.try_all([AddWatch(root or "/") for root in roots])
    return Tree(connection, records, roots) if all(answer is True for answer in answers) else None


def roots_of(layouts: Sequence[TreeLayout]) -> list[str]:
    """The roots that lie below no other: one event is enough."""
    roots = sorted({root for layout in layouts for root in layout.roots})
    return [root for root in roots if not any(root != other and root.startswith(f"{other}/") for other in roots)]
