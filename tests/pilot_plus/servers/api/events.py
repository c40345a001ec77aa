"""A reader of server-sent events, written from the standard rather than from our server."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import msgspec

from pilot_plus.servers.api.route import Ask, query_of
from pilot_plus.servers.api.watch import ROUTES, watch
from tests.pilot_plus.servers.api.hub import Hub


class Event(msgspec.Struct):
    kind: str
    data: dict[str, Any]
    id: str
    """The last event id, once this event is taken."""


class Reader:
    """What a client knows of the world by its watch alone."""

    def __init__(self) -> None:
        self.id = ""
        self.services: dict[str, Any] = {}
        self._more = False

    def take(self, block: bytes) -> Event | None:
        kind, data = "message", ""
        for line in block.decode().splitlines():
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if name == "id":
                self.id = value
            elif name == "event":
                kind = value
            elif name == "data":
                data += value
        if not data:
            return None
        event = Event(kind, json.loads(data), self.id)
        self._apply(event)
        return event

    def _apply(self, event: Event) -> None:
        match event.kind:
            case "reset":
                if not self._more:
                    self.services = {}
                self._more = event.data["more"]
                for service in event.data["services"]:
                    self._put(service)
            case "put":
                self._put(event.data)
            case "drop":
                self.services.pop(f"{event.data['namespace']}/{event.data['name']}", None)

    def _put(self, service: dict[str, Any]) -> None:
        self.services[f"{service['namespace']}/{service['name']}"] = [i["key"] for i in service["instances"]]


class Watching:
    """A watch under way, read event by event."""

    def __init__(self, parts: AsyncIterator[bytes], reader: Reader) -> None:
        self._parts = parts
        self.reader = reader

    async def next(self) -> Event:
        async with asyncio.timeout(30):
            while True:
                part = await anext(self._parts)
                if part and (event := self.reader.take(part)):
                    return event

    async def until(self, holds: Callable[[Reader], bool]) -> None:
        while not holds(self.reader):
            await self.next()


@asynccontextmanager
async def watching(hub: Hub, query: str = "", reader: Reader | None = None, **headers: str) -> AsyncIterator[Watching]:
    """Watch a hub, straight at its handler."""
    asked = query_of(ROUTES[0], query.encode())
    sent = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    answer = await watch(hub.context, Ask({}, asked, sent))
    assert answer.stream is not None
    async with aclosing(answer.stream) as parts:
        yield Watching(parts, reader or Reader())
