"""The reconciler: drives one target towards its plan, for ever. Level-triggered: it plans what is, not what happened.

    touched services ─▶ units to look at ─▶ plan each, write what is due ─▶ then remove, if the guard lets it go
                                            (new in)                        (old out; not where a write has failed)

It writes only while the target's own source is in step and while it is this hub's turn. A connection that is lost, a
turn that comes, a reload and the clock make it look at every unit again.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager, suppress
from heapq import heappop, heappush
from time import monotonic
from typing import Final

import msgspec

from pilot_plus.catalog import Follower
from pilot_plus.ports import Done, Previewing, Renewing, Sink, Source, SourceLost
from pilot_plus.sync.foresight import Foresight
from pilot_plus.sync.pace import Backoff
from pilot_plus.sync.planning import BREATH, Mode, Planning, World
from pilot_plus.sync.turn import Turn
from pilot_plus.sync.units import Units
from pilot_plus.sync.writing import BATCH, Writing
from pilot_plus.views.copies import Rule, Target
from pilot_plus.views.edges import EDGES
from pilot_plus.views.plan import Put, Remove

log = logging.getLogger(__name__)

FULL_EVERY: Final = 300.0
"""Seconds between two full comparisons."""
LEASE: Final = 15.0
"""Seconds: the lease of rules that are gone, for as long as their copies wait to go."""

Open = Callable[[], AbstractAsyncContextManager[Source]]


class Reconciler:
    """One target, its connection and its turn."""

    def __init__(
        self,
        world: World,
        target: Target,
        rules: Iterable[Rule],
        open_: Open,
        owner: str,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """`owner`: this hub's own name among those that may share the rules; `clock`: monotonic seconds."""
        self.planning = Planning(world, target, rules, clock)
        self.error = ""
        """Why it can't write now."""
        self.writes = 0
        self._world = world
        self._open = open_
        self._owner = owner
        self._clock = clock
        self._turn = self._new_turn()
        self._dirty: dict[str, None] = {}
        self._later: list[tuple[float, str]] = []
        self._work = asyncio.Event()
        self._known = asyncio.Event()
        self._all_due = clock()
        self._standings: tuple[object, ...] = ()
        self._is_needed = False

    def __repr__(self) -> str:
        """Say what is left to do."""
        return f"<Reconciler of {self.registry}, {len(self._dirty)} to look at, {self.error or 'well'}>"

    @property
    def registry(self) -> str:
        """The target's name."""
        return self.planning.target.registry

    @property
    def holder(self) -> str:
        """Which hub's turn it is."""
        return self._turn.holder

    @property
    def is_standing_by(self) -> bool:
        """Whether another hub writes here."""
        return bool(self._turn.holder) and self._turn.holder != self._owner

    async def run(self) -> None:
        """Run until cancelled."""
        with self._world.holder.following() as follower:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._listen(follower), name=f"sync {self.registry}: listen")
                tasks.create_task(self._keep_open(), name=f"sync {self.registry}: write")

    def reload(self, target: Target, rules: Iterable[Rule]) -> None:
        """Go on with other rules."""
        preview = self.planning.target.preview
        self.planning.target = msgspec.structs.replace(target, preview=preview)
        self.planning.units = Units(self.planning.target, rules)
        self.planning.open.clear()
        self.look_at_everything()

    def set_modes(self, modes: dict[str, Mode]) -> None:
        """What operators have said of rules."""
        self.planning.modes = modes
        self.look_at_everything()

    def approve(self, rule: str) -> int:
        """Let the removals of a rule that the guard holds go; return how many they are."""
        held = self.planning.restraint.held(rule)
        self._look_at(self.planning.restraint.approve(rule))
        return held

    def look_at(self, services: Iterable[str]) -> None:
        """Something else than the catalog has changed about these services."""
        catalog = self._world.catalog
        for service in services:
            self._look_at(self.planning.units.touch(catalog, service))

    def look_at_everything(self) -> None:
        """Compare in full, soon."""
        self._all_due = self._clock()
        self._work.set()

    # -------------------------------------------------------------------------------------------- hearing

    async def _listen(self, follower: Follower) -> None:
        """Note what the catalog's changes concern."""
        while True:
            touched = await follower.changes()
            self._note_standings()
            if not self._is_needed or not touched:
                continue
            if EDGES in touched:
                self.look_at_everything()
            for index, service in enumerate(touched):
                self._note(service)
                if index % BREATH == BREATH - 1:
                    await asyncio.sleep(0)

    def _note(self, service: str) -> None:
        catalog = self._world.catalog
        units = self.planning.units.touch(catalog, service)
        entry = catalog.entries.get(service)
        is_there = self.planning.restraint.holds(service)
        if is_there or (entry and any(place[0] == self.registry for place in entry.instances)):
            self.planning.settling.try_again(service)
            units.add(service)
        self._look_at(units)

    def _note_standings(self) -> None:
        """A source that can be trusted again, or no more, changes what may be removed."""
        sources = self._world.catalog.sources
        now = tuple((name, sources[name].standing, bool(sources[name].held)) for name in sorted(sources))
        if now == self._standings:
            return
        before, self._standings = dict.fromkeys(self._standings), now
        if any(one not in before and one[0] == self.registry for one in now):
            self.look_at_everything()
        self._look_at(self.planning.waiting_units())

    def _look_at(self, units: Iterable[str]) -> None:
        self._dirty.update(dict.fromkeys(units))
        if self._dirty:
            self._work.set()

    # -------------------------------------------------------------------------------------------- connecting

    async def _keep_open(self) -> None:
        backoff = Backoff()
        while True:
            await self._until_needed()
            try:
                async with self._open() as opened:
                    if isinstance(opened, Sink):
                        await self._drive(opened, backoff)
                    self.error = f"{self.registry} can't be written: its kind has no sink"
                    await asyncio.Event().wait()
            except* SourceLost as lost:
                self._fail(str(_first(lost)))
            except* Exception as failed:  # a defect of an adapter must not take the other targets down
                log.exception("sync failed", extra={"registry": self.registry})
                self._fail(f"sync failed: {_first(failed)!r}")
            await asyncio.sleep(backoff.next())

    def _fail(self, error: str) -> None:
        self.error = error
        log.warning("sync: target lost: %s", error, extra={"registry": self.registry})
        self.look_at_everything()

    async def _until_needed(self) -> None:
        """Wait until a rule writes here, or something that a rule once wrote is here."""
        while True:
            self._work.clear()
            self._is_needed = bool(self.planning.units.rules) or bool(self._world.index.in_target(self.registry))
            if not self._is_needed:
                async for _ in self.planning.ours(self._world.catalog):
                    self._is_needed = True
                    break
            if self._is_needed:
                return
            await self._work.wait()

    async def _drive(self, sink: Sink, backoff: Backoff) -> None:
        """Write over one connection until it is lost."""
        preview = Foresight(sink.preview) if isinstance(sink, Previewing) else None
        self.planning.target = msgspec.structs.replace(self.planning.target, preview=preview)
        self.planning.units.target = self.planning.target
        self.planning.settling.connected(adopts_by_writing=not isinstance(sink, Renewing))
        self._turn = self._new_turn()
        writing = Writing(self.registry, sink, self._world.index, self.planning.settling, self._clock)
        self.look_at_everything()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._turn.keep(sink, self.look_at_everything), name=f"turn at {self.registry}")
            tasks.create_task(self._reconcile(writing, backoff), name=f"reconcile {self.registry}")
            if isinstance(sink, Renewing):
                tasks.create_task(self._renew(sink), name=f"renew in {self.registry}")

    def _new_turn(self) -> Turn:
        return Turn(f"sync-{self.planning.target.cluster}", self._owner, self._shortest_lease() / 3, self._clock)

    def _shortest_lease(self) -> float:
        return min((rule.lease for rule in self.planning.units.rules.values()), default=LEASE)

    # -------------------------------------------------------------------------------------------- reconciling

    async def _reconcile(self, writing: Writing, backoff: Backoff) -> None:
        while True:
            await self._until_due()
            await self._until_allowed()
            if self._clock() >= self._all_due:
                self._all_due = self._clock() + FULL_EVERY
                self.planning.settling.try_everything_again()
                self._dirty.update(dict.fromkeys(await self.planning.all_units()))
            failed = await self._pass(writing)
            self._known.set()
            self.error = writing.error
            if failed:
                self._again(self._clock() + backoff.next(), failed)
            else:
                backoff.reset()
            self.writes, writing.writes = self.writes + writing.writes, 0

    async def _until_allowed(self) -> None:
        """Wait until it is our turn, and what the target is seen to hold is the truth."""
        while not self._may_write:
            self._work.clear()
            await self._work.wait()

    @property
    def _may_write(self) -> bool:
        return self._turn.is_mine and self.planning.is_trusted

    async def _until_due(self) -> None:
        """Wait for something to look at."""
        settling = self.planning.settling
        times = [self._all_due, settling.next_overdue(), self._later[0][0] if self._later else None]
        due = min(time for time in times if time is not None)
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, due - self._clock())):
                await self._work.wait()
        self._work.clear()
        now = self._clock()
        self._dirty.update(dict.fromkeys(settling.overdue(now)))
        while self._later and self._later[0][0] <= now:
            self._dirty[heappop(self._later)[1]] = None

    async def _pass(self, writing: Writing) -> set[str]:
        """Look at every unit that is to be looked at; return those in which something has failed."""
        todo, self._dirty = self._dirty, {}
        puts: list[Put] = []
        with_removes: list[str] = []
        failed: set[str] = set()
        for index, unit in enumerate(todo):
            plan = self.planning.plan(unit)
            puts += self.planning.due_puts(plan)
            if plan.removes:
                with_removes.append(unit)
            if (at := self.planning.settling.next_repair(unit)) is not None:
                self._again(at, (unit,))
            if len(puts) >= BATCH:
                failed |= await self._put(writing, puts)
                puts = []
            elif index % BREATH == BREATH - 1:
                await asyncio.sleep(0)
        if puts:
            failed |= await self._put(writing, puts)
        self.planning.watch_counts()
        if with_removes:
            failed |= await self._remove(writing, [unit for unit in with_removes if unit not in failed])
        return failed

    async def _put(self, writing: Writing, puts: list[Put]) -> set[str]:
        units = {put.copy.unit for put in puts}
        if not self._may_write:
            return units
        failed = await writing.put(puts)
        for unit in units - failed:
            self.planning.note_written(unit)
        return failed

    async def _remove(self, writing: Writing, units: list[str]) -> set[str]:
        """Remove what the guards let go, planned anew: much may have happened while the new was written."""
        going: list[tuple[str, Remove]] = []
        for index, unit in enumerate(units):
            going += ((unit, remove) for remove in self.planning.due_removes(self.planning.plan(unit)))
            if index % BREATH == BREATH - 1:
                await asyncio.sleep(0)
        free = self.planning.let_go(going)
        failed: set[str] = set()
        for start in range(0, len(free), BATCH):
            batch = free[start : start + BATCH]
            if not self._may_write:
                return failed | {unit for unit, _ in free[start:]}
            more, gone = await writing.drop(batch)
            failed |= more
            for remove in gone:
                self.planning.settling.forget(remove.actual)
                self.planning.restraint.gone(remove.actual.rule, remove.actual.instance.key)
        self._note_holds()
        return failed

    def _note_holds(self) -> None:
        restraint = self.planning.restraint
        for rule in restraint.rules():
            if (at := restraint.next_release(rule, self.planning.limits(rule))) is not None:
                self._again(at, restraint.units_held(rule))

    def _again(self, at: float, units: Iterable[str]) -> None:
        for unit in units:
            heappush(self._later, (at, unit))

    # -------------------------------------------------------------------------------------------- leases

    async def _renew(self, sink: Renewing) -> None:
        """Keep the leases of what is ours alive, held and paused copies too; a new hub goes on with them at once."""
        await self._known.wait()
        while True:
            keys = self.planning.leased() if self._turn.is_mine else {}
            names = list(keys)
            for start in range(0, len(names), BATCH):
                batch = names[start : start + BATCH]
                results = await sink.renew(batch)
                lost = [key for key, result in zip(batch, results, strict=True) if not isinstance(result, Done)]
                self._look_at({keys[key] for key in lost})
                await asyncio.sleep(0)
            await asyncio.sleep(self._shortest_lease() / 3)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first of what went wrong together."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
