"""Locks: a queue of ephemeral nodes for each, so that of several hubs one writes. What is written is fenced by them.

    /pilot-plus/locks/sync-east/5f3a…-0000000012   "hub-1"   the first: it has the lock
                                9b07…-0000000013   "hub-2"   next

The nodes live on a session of their own, for the copies' session must outlive its hub by a lease, and the lock should
be over well before. No two nodes ever have the same number, so "this node is there" in a transaction is proof that
its lock is still held; `Check` needs no session for that.
"""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Final
from uuid import uuid4

import msgspec
from kazoo.exceptions import ConnectionLoss, KazooException, NoNodeError

from pilot_plus.ports import SourceLost
from registries.layouts.etcdkeys import id_part
from registries.zookeeper.connection import Connection, connection
from registries.zookeeper.requests import Check, Children, Create, Data, Delete, Node
from registries.zookeeper.settings import Settings

_TRIES: Final = 3


class Locks:
    """The locks that one connection has claimed."""

    def __init__(self, settings: Settings, opened: AsyncExitStack) -> None:
        """Nothing is claimed yet, and no session begun; `opened` closes it."""
        self._settings = settings
        self._opened = opened
        self._session: Connection | None = None
        self._tickets: dict[tuple[str, str], str] = {}
        self._held: dict[str, str] = {}

    @property
    def fences(self) -> tuple[Check, ...]:
        """What must still be so for a write to pass: every lock that we took is ours."""
        return tuple(Check(path) for path in self._held.values())

    async def claim(self, name: str, owner: str, ttl: float) -> str:
        """Take a lock, or stay in its queue; see `pilot_plus.ports.Locking`."""
        session = await self._begun(ttl)
        directory = f"{self._settings.locks}/{id_part(name)}"
        ticket = self._tickets.setdefault((name, owner), uuid4().hex)
        for first in sorted(await self._joined(session, directory, ticket, owner), key=_number):
            path = f"{directory}/{first}"
            (node,) = await _asked(session, [Data(path)])
            if isinstance(node, Node):  # else it has ended meanwhile, and the next one is the first
                holder = node.data.decode(errors="replace")
                if holder == owner:
                    self._held[name] = path
                return holder
        raise SourceLost(f"{directory}: the lock's node is gone as soon as it is made")

    async def release(self, name: str, owner: str) -> None:
        """Give a lock up, or the place in its queue, if it is the owner's."""
        ticket = self._tickets.pop((name, owner), None)
        if self._session is None or ticket is None:
            return
        self._held.pop(name, None)
        directory = f"{self._settings.locks}/{id_part(name)}"
        ours = [one for one in await self._queue(self._session, directory) if one.startswith(ticket)]
        await _asked(self._session, [Delete(f"{directory}/{one}", -1) for one in ours])

    async def _begun(self, ttl: float) -> Connection:
        """The locks' session, which the server ends so long after it has last heard us (as it clamps that).

        At most a third of what copies live without us, which is our other session, whatever lease was asked for.
        """
        if self._session is None:
            seconds = max(min(ttl, self._settings.session_seconds / 3), 1.0)
            chosen = msgspec.structs.replace(self._settings, session_timeout=seconds)
            self._session = await self._opened.enter_async_context(connection(chosen))
        return self._session

    async def _joined(self, session: Connection, directory: str, ticket: str, owner: str) -> list[str]:
        """The queue, with our ticket in it."""
        for _ in range(_TRIES):  # where the connection broke, the ticket is there or not: the queue says which
            queue = await self._queue(session, directory)
            if any(one.startswith(ticket) for one in queue):
                return queue
            await self._enqueue(session, directory, ticket, owner)
        return await self._queue(session, directory)

    async def _queue(self, session: Connection, directory: str) -> list[str]:
        (names,) = await _asked(session, [Children(directory)])
        return names if isinstance(names, list) else []

    async def _enqueue(self, session: Connection, directory: str, ticket: str, owner: str) -> None:
        steps = directory.strip("/").split("/")
        parents = [Create("/" + "/".join(steps[: end + 1])) for end in range(len(steps))]
        mine = Create(f"{directory}/{ticket}-", owner.encode(), ephemeral=True, sequence=True)
        answers = await session.try_all([*parents, mine])
        error = answers[-1]
        if isinstance(error, KazooException) and not isinstance(error, ConnectionLoss):
            raise SourceLost(
                f"{directory}: {session.in_words(error)}: to write here, the hub needs to create and delete nodes there"
            )


def _number(name: str) -> int:
    """The place in the queue, which ZooKeeper has given; what somebody else has put there comes last."""
    number = name[-10:]
    return int(number) if number.isdecimal() else 1 << 32


async def _asked(session: Connection, requests: Sequence[Children | Data | Delete]) -> list[object]:
    """The answers; None for a node that is not there. A connection that broke is asked again: the session may live."""
    answers: list[object] = []
    for _ in range(_TRIES):
        answers = list(await session.try_all(requests))
        if not any(isinstance(answer, ConnectionLoss) for answer in answers):
            break
    for request, answer in zip(requests, answers, strict=True):
        if isinstance(answer, KazooException) and not isinstance(answer, NoNodeError):
            raise SourceLost(f"{request.path}: {session.in_words(answer)}") from answer
    return [None if isinstance(answer, KazooException) else answer for answer in answers]
