"""Ours: what the hub itself has written into registries and taken out of them, as far as guards must know it.

A guard asks whether a registry is wrong. Of copies it has nothing to ask, for their truth lies elsewhere; nor of what
the hub has taken out itself. Most copies say by their mark what they are; of the others sync's index knows it.

    drop k ─▶ dismissed ─ the source reports that it is gone ─▶ it goes at once, however many go with it
"""

from collections.abc import Callable, Collection, Iterable
from time import monotonic
from typing import Final

import msgspec

from pilot_plus.model import Instance

PATIENCE: Final = 60.0
"""Seconds within which a source reports what was taken out, or it is not believed any more."""


class Known(msgspec.Struct, frozen=True):
    """What is known of one registry."""

    is_copy: Callable[[Instance], bool]
    """Whether we have written a record that doesn't say so."""
    dismissed: Collection[str] = ()
    """The keys of what we have just taken out."""


NOTHING: Final = Known(lambda _: False)


class _Dismissed(msgspec.Struct, frozen=True):
    until: float
    is_copy: bool


class Ours:
    """What is known of all registries."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        """Know nothing."""
        self.is_written: Callable[[str, Instance], bool] = lambda _registry, _instance: False
        """What sync's index knows."""
        self._dismissed: dict[str, dict[str, _Dismissed]] = {}
        self._clock = clock

    def dismiss(self, registry: str, keys: Iterable[str], *, are_copies: bool = False) -> None:
        """These are about to be taken out; a copy stays known as one until that is reported."""
        until = self._clock() + PATIENCE
        one = _Dismissed(until, are_copies)
        dismissed = self._dismissed.setdefault(registry, {})
        for key in keys:
            dismissed.pop(key, None)  # the oldest come first
            dismissed[key] = one

    def forget(self, registry: str, keys: Iterable[str]) -> None:
        """That they are gone has been reported, or they stay after all."""
        dismissed = self._dismissed.get(registry, {})
        for key in keys:
            dismissed.pop(key, None)

    def of(self, registry: str) -> Known:
        """What is known now."""
        dismissed, now = self._dismissed.get(registry, {}), self._clock()
        while dismissed and (first := next(iter(dismissed.items())))[1].until <= now:
            del dismissed[first[0]]

        def is_copy(instance: Instance) -> bool:
            one = dismissed.get(instance.key)
            return (one is not None and one.is_copy) or self.is_written(registry, instance)

        return Known(is_copy, dismissed.keys())
