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


class Turn:
    """Whether it is ours to write to one target."""

    def __init__(self, name: str, owner: str, ttl: float, clock: Callable[[], float] = monotonic) -> None:
        """`owner` is this hub's own name among its copies; `ttl` at most a third of the copies' lease."""
        self._name = name
        self._me = owner
        self.live_for(ttl)
        self._clock = clock
        self._believed_until = 0.0
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
        """Whether we may write now."""
        return self._clock() < self._believed_until

    async def keep(self, sink: object, changed: Callable[[], None]) -> None:
        """Claim the lock for ever, and give it up in the end; `changed` is called when the turn has come or gone."""
        if not isinstance(sink, Locking):
            self.holder, self._believed_until = self._me, float("inf")
            changed()
            return
        try:
            while True:
                await self._claim(sink, changed)
                await asyncio.sleep(self._ttl / 3)
        finally:
            self._believed_until = 0.0
            with suppress(SourceLost, TimeoutError):
                async with asyncio.timeout(1):
                    await sink.release(self._name, self._me)

    async def _claim(self, sink: Locking, changed: Callable[[], None]) -> None:
        was_mine, asked = self.is_mine, self._clock()
        self.holder = await sink.claim(self._name, self._me, self._ttl)
        self._believed_until = asked + self._ttl * 2 / 3 if self.holder == self._me else 0.0
        if was_mine != self.is_mine:
            changed()
