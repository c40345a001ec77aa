"""Kubernetes as a source: every stream listed, then watched, and all of them joined.

It does not resume: what a slice's change takes away is known only to who has the slice as it was, and that takes a
list. So every watch begins with a `Reset`, and only an orderly end of a watch by the server is followed by a new one
from the same resourceVersion.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from itertools import cycle
from typing import Final

from pilot_plus.model import Alive, Instance, Reset, Update
from pilot_plus.ports import SourceLost
from registries.kubernetes.breath import breathing
from registries.kubernetes.change import Change, apply
from registries.kubernetes.client import Client
from registries.kubernetes.join import Join
from registries.kubernetes.kinds import SERVICES, SLICES
from registries.kubernetes.settings import EVERY_NAMESPACE, Settings
from registries.kubernetes.watch import Stream, changes, pages, version_now
from registries.tasks import beside

PROBE_EVERY: Final = 4.0
PROBE_SILENCE: Final = 6.0
BATCHES: Final = 64
"""How many batches of changes wait at most; beyond that the API server's stream waits."""

Heard = list[Change] | SourceLost | None
"""What the tasks of a watch hear: changes, its end, or (None) that the API server is alive."""


class KubernetesSource:
    """Services and EndpointSlices of an API server."""

    def __init__(self, client: Client, settings: Settings) -> None:
        self._client = client
        self._page_size = settings.page_size
        self._streams = _streams(settings)
        self._join = Join()

    async def check(self) -> None:
        """Ask for one object of every kind.

        Raises:
            SourceLost: the API server can't be reached, or refuses.
        """
        for stream in self._streams[:2]:
            await version_now(self._client, stream, PROBE_SILENCE)

    async def watch(self, after: str | None = None) -> AsyncIterator[Update]:
        """All services and endpoints, then every change."""
        join = self._join = Join()
        versions = {stream: await self._load(join, stream) for stream in self._streams}
        instances: list[Instance] = []
        async for some in breathing(join.instances()):
            instances += some
        yield Reset(join.services(), instances)
        for skipped in join.skips():
            yield skipped
        yield Alive()
        heard: asyncio.Queue[Heard] = asyncio.Queue(BATCHES)
        async with beside(
            *(self._follow(stream, versions, heard) for stream in self._streams), self._probe(versions, heard)
        ):
            while True:
                match await heard.get():
                    case None:
                        yield Alive()
                    case SourceLost() as lost:
                        raise lost
                    case batch:
                        for change in batch:
                            for update in apply(join, change):
                                yield update

    def places(self, keys: Sequence[str]) -> Mapping[str, Sequence[str]]:
        """The slices in which endpoints stand."""
        return self._join.places(keys)

    async def _load(self, join: Join, stream: Stream) -> str:
        """List a stream into the join."""
        version = ""
        async for page, version in pages(self._client, stream, self._page_size):  # noqa: B007 - the last one counts
            async for change in breathing(page):
                apply(join, change)
        return version

    async def _follow(self, stream: Stream, versions: dict[Stream, str], heard: asyncio.Queue[Heard]) -> None:
        """Watch a stream until it is lost."""
        try:
            async for batch, version in changes(self._client, stream, versions[stream]):
                versions[stream] = version
                if batch:
                    await heard.put(batch)
        except SourceLost as lost:
            await heard.put(lost)

    async def _probe(self, versions: dict[Stream, str], heard: asyncio.Queue[Heard]) -> None:
        """Ask now and then whether the API server still lives, for a silent watch doesn't tell.

        It also tells when history went back (a cluster restored from a backup): a watch from a resourceVersion that is
        not there yet is accepted, and silent. Each kind is asked in turn, for each may have a history of its own.
        """
        try:
            for stream in cycle(self._streams[:2]):
                await asyncio.sleep(PROBE_EVERY)
                seen = [version for other, version in versions.items() if other.kind == stream.kind]
                now = await version_now(self._client, stream, PROBE_SILENCE)
                if newer := [version for version in seen if _is_older(now, version)]:
                    raise SourceLost(
                        f"{stream.path}: resourceVersion {now} is older than {newer[0]}: history went back"
                    )
                await heard.put(None)
        except SourceLost as lost:
            await heard.put(lost)


def _streams(settings: Settings) -> tuple[Stream, ...]:
    """What is watched: slices are taken whole, for not all of them carry their service's labels."""
    namespaces = ("",) if EVERY_NAMESPACE in settings.namespaces else settings.namespaces
    return tuple(
        stream
        for namespace in namespaces
        for stream in (Stream(SLICES, namespace), Stream(SERVICES, namespace, settings.label_selector))
    )


def _is_older(one: str, other: str) -> bool:
    """Whether a resourceVersion comes before another, where they can be compared: numbers, as every server has them."""
    return one.isdecimal() and other.isdecimal() and int(one) < int(other)
