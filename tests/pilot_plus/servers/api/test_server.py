"""The server: the API on a real socket, with clients that are slow, greedy, or gone."""

import asyncio
import json
import os
import signal
import socket
from pathlib import Path

import httpx
import pytest

from devservers.tls import make_tls
from pilot_plus.config import ConfigError
from pilot_plus.model import Put, Reset
from pilot_plus.quantities import Address
from pilot_plus.servers.api import app, body, listening_socket, protocol
from tests.pilot_plus.servers.api.hub import CONFIG, Hub, copy
from tests.pilot_plus.servers.api.serving import served


@pytest.fixture
def hub() -> Hub:
    hub = Hub()
    hub.say("own", Reset())
    hub.say("zk", Reset(instances=[copy("a"), copy("b", "a/b")]))
    return hub


async def exchanged(port: int, *parts: bytes) -> bytes:
    """What a server answers to bytes, until it closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
        async with asyncio.timeout(10):
            return await reader.read()
    except ConnectionError:
        return b"cut off"
    finally:
        writer.close()


async def test_it_answers_on_its_socket(hub):
    async with served(hub) as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        assert (await client.get("/api/v1/services/legacy/orders")).json()["name"] == "orders"
        assert (await client.get("/api/v1/services/legacy/a%2Fb")).json()["name"] == "a/b"
        assert (await client.get("/nothing")).headers["content-type"] == "application/problem+json"


async def test_an_event_follows_a_change(hub):
    async with (
        served(hub) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client,
        client.stream("GET", "/api/v1/watch") as response,
    ):
        assert response.headers["content-type"] == "text/event-stream"
        lines = response.aiter_lines()
        assert await anext(lines) == f"id: {hub.catalog.revision}"
        assert await anext(lines) == "event: reset"
        while await anext(lines):
            pass
        hub.say("zk", Put(copy("a", weight=7)))
        assert await anext(lines) == f"id: {hub.catalog.revision}"
        assert await anext(lines) == "event: put"


async def test_it_ends_at_once_though_clients_watch_and_keep_their_connections(hub):
    async with asyncio.timeout(10), httpx.AsyncClient() as client:
        async with served(hub) as port:
            await client.get(f"http://127.0.0.1:{port}/healthz")
            response = await client.send(
                client.build_request("GET", f"http://127.0.0.1:{port}/api/v1/watch"), stream=True
            )
            lines = response.aiter_lines()
            assert await anext(lines)
        assert [line async for line in lines][-1] == ""
        with pytest.raises(httpx.ConnectError):
            await client.get(f"http://127.0.0.1:{port}/healthz")
    assert not hub.holder._of_all


async def test_it_ends_when_its_task_is_cancelled(hub):
    started = asyncio.Event()

    async def run() -> None:
        async with served(hub):
            started.set()
            await asyncio.Event().wait()

    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        task = tasks.create_task(run())
        await started.wait()
        task.cancel()
    assert task.cancelled()


async def test_a_watcher_that_takes_nothing_is_cut_off(hub, monkeypatch):
    monkeypatch.setattr(app, "STALLED", 0.2)
    hub.say("zk", *(Put(copy(f"k{n}", "many", metadata=(("x", "y" * 1000),))) for n in range(200)))
    async with served(hub) as port:
        sock = socket.create_connection(("127.0.0.1", port))
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.sendall(b"GET /api/v1/watch HTTP/1.1\r\nhost: localhost\r\n\r\n")
            async with asyncio.timeout(20):
                n = 0
                while not hub.holder._of_all:  # noqa: ASYNC110 - nothing says that a follower has come
                    await asyncio.sleep(0.01)
                while hub.holder._of_all:
                    n += 1
                    hub.say("zk", Put(copy("k0", "many", weight=n)))
                    await asyncio.sleep(0.01)
        finally:
            sock.close()


async def test_a_head_that_never_ends_is_cut_off(hub):
    endless = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: " + b"x" * 60_000
    async with served(hub) as port:
        assert (await exchanged(port, endless, b"x" * 60_000))[:12] in (b"HTTP/1.1 431", b"cut off")


async def test_too_many_headers_are_refused(hub):
    lines = b"".join(b"x%d: y\r\n" % n for n in range(150))
    async with served(hub) as port:
        answer = await exchanged(port, b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n" + lines + b"\r\n")
        long = await exchanged(port, b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: " + b"x" * 70_000 + b"\r\n\r\n")
    for said in (answer, long):
        assert said.startswith(b"HTTP/1.1 431")
        assert json.loads(said.partition(b"\r\n\r\n")[2])["detail"] == "a head has at most 100 lines and 64 KB"


async def test_a_body_that_comes_with_its_head_is_no_part_of_it(hub):
    head = (
        b"POST /api/v1/instances HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nconnection: close\r\n"
    )
    async with served(hub) as port:
        for size, status in ((65_500, 400), (70_000, 413)):
            sent = head + b"content-length: %d\r\n\r\n" % size + b" " * size
            assert (await exchanged(port, sent)).startswith(b"HTTP/1.1 %d" % status)


async def test_what_is_no_request_gets_a_problem_document_too(hub):
    async with served(hub) as port:
        answer = await exchanged(port, b"GET / HTTP/9.9\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"content-type: application/problem+json" in head
    assert b"x-pilot-plus-revision: e." in head
    assert json.loads(body)["status"] == 400


async def test_a_head_that_does_not_come_is_not_waited_for(hub, monkeypatch):
    monkeypatch.setattr(protocol, "HEAD_WITHIN", 0.1)
    async with served(hub) as port:
        assert await exchanged(port) == b""
        assert await exchanged(port, b"GET /healthz HTTP/1.1\r\nhost: loc") == b""
        whole = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n"
        assert (await exchanged(port, whole, b"GET /he")).count(b"HTTP/1.1") == 1


async def test_a_body_that_does_not_come_is_not_waited_for(hub, monkeypatch):
    monkeypatch.setattr(body, "WITHIN", 0.1)
    head = b"POST /api/v1/instances HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    async with served(hub) as port:
        assert (await exchanged(port, head, b"content-length: 9\r\n\r\n{")).startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\r\n\r\n\0\0\0",
        b"GET http://[::1 HTTP/1.1\r\n\r\n",
        b"CONNECT x:1 HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nhost: localhost\r\ncontent-length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\nzz\r\n",
        os.urandom(2000),
    ],
)
async def test_garbage_is_answered_or_closed_and_harms_nobody(hub, garbage):
    async with served(hub) as port:
        answer = await exchanged(port, garbage, b"\r\n\r\n\r\n")
        assert b" 500 " not in answer.partition(b"\r\n")[0]
        async with httpx.AsyncClient() as client:
            assert (await client.get(f"http://127.0.0.1:{port}/healthz")).status_code == 200


async def test_off_loopback_it_speaks_tls(tmp_path: Path):
    tls, secret = make_tls(tmp_path), "s" * 20
    listen = f'listen: {{http: "hub.example:7080", tls: {{cert: {tls.server.cert}, key: {tls.server.key}}}}}'
    text = CONFIG.replace('listen: {http: "127.0.0.1:0"}', listen) + (
        f"auth: {{tokens: [{{secret: {secret}, roles: [read]}}]}}\n"
    )
    hub = Hub(text)
    trusted = tls.client_context()
    async with served(hub) as port, httpx.AsyncClient(verify=trusted, base_url=f"https://127.0.0.1:{port}") as client:
        assert (await client.get("/api/v1/services")).status_code == 401
        allowed = await client.get("/api/v1/services", headers={"authorization": f"Bearer {secret}"})
        assert allowed.status_code == 200


def test_an_address_that_is_taken_is_an_error_of_the_configuration():
    first = listening_socket(Address("127.0.0.1:0"))
    try:
        with pytest.raises(ConfigError, match=r"listen\.http: can't listen at 127\.0\.0\.1"):
            listening_socket(Address(f"127.0.0.1:{first.getsockname()[1]}"))
    finally:
        first.close()


def test_the_hubs_signals_stay_the_hubs(hub):

    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)

    async def run() -> None:
        async with served(hub):
            assert signal.getsignal(signal.SIGTERM) is before[0]

    asyncio.run(run())
    assert signal.getsignal(signal.SIGTERM) is before[0]
