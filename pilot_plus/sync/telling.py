"""Telling: what a target's reconciler says of its rules, and of what it would do."""

import asyncio

from pilot_plus.sync.planning import BREATH, Mode, Planning
from pilot_plus.sync.reconciler import Reconciler
from pilot_plus.views.copies import LeftOut
from pilot_plus.views.sync import SHOWN, NotWritten, PlannedChange, RuleStatus, State, lines_of


async def planned_in(planning: Planning) -> list[PlannedChange]:
    """A target's plan, made afresh, line by line."""
    target, scene = planning.target, planning.world.scene()
    if not planning.is_trusted:
        why = f"nothing is written before {target.registry} is in step"
        return [
            PlannedChange(action="wait", rule=rule, target=target.registry, unit="", id="", address="", why=why)
            for rule in planning.units.rules
        ]
    units, lines = sorted(await planning.all_units()), []
    for index, unit in enumerate(units):
        lines += lines_of(target.registry, planning.preview(scene, unit), planning.left_out(unit))
        if index % BREATH == BREATH - 1:
            await asyncio.sleep(0)
    for one in planning.unnamed():
        lines.append(_unnamed(target.registry, one))
    return lines


def _unnamed(target: str, one: LeftOut) -> PlannedChange:
    return PlannedChange(
        action="refuse", rule=one.rule, target=target, unit="", id=one.id, address="", why=f"{one.service}: {one.why}"
    )


def status_of(reconciler: Reconciler, name: str, mode: Mode | None, now: float) -> RuleStatus:
    """How a rule stands in a target; `mode`: what operators have said of it, `now`: monotonic seconds."""
    planning = reconciler.planning
    rule = planning.units.rules.get(name)
    refused = [one for one in planning.unnamed() if one.rule == name]
    conflicts: list[LeftOut] = []
    behind, waiting, since = 0, 0, now
    for unit, one in planning.open.items():
        due = sum(put.copy.rule == name for put in one.plan.puts)
        due += sum(remove.actual.rule == name for remove in one.plan.removes)
        waiting += sum(remove.actual.rule == name for remove in one.plan.waiting)
        behind += due
        since = min(since, one.since) if due else since
        refused += (left for left in (*one.plan.refused, *planning.left_out(unit)) if left.rule == name)
        conflicts += (left for left in one.plan.conflicts if left.rule == name)
    held = planning.restraint.held(name)
    return RuleStatus(
        name=name,
        target=reconciler.registry,
        mode="deleted" if rule is None else "apply" if rule.is_applied else "plan",
        state=_state(reconciler, name, mode, behind=behind, held=held, waiting=waiting),
        copies=planning.restraint.count(name),
        behind=behind,
        behind_since_s=round(now - since, 3),
        held=held,
        waiting=waiting,
        refused=_shown(refused),
        refused_total=len(refused),
        conflicts=_shown(conflicts),
        conflicts_total=len(conflicts),
        error=reconciler.error or None,
        owner=reconciler.holder,
    )


def _state(reconciler: Reconciler, name: str, mode: Mode | None, *, behind: int, held: int, waiting: int) -> State:
    rule = reconciler.planning.units.rules.get(name)
    states: tuple[tuple[bool, State], ...] = (
        (mode is Mode.PURGED, "purged"),
        (mode is Mode.PAUSED, "paused"),
        (rule is not None and not rule.is_applied, "planned"),
        (reconciler.is_standing_by, "standing_by"),
        (not reconciler.planning.is_trusted, "waiting"),
        (held > 0, "held"),
        (behind > 0 or bool(reconciler.error), "behind"),
        (waiting > 0 or not reconciler.has_taken_over, "waiting"),
    )
    return next((state for holds, state in states if holds), "in_step")


def _shown(left_out: list[LeftOut]) -> tuple[NotWritten, ...]:
    return tuple(NotWritten(service=one.service, id=one.id, why=one.why) for one in left_out[:SHOWN])
