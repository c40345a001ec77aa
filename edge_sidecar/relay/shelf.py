"""The shelf: every resource as the hub says it now, and as an Envoy has acknowledged it last.

offered v3    good v2                     an Envoy gets v3
offered v3    good v2    rejected v3      an Envoy gets v2, until the hub offers v4
-             good v2                     gone: an Envoy hears so
"""

from collections.abc import Iterable, Mapping

import msgspec

from pilot_plus.wire.discovery import Type


class Item(msgspec.Struct, frozen=True):
    """A resource: its version, and the serialised `Resource` of the discovery protocol."""

    version: str
    data: bytes


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
        self.rejected: dict[tuple[Type, str], Rejected] = {}

    def restore(self, good: Mapping[Type, Mapping[str, Item]]) -> None:
        """Begin with what was good when the agent ended."""
        for type_, items in good.items():
            self._offered[type_] = dict(items)
            self._good[type_] = dict(items)
            self._answered.add(type_)

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
