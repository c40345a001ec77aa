"""The application: requests in, answers out (ASGI).

Plain ASGI without a framework: the path must be split before it is decoded, or `%2F` in a name would be lost, and most
requests are answered with bytes that are already there.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, MutableMapping
from contextlib import aclosing
from http import HTTPStatus
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final, TypeAlias

import msgspec

from pilot_plus.config import Config
from pilot_plus.servers.api import horizon, members, past, peers, proxies, reading, registration, sync, watch
from pilot_plus.servers.api.answers import tail_of, with_revision
from pilot_plus.servers.api.body import received
from pilot_plus.servers.api.context import Context
from pilot_plus.servers.api.door import Door
from pilot_plus.servers.api.openapi import document
from pilot_plus.servers.api.problem import PROBLEM_TYPE, Problem
from pilot_plus.servers.api.route import Answer, Ask, Route, Router, query_of

log = logging.getLogger(__name__)

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

STALLED: Final = 60.0
"""Seconds that a watcher may take nothing, before it is cut off."""
ABORT: Final = "pilot_plus.abort"
"""The extension of the scope that cuts the connection off."""

ROUTES: Final = (
    *reading.ROUTES,
    *horizon.ROUTES,
    *past.ROUTES,
    *watch.ROUTES,
    *registration.ROUTES,
    *sync.ROUTES,
    *members.ROUTES,
    *proxies.ROUTES,
    *peers.ROUTES,
)


class Api:
    """The HTTP API of one hub, as an ASGI application."""

    def __init__(self, context: Context, door: Door, routes: Iterable[Route] = ROUTES) -> None:
        """Answer `routes` for whoever the door lets in."""
        self._context = context
        self._door = door
        described = Route(
            method="GET",
            path="/openapi.json",
            about="This document.",
            handler=self._openapi,
            role="",
            gives="application/json",
        )
        self.routes = (*routes, described)
        """Everything that can be asked."""
        self._router = Router(self.routes)
        self._closing = asyncio.Event()

    def reload(self, config: Config) -> None:
        """Go on with another configuration, as far as it changes at run time.

        Raises:
            ConfigError: it would let nobody in; nothing has changed.
        """
        self._door.reload(config)
        self._context.reload(config)

    def close(self) -> None:
        """End every watch; requests under way are answered."""
        self._closing.set()

    def refusal(self, problem: Problem) -> bytes:
        """The whole answer to what is no request, and so never came to be asked; the connection ends with it."""
        answer = self._problem(problem)
        head = (
            f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}\r\nconnection: close\r\n"
            f"content-type: {answer.type.decode()}\r\ncontent-length: {len(answer.body)}\r\n"
            f"x-pilot-plus-revision: {self._context.catalog.revision}\r\n\r\n"
        )
        return head.encode() + answer.body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        try:
            answer = await self._answer(scope, receive)
        except Problem as problem:
            answer = self._problem(problem)
        except Exception:
            log.exception("a request failed", extra={"path": str(scope.get("path"))[:200]})
            answer = self._problem(Problem(500, "a defect of the hub; its log says more"))
        await self._send(answer, scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        headers = dict(scope["headers"])
        method = scope["method"]
        raw_path = scope.get("raw_path") or scope["path"].encode()
        try:
            route, names = self._router.find(method, raw_path)
        except Problem:
            self._door.check(method, "read", headers)  # who may not ask does not learn what there is
            raise
        self._door.check(method, route.role, headers)
        query = query_of(route, scope["query_string"])
        body = await received(headers, receive) if route.takes else b""
        return await route.handler(self._context, Ask(names, query, headers, body))

    def _problem(self, problem: Problem) -> Answer:
        body = with_revision(self._context.catalog.revision, tail_of(problem.shape))
        return Answer(body, problem.status, PROBLEM_TYPE, problem.headers)

    async def _send(self, answer: Answer, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [
            (b"content-type", answer.type),
            (b"x-pilot-plus-revision", self._context.catalog.revision.encode()),
            *answer.headers,
        ]
        if answer.stream is None:
            if answer.status != 204:
                headers.append((b"content-length", b"%d" % len(answer.body)))
            if answer.status == 413:
                headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        if scope["method"] == "HEAD":
            if answer.stream:
                await answer.stream.aclose()
            await send({"type": "http.response.body"})
        elif answer.stream is None:
            await send({"type": "http.response.body", "body": answer.body})
        else:
            await self._stream(answer.stream, scope, receive, send)

    async def _stream(self, parts: AsyncGenerator[bytes, None], scope: Scope, receive: Receive, send: Send) -> None:
        """Send a stream until its client leaves, stalls, or the hub closes."""
        async with asyncio.TaskGroup() as tasks:
            ends = (
                tasks.create_task(_write(parts, scope, send)),
                tasks.create_task(_until_gone(receive)),
                tasks.create_task(self._closing.wait()),
            )
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for task in ends:
                task.cancel()
        if self._closing.is_set():
            await send({"type": "http.response.body"})

    async def _openapi(self, _: Context, __: Ask) -> Answer:
        return Answer(msgspec.json.encode(document(self.routes, _version())))


async def _write(parts: AsyncGenerator[bytes, None], scope: Scope, send: Send) -> None:
    """Send part after part; one that is not taken in time cuts the client off."""
    async with aclosing(parts):
        async for part in parts:
            await asyncio.sleep(0)
            if not part:
                continue
            try:
                async with asyncio.timeout(STALLED):
                    await send({"type": "http.response.body", "body": part, "more_body": True})
            except TimeoutError:
                log.info("a watcher took nothing for %.0f s and is cut off", STALLED)
                abort = scope.get("extensions", {}).get(ABORT)
                if abort:
                    abort["now"]()
                return


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _version() -> str:
    try:
        return version("pilot-plus")
    except PackageNotFoundError:
        return "0"


def api_of(config: Config, context: Context, *, insecure: bool = False) -> Api:
    """The API of a hub.

    Raises:
        ConfigError: it would be open to everybody, and nobody has said that it should be.
    """
    return Api(context, Door(config, insecure=insecure))
