"""The shelf: every resource as the hub says it now, and as an Envoy has acknowledged it last.

offered v3    good v2                     an Envoy gets v3
offered v3    good v2    rejected v3      an Envoy gets v2, until the hub offers v4
-             good v2                     gone: an Envoy hears so
proven v2     good v3                     Envoys crash again and again: v3 is under suspicion, and v2 is back
"""

from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias

import msgspec

from pilot_plus.wire.discovery import Type

SUSPECTS: Final = (Type.CLUSTER, Type.LISTENER, Type.ROUTES)
"""What may make an Envoy crash: how it is built, and not where instances are."""
CRASHED: Final = "Envoy crashed again and again soon after it got this"


class Item(msgspec.Struct, frozen=True):
    """A resource: its version, and the serialised `Resource` of the discovery protocol."""

    version: str
    data: bytes


Goods: TypeAlias = dict[Type, dict[str, Item]]


class Rejected(msgspec.Struct, frozen=True):
    """What an Envoy can't use, and why."""

    version: str
    why: str


class Shelf:
    """The resources of all types, by name."""

    def __init__(self) -> None:
        self._offered: dict[Type, dict[str, Item]] = {type_: {} for type_ in Type}
        self._good: dict[Type, dict[str, Item]] = {type_: {} for type_ in Type}
        self._absent: dict[Type, set[str]] = {type_: set() for type_ in Type}
        self._answered: set[Type] = set()
        self._lived_with: Goods | None = None
        self._proven: Goods | None = None
        self.rejected: dict[tuple[Type, str], Rejected] = {}

    def restore(self, good: Mapping[Type, Mapping[str, Item]]) -> None:
        """Begin with what was good when the agent ended."""
        for type_, items in good.items():
            self._offered[type_] = dict(items)
            self._good[type_] = dict(items)
            self._answered.add(type_)
        if good:
            self._proven = self._lived_with = self._copied()

    def offer(self, type_: Type, items: Mapping[str, Item], removed: Iterable[str]) -> frozenset[str]:
        """Take what the hub says; the names that are new, changed or gone."""
        self._answered.add(type_)
        offered, absent = self._offered[type_], self._absent[type_]
        changed = {name for name, item in items.items() if offered.get(name) != item}
        offered.update(items)
        absent.difference_update(items)
        for name in removed:
            absent.add(name)
            self._good[type_].pop(name, None)
            self.rejected.pop((type_, name), None)
            offered.pop(name, None)
            changed.add(name)
        return frozenset(changed)

    def forget(self, type_: Type, name: str) -> None:
        """Nobody wants it any more."""
        self._offered[type_].pop(name, None)
        self._good[type_].pop(name, None)
        self._absent[type_].discard(name)
        self.rejected.pop((type_, name), None)

    def accept(self, type_: Type, name: str, item: Item) -> None:
        """An Envoy works with this."""
        self._good[type_][name] = item
        rejected = self.rejected.get((type_, name))
        offered = self._offered[type_].get(name)
        if rejected and offered and rejected.version != offered.version:
            del self.rejected[type_, name]

    def reject(self, type_: Type, name: str, version: str, why: str) -> None:
        """An Envoy can't use this."""
        self.rejected[type_, name] = Rejected(version, why)

    def prove(self) -> None:
        """An Envoy has lived for a while: what was good at the last call, it has lived with since."""
        self._proven, self._lived_with = self._lived_with or self._proven, self._copied()

    def doubt(self) -> None:
        """Envoys crash in a row: go back to what one has lived with, until the hub says something else."""
        self._lived_with = None
        if self._proven is None:
            return
        for type_ in SUSPECTS:
            proven, good = self._proven[type_], self._good[type_]
            for name, item in self._offered[type_].items():
                if proven.get(name) != item:
                    self.rejected[type_, name] = Rejected(item.version, CRASHED)
            good.clear()
            good.update({name: item for name, item in proven.items() if name in self._offered[type_]})

    def relieve(self) -> None:
        """They crash all the same: it was none of that."""
        self.rejected = {key: one for key, one in self.rejected.items() if one.why != CRASHED}

    def _copied(self) -> Goods:
        return {type_: dict(self._good[type_]) for type_ in SUSPECTS}

    def best(self, type_: Type, name: str) -> Item | None:
        """What an Envoy should have."""
        offered = self._offered[type_].get(name)
        rejected = self.rejected.get((type_, name))
        if offered and rejected and rejected.version == offered.version:
            return self._good[type_].get(name)
        return offered

    def names(self, type_: Type) -> Iterable[str]:
        """What the hub offers."""
        return self._offered[type_].keys()

    def offered(self, type_: Type) -> Mapping[str, str]:
        """The version of everything that the hub offers: it needn't say that again."""
        return {name: item.version for name, item in self._offered[type_].items()}

    def good(self, type_: Type) -> Mapping[str, Item]:
        """What an Envoy has acknowledged."""
        return self._good[type_]

    def is_absent(self, type_: Type, name: str) -> bool:
        """Whether the hub says that there is none."""
        return name in self._absent[type_]

    def is_answered(self, type_: Type) -> bool:
        """Whether the hub has ever said anything of this type."""
        return type_ in self._answered
