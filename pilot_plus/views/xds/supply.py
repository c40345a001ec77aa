"""A supply: the resources of all clients of one profile, and how they change.

The server that carries xDS knows nothing of services and horizons: it asks a supply. One supply serves every stream
of its profile, so what it builds is built once.
"""

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Protocol, TypeAlias

from pilot_plus.views.xds.profile import Profile
from pilot_plus.views.xds.resource import Resource, Type

Changes: TypeAlias = Mapping[Type, AbstractSet[str]]
"""The names of the resources of each type that may not be as they were: made, changed, or gone.

A name that is not here is as it was. One that is here need not have changed: versions tell.
"""


class Supply(Protocol):
    """What the clients of one profile get. Everything that it says belongs to one moment, until it is advanced."""

    @property
    def mark(self) -> int:
        """The moment that it shows; grows whenever a resource changes."""
        ...

    def get(self, type_: Type, name: str) -> Resource | None:
        """One resource; None if there is none of that name for these clients."""
        ...

    def names(self, type_: Type) -> AbstractSet[str]:
        """What a client gets that asks for everything of a type (listeners and clusters; empty for the others)."""
        ...

    def prepare(self, type_: Type) -> Iterator[None]:
        """Make ready what `names` of a type needs. It pauses now and then, so that others can have their turn.

        Who asks for everything without it waits until all of it is made at once: 2 s of 100,000 endpoints.
        """
        ...

    def since(self, mark: int) -> Changes | None:
        """What has changed after a mark; None: that is not known any more, compare everything."""
        ...


class Supplies(Protocol):
    """The supplies of all profiles, brought up to the newest catalog by whoever drives them."""

    def of(self, profile: Profile) -> Supply:
        """The supply of a profile: the same one for everybody, as long as somebody uses it."""
        ...

    def forget(self, profile: Profile) -> None:
        """One that asked for the supply of this profile has gone."""
        ...
