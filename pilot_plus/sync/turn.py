"""Turn: of several hubs with the same rules one writes, who holds a lock in the target itself; the others stand by.

The lock is claimed again at a third of its life, and believed for two thirds of it: who can't reach the registry stops
writing before another may begin. A registry that can hold no lock is written at once: there, one hub is enough.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Final

from pilot_plus.ports import Locking, SourceLost

SHORTEST: Final = 1.0
"""Seconds that a lock lives at the least."""
IDLE: Final = 0.25
"""Seconds between two looks whether there is something to do."""


class Turn:
    """Whether it is ours to write to one target."""

    def __init__(
        self,
        name: str,
        owner: str,
        ttl: float,
        clock: Callable[[], float] = monotonic,
        is_needed: Callable[[], bool] = lambda: True,
    ) -> None:
        """`owner` is this hub's own name among its copies; `ttl` at most a third of the copies' lease.

        `is_needed`: whether there is anything that we might write; a hub that only shows plans takes no lock.
        """
        self._name = name
        self._is_needed = is_needed
        self._me = owner
        self.live_for(ttl)
        self._clock = clock
        self._believed_until = 0.0
        self._has_claimed = False
        self.holder = ""
        """Whose turn it is, as last heard."""

    def __repr__(self) -> str:
        """Say whose turn it is."""
        return f"<Turn {self._name} of {self.holder or 'nobody'}>"

    def live_for(self, ttl: float) -> None:
        """From its next claim on the lock lives so many seconds."""
        self._ttl = max(SHORTEST, ttl)

    @property
    def is_mine(self) -> bool:
        """Whether we may write now, if there is anything to write."""
        return not self._is_needed() or self._clock() < self._believed_until

    async def keep(self, sink: object, changed: Callable[[], None]) -> None:
        """Claim the lock for ever, and give it up in the end; `changed` is called when the turn has come or gone."""
        if not isinstance(sink, Locking):
            self.holder, self._believed_until = self._me, float("inf")
            changed()
            return
        try:
            while True:
                if not self._is_needed():
                    await self._wait_until_needed(sink, changed)
                await self._claim(sink, changed)
                await asyncio.sleep(self._ttl / 3)
        finally:
            await self._give_up(sink)

    async def _wait_until_needed(self, sink: Locking, changed: Callable[[], None]) -> None:
        await self._give_up(sink)
        self.holder = ""
        changed()
        while not self._is_needed():  # noqa: ASYNC110 - rules and records change in many places
            await asyncio.sleep(min(IDLE, self._ttl / 3))
        changed()

    async def _give_up(self, sink: Locking) -> None:
        self._believed_until = 0.0
        if not self._has_claimed:
            return
        self._has_claimed = False
        with suppress(SourceLost, TimeoutError):
            async with asyncio.timeout(1):
                await sink.release(self._name, self._me)

    async def _claim(self, sink: Locking, changed: Callable[[], None]) -> None:
        was_mine, asked = self.is_mine, self._clock()
        self._has_claimed = True
        self.holder = await sink.claim(self._name, self._me, self._ttl)
        self._believed_until = asked + self._ttl * 2 / 3 if self.holder == self._me else 0.0
        if was_mine != self.is_mine:
            changed()
