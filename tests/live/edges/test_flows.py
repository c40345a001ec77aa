"""The flows across borders, with a hub, edges with real Envoys, and applications: who reaches what, and who doesn't."""

import asyncio
import json
import os
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from devservers.envoy import Envoy
from devservers.network import free_port
from devservers.tls import Authority
from tests.edge_sidecar.agent import NET, agent_of
from tests.live.edges.applications import echo, greeter, serving, web, websocket
from tests.live.edges.company import ADDRESSES, Company, ask, company_of, say

pytestmark = pytest.mark.live

LEGACY, MESH = ADDRESSES["legacy"], ADDRESSES["mesh"]
MESH_PORT, HTTP_PORT = 15443, 15080


@pytest.fixture
async def company(tmp_path: Path) -> AsyncIterator[Company]:
    async with company_of(tmp_path) as made:
        yield made


async def test_a_meshed_caller_reaches_a_plain_zone_by_sni_and_nobody_else_does(company: Company, tmp_path: Path):
    async with serving(web("orders")) as orders, serving(greeter("hello from redis")) as redis:
        await company.register("legacy/orders", "127.0.0.1", orders, "http")
        await company.register("legacy/redis", "127.0.0.1", redis, "tcp", name="redis")
        edge = await company.edge("legacy")
        assert await company.until_seen("legacy/orders", "mesh") == [(LEGACY, MESH_PORT)]
        assert await company.until_seen("legacy/redis", "mesh") == [(LEGACY, MESH_PORT)]
        assert edge.status["carries"] == ["mesh|legacy/orders|http", "mesh|legacy/redis|redis"]
        (shown,) = (await company.hub.get("/edges"))["edges"]
        assert shown["carries"] == {"mesh": ["legacy/orders", "legacy/redis"], "plain": []}

        member = await company.identity("mesh", "web-1")
        host, sni = "orders.legacy.mesh", "http.orders.legacy.mesh"
        assert await ask(LEGACY, MESH_PORT, host, tls=member, sni=sni) == (200, "orders")
        assert await ask(LEGACY, MESH_PORT, f"{host}:{orders}", tls=member, sni=sni) == (200, "orders")
        assert await say(LEGACY, MESH_PORT, "", member, "redis.redis.legacy.mesh") == "hello from redis"

        # not the host that was asked for; what can be read in two ways
        assert (await ask(LEGACY, MESH_PORT, "redis.legacy.mesh", tls=member, sni=sni))[0] == 421
        assert (await ask(LEGACY, MESH_PORT, host, tls=member, sni=sni, path="/a%2f..%2fb"))[0] == 400
        assert (await ask(LEGACY, MESH_PORT, host, tls=member, sni=sni, head="host: other\r\n"))[0] == 421
        assert (await ask(LEGACY, MESH_PORT, f"{host}:80@redis.legacy.mesh", tls=member, sni=sni))[0] == 421
        both = "content-length: 1\r\ntransfer-encoding: chunked\r\n"
        assert (await ask(LEGACY, MESH_PORT, host, tls=member, sni=sni, head=both))[0] == 400

        # in plaintext, without a certificate, with a stranger's, by an unknown name, from the edge's own zone
        for caller in (None, stranger(tmp_path), without_certificate(), await company.identity("legacy", "app-1")):
            assert await heard(caller, "redis.redis.legacy.mesh") == ""
        assert await heard(member, "other.legacy.mesh") == ""


async def test_a_plain_caller_reaches_the_mesh_by_a_port_of_the_service_or_by_host(company: Company):
    async with serving(web("web")) as site, serving(greeter("hello from mysql")) as mysql:
        await company.register("mesh/web", "127.0.0.1", site, "http")
        await company.register("mesh/mysql", "127.0.0.1", mysql, "tcp", name="mysql")
        await company.edge("mesh")
        await company.edge("legacy")
        (door,) = await company.until_seen("mesh/web", "legacy")
        assert door[0] == LEGACY
        assert 20000 <= door[1] <= 29999
        assert await ask(*door, "any.host.at.all") == (200, "web")
        assert await ask(LEGACY, HTTP_PORT, "web.mesh.mesh") == (200, "web")
        assert (await ask(LEGACY, HTTP_PORT, "other.mesh.mesh"))[0] == 404
        (door,) = await company.until_seen("mesh/mysql", "legacy")
        assert await say(*door, "") == "hello from mysql"


