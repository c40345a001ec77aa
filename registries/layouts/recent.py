"""What was made of instances a moment ago: a plan encodes each copy to show it, and the write needs it once more."""

from collections.abc import Callable
from typing import Final, Generic, TypeVar

from pilot_plus.model import Instance

T = TypeVar("T")
MOST: Final = 4096
"""Instances that are remembered: more than one batch, and little memory."""


class Recent(Generic[T]):
    """A pure function of instances with a short memory. It knows an instance by its identity: looking costs nothing."""

    def __init__(self, make: Callable[[Instance], T]) -> None:
        """Remember what `make` says; what it raises is not remembered."""
        self._make = make
        self._made: dict[int, tuple[Instance, T]] = {}

    def foresee(self, instance: Instance) -> T:
        """Make it, and keep it until it is taken."""
        made = self._make(instance)
        if len(self._made) >= MOST:
            self._made.clear()
        self._made[id(instance)] = instance, made  # which keeps the instance, and so its identity
        return made

    def take(self, instance: Instance) -> T:
        """What was foreseen of this very instance, or else is made now."""
        kept = self._made.pop(id(instance), None)
        return kept[1] if kept is not None else self._make(instance)
