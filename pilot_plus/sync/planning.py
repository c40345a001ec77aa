"""Planning: makes the plan of one unit after the other for one target, and knows what is still open."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from enum import Enum
from typing import Final

import msgspec

from pilot_plus.catalog import Catalog, Entry, Holder
from pilot_plus.catalog.guard import Limits
from pilot_plus.model import Instance
from pilot_plus.sync.index import Index
from pilot_plus.sync.restraint import DEFAULT, Restraint
from pilot_plus.sync.settling import Settling
from pilot_plus.sync.units import Units
from pilot_plus.views.actual import Actual, There, actual_in, there_in
from pilot_plus.views.copies import Copy, LeftOut, Scene
from pilot_plus.views.edges import EDGES, Carrying, Edges, edges_of
from pilot_plus.views.plan import Judgement, Put, Remove, UnitPlan, plan_unit
from pilot_plus.views.rules import Rule, Target, is_leased
from pilot_plus.views.topology import Topology

BREATH: Final = 100
"""Services or records that are looked at between two pauses for others in this event loop."""


_NOTHING: Final = Carrying()


def _nothing() -> Carrying:
    return _NOTHING


class Mode(Enum):
    """What an operator has said of a rule."""

    PAUSED = "paused"
    """Nothing of it is changed; leases are still renewed."""
    PURGED = "purged"
    """It wants nothing: all that it wrote goes, without a guard."""


class World:
    """What all targets plan from: the catalog, the topology, the edges, the index."""

    def __init__(
        self, holder: Holder, topology: Topology, index: Index, carrying: Callable[[], Carrying] = _nothing
    ) -> None:
        """`carrying`: what the edges have acknowledged by now; the same object as long as nothing has changed."""
        self.holder = holder
        self.topology = topology
        self.index = index
        self._carrying = carrying
        self._edges: tuple[Entry | None, Carrying, Edges] | None = None

    @property
    def catalog(self) -> Catalog:
        """The current one."""
        return self.holder.current

    def scene(self) -> Scene:
        """What a plan is made from, now."""
        catalog, carrying = self.holder.current, self._carrying()
        entry = catalog.entries.get(EDGES)
        if self._edges is None or self._edges[0] is not entry or self._edges[1] is not carrying:
            self._edges = (entry, carrying, edges_of(catalog, self.topology.home, carrying))
        return Scene(catalog=catalog, topology=self.topology, edges=self._edges[2], is_written=self.index.is_written)


class Open(msgspec.Struct, frozen=True):
    """A unit about which something is to be said, since when."""

    plan: UnitPlan
    since: float


class Planning:
    """The plans of one target."""

    def __init__(self, world: World, target: Target, rules: Iterable[Rule], clock: Callable[[], float]) -> None:
        self.world = world
        self.target = target
        self.units = Units(target, rules)
        self.settling = Settling()
        self.restraint = Restraint()
        self.modes: Mapping[str, Mode] = {}
        self.open: dict[str, Open] = {}
        self._leased: dict[str, dict[str, str]] = {}
        self._clock = clock

    @property
    def rules(self) -> Mapping[str, Rule]:
        """The rules that are in force: those of the configuration that nobody has purged."""
        rules = self.units.rules
        if Mode.PURGED not in self.modes.values():
            return rules
        return {name: rule for name, rule in rules.items() if self.modes.get(name) is not Mode.PURGED}

    @property
    def is_trusted(self) -> bool:
        """Whether what the target is seen to hold is the truth now."""
        source = self.world.catalog.sources.get(self.target.registry)
        return source is not None and not source.is_stale

    def plan(self, unit: str) -> UnitPlan:
        """Plan a unit, and take note of what is there."""
        now, scene = self._clock(), self.world.scene()
        there = self._there(scene, unit)
        self.settling.observe(unit, there.ours)
        plan = self.preview(scene, unit, there)
        self.restraint.observe(unit, there.ours, plan.removes)
        self._note_leases(unit, there.ours)
        self._note_open(plan, now)
        return plan

    def preview(self, scene: Scene, unit: str, there: There | None = None) -> UnitPlan:
        """Plan a unit and remember nothing."""
        now, rules = self._clock(), self.rules
        return plan_unit(
            scene,
            self.target,
            unit,
            [(rule, service) for rule, service in self.units.of(unit) if rule.name in rules],
            rules,
            self._there(scene, unit) if there is None else there,
            lambda copy, record: self._judge(copy, record, now),
        )

    def note_written(self, unit: str) -> None:
        """What was to be written of a unit is."""
        one = self.open.get(unit)
        if one:
            self._note_open(msgspec.structs.replace(one.plan, puts=()), one.since)

    def note_gone(self, one: Actual) -> None:
        """A record that nobody wanted is removed."""
        self.settling.forget(one)
        self.restraint.gone(one.rule, one.instance.key)

    def next_releases(self) -> Iterator[tuple[float, set[str]]]:
        """When the guards let go what they hold, and the units in which that is."""
        for rule in self.restraint.rules():
            if (at := self.restraint.next_release(rule, self.limits(rule))) is not None:
                yield at, self.restraint.units_held(rule)

    def due_puts(self, plan: UnitPlan) -> list[Put]:
        """What of a plan is to be written now."""
        return [put for put in plan.puts if self.is_driven(put.copy.rule)]

    def due_removes(self, plan: UnitPlan) -> list[Remove]:
        """What of a plan is to be removed now, if no guard holds it."""
        return [
            remove
            for remove in plan.removes
            if self.is_driven(remove.actual.rule)
            and not self.settling.is_being_written(remove.actual.instance.key)
            and not self.settling.is_being_dropped(remove.actual.instance.key)
        ]

    def may_change(self) -> bool:
        """Whether anything in the target is ours, or could become so: not where rules are only to show their plans."""
        return any(rule.is_applied for rule in self.units.rules.values()) or bool(self.restraint.rules())

    def is_over(self) -> bool:
        """Whether nothing in the target is ours, and no rule that is in force wants anything there."""
        return not (self.rules or self.restraint.rules() or self.world.index.in_target(self.target.registry))

    def is_driven(self, name: str) -> bool:
        """Whether a rule's copies are changed at all: it is to be applied, or is gone, and nobody has paused it."""
        mode = self.modes.get(name)
        rule = self.units.rules.get(name)
        return mode is Mode.PURGED or (mode is None and (rule is None or rule.is_applied))

    def let_go(self, removes: Iterable[tuple[str, Remove]]) -> list[tuple[str, Remove]]:
        """The removals, by unit, that no guard holds."""
        by_rule: dict[str, list[tuple[str, Remove]]] = {}
        for unit, remove in removes:
            by_rule.setdefault(remove.actual.rule, []).append((unit, remove))
        free: list[tuple[str, Remove]] = []
        for rule, going in by_rule.items():
            if self.modes.get(rule) is Mode.PURGED:
                free += going
            else:
                coming = self.settling.unreported(rule)
                free += self.restraint.let_go(rule, going, self.limits(rule), self._clock(), coming)
        return free

    def limits(self, rule: str) -> Limits:
        """A rule's guard."""
        known = self.units.rules.get(rule)
        return known.limits if known else DEFAULT

    def watch_counts(self) -> None:
        """Remember how many copies there are, before anything is removed."""
        for rule in self.restraint.rules():
            self.restraint.watch(rule, self.limits(rule), self._clock())

    def leased(self) -> dict[str, str]:
        """The keys whose leases are to be renewed, and their units."""
        keys = {key: unit for of_unit in self._leased.values() for key, unit in of_unit.items()}
        return {**keys, **self.settling.leased_keys()}

    def waiting_units(self) -> list[str]:
        """Units in which something waits for a source."""
        return [unit for unit, one in self.open.items() if one.plan.waiting]

    async def all_units(self) -> set[str]:
        """Every unit that any service, record of ours or note in the index makes; pauses now and then."""
        scene, units = self.world.scene(), set(self.restraint.units())
        catalog = scene.catalog
        for index, service in enumerate((*catalog.entries, *self.units.known())):
            units |= self.units.touch(catalog, service)
            if index % BREATH == BREATH - 1:
                await asyncio.sleep(0)
        async for one in self.ours(catalog):
            units.add(one.instance.service)
        units.update(written.unit for written in self.world.index.in_target(self.target.registry))
        return units

    async def ours(self, catalog: Catalog) -> AsyncIterator[Actual]:
        """Every record of ours in the target."""
        source = catalog.sources.get(self.target.registry)
        for index, instance in enumerate(source.instances.values() if source else ()):
            mine = actual_in(self.target.registry, self.target.cluster, instance, self.world.index.owner)
            if mine:
                yield mine
            if index % (10 * BREATH) == 10 * BREATH - 1:
                await asyncio.sleep(0)

    def left_out(self, unit: str) -> list[LeftOut]:
        """What the sink has refused of a unit."""
        return [
            LeftOut(rule=copy.rule, service=copy.service, id=copy.record.id, origin=copy.record.origin, why=reason)
            for copy, reason in self.settling.refusals(unit)
        ]

    def unnamed(self) -> Iterator[LeftOut]:
        """What the target can have under no name."""
        return (one for several in self.units.unnamed.values() for one in several)

    def _judge(self, copy: Copy, record: Instance | None, now: float) -> Judgement:
        return self.settling.judge(copy, record, now)

    def _there(self, scene: Scene, unit: str) -> There:
        return there_in(scene.catalog, self.target, unit, self.world.index.owner)

    def _note_leases(self, unit: str, ours: Iterable[Actual]) -> None:
        leased = {}
        for one in ours:
            rule = self.units.rules.get(one.rule)
            if one.instance.lease or (rule and is_leased(rule, one.origin)):
                leased[one.instance.key] = unit
        if leased:
            self._leased[unit] = leased
        else:
            self._leased.pop(unit, None)

    def _note_open(self, plan: UnitPlan, now: float) -> None:
        if plan.is_done and not (plan.waiting or plan.conflicts or plan.refused or self.settling.refusals(plan.unit)):
            self.open.pop(plan.unit, None)
            return
        before = self.open.get(plan.unit)
        self.open[plan.unit] = Open(plan, before.since if before else now)
