"""The plan: what a target should hold by its rules, against what the hub sees there as its own; the difference.

It is made a unit at a time, a unit being one service in the target, and costs what that service and those that it is
made from hold. Nothing is remembered: copies say by their mark, or the index by their key, whose they are.

    wanted            actual (in the catalog, at the target, ours)        step
    10.1.0.7 w 100    -                                                   create
    10.1.0.8 w 50     10.1.0.8 w 100                                      change
    -                 10.1.0.9                                            remove, unless the source can't be trusted now
    10.1.0.6          10.1.0.6, not ours                                  conflict: left alone
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from typing import Final

import msgspec

from pilot_plus.catalog import Catalog
from pilot_plus.model import Instance, Origin
from pilot_plus.views.actual import Actual, There, doubted
from pilot_plus.views.copies import Copy, LeftOut, Scene, wanted
from pilot_plus.views.rules import EDGE_ORIGIN, Rule, Target


class Put(msgspec.Struct, frozen=True, kw_only=True):
    """A copy to be written: a new one, or another content of one that is there."""

    copy: Copy
    old: Instance | None = None
    why: str = ""


class Remove(msgspec.Struct, frozen=True, kw_only=True):
    """A copy that nobody wants any more."""

    actual: Actual
    why: str


class UnitPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be done about one service in the target."""

    unit: str
    puts: tuple[Put, ...] = ()
    removes: tuple[Remove, ...] = ()
    waiting: tuple[Remove, ...] = ()
    """Removals that wait for a source, and `why` says for which."""
    conflicts: tuple[LeftOut, ...] = ()
    refused: tuple[LeftOut, ...] = ()
    actual: tuple[Actual, ...] = ()
    """Everything of ours there now."""

    @property
    def is_done(self) -> bool:
        """Nothing to write and nothing to remove."""
        return not self.puts and not self.removes


class Judgement(Enum):
    """What is to be done about a copy and its record."""

    IN_STEP = "in step"
    WAITING = "waiting"
    """It was just written, or has been written too often: not now."""
    DUE = "due"


Judge = Callable[[Copy, Instance | None], Judgement]


def judged_at_sight(copy: Copy, there: Instance | None) -> Judgement:
    """In step where what is there is what was wanted."""
    return Judgement.IN_STEP if there is not None and is_same(copy, there) else Judgement.DUE


def plan_unit(
    scene: Scene,
    target: Target,
    unit: str,
    contenders: Iterable[tuple[Rule, str]],
    rules: Mapping[str, Rule],
    there: There,
    judge: Judge = judged_at_sight,
) -> UnitPlan:
    """Plan a unit. `contenders`: rules with the services that they write there, in the order of the rules.

    `rules`: all that are in force; what another one wrote goes, whatever its source says.
    """
    actual, foreign = there.ours, there.others
    copies, refused, conflicts = _contended(scene, target, contenders, actual)
    copies, taken = _apart_from(copies, foreign)
    return _compared(scene, unit, rules, copies, actual, judge, refused=refused, conflicts=(*conflicts, *taken))


def is_same(copy: Copy, there: Instance) -> bool:
    """Whether a record is what a copy wants, but for what nobody foretold or the registry never says."""
    expected = copy.expected
    return there == msgspec.structs.replace(
        expected,
        key=expected.key if copy.is_foreseen and expected.key else there.key,
        layout=expected.layout if copy.is_foreseen or copy.record.layout else there.layout,
        lease=expected.lease if expected.lease and there.lease else there.lease,
    )


def differences(copy: Copy, there: Instance) -> str:
    """What a change changes, for people."""
    named = [field for field in _SHOWN if getattr(copy.expected, field) != getattr(there, field)]
    return ", ".join(
        f"{name} {_brief(getattr(there, name))} → {_brief(getattr(copy.expected, name))}" for name in named
    )


