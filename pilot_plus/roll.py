"""The roll: edges that have a session with this hub, as a source of the catalog.

The sessions put and drop edges; the catalog hears of it as of any other registry's records. A hub that starts shows
the edges that its journal last knew until they have had the time to come back: callers keep them meanwhile.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Final, Protocol

from pilot_plus.catalog import Source
from pilot_plus.catalog.admission import RESERVED_NAMESPACE, Admission
from pilot_plus.catalog.fold import Rules
from pilot_plus.ingest import Watched
from pilot_plus.model import Instance
from pilot_plus.ports import Source as Opened
from pilot_plus.wire.edge import Edge

NAME: Final = f"{RESERVED_NAMESPACE}/edges"
"""The source's name. No registry of a configuration can have it: their names hold no slash."""
RETURN_WITHIN: Final = 60.0
"""Seconds that an edge has to come back to a hub that has started."""


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

    def __init__(self, cluster: str, store: Store) -> None:
        self._cluster = cluster
        self._store = store
        self._awaited: set[str] = set()

    def expect(self, edges: Iterable[Instance]) -> None:
        """Show edges that were there before the hub started; those that don't come back go (see `wait`)."""
        for edge in edges:
            self._awaited.add(edge.key)
            self._store.write(edge)

    async def put(self, edge: Edge) -> None:
        """The edge is there, or has reported something new."""
        self._awaited.discard(edge.key)
        self._store.write(edge.as_instance(self._cluster))

    async def drop(self, key: str) -> None:
        """The edge of that key is gone."""
        self._awaited.discard(key)
        self._store.remove(key)

    async def wait(self, seconds: float = RETURN_WITHIN) -> None:
        """Give the expected edges time to come back, and let go of those that didn't."""
        await asyncio.sleep(seconds)
        self._store.remove(*self._awaited)


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
