"""A round: looks at every unit on the agenda, writes what is due, and then removes what may go: new in, old out."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Final

from pilot_plus.sync.agenda import Agenda
from pilot_plus.sync.planning import BREATH, Planning
from pilot_plus.sync.writing import Writing
from pilot_plus.views.plan import Put, Remove

_BREATH: Final = 10
"""Units that are planned between two turns for the batch that is being written."""


class Round:
    """What a round works on. `may_write` is asked before each batch: turns and sources come and go meanwhile."""

    def __init__(self, planning: Planning, agenda: Agenda, writing: Writing, may_write: Callable[[], bool]) -> None:
        self._planning = planning
        self._agenda = agenda
        self._writing = writing
        self._may_write = may_write

    async def run(self) -> set[str]:
        """Do it; return the units in which something has failed.

        Raises:
            SourceLost: the registry can't be written now (alone, or in a group).
        """
        with_removes: list[str] = []
        failed, under_way = set[str](), None
        async with asyncio.TaskGroup() as tasks:
            async for puts in self._due(with_removes):
                if under_way is not None:
                    failed |= await under_way
                under_way = tasks.create_task(self._put(puts), name="write a batch")
        if under_way is not None:
            failed |= under_way.result()
        self._planning.watch_counts()
        if with_removes:
            failed |= await self._remove([unit for unit in with_removes if unit not in failed])
        return failed

    async def _due(self, with_removes: list[str]) -> AsyncIterator[list[Put]]:
        """What is to be written, in batches, each planned while the one before is being written."""
        puts: list[Put] = []
        for index, unit in enumerate(self._agenda.take()):
            plan = self._planning.plan(unit)
            puts += self._planning.due_puts(plan)
            if plan.removes:
                with_removes.append(unit)
            if (at := self._planning.settling.next_repair(unit)) is not None:
                self._agenda.note_later(at, (unit,))
            if len(puts) >= self._writing.size:
                yield puts
                puts = []
            elif index % _BREATH == _BREATH - 1:
                await asyncio.sleep(0)
        if puts:
            yield puts

    async def _put(self, puts: list[Put]) -> set[str]:
        units, failed, start = {put.copy.unit for put in puts}, set[str](), 0
        while start < len(puts):
            if not self._may_write():
                failed |= {put.copy.unit for put in puts[start:]}
                break
            several = puts[start : start + self._writing.size]
            failed |= await self._writing.put(several)
            start += len(several)
        for unit in units - failed:
            self._planning.note_written(unit)
        return failed

    async def _remove(self, units: Iterable[str]) -> set[str]:
        """Remove what the guards let go, planned anew: much may have happened while the new was written."""
        planning = self._planning
        going: list[tuple[str, Remove]] = []
        for index, unit in enumerate(units):
            going += ((unit, remove) for remove in planning.due_removes(planning.plan(unit)))
            if index % BREATH == BREATH - 1:
                await asyncio.sleep(0)
        free, failed, start = planning.let_go(going), set[str](), 0
        while start < len(free):
            if not self._may_write():
                return failed | {unit for unit, _ in free[start:]}
            several = free[start : start + self._writing.size]
            more, gone = await self._writing.drop(several)
            failed |= more
            start += len(several)
            for remove in gone:
                planning.note_gone(remove.actual)
        for at, held in planning.next_releases():
            self._agenda.note_later(at, held)
        return failed
