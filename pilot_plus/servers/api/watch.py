"""The watch: what changes, as server-sent events, without ever skipping anything silently.

    event: reset   {"revision", "services": […], "registries": […], "more": false}   all there is
    event: resumed {"revision", "registries": […]}         nothing before `since` is missing; what is new follows
    event: put     {"revision", "namespace", "name", …}    the whole service, as `GET` gives it
    event: drop    {"revision", "namespace", "name"}       the service is gone
    event: source  {"revision", "name", "state", …}        a registry stands differently

`id`, and `revision` in an event, is where to go on (`since`, or `Last-Event-ID`): the client knows everything up to it.
Of what belongs together only the last event moves it: whoever is cut off in the middle hears that part again. A big
reset comes in parts, of which all but the last say `more` and have no `id`.
A client that reads slowly gets the newest state of what changed meanwhile, once.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Set
from itertools import chain
from typing import Final

import msgspec

from pilot_plus.catalog import Follower, Source
from pilot_plus.servers.api.answers import tail_of, with_revision
from pilot_plus.servers.api.context import Context
from pilot_plus.servers.api.route import Answer, Ask, Parameter, Route
from pilot_plus.views import overview, query, shapes

HEARTBEAT: Final = 10.0
"""Seconds without an event after which a comment shows that the connection lives."""
LOOK: Final = 1.0
"""Seconds between two looks at how registries stand, for those who follow one service only."""
PART: Final = 256 << 10
"""Bytes of services in one part of a reset."""
LONGEST_SINCE: Final = 100


async def watch(context: Context, ask: Ask) -> Answer:
    """Follow services."""
    since = ask.headers.get(b"last-event-id", b"").decode("latin-1") or ask.query.get("since", "")
    namespace, name = context.counting(ask.query.get("namespace", ""), ask.query.get("name", ""))
    wanted = query.Wanted(namespace=namespace, name=name)
    return Answer(
        type=b"text/event-stream",
        headers=((b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")),
        stream=Watch(context, wanted).events(since if len(since) <= LONGEST_SINCE else ""),
    )


class _News(msgspec.Struct, frozen=True):
    """What a client does not know yet, and the revision up to which this is all."""

    sources: list[Source]
    services: list[str]
    revision: str


class Watch:
    """One client's watch."""

    def __init__(self, context: Context, wanted: query.Wanted) -> None:
        """Follow the services of a namespace, of a name, both, or all."""
        self._context = context
        self._wanted = wanted
        self._services = [f"{wanted.namespace}/{wanted.name}"] if wanted.namespace and wanted.name else None
        self._standing: dict[str, object] = {}
        self._told = ""
        """The revision up to which the client knows everything."""

    async def events(self, since: str) -> AsyncGenerator[bytes, None]:
        """Everything, or what changed since a revision; then every change. Empty: the moment to let others run."""
        holder = self._context.holder
        with holder.following(self._services) as follower:
            touched = holder.touched_since(since) if since else None
            for event in self._reset() if touched is None else self._resumed(since, touched):
                yield event
            while True:
                news = await self._next(follower)
                for event in self._said(news) if news else (self._alive(follower),):
                    yield event

    async def _next(self, follower: Follower) -> _News | None:
        """Wait for the next news; None after too long a silence."""
        loop = asyncio.get_running_loop()
        speak_at = loop.time() + HEARTBEAT
        while (left := speak_at - loop.time()) > 0:
            try:
                async with asyncio.timeout(min(left, LOOK) if self._services else left):
                    touched = await follower.changes()
            except TimeoutError:
                touched = follower.take()
            if news := self._news(touched):
                return news
        return None

    def _news(self, touched: Set[str]) -> _News | None:
        catalog = self._context.catalog
        sources = [source for source in catalog.sources.values() if not source.is_built_in and self._is_news(source)]
        services = sorted(service for service in touched if self._concerns(service))
        return _News(sources, services, catalog.revision) if sources or services else None

    def _alive(self, follower: Follower) -> bytes:
        """A comment; it also moves the place to go on from, so that a quiet watch does not fall off the ring."""
        revision = self._context.catalog.revision
        if follower.touched or revision == self._told:
            return b": heartbeat\n\n"
        self._told = revision
        return b"id: %b\n: heartbeat\n\n" % revision.encode()

    def _reset(self) -> Iterator[bytes]:
        """Everything, in parts. What changes meanwhile comes again as a change."""
        catalog = self._context.catalog
        revision = catalog.revision
        services: list[bytes] = []
        size = 0
        for entry in query.matching(catalog, self._context.home, self._wanted):
            tail = self._context.answers.service(self._context.catalog, entry.service) if entry else None
            if tail is not None:
                services.append(b"{" + tail)
                size += len(tail)
            if size >= PART:
                yield _event(b"reset", _part(services, [], more=True), revision, "")
                services, size = [], 0
            if entry is None:
                yield b""
        self._told = revision
        yield _event(b"reset", _part(services, self._registries(), more=False), revision, revision)

    def _registries(self) -> list[shapes.RegistryShape]:
        """How every registry stands, noted as told."""
        context, catalog = self._context, self._context.catalog
        self._standing = {source.name: _standing_of(source) for source in catalog.sources.values()}
        return list(overview.registries(catalog, context.home, context.clock()).registries)

    def _resumed(self, since: str, touched: Set[str]) -> Iterator[bytes]:
        self._told = since
        tail = b'"registries":%b}' % msgspec.json.encode(self._registries())
        news = self._news(touched)
        yield _event(b"resumed", tail, since, since)
        if news:
            yield from self._said(news)

    def _said(self, news: _News) -> Iterator[bytes]:
        """The events, of which the last says that this was all."""
        left = len(news.sources) + len(news.services)
        for kind, tail in chain(map(self._source, news.sources), map(self._service, news.services)):
            left -= 1
            if not left:
                self._told = news.revision
            yield _event(kind, tail, self._told, self._told)

    def _source(self, source: Source) -> tuple[bytes, bytes]:
        self._standing[source.name] = _standing_of(source)
        return b"source", tail_of(overview.registry(source, self._context.home, self._context.clock()))

    def _service(self, service: str) -> tuple[bytes, bytes]:
        """A service as it is now, which may be newer than the news of it."""
        tail = self._context.answers.service(self._context.catalog, service)
        if tail is not None:
            return b"put", tail
        namespace, _, name = service.partition("/")
        return b"drop", tail_of(_Gone(namespace, name))

    def _is_news(self, source: Source) -> bool:
        return self._standing.get(source.name) != _standing_of(source)

    def _concerns(self, service: str) -> bool:
        namespace, _, name = service.partition("/")
        return (self._wanted.namespace or namespace) == namespace and (self._wanted.name or name) == name


