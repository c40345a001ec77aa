"""Changes: how one state of a service differs from the next, told so that it can be taken back.

    before                     after                      changes
    a weight 100, b            a weight 50, c             b gone, a weight 100 → 50, c came
    a, b                       a, b held by the guard     b held

Pure. A change holds the old and the new, so whoever has a later state and the changes since can walk back to any
earlier one (`undo`).
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from enum import StrEnum
from operator import itemgetter
from typing import Any, Final, TypeAlias

import msgspec
from immutables import Map

from pilot_plus.catalog.catalog import Catalog, Entry, Place
from pilot_plus.model import Instance


class Kind(StrEnum):
    """What has happened to a record."""

    CAME = "came"
    CHANGED = "changed"
    GONE = "gone"
    HELD = "held"
    """Its registry says that it is gone, or passes no longer; the guard keeps it as it was."""
    FREED = "freed"
    """It was held, and passes again, or what was held happens now: then `changed` or `gone` follows."""


class Field(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One field that is not the same; metadata by its name (`metadata.team`). None: it was, or is, not there."""

    name: str
    old: Any = None
    new: Any = None


class Change(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True, kw_only=True, tag="change"):
    """What has happened to one record of a service."""

    kind: Kind
    registry: str
    key: str
    id: str
    """The instance's."""
    of: int
    """How many instances of the service this registry had before; 0 where they were too many to count."""
    fields: tuple[Field, ...] = ()
    instance: Instance | None = None
    """The whole of what is gone; of what is held, what it becomes (None: gone)."""

    @property
    def place(self) -> Place:
        """Where the record was read."""
        return self.registry, self.key


class Remembered(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A record in a state of the past."""

    registry: str
    instance: Instance
    is_held: bool = False


State: TypeAlias = dict[Place, Remembered]
"""A service as it was, by the places of its records."""

COUNTED: Final = 2000
"""Instances of a service that are counted at each change."""
_NOBODY: Final[Map[Place, Instance]] = Map()
_KEPT: Final = ("health", "weight", "address", "ports", "id", "zone", "locality", "origin", "layout", "lease", "native")
"""Fields that are compared one by one; the names of service and record are what a record is told by."""


def between(
    before: Entry | None, after: Entry | None, beside: Mapping[Place, Instance] | None = None
) -> Iterator[Change]:
    """What has happened to the instances of a service; `after` is a later state of it, or of one of the same name.

    `beside`: what was there before too, and `before` doesn't hold.
    """
    old = before.instances if before else _NOBODY
    if beside:
        old = old.update(beside)
    new = after.instances if after else _NOBODY
    if old is new:
        return
    of = _Counts(old)
    touched = after.since(before.changed) if before and after and not beside else None
    for place in _places(old, new) if touched is None else touched:
        was, now = old.get(place), new.get(place)
        if was is now:
            continue
        if was is None and now is not None:
            yield _came(place, now, of)
        elif was is not None and now is None:
            yield gone(place, was, of[place[0]])
        elif was is not None and now is not None and (fields := fields_between(was, now)):
            yield Change(kind=Kind.CHANGED, registry=place[0], key=place[1], id=now.id, of=of[place[0]], fields=fields)


def _places(old: Map[Place, Instance], new: Map[Place, Instance]) -> Iterator[Place]:
    """All of them, once each."""
    yield from new
    yield from (place for place in old if place not in new)


def fields_between(old: Instance, new: Instance) -> tuple[Field, ...]:
    """The fields of a record that are not the same, as plain values that JSON can hold."""
    found = []
    for name in _KEPT:
        was, now = getattr(old, name), getattr(new, name)
        if was is not now and was != now:
            found.append(Field(name, msgspec.to_builtins(was), msgspec.to_builtins(now)))
    if old.metadata is not new.metadata and old.metadata != new.metadata:
        was_said, said = dict(old.metadata), dict(new.metadata)
        names = sorted(was_said.keys() | said.keys())
        found += [
            Field(f"metadata.{name}", was_said.get(name), said.get(name))
            for name in names
            if was_said.get(name) != said.get(name)
        ]
    return tuple(found)


def holds_between(before: Catalog, after: Catalog, registry: str) -> Iterator[tuple[str, Change]]:
    """Whole service name and change for each record that a registry's guard has begun, or ceased, to hold."""
    old, new = before.sources[registry], after.sources[registry]
    if old.held is new.held:
        return
    begun = [(Kind.HELD, key) for key in new.held if key not in old.held]
    ended = [(Kind.FREED, key) for key in old.held if key not in new.held]
    of: dict[str, int] = {}
    for kind, key in (*begun, *ended):
        instance = old.instances.get(key)
        if instance is None:
            continue
        service = instance.service
        if service not in of:
            of[service] = _Counts(before.entries[service].instances)[registry]
        held = new.held.get(key)
        becomes = held.pending if held else None
        yield (
            service,
            Change(kind=kind, registry=registry, key=key, id=instance.id, of=of[service], instance=becomes),
        )


def state_of(catalog: Catalog, entry: Entry | None) -> State:
    """A service as a catalog has it, ready to be taken back."""
    if entry is None:
        return {}
    held = {name: source.held for name, source in catalog.sources.items() if source.held}
    return {
        place: Remembered(place[0], instance, bool(held) and place[1] in held.get(place[0], ()))
        for place, instance in entry.instances.items()
    }


def undo(state: State, change: Change) -> None:
    """Take a change back. What doesn't fit, because something between is not known any more, is left alone."""
    there = state.get(change.place)
    match change.kind:
        case Kind.CAME:
            state.pop(change.place, None)
        case Kind.GONE:
            if change.instance is not None:
                state[change.place] = Remembered(change.registry, change.instance)
        case Kind.CHANGED:
            if there is not None:
                instance = _with_old(there.instance, change.fields)
                state[change.place] = msgspec.structs.replace(there, instance=instance)
        case Kind.HELD | Kind.FREED:
            if there is not None:
                state[change.place] = msgspec.structs.replace(there, is_held=change.kind is Kind.FREED)


class _Counts:
    """How many instances each registry had, counted when it is asked for; 0 where counting would take too long."""

    def __init__(self, old: Map[Place, Instance]) -> None:
        self._old = old if len(old) <= COUNTED else _NOBODY
        self._counts: Counter[str] | None = None

    def __getitem__(self, registry: str) -> int:
        if self._counts is None:
            self._counts = Counter(map(itemgetter(0), self._old))
        return self._counts[registry]


def _came(place: Place, instance: Instance, of: _Counts) -> Change:
    """Who has the record itself can find it in a later state: its address is enough to tell of it."""
    address = (Field("address", None, instance.address),)
    return Change(kind=Kind.CAME, registry=place[0], key=place[1], id=instance.id, of=of[place[0]], fields=address)


def gone(place: Place, instance: Instance, of: int) -> Change:
    """The record at a place is gone; its registry had so many instances of the service."""
    return Change(kind=Kind.GONE, registry=place[0], key=place[1], id=instance.id, of=of, instance=instance)


def _with_old(instance: Instance, fields: tuple[Field, ...]) -> Instance:
    plain = msgspec.to_builtins(instance)
    metadata = dict(instance.metadata)
    for field in fields:
        if field.name.startswith("metadata."):
            name = field.name.removeprefix("metadata.")
            metadata.pop(name, None)
            if field.old is not None:
                metadata[name] = field.old
        else:
            plain[field.name] = field.old
    plain["metadata"] = sorted(metadata.items())
    return msgspec.convert(plain, Instance)
