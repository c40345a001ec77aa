"""The roll: edges that have a session with this hub, as a source of the catalog.

The sessions put and drop edges; the catalog hears of it as of any other registry's records. A hub that starts shows
the edges that its journal last knew until they have had the time to come back: callers keep them meanwhile.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from time import monotonic
from typing import Final, Protocol

import msgspec

from pilot_plus.catalog import Source
from pilot_plus.catalog.admission import RESERVED_NAMESPACE, Admission
from pilot_plus.catalog.fold import Rules
from pilot_plus.ingest import Watched
from pilot_plus.model import Health, Instance
from pilot_plus.ports import Source as Opened
from pilot_plus.wire.edge import Edge

NAME: Final = f"{RESERVED_NAMESPACE}/edges"
"""The source's name. No registry of a configuration can have it: their names hold no slash."""
RETURN_WITHIN: Final = 60.0
"""Seconds that an edge has to come back to a hub that has started."""
LOST_FOR: Final = 86400.0
"""Seconds that a lost edge is shown as lost before it is forgotten."""


class Store(Protocol):
    """Where the records lie: a store of the memory registry."""

    def write(self, *records: Instance) -> None:
        """Create or replace records."""
        ...

    def remove(self, *keys: str) -> None:
        """Remove records."""
        ...


class Roll:
    """Keeps a store in step with the sessions: the `Edges` of `servers.join`."""

    def __init__(self, cluster: str, store: Store, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._cluster = cluster
        self._store = store
        self._awaited: set[str] = set()
        self._shown: dict[str, Instance] = {}
        self._lost: dict[str, float] = {}

    def expect(self, edges: Iterable[Instance]) -> None:
        """Show edges that were there before the hub started; those that don't come back are lost (see `keep`)."""
        for edge in edges:
            self._awaited.add(edge.key)
            self._show(edge)

    async def put(self, edge: Edge) -> None:
        """The edge is there, or has reported something new."""
        self._awaited.discard(edge.key)
        self._lost.pop(edge.key, None)
        self._show(edge.as_instance(self._cluster))

    async def lose(self, key: str) -> None:
        """Nothing is known of an edge any more: it is shown as lost, and nobody is sent there."""
        known = self._shown.get(key)
        if known is not None:
            self._lost[key] = self._clock()
            self._show(msgspec.structs.replace(known, health=Health.CRITICAL))

    async def drop(self, key: str) -> None:
        """The edge of that key is gone."""
        self._awaited.discard(key)
        self._lost.pop(key, None)
        self._shown.pop(key, None)
        self._store.remove(key)

    async def keep(self, seconds: float = RETURN_WITHIN) -> None:
        """Until cancelled: give the expected edges time to come back, and forget what has been lost for long."""
        while True:
            await asyncio.sleep(seconds)
            for key in list(self._awaited):
                self._awaited.discard(key)
                await self.lose(key)
            for key, since in list(self._lost.items()):
                if self._clock() - since > LOST_FOR:
                    await self.drop(key)

    def _show(self, edge: Instance) -> None:
        if self._shown.get(edge.key) != edge:
            self._shown[edge.key] = edge
            self._store.write(edge)


def source_of(now: float) -> Source:
    """The source as the catalog knows it first."""
    return Source(name=NAME, kind="sessions", zone="", since=now, is_built_in=True)


def watched_of(cluster: str, opened: Opened, *, loopback_is_fine: bool) -> Watched:
    """The source as ingest opens it."""

    @asynccontextmanager
    async def opening() -> AsyncIterator[Opened]:
        yield opened

    admission = Admission(
        cluster=cluster,
        registry=NAME,
        zone="",
        namespace=RESERVED_NAMESPACE,
        namespaces=(RESERVED_NAMESPACE,),
        loopback_is_fine=loopback_is_fine,
        writes_reserved=True,
    )
    return Watched(NAME, opening, Rules(admission, None))
