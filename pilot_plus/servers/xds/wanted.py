"""What a client wants of one type: names, or everything; whoever must hear of changes of it is told."""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from typing import Protocol

from pilot_plus.views.xds.resource import Type
from pilot_plus.views.xds.supply import Supply


class Follows(Protocol):
    """Who must hear which resources are followed."""

    def follow(self, type_: Type, names: Iterable[str]) -> None:
        """More of them."""
        ...

    def unfollow(self, type_: Type, names: Iterable[str]) -> None:
        """Fewer of them."""
        ...

    def follow_all(self, type_: Type, *, yes: bool) -> None:
        """All of a type, or no longer all."""
        ...


class Wanted:
    """The names that are wanted of a type, and whether everything is."""

    def __init__(self, type_: Type, follows: Follows) -> None:
        self.names: set[str] = set()
        self.is_everything = False
        """Whether all there is is wanted, beside what is named."""
        self._type = type_
        self._follows = follows

    def __repr__(self) -> str:
        everything = ", and everything" if self.is_everything else ""
        return f"<Wanted {self._type.name}: {len(self.names)} names{everything}>"

    def __contains__(self, name: str) -> bool:
        """Whether it is wanted, if it is there."""
        return name in self.names or self.is_everything

    def add(self, names: AbstractSet[str]) -> None:
        """These are wanted too."""
        self.names |= names
        self._follows.follow(self._type, names)

    def remove(self, names: AbstractSet[str]) -> AbstractSet[str]:
        """These are not wanted by name any more; those of them that were."""
        known = names & self.names
        self.names -= known
        self._follows.unfollow(self._type, known)
        return known

    def want_everything(self, *, yes: bool) -> None:
        """Everything is wanted, or only what is named."""
        self.is_everything = yes
        self._follows.follow_all(self._type, yes=yes)

    def of(self, supply: Supply) -> AbstractSet[str]:
        """The names that are wanted of what a supply has, and those that it lacks."""
        return self.names | supply.names(self._type) if self.is_everything else self.names

    def has(self, supply: Supply, name: str) -> bool:
        """Whether a name is wanted, with what a supply has now."""
        return name in self.names or (self.is_everything and name in supply.names(self._type))
