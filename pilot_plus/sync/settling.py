"""Settling: what becomes of a write between `Done` and the moment when the target's own source has reported it.

    put a  ─ Done ─▶ pending ─ reported as wanted ─────────────▶ in step
                             ─ reported otherwise ─────────────▶ settled: that is how the layout holds it; in step
                             ─ nothing reported for a while ───▶ due again
    settled, and now reported yet otherwise: somebody edits it ▶ due again, each time a little later

    on a new connection, where the lease is the session's ─────▶ due once: the new session takes the copy over

So a burst of changes writes nothing twice, a layout that can't hold everything is not written for ever, and another
writer is not fought without end.
"""

from collections import OrderedDict
from collections.abc import Iterable
from itertools import takewhile
from typing import Final

import msgspec

from pilot_plus.model import Instance, Origin
from pilot_plus.views.actual import Actual
from pilot_plus.views.copies import Copy
from pilot_plus.views.plan import Judgement, is_same

PATIENCE: Final = 5.0
"""Seconds that a write may take to be reported."""
FREE_REPAIRS: Final = 3
LONGEST_WAIT: Final = 60.0
"""Seconds between two repairs of one record at the most; as long quiet, and they are free again."""

Identity = tuple[str, Origin]


class _Pending(msgspec.Struct, frozen=True):
    copy: Copy
    before: Instance | None
    key: str
    until: float


class _Repairs(msgspec.Struct, frozen=True):
    count: int
    last: float

    def next_at(self) -> float:
        beyond = self.count - FREE_REPAIRS
        return self.last if beyond < 0 else self.last + min(LONGEST_WAIT, 0.5 * 2.0 ** min(beyond, 10))


