"""Tidying: takes back the directories that we made, where nothing lies in them any more.

    /services               made by us: goes with the last of what is in it
    /services/orders        made by us and empty: goes
    /services/carts         somebody's, as its data doesn't say that we made it: stays
    /dubbo/com.x.Orders     made by us, but a consumer has put something of its own beside `providers`: all of it stays

A directory says in its data, which no reader looks at, that it is ours. ZooKeeper itself removes no node that is not
empty, so whatever comes meanwhile is safe; who comes a moment later makes the directory again.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from registries.zookeeper.connection import Connection
from registries.zookeeper.requests import Children, Data, Delete, Node

MADE: Final = b"pilot-plus"
"""The data of a directory that we made."""
_DEEP: Final = 3
"""Levels of directories below a root, at the most."""


async def tidied(session: Connection, roots: Iterable[str]) -> None:
    """Remove what we made at and below these roots, and above them, if it is empty.

    Raises:
        SourceLost: the server says nothing any more.
    """
    for root in dict.fromkeys(roots):
        tops = [f"{root}/{name}" for name in await _children(session, root) or ()]
        nodes = await session.try_all([Data(path) for path in tops])
        for path in [path for path, node in zip(tops, nodes, strict=True) if _is_made(node)]:
            gone = await _removable(session, path, _DEEP)
            await _remove(session, gone or ())
        for path in _upwards(root):
            if await _removable(session, path, 1) is None:
                break
            await _remove(session, [path])


async def _removable(session: Connection, path: str, depth: int) -> list[str] | None:
    """The path and what is below it, the lowest first, if we made all of it and there are only directories."""
    (node,) = await session.try_all([Data(path)])
    names = await _children(session, path)
    if not _is_made(node) or names is None or (names and depth <= 1):
        return None
    found: list[str] = []
    for name in names:
        below = await _removable(session, f"{path}/{name}", depth - 1)
        if below is None:
            return None
        found += below
    return [*found, path]


def _is_made(node: object) -> bool:
    return isinstance(node, Node) and node.data == MADE


async def _children(session: Connection, path: str) -> list[str] | None:
    (names,) = await session.try_all([Children(path)])
    return names if isinstance(names, list) else None


async def _remove(session: Connection, paths: Sequence[str]) -> None:
    await session.try_all([Delete(path, 0) for path in paths])  # version 0: nobody has changed its data


def _upwards(path: str) -> Iterator[str]:
    while path:
        yield path
        path = path.rpartition("/")[0]
