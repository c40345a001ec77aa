"""Sync as the hub runs it and operators ask it: one reconciler for each registry, and what they say of rules."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from time import monotonic
from typing import Final

import msgspec

from pilot_plus.catalog import Holder
from pilot_plus.config import Config
from pilot_plus.sync.index import Documents, Index
from pilot_plus.sync.planning import Mode, World
from pilot_plus.sync.reconciler import Open, Reconciler
from pilot_plus.sync.telling import planned_in, status_of
from pilot_plus.views.edges import Carrying
from pilot_plus.views.rules import rules_of, target_of
from pilot_plus.views.sync import PlannedChange, RuleStatus, SyncPlan, SyncStatus, plan_of
from pilot_plus.views.topology import topology_of

log = logging.getLogger(__name__)

KIND: Final = "sync-mode"
"""Of the journal's documents that say which rules are paused or purged."""
APPROVED: Final = "sync-approved"
"""Of those that say whose removals an operator has approved, by a copy of the hub that stands by."""
LOOK: Final = 2.0
"""Seconds between two looks at what others have written into the journal."""


class Sync:
    """All rules and all targets."""

    def __init__(
        self,
        config: Config,
        holder: Holder,
        targets: Mapping[str, Open],
        documents: Documents,
        *,
        owner: str,
        clock: Callable[[], float] = monotonic,
        carrying: Callable[[], Carrying] | None = None,
    ) -> None:
        """`targets`: how to connect to each registry; `owner`: this copy of the hub, among those with these rules.

        `carrying`: what the edges have acknowledged by now; the same object as long as nothing has changed.
        """
        self._documents = documents
        self._clock = clock
        self._index = Index(documents)
        holder.ours.is_written = self._index.is_written
        topology = topology_of(config, with_plans=True)
        self._world = World(holder, topology, self._index, *((carrying,) if carrying else ()))
        self._modes: dict[str, Mode] = {}
        self._read_up_to = 0
        rules = rules_of(config)
        self._reconcilers = {
            registry.name: Reconciler(
                self._world,
                target_of(config, registry),
                [rule for rule in rules if rule.target == registry.name],
                targets[registry.name],
                owner,
                clock,
            )
            for registry in config.registries
            if registry.name in targets
        }

    async def run(self) -> None:
        """Run until cancelled."""
        await self.load()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow_journal(), name="sync: what other copies of the hub have written")
            for reconciler in self._reconcilers.values():
                tasks.create_task(reconciler.run(), name=f"sync {reconciler.registry}")

    async def load(self) -> None:
        """Read what earlier runs left in the journal; `run` does it.

        Raises:
            OSError: the journal can't be read.
        """
        self._read_up_to = await self._documents.revision()
        await self._index.load()
        await self._load_modes()

    async def _load_modes(self) -> None:
        modes: dict[str, Mode] = {}
        for document in await self._documents.list(KIND):
            try:
                modes[document.key] = Mode(msgspec.json.decode(document.payload, type=str))
            except (msgspec.MsgspecError, ValueError):
                log.warning("unreadable: %s %r", KIND, document.key)
        if modes != self._modes:
            self._modes = modes
            self._say_modes()

    async def _follow_journal(self) -> None:
        """Hear what other copies of the hub that share the journal have written, and what operators told them."""
        while True:
            await asyncio.sleep(LOOK)
            try:
                now = await self._documents.revision()
                if now == self._read_up_to:
                    continue
                units = await self._index.learn(self._read_up_to)
                await self._load_modes()
                approved = await self._documents.changed(APPROVED, self._read_up_to)
            except OSError as error:
                log.warning("sync: the journal can't be read: %s", error)
                continue
            self._read_up_to = now
            self.touch(units)
            for reconciler, name in self._named(""):
                if name in {document.key for document in approved}:
                    reconciler.approve(name)

    def reload(self, config: Config) -> None:
        """Go on with the rules of another configuration; its registries are those of this one."""
        self._world.topology = topology_of(config, with_plans=True)
        rules = rules_of(config)
        for registry in config.registries:
            if reconciler := self._reconcilers.get(registry.name):
                mine = [rule for rule in rules if rule.target == registry.name]
                reconciler.reload(target_of(config, registry), mine)

    def touch(self, services: Iterable[str]) -> None:
        """What the edges carry of these services has changed."""
        services = list(services)
        for reconciler in self._reconcilers.values():
            reconciler.look_at(services)

    # -------------------------------------------------------------------------------------------- operating

    async def plan(self, rule: str = "") -> SyncPlan:
        """What would be written, changed and removed now, by all rules or one, and why."""
        lines: list[PlannedChange] = []
        for reconciler in self._reconcilers.values():
            lines += await planned_in(reconciler.planning)
        held = sum(reconciler.planning.restraint.held(name) for reconciler, name in self._named(rule))
        return plan_of([line for line in lines if not rule or line.rule == rule], held)

    def status(self) -> SyncStatus:
        """Every rule in its target, and those that are gone and have left copies."""
        found = [status for reconciler in self._reconcilers.values() for status in self._statuses(reconciler)]
        return SyncStatus(sync=tuple(found))

    async def approve(self, rule: str = "") -> int:
        """Let the removals that the guard of a rule (or of all) holds go; return how many they are.

        Where another copy of the hub writes, it hears of it by the journal, within a few seconds.

        Raises:
            OSError: the journal can't be written.
        """
        approved, elsewhere = 0, Counter[str]()
        for reconciler in self._reconcilers.values():
            if reconciler.is_standing_by:
                lines = await planned_in(reconciler.planning)
                elsewhere.update(line.rule for line in lines if line.action == "remove" and rule in ("", line.rule))
        for reconciler, name in self._named(rule):
            approved += reconciler.approve(name)
        if elsewhere:
            await self._documents.write(APPROVED, dict.fromkeys(elsewhere, b"true"))
        return approved + elsewhere.total()

    async def pause(self, rule: str = "") -> tuple[str, ...]:
        """Change nothing of a rule (or of all) any more; leases are kept. Returns the rules' names.

        Raises:
            OSError: the journal can't be written.
        """
        return await self._set_mode(rule, Mode.PAUSED)

    async def resume(self, rule: str = "") -> tuple[str, ...]:
        """Take back `pause` or `purge`. Returns the rules' names.

        Raises:
            OSError: the journal can't be written.
        """
        return await self._set_mode(rule, None)

    async def purge(self, rule: str = "") -> tuple[str, ...]:
        """Take back all that a rule (or the hub) ever wrote, and write nothing for it until `resume`. Returns names.

        Raises:
            OSError: the journal can't be written.
        """
        return await self._set_mode(rule, Mode.PURGED)

    @property
    def rules(self) -> tuple[str, ...]:
        """Every rule of the configuration, every one that has left copies, and every one that is paused or purged."""
        return tuple(dict.fromkeys((*(name for _, name in self._named("")), *self._modes)))

    def _named(self, rule: str) -> list[tuple[Reconciler, str]]:
        return [
            (reconciler, name)
            for reconciler in self._reconcilers.values()
            for name in dict.fromkeys((*reconciler.planning.units.rules, *reconciler.planning.restraint.rules()))
            if rule in ("", name)
        ]

    async def _set_mode(self, rule: str, mode: Mode | None) -> tuple[str, ...]:
        names = (rule,) if rule else self.rules
        if mode is None:
            await self._documents.write(KIND, {}, names)
        else:
            await self._documents.write(KIND, {name: msgspec.json.encode(mode.value) for name in names})
        for name in names:
            if mode is None:
                self._modes.pop(name, None)
            else:
                self._modes[name] = mode
        self._say_modes()
        return names

    def _say_modes(self) -> None:
        for reconciler in self._reconcilers.values():
            reconciler.set_modes(dict(self._modes))

    def _statuses(self, reconciler: Reconciler) -> Iterable[RuleStatus]:
        planning = reconciler.planning
        gone = [rule for rule in planning.restraint.rules() if rule not in planning.units.rules]
        return [
            status_of(reconciler, rule, self._modes.get(rule), self._clock()) for rule in (*planning.units.rules, *gone)
        ]