class Settling:
    """The writes to one target."""

    def __init__(self) -> None:
        self._adopted: set[Identity] | None = None
        self._pending: OrderedDict[Identity, _Pending] = OrderedDict()  # a dict that loses its first is slow to begin
        self._overdue: dict[str, dict[Identity, _Pending]] = {}
        self._keys: dict[str, Identity] = {}
        self._wrote: dict[Identity, int] = {}
        self._settled: dict[Identity, tuple[Copy, Instance]] = {}
        self._repairs: dict[Identity, _Repairs] = {}
        self._not_ours: set[str] = set()
        self._waits: dict[str, list[float]] = {}
        self._dropped: OrderedDict[str, tuple[str, float]] = OrderedDict()
        self._refused: dict[str, dict[Identity, tuple[Copy, str]]] = {}

    def judge(self, copy: Copy, there: Instance | None, now: float) -> Judgement:
        """What is to be done about a copy and the record that is there."""
        if self._is_in_step(copy, there):
            return Judgement.IN_STEP
        return Judgement.WAITING if self._waits_for(copy, now) else Judgement.DUE

    def _is_in_step(self, copy: Copy, there: Instance | None) -> bool:
        """Whether the record is as the copy should be, or as its layout holds it."""
        if there is None or self._is_to_adopt(copy):
            return False
        if is_same(copy, there) or self._settled.get(copy.identity) == (copy, there):
            return True
        pending = self._pending.get(copy.identity)
        return pending is not None and pending.copy == copy and there != pending.before

    def _waits_for(self, copy: Copy, now: float) -> bool:
        """Whether it is written or refused already, or repaired too often."""
        pending = self._pending.get(copy.identity)
        if pending and pending.copy == copy and now < pending.until and not self._is_to_adopt(copy):
            return True
        refused = self._refused.get(copy.unit, {}).get(copy.identity)
        if refused and refused[0] == copy:
            return True
        repairs = self._repairs.get(copy.identity)
        if repairs is None or now >= repairs.next_at():
            return False
        self._waits.setdefault(copy.unit, []).append(repairs.next_at())
        return True

    def connected(self, *, adopts_by_writing: bool) -> None:
        """A new connection: where leases hang on it and can't be renewed, each copy must be written by it once."""
        self._adopted = set() if adopts_by_writing else None

    def observe(self, unit: str, actual: Iterable[Actual]) -> None:
        """Take note of what the target's source reports of a unit."""
        overdue = self._overdue.pop(unit, {})
        for one in actual if self._pending or overdue else ():
            pending = self._pending.get(one.identity) or overdue.get(one.identity)
            if pending is None:
                continue
            if is_same(pending.copy, one.instance):
                self._forget_pending(one.identity)
            elif one.instance != pending.before or one.identity in overdue:
                self._settled[one.identity] = (pending.copy, one.instance)

    def written(self, copy: Copy, before: Instance | None, key: str, now: float) -> None:
        """The sink has written it."""
        identity = copy.identity
        text = hash(copy.record)
        is_adoption = self._is_to_adopt(copy)
        if self._adopted is not None:
            self._adopted.add(identity)
        is_repair = self._wrote.get(identity) == text and not is_adoption
        if is_repair:
            repairs = self._repairs.get(identity)
            count = repairs.count if repairs and now - repairs.last < 2 * LONGEST_WAIT else 0
            self._repairs[identity] = _Repairs(count + 1, now)
        self._forget_pending(identity)
        self._pending[identity] = _Pending(copy, before, key, now + PATIENCE)
        self._keys[key] = identity
        self._dropped.pop(key, None)
        self._wrote[identity] = text
        self._settled.pop(identity, None)
        self._refused.get(copy.unit, {}).pop(identity, None)

    def refused(self, copy: Copy, reason: str) -> None:
        """The sink has refused it; not to be tried again until something changes there."""
        self._refused.setdefault(copy.unit, {})[copy.identity] = (copy, reason)

    def refusals(self, unit: str) -> list[tuple[Copy, str]]:
        """What the sink has refused of a unit."""
        return list(self._refused.get(unit, {}).values())

    def try_again(self, unit: str) -> None:
        """Something has changed there."""
        self._refused.pop(unit, None)

    def try_everything_again(self) -> None:
        """A full comparison asks anew."""
        self._refused.clear()
        self._not_ours.clear()

    def forget(self, one: Actual) -> None:
        """The record is gone, and nobody wants it."""
        self._settled.pop(one.identity, None)
        self._wrote.pop(one.identity, None)
        self._repairs.pop(one.identity, None)

    def is_being_written(self, key: str) -> bool:
        """Whether a record that is not reported yet lies under a key: then the key must not be dropped."""
        return key in self._keys

    def is_reported(self) -> bool:
        """Whether everything that was written has been reported in some form."""
        return self._pending.keys() <= self._settled.keys()

    def unreported(self, rule: str) -> int:
        """How many new copies of a rule are written and not reported yet."""
        return sum(1 for (name, _), pending in self._pending.items() if name == rule and pending.before is None)

    def leased_keys(self) -> dict[str, str]:
        """The keys of leased copies that are written and not reported yet, and their units."""
        return {
            pending.key: pending.copy.unit
            for pending in self._pending.values()
            if pending.key and pending.copy.record.lease
        }

    def dropped(self, unit: str, key: str, now: float) -> None:
        """The sink has removed it."""
        self._dropped.pop(key, None)
        self._dropped[key] = (unit, now + PATIENCE)

    def refused_drop(self, key: str) -> None:
        """The sink says that it is not ours; not to be tried again until a full comparison."""
        self._not_ours.add(key)

    def is_being_dropped(self, key: str) -> bool:
        """Whether it is removed and not reported as gone yet, or can't be removed."""
        return key in self._dropped or key in self._not_ours

    def next_overdue(self) -> float | None:
        """When the first write that is not reported yet has had its time."""
        first = next(iter(self._pending.values()), None)
        gone = next((until for _, until in self._dropped.values()), None)
        return min((time for time in (first.until if first else None, gone) if time is not None), default=None)

    def overdue(self, now: float) -> list[str]:
        """The units of writes that have had their time: they should be looked at again."""
        writes = list(takewhile(lambda identity: self._pending[identity].until <= now, self._pending))
        for identity in writes:
            pending = self._pending[identity]
            self._forget_pending(identity)
            self._overdue.setdefault(pending.copy.unit, {})[identity] = pending
        gone = list(takewhile(lambda key: self._dropped[key][1] <= now, self._dropped))
        return [*self._overdue, *(self._dropped.pop(key)[0] for key in gone)]

    def next_repair(self, unit: str) -> float | None:
        """When a record of a unit that is repaired too often may be repaired again."""
        return min(self._waits.pop(unit, ()), default=None)

    def _is_to_adopt(self, copy: Copy) -> bool:
        return self._adopted is not None and copy.record.lease > 0 and copy.identity not in self._adopted

    def _forget_pending(self, identity: Identity) -> None:
        pending = self._pending.pop(identity, None)
        if pending and self._keys.get(pending.key) == identity:
            del self._keys[pending.key]
