"""Kubernetes as a registry: the source, and the doors to the sink and to the locks."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

from pilot_plus.model import Instance, Update
from pilot_plus.ports import Refused, Result
from registries.kubernetes.bodies import Ours
from registries.kubernetes.client import Client, client
from registries.kubernetes.kinds import IMPORTS
from registries.kubernetes.kubeconfig import access
from registries.kubernetes.locks import Locks
from registries.kubernetes.settings import Settings
from registries.kubernetes.sink import Writer
from registries.kubernetes.source import KubernetesSource


@asynccontextmanager
async def connect(settings: Settings) -> AsyncIterator["Kubernetes"]:
    """Open an API server.

    Raises:
        SourceLost: it can't be reached, or refuses us.
    """
    async with client(access(settings)) as opened:
        source = KubernetesSource(opened, settings)
        await source.check()
        ours = Ours(
            settings.cluster,
            settings.selector if isinstance(settings.selector, dict) else {},
            has_imports=settings.multicluster and await _has_imports(opened),
        )
        yield Kubernetes(source, Writer(opened, settings, ours), Locks(opened, settings.lock_namespace))


class Kubernetes:
    """An open API server."""

    def __init__(self, source: KubernetesSource, writer: Writer, locks: Locks) -> None:
        self._source = source
        self._writer = writer
        self._locks = locks

    def watch(self, after: str | None = None) -> AsyncIterator[Update]:
        """Say the whole truth, then every change."""
        return self._source.watch(after)

    async def locate(self, keys: Sequence[str]) -> Mapping[str, Sequence[str]]:
        """The slices in which the endpoints stand."""
        return self._source.places(keys)

    def preview(self, instance: Instance) -> Instance | Refused:
        """What will become of a write."""
        return self._writer.preview(instance)

    async def put(self, instances: Sequence[Instance]) -> Sequence[Result]:
        """Write each into a slice of ours, behind a Service of ours."""
        return await self._writer.put(instances)

    async def drop(self, keys: Sequence[str]) -> Sequence[Result]:
        """Remove the copies of those keys that are ours."""
        return await self._writer.drop(keys)

    async def renew(self, keys: Sequence[str]) -> Sequence[Result]:
        """Say that whoever wrote these still lives."""
        return await self._writer.renew(keys)

    async def claim(self, name: str, owner: str, ttl: float) -> str:
        """Take a lock, or begin its time anew; whose it is now."""
        holder = await self._locks.claim(name, owner, ttl)
        if holder == owner:
            with suppress(TimeoutError):  # there is time for it at the next claim
                async with asyncio.timeout(ttl / 6):
                    await self._writer.sweep()
        return holder

    async def release(self, name: str, owner: str) -> None:
        """Give a lock up."""
        await self._locks.release(name, owner)


async def _has_imports(opened: Client) -> bool:
    """Whether somebody has installed the definition of ServiceImport."""
    answer = await opened.ask("GET", IMPORTS.group)
    return answer.status == 200 and f'"{IMPORTS.name}"'.encode() in answer.body
