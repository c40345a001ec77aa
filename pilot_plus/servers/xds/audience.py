"""The audience of a supply: which stream follows which resources, so that a change wakes only those it concerns."""

from collections.abc import Iterable, Set
from typing import Protocol

from pilot_plus.views.xds.resource import Type
from pilot_plus.views.xds.supply import Supply


class Listener(Protocol):
    """A stream, as far as it must hear of changes."""

    def touch(self, type_: Type, names: Iterable[str] | None) -> None:
        """Resources may have changed; None: any of the type."""
        ...

    def wake(self) -> None:
        """All that was touched has been said."""
        ...


class Audience:
    """Everybody who gets something of one supply."""

    def __init__(self, supply: Supply) -> None:
        self.supply = supply
        self.listeners: set[Listener] = set()
        # Dictionaries in place of sets: of a thousand listeners they need half of the room.
        self._of: dict[Type, dict[str, dict[Listener, None]]] = {type_: {} for type_ in Type}
        self._of_all: dict[Type, set[Listener]] = {type_: set() for type_ in Type}
        self._mark = supply.mark

    def __repr__(self) -> str:
        return f"<Audience of {len(self.listeners)}>"

    def leave(self, listener: Listener) -> None:
        """A stream has ended."""
        self.listeners.discard(listener)
        for type_ in Type:
            self._of_all[type_].discard(listener)

    def follow(self, listener: Listener, type_: Type, names: Iterable[str]) -> None:
        """A stream follows more resources."""
        of = self._of[type_]
        for name in names:
            of.setdefault(name, {})[listener] = None

    def unfollow(self, listener: Listener, type_: Type, names: Iterable[str]) -> None:
        """A stream follows fewer resources."""
        of = self._of[type_]
        for name in names:
            if (listeners := of.get(name)) is not None:
                listeners.pop(listener, None)
                if not listeners:
                    del of[name]

    def follow_all(self, listener: Listener, type_: Type, *, yes: bool) -> None:
        """A stream follows everything of a type, or no longer."""
        (self._of_all[type_].add if yes else self._of_all[type_].discard)(listener)

    def advance(self) -> Set[Listener]:
        """The supply has been advanced: note what may have changed, and say for whom: they are to be woken."""
        mark = self.supply.mark
        if mark == self._mark:
            return frozenset()
        changes = self.supply.since(self._mark)
        self._mark = mark
        woken: set[Listener] = set()
        if changes is None:
            woken |= self.listeners
            for listener in woken:
                for type_ in Type:
                    listener.touch(type_, None)
        else:
            for type_, names in changes.items():
                woken |= self._tell(type_, names)
        return woken

    def _tell(self, type_: Type, names: Iterable[str]) -> set[Listener]:
        told: set[Listener] = set(self._of_all[type_])
        for listener in told:
            listener.touch(type_, names)
        of = self._of[type_]
        for name in names:
            for listener in of.get(name, ()):
                listener.touch(type_, (name,))
                told.add(listener)
        return told


class Seat:
    """One stream's place in an audience: what a subscription tells its follows to."""

    def __init__(self, audience: Audience, listener: Listener) -> None:
        self._audience = audience
        self._listener = listener

    def follow(self, type_: Type, names: Iterable[str]) -> None:
        """More of them."""
        self._audience.follow(self._listener, type_, names)

    def unfollow(self, type_: Type, names: Iterable[str]) -> None:
        """Fewer of them."""
        self._audience.unfollow(self._listener, type_, names)

    def follow_all(self, type_: Type, *, yes: bool) -> None:
        """All of a type, or no longer all."""
        self._audience.follow_all(self._listener, type_, yes=yes)
