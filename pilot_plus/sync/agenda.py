"""The agenda of one target: which units are to be looked at, now or later, and when everything is."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from heapq import heappop, heappush
from typing import Final

FULL_EVERY: Final = 300.0
"""Seconds between two full comparisons."""


class Agenda:
    """Units to look at. Noting one twice is noting it once."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Begin with everything being due."""
        self._clock = clock
        self._now: dict[str, None] = {}
        self._later: list[tuple[float, str]] = []
        self._all_at = clock()
        self._noted = asyncio.Event()

    def __len__(self) -> int:
        return len(self._now)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is to be looked at now."""
        return not self._now and not self._noted.is_set()

    def note(self, units: Iterable[str]) -> None:
        """Look at these now."""
        self._now.update(dict.fromkeys(units))
        if self._now:
            self._noted.set()

    def note_later(self, at: float, units: Iterable[str]) -> None:
        """Look at these at that time."""
        for unit in units:
            heappush(self._later, (at, unit))

    def note_everything(self) -> None:
        """Look at everything, now."""
        self._all_at = self._clock()
        self._noted.set()

    def takes_everything(self) -> bool:
        """Whether everything is due; then it is so again after a while."""
        if self._clock() < self._all_at:
            return False
        self._all_at = self._clock() + FULL_EVERY
        return True

    def take(self) -> list[str]:
        """What is to be looked at now, in the order in which it was noted."""
        units, self._now = list(self._now), {}
        return units

    def heed(self) -> None:
        """From now on, `noted` waits for something new."""
        self._noted.clear()

    async def noted(self) -> None:
        """Wait until something has been noted since `heed`."""
        await self._noted.wait()

    async def until_due(self, also_at: float | None = None) -> None:
        """Wait until something is to be looked at, or for `also_at`."""
        times = (self._all_at, also_at, self._later[0][0] if self._later else None)
        due = min(time for time in times if time is not None)
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, due - self._clock())):
                await self._noted.wait()
        self._noted.clear()
        while self._later and self._later[0][0] <= self._clock():
            self._now[heappop(self._later)[1]] = None
