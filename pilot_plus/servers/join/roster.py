"""The roster: who has a live session now, and the edges that follow from it.

session ends in order, or the identity is revoked    the edge is dropped at once
session breaks                                       after a grace the edge is lost, unless it has come back
another session of the identity begins               the edge stays; the older session is told to go
the hub ends                                         the edges stay: they come back to the hub that follows
"""

import asyncio
from typing import Final

from pilot_plus.servers.join.ports import Edges
from pilot_plus.servers.join.seat import SUPERSEDED, Ending, Seat
from pilot_plus.wire import edge_pb2 as pb

GRACE: Final = 5.0
"""Seconds that an edge stays after its session broke."""
SEATS: Final = 20_000


class Roster:
    """Seats by identity."""

    def __init__(self, edges: Edges, tasks: asyncio.TaskGroup, grace: float = GRACE) -> None:
        """Keep `edges` in step; what waits for a grace to pass is a task of `tasks`."""
        self._edges = edges
        self._tasks = tasks
        self._grace = grace
        self._seats: dict[str, Seat] = {}
        self._waiting: set[asyncio.Task[None]] = set()
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._seats)

    @property
    def is_full(self) -> bool:
        """Whether nobody new may come."""
        return len(self._seats) >= SEATS

    def say(self, identity: str, word: pb.HubWord) -> bool:
        """Say a word to an identity's session; whether there is one."""
        seat = self._seats.get(identity)
        if seat is not None:
            seat.say(word)
        return seat is not None

    async def enter(self, seat: Seat) -> None:
        """A session has begun."""
        older, self._seats[str(seat.identity)] = self._seats.get(str(seat.identity)), seat
        if older is not None:
            older.end(SUPERSEDED)
        if seat.edge is not None:
            await self._edges.put(seat.edge)

    async def changed(self, seat: Seat) -> None:
        """A session's edge has reported something, unless another session speaks for it by now."""
        if seat.edge is not None and self._seats.get(str(seat.identity)) is seat:
            await self._edges.put(seat.edge)

    def leave(self, seat: Seat, ending: Ending) -> None:
        """A session has ended."""
        if self._seats.get(str(seat.identity)) is not seat:
            return
        del self._seats[str(seat.identity)]
        if seat.edge is not None and not self._is_closed:
            waiting = self._tasks.create_task(self._let_go(seat, is_gone=ending.gone))
            self._waiting.add(waiting)
            waiting.add_done_callback(self._waiting.discard)

    def close(self) -> None:
        """Drop nothing any more."""
        self._is_closed = True
        for waiting in self._waiting:
            waiting.cancel()

    async def _let_go(self, seat: Seat, *, is_gone: bool) -> None:
        await asyncio.sleep(0.0 if is_gone else self._grace)
        if str(seat.identity) not in self._seats and seat.edge is not None:
            await (self._edges.drop if is_gone else self._edges.lose)(seat.edge.key)
