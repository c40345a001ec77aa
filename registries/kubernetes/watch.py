"""List, then watch: what happens to the objects of one kind in one scope, as the API server tells it.

list       pages at one resourceVersion, RV
watch      every change after RV; each event, and each bookmark, moves RV on
... the server ends the watch in order (it does so now and then): watch again from RV
... 410, as a status or as an ERROR event, a broken connection, anything else: the watch is lost
"""

from collections.abc import AsyncIterator
from time import monotonic
from typing import Final

import msgspec

from pilot_plus.ports import SourceLost
from registries.kubernetes.change import Change
from registries.kubernetes.client import Client, Params
from registries.kubernetes.kinds import Kind
from registries.kubernetes.objects import Event, Nameable, Page, Status, read

WATCH_SECONDS: Final = 290
"""How long a watch is asked to last; the server may end it sooner."""
LATE: Final = 30.0
"""Seconds after which a watch that the server should have ended is given up. It may be silent until then: there need be
no bookmark where nothing happens. That the server is alive is asked beside it, and that the connection is, by TCP."""
SHORTEST_WATCH: Final = 1.0
"""Seconds: a watch without an event that ends sooner is taken for a broken server, not for an orderly end."""
FIRST_PAGE: Final = 50
"""Objects in the first page, which tells how large they are."""
PAGE_BYTES: Final = 2 << 20
"""Bytes that further pages should have about: a page is decoded in one go."""


class Stream(msgspec.Struct, frozen=True):
    """What is listed and watched together: a kind in one namespace, or in all of them."""

    kind: Kind
    namespace: str = ""
    selector: str = ""

    @property
    def path(self) -> str:
        """The URL's path."""
        return self.kind.path(self.namespace)

    @property
    def params(self) -> dict[str, str]:
        """What every request for it says."""
        return {"labelSelector": self.selector} if self.selector else {}


async def pages(client: Client, stream: Stream, page_size: int) -> AsyncIterator[tuple[list[Change], str]]:
    """All objects, page by page, and the resourceVersion at which they are all.

    Raises:
        SourceLost: a page is missing: what came before it is not all.
    """
    limit = min(FIRST_PAGE, page_size)
    params = {**stream.params, "limit": str(limit)}
    while True:
        body = await client.get(stream.path, params)
        page = _page(stream, body)
        yield (
            [_there(stream, number, raw) for number, raw in enumerate(page.items or ())],
            page.metadata.resource_version,
        )
        if not page.metadata.next_page:
            return
        limit = max(1, min(page_size, limit * PAGE_BYTES // max(1, len(body))))
        params = {**stream.params, "limit": str(limit), "continue": page.metadata.next_page}


async def version_now(client: Client, stream: Stream, silence: float) -> str:
    """The registry's resourceVersion now: proof that the API server and what is behind it are alive.

    Raises:
        SourceLost: they are not.
    """
    body = await client.get(stream.path, {"limit": "1"}, silence=silence)
    return _page(stream, body).metadata.resource_version


async def changes(client: Client, stream: Stream, version: str) -> AsyncIterator[tuple[list[Change], str]]:
    """Every change after a resourceVersion, as many at a time as are there, and the version that they lead to.

    Raises:
        SourceLost: always, in the end.
    """
    while True:
        opened, told = monotonic(), False
        watching = client.lines(stream.path, _watch_params(stream, version), silence=WATCH_SECONDS + LATE)
        async for lines in watching:
            told = True
            batch: list[Change] = []
            for line in lines:
                change, version = _event(stream, line, version)
                if change is not None:
                    batch.append(change)
            yield batch, version
        if not told and monotonic() - opened < SHORTEST_WATCH:
            raise SourceLost(f"{stream.path}: watch: the server ends it at once")


def _watch_params(stream: Stream, version: str) -> Params:
    return {
        **stream.params,
        "watch": "true",
        "allowWatchBookmarks": "true",
        "resourceVersion": version,
        "timeoutSeconds": str(WATCH_SECONDS),
    }


def _event(stream: Stream, line: bytes, version: str) -> tuple[Change | None, str]:
    """What a line says, and the resourceVersion after it."""
    if not line.strip():
        return None, version
    try:
        event = read(line, Event)
        if event.type == "ERROR":
            status = read(event.object, Status)
            raise SourceLost(f"{stream.path}: watch: {status.code} {status.reason}: {status.message[:300]!r}")
        meta = read(event.object, Nameable).metadata
    except ValueError as error:
        raise SourceLost(f"{stream.path}: watch: an event that is none: {error}") from error
    if not meta.resource_version:
        raise SourceLost(f"{stream.path}: watch: an event without a resourceVersion")
    match event.type:
        case "BOOKMARK":
            return None, meta.resource_version
        case "ADDED" | "MODIFIED":
            return Change(stream.kind, meta.namespace, meta.name, event.object), meta.resource_version
        case "DELETED":
            return Change(stream.kind, meta.namespace, meta.name, None), meta.resource_version
        case _:
            raise SourceLost(f"{stream.path}: watch: an event of unknown type {event.type[:50]!r}")


def _page(stream: Stream, body: bytes) -> Page:
    try:
        page = read(body, Page)
    except ValueError as error:
        raise SourceLost(f"{stream.path}: the answer is no list: {error}") from error
    if not page.metadata.resource_version:
        raise SourceLost(f"{stream.path}: the answer is no list: it has no resourceVersion")
    return page


def _there(stream: Stream, number: int, raw: msgspec.Raw) -> Change:
    try:
        meta = read(raw, Nameable).metadata
    except ValueError:
        return Change(stream.kind, stream.namespace, f"?{number}", raw)  # which is skipped when it is read whole
    return Change(stream.kind, meta.namespace, meta.name, raw)
