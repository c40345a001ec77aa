"""How often a source asks: the first change at once, a storm of them at a bounded rate."""

import asyncio
import time
from collections.abc import Callable


class Bucket:
    """A token bucket: `burst` turns at once, and `rate` turns a second for ever."""

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._tokens = burst
        self._filled_at = clock()

    def take(self) -> float:
        """Take a turn; how many seconds from now it is."""
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._filled_at) * self._rate) - 1
        self._filled_at = now
        return max(0.0, -self._tokens / self._rate)

    async def turn(self) -> None:
        """Wait for a turn."""
        if delay := self.take():
            await asyncio.sleep(delay)


def next_index(asked: int, answered: int) -> int:
    """The index for the next blocking query; 0 means: read anew, without waiting.

    An index that falls (a restored snapshot, a wiped server) counts another history. An index of 0 is never sent back:
    it would not block, and the client would spin.
    """
    return 0 if answered < asked else max(answered, 1)