async def test_an_envoy_and_a_grpc_client_in_the_mesh_call_by_host_what_lies_behind_an_edge(
    company: Company, tmp_path: Path
):
    async with serving(web("orders")) as orders, grpc_echo() as echoing:
        await company.register("legacy/orders", "127.0.0.1", orders, "http")
        await company.register("legacy/echo", "127.0.0.1", echoing, "grpc")
        edge = await company.edge("legacy")
        await company.until_seen("legacy/echo", "mesh")
        outbound = free_port()
        token = await company.token("--zone", "mesh")
        words = ("--outbound", f"127.0.0.1:{outbound}", "--token", token, "--data", str(tmp_path / "envoy"))
        with Envoy(await company.bootstrap("envoy", *words)):
            assert await ask_patiently("127.0.0.1", outbound, "orders.legacy.mesh") == (200, "orders")

        token = await company.token("--zone", "mesh")
        boot = await company.bootstrap("grpc", "--token", token, "--data", str(tmp_path / "grpc"))
        place = tmp_path / "grpc.json"
        place.write_text(json.dumps(boot))
        said = await asyncio.create_subprocess_exec(
            *(sys.executable, str(Path(__file__).with_name("grpc_caller.py")), "xds:///echo.legacy.mesh", "hello"),
            env={**os.environ, "GRPC_XDS_BOOTSTRAP": str(place)},
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await said.communicate()
        assert out.decode().strip() == "hello"
        assert await edge.figure("http.mesh|legacy/echo|grpc.downstream_rq_completed") == 1


async def test_services_come_and_lists_of_callers_change_and_cut_nobody_off_and_a_service_proves_that_it_is_one(
    company: Company, tmp_path: Path
):
    def exports(*allow: str) -> list[dict[str, Any]]:
        return [{"services": ["legacy/*"], "from": ["legacy"], "to": ["mesh"], "allow": allow}]

    async with serving(echo) as redis, serving(web("orders")) as orders:
        await company.register("legacy/redis", "127.0.0.1", redis, "tcp", name="redis")
        await company.register("legacy/orders", "127.0.0.1", orders, "http")
        edge = await company.edge("legacy")
        await company.until_seen("legacy/redis", "mesh")
        member = await company.identity("mesh", "web-1")
        sni = "redis.redis.legacy.mesh"
        reader, writer = await asyncio.open_connection(LEGACY, MESH_PORT, ssl=member, server_hostname=sni)
        await company.register("legacy/new", "127.0.0.1", orders, "http")
        await company.until_seen("legacy/new", "mesh")
        modified = await edge.figure("listener_manager.listener_modified")
        assert modified
        assert await edge.figure("listener_manager.listener_in_place_updated") == modified

        company.hub.reload(exports=exports("ns/shop"))
        await refused(member, sni)
        writer.write(b"still here")
        assert await reader.readexactly(10) == b"still here"
        writer.transport.abort()

        token = await company.token("--zone", "mesh", "--service", "shop/web")
        options = ("--service", "shop/web")
        sidecar = agent_of(company.xds, token, tmp_path / "sidecar", *options, address=MESH, zone="mesh")
        async with sidecar as agent:
            assert await ask_patiently(MESH, HTTP_PORT, "orders.legacy.mesh") == (200, "orders")
            assert agent.status["identity"] == "spiffe://east.example/zone/mesh/ns/shop/svc/web"
            assert [one["name"] for one in (await company.hub.get("/edges"))["edges"]] == ["edge-legacy"]
            assert await agent.stop() == 0


async def refused(caller: ssl.SSLContext, sni: str) -> None:
    """Wait until somebody is let in no more."""
    async with asyncio.timeout(60):
        while True:
            try:
                reader, writer = await asyncio.open_connection(LEGACY, MESH_PORT, ssl=caller, server_hostname=sni)
                writer.write(b"x")
                said = await reader.read(1)
                writer.transport.abort()
            except OSError:
                return
            if not said:
                return
            await asyncio.sleep(0.05)


@asynccontextmanager
async def grpc_echo() -> AsyncIterator[int]:
    async def say(request: bytes, _: object) -> bytes:
        return request

    server = grpc.aio.server()
    handler = grpc.unary_unary_rpc_method_handler(say)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Echo", {"Say": handler})])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield port
    await server.stop(None)


async def ask_patiently(address: str, port: int, host: str) -> tuple[int, str]:
    """An Envoy that starts listens before it has clusters."""
    async with asyncio.timeout(60):
        while True:
            try:
                answer = await ask(address, port, host)
            except OSError:
                answer = (0, "")
            if answer[0] == 200:
                return answer
            await asyncio.sleep(0.05)


async def test_two_plain_zones_reach_each_other_from_edge_to_edge_over_http2(company: Company):
    heads: list[str] = []
    async with serving(web("orders", heads)) as orders, serving(echo) as dubbo, serving(websocket) as chat:
        await company.register("legacy/orders", "127.0.0.1", orders, "http")
        await company.register("legacy/com.example.Shop:1.0.0", "127.0.0.1", dubbo, "dubbo")
        there = await company.edge("legacy")
        await company.edge("vm")
        (door,) = await company.until_seen("legacy/orders", "vm")
        assert door[0] == ADDRESSES["vm"]
        claimed = ("x-pilot-plus-caller", "X_Pilot-Plus_Caller", "x-forwarded-client-cert", "x-forwarded-client_cert")
        said = "".join(f"{name}: me\r\n" for name in (*claimed, "x-envoy-attempt-count", "x-envoy-any"))
        assert await ask(*door, "any", head=said) == (200, "orders")
        head = heads[-1].lower()
        assert ": me" not in head
        assert "x-pilot-plus-caller: spiffe://east.example/zone/vm/edge/edge-vm\r\n" in head
        assert "uri=spiffe://east.example/zone/vm/edge/edge-vm\r\n" in head
        assert "host: orders.legacy.mesh\r\n" in head
        assert "x-forwarded-host: any\r\n" in head
        assert await there.figure("http.mesh|legacy/orders|http.downstream_cx_http2_total") == 1

        await company.register("legacy/chat", "127.0.0.1", chat, "http")
        (door,) = await company.until_seen("legacy/chat", "vm")
        reader, writer = await asyncio.open_connection(*door)
        writer.write(b"GET / HTTP/1.1\r\nhost: any\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
        assert b" 101 " in (await reader.readuntil(b"\r\n\r\n")).partition(b"\r\n")[0]
        writer.write(b"frames")
        assert await reader.readexactly(6) == b"frames"
        writer.transport.abort()

        (door,) = await company.until_seen("legacy/com.example.Shop:1.0.0", "vm")
        reader, writer = await asyncio.open_connection(*door)
        writer.write(DUBBO)
        assert await reader.readexactly(len(DUBBO)) == DUBBO
        writer.close()


DUBBO = b"\xda\xbb\xc2\x00" + (1).to_bytes(8, "big") + (4).to_bytes(4, "big") + b"2.0.2"[:4]
"""The head of a request of Dubbo, and a body of four bytes."""


async def test_what_is_meshed_is_written_into_a_plain_registry_and_stays_there_and_the_hub_speaks_tls(tmp_path: Path):
    rule = {"name": "web", "from": {"registries": ["mesh"], "services": ["mesh/*"]}, "to": "legacy"}
    async with company_of(tmp_path, sync=[rule], identity={"tls": True}) as company, serving(web("web")) as site:
        await company.register("mesh/web", "127.0.0.1", site, "http")
        await company.edge("mesh")
        first = await company.edge("legacy")
        ((address, port),) = await company.until_seen("legacy/web", "legacy", speaks="plain")
        assert address == LEGACY
        assert await ask(address, port, "any") == (200, "web")
        second = await company.edge("legacy", f"{NET}.2.2", name="edge-2")
        assert await company.until_seen("legacy/web", "legacy", 2) == [(LEGACY, port), (f"{NET}.2.2", port)]
        assert await ask(f"{NET}.2.2", port, "any") == (200, "web")
        assert await second.stop() == 0
        assert await company.until_seen("legacy/web", "legacy") == [(LEGACY, port)]
        assert await first.stop() == 0


async def heard(caller: ssl.SSLContext | None, sni: str) -> str:
    """What somebody hears who says nothing."""
    try:
        return await say(LEGACY, MESH_PORT, "" if caller else "GET / HTTP/1.1\r\n\r\n", caller, sni)
    except (OSError, asyncio.IncompleteReadError):
        return ""


def without_certificate() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def stranger(place: Path) -> ssl.SSLContext:
    """Somebody with a certificate of an authority that nobody here knows."""
    context = without_certificate()
    pair = Authority(place / "strangers").issue("web-1")
    context.load_cert_chain(pair.cert, pair.key)
    return context


async def test_what_an_edge_has_carried_and_refused_stands_in_its_access_log(company: Company):
    async with serving(web("orders")) as orders, serving(greeter("hello from redis")) as redis:
        await company.register("legacy/orders", "127.0.0.1", orders, "http")
        await company.register("legacy/redis", "127.0.0.1", redis, "tcp", name="redis")
        await company.edge("legacy")
        await company.until_seen("legacy/redis", "mesh")
        member, host = await company.identity("mesh", "web-1"), "orders.legacy.mesh"
        assert await ask(LEGACY, MESH_PORT, host, tls=member, sni=f"http.{host}", path="/a?b") == (200, "orders")
        assert await say(LEGACY, MESH_PORT, "", member, "redis.redis.legacy.mesh") == "hello from redis"
        assert await heard(await company.identity("legacy", "app-1"), "redis.redis.legacy.mesh") == ""
        (place,) = (company.folder / "edge-legacy").rglob("access.log")

        async def lines() -> list[dict[str, Any]]:
            text = await asyncio.to_thread(place.read_text)
            return [json.loads(line) for line in text.splitlines() if line.endswith("}")]

        caller = "spiffe://east.example/zone/mesh/client/web-1"
        found = await company.hub.until(lines, lambda found: len(found) >= 4)
        (request,) = [one for one in found if one.get("method")]
        assert (request["caller"], request["host"], request["path"], request["status"]) == (caller, host, "/a?b", 200)
        carried = [one for one in found if one["sni"] == "redis.redis.legacy.mesh"]
        assert [one["caller"] for one in carried if not one["failure"]] == [caller]
        assert [one["caller"] for one in carried if one["failure"]] != [caller]
