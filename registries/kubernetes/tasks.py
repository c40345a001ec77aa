"""Tasks that run beside an `async with` body, and work that lets others have their turn."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import asynccontextmanager
from time import monotonic
from typing import Final, TypeVar

BREATH: Final = 0.005
"""Seconds of work after which others get their turn."""

T = TypeVar("T")


@asynccontextmanager
async def beside(*works: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Run works until the body ends; what the body raises goes out as it is, not in a group."""
    raised: BaseException | None = None
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(work) for work in works]
        try:
            yield
        except BaseException as error:  # noqa: BLE001 - raised again, once the works have ended
            raised = error
        for task in tasks:
            task.cancel()
    if raised is not None:
        raise raised


async def breathing(items: Iterable[T]) -> AsyncIterator[T]:
    """The items, with a pause for others after every few milliseconds."""
    until = monotonic() + BREATH
    for item in items:
        yield item
        if monotonic() >= until:
            await asyncio.sleep(0)
            until = monotonic() + BREATH
