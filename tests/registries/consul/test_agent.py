"""Consul's API when it answers as it should not: everything is a loss, nothing is "there is nothing"."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import msgspec
import pytest
from aiohttp import web

from pilot_plus.ports import SourceLost
from registries.consul import Settings, agent, connect
from registries.consul.agent import open_lines, segment

TRUE = {"X-Consul-Index": "7", "X-Consul-KnownLeader": "true", "X-Consul-LastContact": "0"}
PATH = "/v1/health/service/orders"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def answering(handler: Handler) -> AsyncIterator[Settings]:
    """A server on loopback that answers everything so."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0, handler_cancellation=True)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        yield Settings(url=f"http://{host}:{port}", token="the-secret")
    finally:
        await runner.cleanup()


async def read(handler: Handler, *, index: int = 0) -> list[msgspec.Raw]:
    async with answering(handler) as settings, open_lines(settings) as lines:
        return (await lines.asking.read(PATH, list[msgspec.Raw], index=index, wait=4)).body


def saying(status: int = 200, text: str = "[]", headers: dict[str, str] | None = None) -> Handler:
    async def handler(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, text=text, headers=TRUE if headers is None else headers)

    return handler


@pytest.mark.parametrize(
    ("status", "text", "headers", "why"),
    [
        (200, "[]", {}, "known leader"),
        (200, "[]", {**TRUE, "X-Consul-KnownLeader": "false"}, "known leader"),
        (200, "[]", {**TRUE, "X-Consul-LastContact": "14000"}, "14 s"),
        (200, "[]", {**TRUE, "X-Consul-Index": "seven"}, "X-Consul-Index"),
        (200, "[]", {**TRUE, "X-Consul-Index": "-1"}, "X-Consul-Index"),
        (200, "{}", TRUE, "JSON"),
        (200, "<html>", TRUE, "JSON"),
        (200, "[" * 100_000, TRUE, "JSON"),
        (200, "", TRUE, "JSON"),
        (403, "ACL not found", TRUE, "refuses the token: 'ACL not found'"),
        (429, "slow down", TRUE, "rate"),
        (500, "No cluster leader", TRUE, "No cluster leader"),
        (503, "", TRUE, "503"),
    ],
)
async def test_an_answer_that_is_no_truth_is_a_loss_that_says_why(
    status: int, text: str, headers: dict[str, str], why: str
):
    with pytest.raises(SourceLost, match=why) as lost:
        await read(saying(status, text, headers))
    assert "the-secret" not in str(lost.value)


@pytest.mark.parametrize("status", [301, 400, 404])
async def test_a_name_that_consul_can_not_be_asked_for_is_the_names_fault(status: int):
    with pytest.raises(ValueError, match="can't be asked"):
        await read(saying(status, headers={**TRUE, "Location": "/v1/health/service/other"}))


async def test_an_answer_that_never_ends_is_a_loss(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(agent, "MAX_ANSWER", 1 << 20)
    with pytest.raises(SourceLost, match="more than 1 MB"):
        await read(saying(text="[" + "1," * (1 << 20)))


async def test_an_answer_that_does_not_come_is_a_loss(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(agent, "PATIENCE", 0.1)

    async def silent(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(60)
        return web.Response()

    with pytest.raises(SourceLost, match="no answer within"):
        await read(silent)


async def test_an_answer_cut_off_in_the_middle_is_a_loss():
    async def half(request: web.Request) -> web.StreamResponse:
        reply = web.StreamResponse(headers={**TRUE, "Content-Length": "1000"})
        await reply.prepare(request)
        await reply.write(b"[")
        assert request.transport is not None
        request.transport.abort()
        return reply

    with pytest.raises(SourceLost):
        await read(half)


async def test_a_broken_connection_is_told_and_not_tried_again():
    asked: list[str] = []

    async def broken(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    with pytest.raises(SourceLost, match="closed the connection"):
        await read(broken)
    assert asked == [PATH]


async def test_a_new_reading_is_consistent_and_a_blocking_one_waits():
    asked: list[dict[str, str]] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        asked.append(dict(request.query))
        assert request.headers["X-Consul-Token"] == "the-secret"
        return web.Response(text="[]", headers=TRUE)

    await read(handler)
    await read(handler, index=7)
    assert asked == [{"consistent": ""}, {"index": "7", "wait": "4s"}]


async def test_a_hostile_name_stays_one_part_of_the_path():
    paths: list[str] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        paths.append(request.raw_path)
        return web.Response(text="[]", headers=TRUE)

    async with answering(handler) as settings, open_lines(settings) as lines:
        for name in ("a/b", "../x", "a?b=c", "a#b", "%2e%2e", "ü"):
            await lines.asking.read(f"/v1/health/service/{segment(name)}", list[msgspec.Raw])
    assert [path.partition("?")[0].count("/") for path in paths] == [4] * 6


async def test_what_is_no_consul_can_not_be_connected_to():
    async with answering(saying(500, "nginx")) as settings:
        with pytest.raises(SourceLost):
            async with connect(settings):
                pass


async def test_nobody_listening_is_a_loss():
    with pytest.raises(SourceLost, match=r"127\.0\.0\.1:1"):
        async with connect(Settings(url="http://127.0.0.1:1")):
            pass
