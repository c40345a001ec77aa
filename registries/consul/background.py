"""Tasks that live as long as a block, and not a moment longer; and one piece of work for each of many things."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import TypeVar

from pilot_plus.ports import SourceLost
from registries.tasks import beside

T = TypeVar("T")


class Background:
    """Starts tasks that the block owns. One that raises is a bug, and ends the block."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group = group
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Start a task; it may be cancelled at any time."""
        task = self._group.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def stop(self) -> None:
        """Cancel all that still run."""
        for task in self._tasks:
            task.cancel()


@asynccontextmanager
async def background() -> AsyncIterator[Background]:
    """Open a block with tasks that may be started later."""
    async with beside() as group:
        tasks = Background(group)
        try:
            yield tasks
        finally:
            tasks.stop()


async def for_each(things: Iterable[T], work: Callable[[T], Awaitable[None]], width: int) -> None:
    """Do the work for each, at most `width` at once.

    Raises:
        SourceLost: the first one; nothing is begun after it.
    """
    left = iter(things)
    losses: list[SourceLost] = []

    async def some() -> None:
        for thing in left:
            try:
                await work(thing)
            except SourceLost as lost:
                losses.append(lost)
            if losses:
                return

    async with asyncio.TaskGroup() as group:
        for _ in range(width):
            group.create_task(some())
    if losses:
        raise losses[0]
