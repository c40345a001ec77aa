"""Writing: hands a sink its batches, notes in the index what is about to be written, and takes in the results."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from pilot_plus.catalog.ours import Ours
from pilot_plus.ports import Done, Failed, Refused, Result, Sink, SourceLost
from pilot_plus.sync.index import Index
from pilot_plus.sync.pace import Pace
from pilot_plus.sync.settling import Settling
from pilot_plus.views.plan import Put, Remove

BATCH: Final = 1000
"""Writes that a sink is handed at once; it makes of them the requests that its registry likes."""
FIRST: Final = 250
FEWEST: Final = 25
SLOW: Final = 2.0
"""Seconds for a batch; after a slower one the next is smaller: between two batches it is asked whether we may go on."""
RATE: Final = 20_000.0
"""Writes a second at the most."""
PATIENCE: Final = 60.0
"""Seconds for one batch; a sink that takes longer is given up."""

T = TypeVar("T")


class Writing:
    """The writes to one target, over one connection."""

    def __init__(
        self,
        registry: str,
        sink: Sink,
        index: Index,
        settling: Settling,
        ours: Ours,
        clock: Callable[[], float],
        pace: Pace | None = None,
    ) -> None:
        self._registry = registry
        self._sink = sink
        self._index = index
        self._settling = settling
        self._ours = ours
        self._clock = clock
        self._pace = pace or Pace(RATE, clock)
        self.size = FIRST
        """How many writes the next batch should have."""
        self.writes = 0
        """Puts and drops that were handed to the sink."""
        self.error = ""
        """Why the last write failed, if it did."""

    async def put(self, puts: Sequence[Put]) -> set[str]:
        """Write; return the units in which something has failed and is to be tried again.

        Raises:
            SourceLost: the registry can't be written now.
        """
        copies = [put.copy for put in puts]
        try:
            await self._index.intend(self._registry, copies)
        except OSError as error:
            self.error = f"the journal can't be written: {error}"
            return {copy.unit for copy in copies}
        results = await self._asked(self._sink.put, [copy.record for copy in copies])
        failed: set[str] = set()
        done, refused = [], []
        for put, result in zip(puts, results, strict=True):
            match result:
                case Done(key=key):
                    self._settling.written(put.copy, put.old, key, self._clock())
                    done.append((put.copy, key))
                case Refused(reason=reason):
                    self._settling.refused(put.copy, reason)
                    refused.append(put.copy)
                case Failed(reason=reason):
                    self.error = reason
                    failed.add(put.copy.unit)
        await self._noted(self._index.done(self._registry, done))
        await self._noted(self._index.retract(self._registry, refused))
        return failed

    async def drop(self, removes: Sequence[tuple[str, Remove]]) -> tuple[set[str], list[Remove]]:
        """Remove; return the units in which something has failed, and what is gone.

        Raises:
            SourceLost: the registry can't be written now.
        """
        keys = [remove.actual.instance.key for _, remove in removes]
        self._ours.dismiss(self._registry, keys, are_copies=True)
        results = await self._asked(self._sink.drop, keys)
        stays = [key for key, result in zip(keys, results, strict=True) if not isinstance(result, Done)]
        self._ours.forget(self._registry, stays)
        failed: set[str] = set()
        gone: list[Remove] = []
        for (unit, remove), result in zip(removes, results, strict=True):
            match result:
                case Done():
                    self._settling.dropped(unit, remove.actual.instance.key, self._clock())
                    gone.append(remove)
                case Refused(reason=reason):  # it is not ours, whatever its mark says
                    self.error = reason
                    self._settling.refused_drop(remove.actual.instance.key)
                    gone.append(remove)
                case Failed(reason=reason):
                    self.error = reason
                    failed.add(unit)
        await self._noted(self._index.forget(self._registry, [one.actual.instance for one in gone]))
        return failed, gone

    async def _asked(
        self, ask: Callable[[Sequence[T]], Awaitable[Sequence[Result]]], items: Sequence[T]
    ) -> list[Result]:
        await self._pace.take(len(items))
        self.writes += len(items)
        self.error = ""
        begun = self._clock()
        try:
            async with asyncio.timeout(PATIENCE):
                return list(await ask(items))
        except TimeoutError:
            raise SourceLost(f"no answer to a write within {PATIENCE:.0f} s") from None
        finally:
            is_slow = self._clock() - begun > SLOW
            self.size = max(FEWEST, self.size // 2) if is_slow else min(BATCH, self.size * 2)

    async def _noted(self, noting: Awaitable[None]) -> None:
        """A note that fails is not lost: the intent stands, and the next full comparison repeats it."""
        try:
            await noting
        except OSError as error:
            self.error = f"the journal can't be written: {error}"