class _Gone(msgspec.Struct, frozen=True):
    namespace: str
    name: str


def _standing_of(source: Source) -> object:
    return source.standing, source.error, len(source.skipped) + source.skipped_beyond, len(source.held)


def _part(services: list[bytes], registries: list[shapes.RegistryShape], *, more: bool) -> bytes:
    return b'"services":[%b],"registries":%b,"more":%b}' % (
        b",".join(services),
        msgspec.json.encode(registries),
        b"true" if more else b"false",
    )


def _event(kind: bytes, tail: bytes, revision: str, id_: str) -> bytes:
    """One event. `id_` empty: this is not where to go on."""
    where = b"id: %b\n" % id_.encode() if id_ else b""
    return b"%bevent: %b\ndata: %b\n\n" % (where, kind, with_revision(revision, tail))


ROUTES: Final = (
    Route(
        method="GET",
        path="/api/v1/watch",
        about="Changes as server-sent events (`reset`, `resumed`, `put`, `drop`, `source`), from `since` on.",
        handler=watch,
        query=(
            Parameter("namespace", "Only services of this namespace."),
            Parameter("name", "Only services of this name."),
            Parameter("since", "Go on behind this revision: an event's `id`, or an answer's `revision`."),
        ),
        gives="text/event-stream",
    ),
)