def _apart_from(copies: Sequence[Copy], foreign: Sequence[Instance]) -> tuple[tuple[Copy, ...], tuple[LeftOut, ...]]:
    """The copies for which there is room, and those in whose place somebody else's record is."""
    if not foreign:
        return tuple(copies), ()
    others: dict[object, list[Instance]] = {}
    for instance in foreign:
        for trait in (instance.key, instance.id, _endpoint(instance)):
            others.setdefault(trait, []).append(instance)
    room, taken = [], []
    for copy in copies:
        want = copy.expected
        rivals = (one for trait in (want.key, want.id, _endpoint(want)) for one in others.get(trait, ()))
        there = next((one for one in rivals if _have_one_reader(want, one)), None)
        if there is None:
            room.append(copy)
        else:
            taken.append(_left_out(copy, f"{there.key} is there already, and is not ours: it is left alone"))
    return tuple(room), tuple(taken)


def _have_one_reader(copy: Instance, there: Instance) -> bool:
    """Whether one record would stand in the other's place: who reads one layout of a registry reads no other's."""
    return copy.key == there.key or "" in (copy.layout, there.layout) or copy.layout == there.layout


# ------------------------------------------------------------------------------------------------ contention


def _contended(
    scene: Scene, target: Target, contenders: Iterable[tuple[Rule, str]], actual: Sequence[Actual]
) -> tuple[tuple[Copy, ...], tuple[LeftOut, ...], tuple[LeftOut, ...]]:
    """What the contenders want; where several want one name of one layout, the one that has it keeps it."""
    by_layout: dict[str, list[tuple[Rule, str, tuple[Copy, ...]]]] = {}
    refused: list[LeftOut] = []
    for rule, service in contenders:
        found = wanted(scene, target, rule, service)
        refused += found.refused
        if found.copies:
            by_layout.setdefault(rule.layout, []).append((rule, service, found.copies))
    copies: list[Copy] = []
    conflicts: list[LeftOut] = []
    for claims in by_layout.values():
        first = claims[0] if len(claims) == 1 else _incumbent(scene.catalog, claims, actual)
        for claim in claims:
            if claim is first:
                copies += claim[2]
            else:
                why = f"{first[1]} has this name in {target.registry} already, by rule {first[0].name!r}"
                conflicts += (_left_out(copy, why) for copy in claim[2])
    return tuple(copies), tuple(refused), tuple(conflicts)


def _incumbent(
    catalog: Catalog, claims: Sequence[tuple[Rule, str, tuple[Copy, ...]]], actual: Sequence[Actual]
) -> tuple[Rule, str, tuple[Copy, ...]]:
    """Who has written there; nobody yet: the first rule, and the first service by name."""
    written = {(one.rule, one.origin) for one in actual}
    return min(
        claims,
        key=lambda claim: (
            not any(copy.identity in written for copy in claim[2]),
            not any(one.rule == claim[0].name and _service_of(catalog, one.origin) == claim[1] for one in actual),
        ),
    )


def _service_of(catalog: Catalog, origin: Origin) -> str:
    """The service that an origin belongs to now, as far as it can be told."""
    if origin.registry == EDGE_ORIGIN:
        return origin.id.rpartition("@")[0]
    source = catalog.sources.get(origin.registry)
    original = source.instances.get(origin.id) if source else None
    return original.service if original else ""


# ------------------------------------------------------------------------------------------------ comparing


def _compared(
    scene: Scene,
    unit: str,
    rules: Mapping[str, Rule],
    copies: Sequence[Copy],
    actual: tuple[Actual, ...],
    judge: Judge,
    *,
    refused: tuple[LeftOut, ...],
    conflicts: tuple[LeftOut, ...],
) -> UnitPlan:
    puts: list[Put] = []
    going: list[Remove] = []
    paired, left = _paired(copies, actual, judge)
    for copy, best, rest in paired:
        there = best.instance if best else None
        match judge(copy, there):
            case Judgement.DUE:
                puts.append(Put(copy=copy, old=there, why=_why_put(copy, there)))
            case Judgement.IN_STEP:
                going += (Remove(actual=one, why="it is written in another place now") for one in rest)
            case Judgement.WAITING:
                pass
    reasons = {(one.rule, one.origin): one.why for one in (*refused, *conflicts)}
    going += (
        Remove(actual=one, why=reasons.get(one.identity) or _why_gone(scene, rules, one.identity)) for one in left
    )
    removes, waiting = _trusted(scene, rules, going)
    return UnitPlan(
        unit=unit,
        puts=tuple(puts),
        removes=removes,
        waiting=waiting,
        conflicts=conflicts,
        refused=refused,
        actual=actual,
    )


