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
from time import monotonic
from typing import Final

import msgspec

from pilot_plus.catalog import Follower
from pilot_plus.ports import Done, Previewing, Renewing, Sink, Source, SourceLost, Tidying
from pilot_plus.sync.agenda import Agenda
from pilot_plus.sync.foresight import Foresight
from pilot_plus.sync.pace import Backoff
from pilot_plus.sync.planning import BREATH, Mode, Planning, World
from pilot_plus.sync.round import Round
from pilot_plus.sync.turn import IDLE, Turn
from pilot_plus.sync.units import Units
from pilot_plus.sync.writing import BATCH, Writing
from pilot_plus.views.edges import EDGES
from pilot_plus.views.rules import Rule, Target

log = logging.getLogger(__name__)

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
        self.has_compared = False
        """Whether everything has been looked at since its turn has come."""
        self._world = world
        self._open = open_
        self._owner = owner
        self._clock = clock
        self._turn = self._new_turn()
        self._agenda = Agenda(clock)
        self._known = asyncio.Event()
        self._standings: tuple[object, ...] = ()
        self._is_needed = False
        self._has_renewed = False
        self._is_tidy = False
        self._had_turn = False
        """Whether it has been ours to write since the index was read last."""

    def __repr__(self) -> str:
        """Say what is left to do."""
        return f"<Reconciler of {self.registry}, {len(self._agenda)} to look at, {self.error or 'well'}>"

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

    @property
    def has_taken_over(self) -> bool:
        """Whether since its turn has come everything was looked at, and the leases of what was there were renewed."""
        return self.has_compared and self._has_renewed

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
        self._turn.live_for(self._shortest_lease() / 3)
        self.look_at_everything()

    def set_modes(self, modes: dict[str, Mode]) -> None:
        """What operators have said of rules."""
        self.planning.modes = modes
        self.look_at_everything()

    def approve(self, rule: str) -> int:
        """Let the removals of a rule that the guard holds go; return how many they are."""
        held = self.planning.restraint.held(rule)
        self._agenda.note(self.planning.restraint.approve(rule))
        return held

    def look_at(self, services: Iterable[str]) -> None:
        """Something else than the catalog has changed about these services."""
        catalog = self._world.catalog
        for service in services:
            self._agenda.note(self.planning.units.touch(catalog, service))

    def look_at_everything(self) -> None:
        """Compare in full, soon."""
        self._agenda.note_everything()

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
        self._agenda.note(units)

    def _note_standings(self) -> None:
        """A source that can be trusted again, or no more, changes what may be removed."""
        sources = self._world.catalog.sources
        now = tuple((name, sources[name].standing, bool(sources[name].held)) for name in sorted(sources))
        if now == self._standings:
            return
        before, self._standings = dict.fromkeys(self._standings), now
        if any(one not in before and one[0] == self.registry for one in now):
            self.look_at_everything()
        self._agenda.note(self.planning.waiting_units())

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
            self._agenda.heed()
            self._is_needed = bool(self.planning.units.rules) or bool(self._world.index.in_target(self.registry))
            if not self._is_needed:
                async for _ in self.planning.ours(self._world.catalog):
                    self._is_needed = True
                    break
            if self._is_needed:
                return
            await self._agenda.noted()

    async def _drive(self, sink: Sink, backoff: Backoff) -> None:
        """Write over one connection until it is lost."""
        preview = Foresight(sink.preview) if isinstance(sink, Previewing) else None
        self.planning.target = msgspec.structs.replace(self.planning.target, preview=preview)
        self.planning.units.target = self.planning.target
        self.planning.settling.connected(adopts_by_writing=not isinstance(sink, Renewing))
        self._turn, self._had_turn = self._new_turn(), False
        self._has_renewed = not isinstance(sink, Renewing)
        ours = self._world.holder.ours
        writing = Writing(self.registry, sink, self._world.index, self.planning.settling, ours, self._clock)
        self.look_at_everything()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._turn.keep(sink, self.look_at_everything), name=f"turn at {self.registry}")
            tasks.create_task(self._reconcile(sink, writing, backoff), name=f"reconcile {self.registry}")
            if isinstance(sink, Renewing):
                tasks.create_task(self._renew(sink), name=f"renew in {self.registry}")

    def _new_turn(self) -> Turn:
        ttl = self._shortest_lease() / 3
        return Turn(f"sync-{self.planning.target.cluster}", self._owner, ttl, self._clock, self.planning.may_change)

    def _shortest_lease(self) -> float:
        return min((rule.lease for rule in self.planning.units.rules.values()), default=LEASE)

    # -------------------------------------------------------------------------------------------- reconciling

    async def _reconcile(self, sink: Sink, writing: Writing, backoff: Backoff) -> None:
        """Look at what is due, one round after the other."""
        agenda, settling = self._agenda, self.planning.settling
        one_round = Round(self.planning, agenda, writing, lambda: self._may_write)
        while True:
            await agenda.until_due(settling.next_overdue())
            agenda.note(settling.overdue(self._clock()))
            await self._until_allowed()
            await self._learn_what_others_wrote()
            if agenda.takes_everything():
                settling.try_everything_again()
                agenda.note(await self.planning.all_units())
            failed = await one_round.run()
            self._known.set()
            self.has_compared = True
            self.error = writing.error
            if failed:
                agenda.note_later(self._clock() + backoff.next(), failed)
            else:
                backoff.reset()
            self.writes, writing.writes = self.writes + writing.writes, 0
            await self._tidy(sink)

    async def _tidy(self, sink: Sink) -> None:
        """Once all is taken back: what was left beside it too."""
        is_over = self.planning.is_over() and self.planning.settling.is_reported()
        if is_over and not self._is_tidy and isinstance(sink, Tidying):
            await sink.tidy()
        self._is_tidy = is_over

    async def _learn_what_others_wrote(self) -> None:
        """Once in each turn of ours: a copy of the hub that shares our journal may have written until now."""
        if self._had_turn:
            return
        self.has_compared = False
        try:
            await self._world.index.take_over(self.registry)
        except OSError as error:
            raise SourceLost(f"the journal can't be read: {error}") from error
        self._had_turn = True

    async def _until_allowed(self) -> None:
        """Wait until it is our turn, and what the target is seen to hold is the truth."""
        while not self._may_write:
            self._had_turn = self._had_turn and self._turn.is_mine
            self._agenda.heed()
            await self._agenda.noted()

    @property
    def _may_write(self) -> bool:
        return self._turn.is_mine and self.planning.is_trusted

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is to be looked at, and everything that was written has been reported."""
        return self.is_standing_by or (self._agenda.is_empty and self.planning.settling.is_reported())

    # -------------------------------------------------------------------------------------------- leases

    async def _renew(self, sink: Renewing) -> None:
        """Keep the leases of what is ours alive, held and paused copies too; a new hub goes on with them at once."""
        while True:
            while not self._turn.is_mine:  # noqa: ASYNC110 - and once it is, what another kept has little time left
                await asyncio.sleep(min(IDLE, self._shortest_lease() / 3))
            is_known, keys = self._known.is_set(), self.planning.leased()
            names = list(keys)
            for start in range(0, len(names), BATCH):
                batch = names[start : start + BATCH]
                results = await sink.renew(batch)
                lost = [key for key, result in zip(batch, results, strict=True) if not isinstance(result, Done)]
                self._agenda.note({keys[key] for key in lost})
                await asyncio.sleep(0)
            self._has_renewed |= is_known
            await self._until_next_renewal()

    async def _until_next_renewal(self) -> None:
        """Wait for a third of the shortest lease, or for the end of the first round: then we know what was there."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._shortest_lease() / 3):
                never = asyncio.Event()
                await (never if self._known.is_set() else self._known).wait()


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first of what went wrong together."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
