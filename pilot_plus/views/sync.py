"""What sync says of itself: the state of each rule in its target, and the plan of what it would do."""

from typing import Literal, TypeAlias

from pilot_plus.model import Instance
from pilot_plus.views.copies import LeftOut
from pilot_plus.views.plan import UnitPlan
from pilot_plus.views.shapes import Shape

SHOWN: int = 200
"""How many refusals and conflicts of a rule are listed; the others are counted."""

State: TypeAlias = Literal["in_step", "behind", "waiting", "held", "planned", "paused", "purged", "standing_by"]


class NotWritten(Shape, frozen=True, kw_only=True):
    """Something that a rule selects and does not write."""

    service: str
    id: str
    why: str


class RuleStatus(Shape, frozen=True, kw_only=True):
    """A rule and its target."""

    name: str
    target: str
    mode: str
    """`apply` or `plan`; `deleted` for a rule that is gone, whose copies are not."""
    state: State
    """`waiting`: something can't be trusted, or nothing has been compared yet; `held`: removals wait for `approve`."""
    copies: int
    """What of it is in the target."""
    behind: int
    """Writes and removals that are due."""
    behind_since_s: float
    held: int
    waiting: int
    """Removals that wait for a source."""
    refused: tuple[NotWritten, ...]
    refused_total: int
    conflicts: tuple[NotWritten, ...]
    conflicts_total: int
    error: str | None
    owner: str
    """Which hub writes there."""


class SyncStatus(Shape, frozen=True, kw_only=True):
    """All rules."""

    sync: tuple[RuleStatus, ...]


class PlannedChange(Shape, frozen=True, kw_only=True):
    """One line of a plan."""

    action: Literal["create", "change", "remove", "wait", "conflict", "refuse"]
    """`wait`: would be removed, but for a source that can't be trusted now."""
    rule: str
    target: str
    unit: str
    """The service in the target."""
    id: str
    address: str
    why: str


class SyncPlan(Shape, frozen=True, kw_only=True):
    """What sync would do now."""

    changes: tuple[PlannedChange, ...]
    creates: int
    changed: int
    removes: int
    waiting: int
    conflicts: int
    refused: int
    held: int
    """Of the removals, those that wait for `sync approve`."""

    @property
    def has_work(self) -> bool:
        """Whether there is something to write or remove; conflicts and refusals do not count."""
        return bool(self.creates or self.changed or self.removes)


def plan_of(changes: list[PlannedChange], held: int = 0) -> SyncPlan:
    """The lines with their sums; `held`: how many removals wait for an operator."""
    counts = {action: sum(one.action == action for one in changes) for action in _ACTIONS}
    return SyncPlan(
        changes=tuple(changes),
        creates=counts["create"],
        changed=counts["change"],
        removes=counts["remove"],
        waiting=counts["wait"],
        conflicts=counts["conflict"],
        refused=counts["refuse"],
        held=held,
    )


def lines_of(target: str, plan: UnitPlan, sink_refused: list[LeftOut]) -> list[PlannedChange]:
    """A unit's plan, line by line."""
    lines = [
        _line("create" if put.old is None else "change", target, plan.unit, put.copy.rule, put.copy.expected, put.why)
        for put in plan.puts
    ]
    lines += (_line("remove", target, plan.unit, r.actual.rule, r.actual.instance, r.why) for r in plan.removes)
    lines += (_line("wait", target, plan.unit, r.actual.rule, r.actual.instance, r.why) for r in plan.waiting)
    lines += (_left_out("conflict", target, plan.unit, one) for one in plan.conflicts)
    lines += (_left_out("refuse", target, plan.unit, one) for one in (*plan.refused, *sink_refused))
    return lines


Action: TypeAlias = Literal["create", "change", "remove", "wait", "conflict", "refuse"]
_ACTIONS: tuple[Action, ...] = ("create", "change", "remove", "wait", "conflict", "refuse")


def _line(action: Action, target: str, unit: str, rule: str, instance: Instance, why: str) -> PlannedChange:
    address = ", ".join(f"{instance.address}:{port.number}" for port in instance.ports)
    return PlannedChange(action=action, rule=rule, target=target, unit=unit, id=instance.id, address=address, why=why)


def _left_out(action: Action, target: str, unit: str, one: LeftOut) -> PlannedChange:
    return PlannedChange(
        action=action, rule=one.rule, target=target, unit=unit, id=one.id, address="", why=f"{one.service}: {one.why}"
    )