def _why_put(copy: Copy, there: Instance | None) -> str:
    if there is None:
        return f"of {copy.service}"
    return differences(copy, there) or "its lease is to be taken over"


def _paired(
    copies: Sequence[Copy], actual: Sequence[Actual], judge: Judge
) -> tuple[list[tuple[Copy, Actual | None, list[Actual]]], list[Actual]]:
    """Each copy with the record that is it, and further ones that were; and the records that nobody wants.

    A record belongs to the copy of the same rule and origin. One that is left belongs to the copy that would take
    its place: an original seen through another registry now, or a rule under a new name, changes it.
    """
    candidates: dict[tuple[str, Origin], list[Actual]] = {}
    for one in actual:
        candidates.setdefault(one.identity, []).append(one)
    found = {copy.identity: candidates.pop(copy.identity, []) for copy in copies}
    left = {_slot(one.instance): one for several in candidates.values() for one in several}
    for copy in copies:
        there = left.get(_slot(copy.expected)) if not found[copy.identity] else None
        if there is not None and (not copy.record.layout or there.instance.layout in ("", copy.record.layout)):
            found[copy.identity] = candidates.pop(there.identity, [])
            del left[_slot(copy.expected)]
    paired = []
    for copy in copies:
        several = sorted(
            found[copy.identity],
            key=lambda one: (judge(copy, one.instance) is not Judgement.IN_STEP, one.instance.key),
        )
        paired.append((copy, several[0] if several else None, several[1:]))
    return paired, [one for several in candidates.values() for one in several]


def _slot(instance: Instance) -> tuple[str, str, tuple[int, ...]]:
    return instance.id, *_endpoint(instance)


def _why_gone(scene: Scene, rules: Mapping[str, Rule], identity: tuple[str, Origin]) -> str:
    name, origin = identity
    if name not in rules:
        return f"rule {name!r} is gone"
    if origin.registry == EDGE_ORIGIN:
        return "nothing stands behind that edge any more, or it is gone"
    source = scene.catalog.sources.get(origin.registry)
    if source is None or origin.id not in source.instances:
        return f"the original is gone from {origin.registry}"
    return f"rule {name!r} does not select it any more"


def _trusted(
    scene: Scene, rules: Mapping[str, Rule], going: Iterable[Remove]
) -> tuple[tuple[Remove, ...], tuple[Remove, ...]]:
    """Removals that may happen, and those for which a source is not to be trusted now."""
    removes: list[Remove] = []
    waiting: list[Remove] = []
    for remove in going:
        rule = rules.get(remove.actual.rule)
        doubt = doubted(scene, rule, remove.actual.origin) if rule else ""
        if doubt:
            waiting.append(msgspec.structs.replace(remove, why=f"{remove.why}, but {doubt}"))
        else:
            removes.append(remove)
    return tuple(removes), tuple(waiting)


def _left_out(copy: Copy, why: str) -> LeftOut:
    return LeftOut(rule=copy.rule, service=copy.service, id=copy.record.id, origin=copy.record.origin, why=why)


def _endpoint(instance: Instance) -> tuple[str, tuple[int, ...]]:
    return instance.address, tuple(sorted(port.number for port in instance.ports))


def _brief(value: object) -> str:
    text = msgspec.json.encode(value).decode() if not isinstance(value, str) else value
    return text if len(text) <= 60 else f"{text[:57]}…"


_SHOWN: Final = ("id", "address", "ports", "health", "weight", "zone", "locality", "metadata")
