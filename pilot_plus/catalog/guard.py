"""The guard: when many instances stop passing at once, it is more often the registry that is wrong than the world.

It looks at *net* passing instances gone within a window, over how many there were at its start:

    window 30 s, max_removal 0.5, min 5
    t=0    10 pass
    t=5    4 go, 4 others come      net 0: nothing is held
    t=10   6 go                     6 >= 5 and 6 > 0.5 * 10: these 6 are held
    t=41   2 more go                the window starts with 4 now; 2 < 5: they go
"""

from typing import Final

import msgspec

from pilot_plus.config import Guard

Window = tuple[tuple[float, int], ...]

_STEPS: Final = 60
"""Into how many steps a window is divided: bounds its memory."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """When a removal is a mass removal, and for how long it is held (seconds)."""

    max_removal: float
    window: float
    hold_for: float
    min: int


def limits_of(guard: Guard) -> Limits:
    """The limits that a configuration gives."""
    return Limits(max_removal=guard.max_removal, window=guard.window, hold_for=guard.hold_for, min=guard.min)


def remembered(window: Window, now: float, passing: int, limits: Limits) -> Window:
    """The window, moved on to `now`, at which `passing` instances pass."""
    recent = _recent(window, now, limits)
    if len(recent) > 1 and now - recent[-2][0] < limits.window / _STEPS:
        return (*recent[:-1], (recent[-1][0], passing))
    if recent and recent[-1][1] == passing:
        return recent
    return (*recent, (now, passing))


def is_mass_removal(window: Window, now: float, passing: int, limits: Limits) -> bool:
    """Whether too many are gone if `passing` are left now."""
    recent = _recent(window, now, limits)
    if not recent:
        return False
    start = recent[0][1]
    gone = start - passing
    return gone >= limits.min and gone > limits.max_removal * start


def shifted(window: Window, by: int) -> Window:
    """The window as if the count had always been different by so many: for removals that somebody asked for."""
    return tuple((time, max(0, count + by)) for time, count in window)


def _recent(window: Window, now: float, limits: Limits) -> Window:
    """What is inside the window, with the last count before it, which is the count at its start."""
    start = now - limits.window
    first = 0
    while first + 1 < len(window) and window[first + 1][0] <= start:
        first += 1
    return window[first:]
