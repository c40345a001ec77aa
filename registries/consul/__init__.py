"""Consul: services of its catalog with their health, by blocking queries.

`watch` says what the source does, `sink` what is written and how its ownership is proved; `agent` is the only module
that speaks HTTP; `decode`, `encode` and `preview`, `truth`, `attention`, `checks` and `pace` are pure.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from pilot_plus.model import Instance, Update
from pilot_plus.ports import Refused, Result
from registries.consul.agent import Lines, open_lines
from registries.consul.background import Background, background
from registries.consul.locks import Locks
from registries.consul.rights import Control, access_control
from registries.consul.settings import Settings
from registries.consul.sink import Writing
from registries.consul.watch import Watch

__all__ = ["Consul", "Settings", "connect"]


class Consul:
    """A connected Consul: source, sink, and keeper of its leases."""

    def __init__(self, lines: Lines, control: Control, tasks: Background) -> None:
        self._lines = lines
        self._control = control
        self._tasks = tasks
        self._locks = Locks(lines.asking, lines.asking.settings.locks)
        self._writing = Writing(lines.writing, self._locks)

    def watch(self, after: str | None = None) -> AsyncIterator[Update]:
        """Say the whole catalog, then every change. It never resumes."""
        return Watch(self._lines, self._control, self._tasks).updates()

    def preview(self, instance: Instance) -> Instance | Refused:
        """What will become of a write."""
        return self._writing.preview(instance)

    async def put(self, instances: Sequence[Instance]) -> Sequence[Result]:
        """Register each with the agent."""
        return await self._writing.put(instances)

    async def drop(self, keys: Sequence[str]) -> Sequence[Result]:
        """Deregister each that is ours."""
        return await self._writing.drop(keys)

    async def renew(self, keys: Sequence[str]) -> Sequence[Result]:
        """Renew the leases of these."""
        return await self._writing.renew(keys)

    async def tidy(self) -> None:
        """Remove leases that no copy needs any more."""
        await self._writing.tidy()

    async def claim(self, name: str, owner: str, ttl: float) -> str:
        """Take a lock, or raise its counter; whose it is now. Transactions in the catalog are fenced by it."""
        return await self._locks.claim(name, owner, ttl)

    async def release(self, name: str, owner: str) -> None:
        """Give a lock up."""
        await self._locks.release(name, owner)


@asynccontextmanager
async def connect(settings: Settings) -> AsyncIterator[Consul]:
    """Open a Consul.

    Raises:
        SourceLost: it can't be reached, has no leader, or refuses the token.
    """
    # The connections go first: what is still asked then ends at once.
    async with background() as tasks, open_lines(settings) as lines:
        yield Consul(lines, await access_control(lines.asking), tasks)
