"""Breath: work that lets others have their turn."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from time import monotonic
from typing import Final, TypeVar

BREATH: Final = 0.005
"""Seconds of work after which others get their turn."""

T = TypeVar("T")


async def breathing(items: Iterable[T]) -> AsyncIterator[T]:
    """The items, with a pause for others after every few milliseconds."""
    until = monotonic() + BREATH
    for item in items:
        yield item
        if monotonic() >= until:
            await asyncio.sleep(0)
            until = monotonic() + BREATH
