"""Rejections: what a client has rejected, and how the guilty one among several is found.

A rejected response of several resources is sent again in parts until the guilty one is alone: `a b c d` → `a b`
accepted, `c d` rejected → `c` rejected, `d` accepted. Which are named in the error is only a hint of what to try alone.
"""

from collections.abc import Sequence

import msgspec

from pilot_plus.views.xds.resource import Resource


class Rejection(msgspec.Struct, frozen=True):
    """A version that a client has rejected, why, and when (monotonic seconds)."""

    version: str
    reason: str
    since: float


def rejection_of(resources: Sequence[Resource], reason: str, now: float) -> Rejection:
    """The rejection of a whole response; its version names what was in it."""
    return Rejection(", ".join(f"{one.name} {one.version}" for one in resources[:10]), reason, now)


def suspected(resources: Sequence[Resource], reason: str) -> Sequence[Resource]:
    """Those that the client's words name."""
    return [one for one in resources if one.name in reason]


def parts_of(resources: Sequence[Resource], suspects: Sequence[Resource]) -> list[tuple[str, ...]]:
    """The names of several rejected resources, in the parts in which they are to be tried again."""
    rest = [one for one in resources if one not in suspects]
    if suspects and rest:
        parts: list[Sequence[Resource]] = [rest, *([one] for one in suspects)]
    else:
        middle = (len(resources) + 1) // 2
        parts = [resources[:middle], resources[middle:]]
    return [tuple(one.name for one in part) for part in parts]
