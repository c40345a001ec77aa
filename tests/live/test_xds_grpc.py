"""A gRPC client without a proxy, through a hub process: calls and streams while endpoints change and the hub dies."""

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import grpc
import pytest
from grpc import aio

from devservers import free_port
from tests.feature.hub import Hub
from tests.live.test_xds_envoy import SECTIONS, bootstrap, hub  # noqa: F401 - a fixture

pytestmark = pytest.mark.live

PATIENCE = 30.0


@asynccontextmanager
async def echo(address: str, name: str) -> AsyncIterator[str]:
    """A gRPC server that answers with its name."""

    async def say(_: bytes, __: object) -> bytes:
        return name.encode()

    async def talk(questions: AsyncIterator[bytes], _: object) -> AsyncIterator[bytes]:
        async for _question in questions:
            yield name.encode()

    server = aio.server(options=(("grpc.so_reuseport", 0),))
    handlers = {"Say": grpc.unary_unary_rpc_method_handler(say), "Talk": grpc.stream_stream_rpc_method_handler(talk)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("live.Echo", handlers),))
    server.add_insecure_port(address)
    await server.start()
    try:
        yield name
    finally:
        await server.stop(0)


class Caller:
    """What the client in its process has got."""

    def __init__(self) -> None:
        self.answers: Counter[str] = Counter()
        self.streamed: Counter[str] = Counter()
        self.failures: list[str] = []
        self._news = asyncio.Event()

    async def listen(self, lines: asyncio.StreamReader) -> None:
        while line := await lines.readline():
            said = json.loads(line)
            self.answers[said.get("by", "")] += "by" in said
            self.streamed[said.get("streamed", "")] += "streamed" in said
            if "failed" in said:
                self.failures.append(said["failed"])
            self._news.set()

    async def until_answered_by(self, *names: str) -> None:
        async with asyncio.timeout(PATIENCE):
            while True:
                before = self.answers.copy()
                while any(self.answers[name] - before[name] < 5 for name in names):
                    self._news.clear()
                    await self._news.wait()
                if {name for name, count in (self.answers - before).items() if count} == set(names):
                    return

    async def until_streamed(self) -> None:
        """Until the stream that has been there has brought more."""
        async with asyncio.timeout(PATIENCE):
            before = self.streamed.total()
            while self.streamed.total() < before + 5:
                self._news.clear()
                await self._news.wait()


@asynccontextmanager
async def calling(target: str, made: object, place: Path) -> AsyncIterator[Caller]:
    (place / "grpc.json").write_text(json.dumps(made))
    environ = {**os.environ, "GRPC_XDS_BOOTSTRAP": str(place / "grpc.json")}
    command = (sys.executable, "-m", "tests.live.grpc_caller", target)
    process = await asyncio.create_subprocess_exec(*command, env=environ, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    caller = Caller()
    try:
        async with asyncio.TaskGroup() as tasks:
            listening = tasks.create_task(caller.listen(process.stdout))
            yield caller
            listening.cancel()
    finally:
        process.kill()
        await process.wait()


async def register(hub: Hub, name: str, address: str) -> None:  # noqa: F811 - the fixture's value
    host, _, port = address.rpartition(":")
    body = {
        "namespace": "vm",
        "name": "orders",
        "id": name,
        "address": host,
        "ports": [{"name": "grpc", "number": int(port), "protocol": "grpc"}],
        "ttl": "1h",
    }
    assert (await hub.post("/instances", body)).status_code == 201


async def test_calls_and_streams_go_on_while_endpoints_change_and_the_hub_is_killed(
    hub: Hub,  # noqa: F811 - the fixture's value
    tmp_path: Path,
):
    port = free_port()
    one, two = f"127.0.0.1:{port}", f"127.0.0.2:{port}"
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(echo(one, "one"))
        await stack.enter_async_context(echo(two, "two"))
        await register(hub, "one", one)
        made = await bootstrap(hub, "--id", "grpc-1", kind="grpc")
        target = f"xds:///orders.vm.mesh:{port}"
        calls = await stack.enter_async_context(calling(target, made, tmp_path))
        await calls.until_answered_by("one")
        await register(hub, "two", two)
        await calls.until_answered_by("one", "two")

        hub.end(signal.SIGKILL)
        await calls.until_answered_by("one", "two")
        await calls.until_streamed()
        hub.start()
        await hub.until_state("own", "synced")
        (seen,) = (
            await hub.until(lambda: hub.get("/proxies"), lambda got: [p["state"] for p in got["proxies"]] == ["synced"])
        )["proxies"]
        assert (seen["id"], seen["kind"], seen["form"], seen["last_rejection"]) == ("grpc-1", "grpc", "state", None)

        answer = await hub.put("/instances/vm/orders/two/heartbeat")
        assert answer.status_code == 204
        assert (await hub.delete("/instances/vm/orders/one")).status_code == 204
        await calls.until_answered_by("two")
        await calls.until_streamed()
        assert calls.failures == []


async def test_a_client_that_joined_speaks_mutual_tls_with_the_hub(tmp_path: Path):
    server = Hub(tmp_path, **SECTIONS, identity={"tls": True})
    server.start()
    address = f"127.0.0.1:{free_port()}"
    try:
        await server.until_state("own", "synced")
        async with echo(address, "one"):
            await register(server, "one", address)
            token = (await server.post("/tokens", {"zone": "vm"})).json()["token"]
            made = await bootstrap(server, "--token", token, "--data", str(tmp_path / "data"), kind="grpc")
            async with calling(f"xds:///orders.vm.mesh:{address.rpartition(':')[2]}", made, tmp_path) as calls:
                await calls.until_answered_by("one")
                (seen,) = (await server.get("/proxies"))["proxies"]
                assert seen["identity"].startswith("spiffe://east.example/zone/vm/client/")
                assert calls.failures == []
    finally:
        server.close()
