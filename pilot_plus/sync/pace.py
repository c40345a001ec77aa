"""Pace: how many writes a second a target gets at the most, and how long to wait after a failure."""

import asyncio
import random
from collections.abc import Callable
from time import monotonic


class Pace:
    """A bucket of writes that fills at a rate."""

    def __init__(self, rate: float, clock: Callable[[], float] = monotonic) -> None:
        """`rate`: writes a second; as many may go at once."""
        self._rate = rate
        self._clock = clock
        self._level = rate
        self._filled = clock()

    async def take(self, writes: int) -> None:
        """Wait until so many writes may go."""
        now = self._clock()
        self._level = min(self._rate, self._level + (now - self._filled) * self._rate) - writes
        self._filled = now
        if self._level < 0:
            await asyncio.sleep(-self._level / self._rate)


class Backoff:
    """Growing pauses, with jitter, between tries that fail."""

    def __init__(self, first: float = 0.1, longest: float = 5.0) -> None:
        """Seconds."""
        self._first = first
        self._longest = longest
        self._tries = 0

    def reset(self) -> None:
        """Something worked."""
        self._tries = 0

    def next(self) -> float:
        """How long to wait now."""
        pause = min(self._longest, self._first * 2.0 ** min(self._tries, 20))
        self._tries += 1
        return random.uniform(0.5, 1) * pause
