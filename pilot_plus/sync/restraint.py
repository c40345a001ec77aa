"""Restraint: a plan that removes more than a rule's guard allows waits for an operator.

It looks at a rule's copies as the target's source reports them, with those just written: what would be left, against
the most that there were within the window (also right after a first sync, when there were none at its start).

    t=0   20 copies
    t=9   the rule is deleted: 20 go      20 >= 5 and 20 > 0.5 * 20: held, `sync approve` lets them go,
                                          and so does the end of `hold_for`
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from pilot_plus.catalog.guard import Limits, Window, limits_of, remembered
from pilot_plus.config import Guard
from pilot_plus.views.actual import Actual
from pilot_plus.views.plan import Remove

DEFAULT: Final = limits_of(Guard())
"""For what a rule wrote that is gone."""


class _Held(msgspec.Struct, frozen=True):
    unit: str
    since: float


class Restraint:
    """The guards of all rules with copies in one target."""

    def __init__(self) -> None:
        self._of_unit: dict[str, Counter[str]] = {}
        self._counts: Counter[str] = Counter()
        self._windows: dict[str, Window] = {}
        self._held: dict[str, dict[str, _Held]] = {}
        self._approved: dict[str, dict[str, str]] = {}
        """By rule and key, the unit."""

    def observe(self, unit: str, actual: Iterable[Actual], removes: Iterable[Remove]) -> None:
        """Take note of what a unit holds now, and which of it is to be removed.

        Nothing else of it stays held, or approved: what goes another time is another question.
        """
        now, before = Counter(one.rule for one in actual), self._of_unit.pop(unit, Counter())
        if now:
            self._of_unit[unit] = now
        if now != before:
            self._counts.update(now)
            self._counts.subtract(before)
        if any(self._held.values()) or any(self._approved.values()):
            still = {remove.actual.instance.key for remove in removes}
            for held in self._held.values():
                for key in [key for key, one in held.items() if one.unit == unit and key not in still]:
                    del held[key]
            for approved in self._approved.values():
                for key in [key for key, where in approved.items() if where == unit and key not in still]:
                    del approved[key]

    def count(self, rule: str) -> int:
        """A rule's copies."""
        return self._counts[rule]

    def rules(self) -> list[str]:
        """Every rule that has copies."""
        return [rule for rule, count in self._counts.items() if count > 0]

    def holds(self, unit: str) -> bool:
        """Whether a unit holds any."""
        return unit in self._of_unit

    def units(self) -> list[str]:
        """Every unit that holds copies."""
        return list(self._of_unit)

    def let_go(
        self, rule: str, removes: Sequence[tuple[str, Remove]], limits: Limits, now: float, coming: int = 0
    ) -> list[tuple[str, Remove]]:
        """The removals, by unit, that may happen now; `coming`: copies that are written and not counted yet."""
        window = self._windows[rule] = remembered(self._windows.get(rule, ()), now, self._counts[rule], limits)
        held, approved = self._held.setdefault(rule, {}), self._approved.setdefault(rule, {})
        keys = {remove.actual.instance.key: unit for unit, remove in removes}
        free = {key for key in keys if key in approved or (key in held and now - held[key].since >= limits.hold_for)}
        peak, left = max(count for _, count in window), self._counts[rule] + coming - len(keys)
        is_too_much = peak - left >= limits.min and peak - left > limits.max_removal * peak
        if keys.keys() - free and (is_too_much or keys.keys() & held.keys() - free):
            for key in keys.keys() - free:
                held.setdefault(key, _Held(keys[key], now))
        else:
            free = set(keys)
        for key in free & held.keys():
            approved[key] = held.pop(key).unit  # also where the removal fails, and is tried again
        return [(unit, remove) for unit, remove in removes if remove.actual.instance.key in free]

    def watch(self, rule: str, limits: Limits, now: float) -> None:
        """Remember how many there are now, for what may come."""
        self._windows[rule] = remembered(self._windows.get(rule, ()), now, self._counts[rule], limits)

    def gone(self, rule: str, key: str) -> None:
        """A removal has happened."""
        self._approved.get(rule, {}).pop(key, None)

    def held(self, rule: str) -> int:
        """How many removals wait."""
        return len(self._held.get(rule, ()))

    def units_held(self, rule: str) -> set[str]:
        """The units in which some wait."""
        return {one.unit for one in self._held.get(rule, {}).values()}

    def next_release(self, rule: str, limits: Limits) -> float | None:
        """When the first of them goes by itself."""
        return min((one.since + limits.hold_for for one in self._held.get(rule, {}).values()), default=None)

    def approve(self, rule: str) -> set[str]:
        """Let what is held go; return the units in which that is."""
        held = self._held.get(rule, {})
        self._approved.setdefault(rule, {}).update((key, one.unit) for key, one in held.items())
        return {one.unit for one in held.values()}
