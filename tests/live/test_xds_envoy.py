"""A real Envoy that was started with our bootstrap, through a hub process: what callers notice, which is nothing."""

import asyncio
import json
import re
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from devservers import Etcd, free_port
from devservers.envoy import Envoy
from devservers.pytest_plugin import Fresh
from tests.feature.hub import Hub
from tests.live.traffic import Backend, Traffic, traffic
from tests.pilot_plus.cli.calling import Command

pytestmark = pytest.mark.live

SECTIONS: dict[str, Any] = {
    "zones": [{"name": "vm", "meshed": True}],
    "registries": [{"name": "own", "kind": "database", "zone": "vm"}],
}


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Hub]:
    made = Hub(tmp_path, **SECTIONS)
    made.start()
    try:
        await made.until_state("own", "synced")
        yield made
    finally:
        made.close()


async def bootstrap(hub: Hub, *words: str, kind: str = "envoy") -> Any:
    made = await Command(hub.url)("bootstrap", kind, "--hub", hub.xds, "--zone", "vm", *words)
    assert made.code == 0, made.err
    return made.json


async def register(hub: Hub, backend: Backend, **fields: Any) -> None:
    body = {
        "namespace": "vm",
        "name": "web",
        "id": backend.name,
        "address": "127.0.0.1",
        "ports": [{"name": "http", "number": backend.port, "protocol": "http"}],
        "ttl": "1h",
        **fields,
    }
    answer = await hub.post("/instances", body)
    assert answer.status_code == 201, answer.text


async def deregister(hub: Hub, backend: Backend) -> None:
    async with httpx.AsyncClient(base_url=hub.url) as client:
        assert (await client.delete(f"/api/v1/instances/vm/web/{backend.name}")).status_code == 204


async def proxy(hub: Hub, state: str) -> Any:
    return (await hub.until(lambda: hub.get("/proxies"), lambda got: [p["state"] for p in got["proxies"]] == [state]))[
        "proxies"
    ][0]


async def sent(hub: Hub) -> dict[str, float]:
    async with httpx.AsyncClient(base_url=hub.url) as client:
        text = (await client.get("/metrics")).text
    return {kind: float(n) for kind, n in re.findall(r'^pilot_plus_xds_sent_total\{type="(\w+)"\} (\S+)', text, re.M)}


@pytest.mark.parametrize("form", ["delta", "state"])
async def test_callers_notice_nothing_when_a_service_grows_and_shrinks_and_the_hub_is_killed(
    hub: Hub, fresh: Fresh, form: str
):
    outbound = f"127.0.0.1:{free_port()}"
    async with AsyncExitStack() as stack:
        one, two, three = [await stack.enter_async_context(Backend(name)) for name in ("one", "two", "three")]
        await register(hub, one)
        made = await bootstrap(hub, "--outbound", outbound, "--id", "web-7")
        if form == "state":
            made["dynamic_resources"]["ads_config"]["api_type"] = "GRPC"
        fresh(Envoy, made)
        seen = await proxy(hub, "synced")
        assert (seen["id"], seen["form"]) == ("web-7", form)
        calls: Traffic = await stack.enter_async_context(traffic(outbound, "web.vm.mesh"))
        await calls.until_answered_by("one")
        for _ in range(3):
            await register(hub, two)
            await calls.until_answered_by("one", "two")
            await deregister(hub, two)
            await calls.until_answered_by("one")

        hub.end(signal.SIGKILL)
        await calls.until_answered_by("one")
        hub.start()
        await proxy(hub, "synced")
        assert not any((await sent(hub)).values()), "a reconnect sends nothing of what has not changed"

        hub.end(signal.SIGKILL)
        hub.start()
        await hub.until_state("own", "synced")
        await register(hub, three)
        await calls.until_answered_by("one", "three")
        # It has a port of its own, and so the service a name more: `host:PORT`.
        assert await sent(hub) == {"secret": 0, "cluster": 0, "endpoints": 1, "listener": 0, "routes": 1}
        assert calls.failures == []


async def test_a_rejected_listener_is_told_and_everything_else_goes_on(hub: Hub, fresh: Fresh):
    outbound, free = f"127.0.0.1:{free_port()}", free_port()
    async with Backend("one") as one, Backend("two") as two:
        await register(hub, one)
        with socket.socket() as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind(("127.0.0.1", free))
            taken.listen()
            words = ("--outbound", outbound, "--tcp", f"vm/web=127.0.0.1:{free}", "--id", "web-7")
            fresh(Envoy, await bootstrap(hub, *words))
            seen = await proxy(hub, "rejecting")
            assert "tcp/vm/web" in seen["last_rejection"]["resource"]
            assert str(free) in seen["last_rejection"]["reason"]
            async with traffic(outbound, "web.vm.mesh") as calls:
                await calls.until_answered_by("one")
                await register(hub, two)
                await calls.until_answered_by("one", "two")
            detail = await hub.get("/proxies/web-7")
            states = {(one["type"], one["name"]): one["state"] for one in detail["resources"]}
            assert states["listener", "pilot-plus/tcp/vm/web"] == "rejected"
            assert set(states.values()) == {"accepted", "rejected"}
            count = await sent(hub)
            assert count["listener"] <= 3, "no loop"


async def test_what_a_client_was_sent_can_be_asked_and_explained(hub: Hub, fresh: Fresh):
    async with Backend("one") as one:
        await register(hub, one)
        fresh(Envoy, await bootstrap(hub, "--outbound", f"127.0.0.1:{free_port()}", "--id", "web-7"))
        await proxy(hub, "synced")
        call = Command(hub.url)
        (row,) = (await call("get", "proxies")).rows[1:]
        assert row[:3] == ["web-7", "envoy", "vm"]
        assert (await hub.get("/proxies"))["proxies"][0]["address"] == "127.0.0.1"
        told = (await call("describe", "proxy", "web-7")).out
        assert f'"port_value": {one.port}' in told
        assert "believed" in told
        explained = (await call("explain", "vm/web", "--from", "vm", "-o", "json")).json
        assert {(one["type"], one["state"]) for one in explained["proxies"]} == {
            ("cluster", "accepted"),
            ("endpoints", "accepted"),
        }
        assert (await call("describe", "proxy", "nobody")).code == 1


async def test_a_service_at_a_host_name_is_asked_of_dns_and_its_own_is_read_in_any_case(hub: Hub, fresh: Fresh):
    outbound = f"127.0.0.1:{free_port()}"
    async with Backend("one") as one:
        await register(hub, one, address="localhost")
        fresh(Envoy, await bootstrap(hub, "--outbound", outbound))
        for host in (f"web.vm.mesh:{one.port}", "Web.VM.mesh", "web.vm.mesh."):
            async with traffic(outbound, host) as calls:
                await calls.until_answered_by("one")
                assert calls.failures == []


async def test_a_tcp_service_has_a_listener_of_its_own_and_a_service_without_instances_breaks_nothing(
    hub: Hub, fresh: Fresh
):
    tcp = f"127.0.0.1:{free_port()}"
    async with Backend("one") as one, Backend("two") as two:
        ports = [{"name": "redis", "number": one.port, "protocol": "tcp"}]
        await register(hub, one, ports=ports)
        await register(hub, two, name="gone")
        async with httpx.AsyncClient(base_url=hub.url) as client:
            assert (await client.delete("/api/v1/instances/vm/gone/two")).status_code == 204
        fresh(Envoy, await bootstrap(hub, "--tcp", f"vm/web=127.0.0.1:{tcp.rpartition(':')[2]}"))
        async with traffic(tcp, "any") as calls:
            await calls.until_answered_by("one")
        assert (await proxy(hub, "synced"))["last_rejection"] is None


async def test_an_envoy_that_joined_speaks_mutual_tls_with_the_hub(tmp_path: Path, fresh: Fresh):
    hub = Hub(tmp_path, **SECTIONS, identity={"tls": True})
    hub.start()
    outbound, data = f"127.0.0.1:{free_port()}", tmp_path / "data"
    try:
        await hub.until_state("own", "synced")
        async with Backend("one") as one:
            await register(hub, one)
            made = await Command(hub.url)("token", "create", "--zone", "vm")
            words = ("--token", made.out.strip(), "--data", str(data), "--id", "web-7", "--outbound", outbound)
            made = await bootstrap(hub, *words)
            assert "PRIVATE" not in json.dumps(made)
            fresh(Envoy, made)
            seen = await proxy(hub, "synced")
            assert seen["identity"] == "spiffe://east.example/zone/vm/client/web-7"
            async with traffic(outbound, "web.vm.mesh") as calls:
                await calls.until_answered_by("one")
            again = await bootstrap(hub, "--data", str(data), "--outbound", outbound)
            assert again == made, "the identity in the folder is used again, without a token"
    finally:
        hub.close()


async def test_an_envoy_that_comes_before_the_hub_waits_for_it(tmp_path: Path):
    hub = Hub(tmp_path, **SECTIONS)
    outbound = f"127.0.0.1:{free_port()}"
    envoy = Envoy(await bootstrap(hub, "--outbound", outbound))
    try:
        async with asyncio.TaskGroup() as tasks, Backend("one") as one:
            starting = tasks.create_task(asyncio.to_thread(envoy.start))
            async with asyncio.timeout(20):
                while not await asyncio.to_thread(refused, envoy):  # noqa: ASYNC110 - Envoy has no event for it
                    await asyncio.sleep(0.05)
            hub.start()
            await hub.until_state("own", "synced")
            await register(hub, one)
            await proxy(hub, "synced")
            await starting
            async with traffic(outbound, "web.vm.mesh") as calls:
                await calls.until_answered_by("one")
    finally:
        envoy.close()
        hub.close()


def refused(envoy: Envoy) -> bool:
    """Whether it has knocked at the hub's door."""
    try:
        return sum(envoy.stats("pilot-plus/hub.upstream_cx_connect_fail").values()) > 0
    except OSError:
        return False


async def test_what_a_lost_registry_knew_takes_over_when_nothing_better_is_left(tmp_path: Path, fresh: Fresh):
    etcd = fresh(Etcd)
    layouts = [{"naming": {"prefix": "services", "protocol": "http"}}]
    settings = {"endpoints": [etcd.url], "layouts": layouts}
    registry = {"name": "etcd", "kind": "etcd", "zone": "vm", "settings": settings}
    hub = Hub(tmp_path, zones=SECTIONS["zones"], registries=[*SECTIONS["registries"], registry])
    hub.start()
    outbound = f"127.0.0.1:{free_port()}"
    try:
        await hub.until_state("own", "synced")
        await hub.until_state("etcd", "synced")
        async with AsyncExitStack() as stack:
            own, other = [await stack.enter_async_context(Backend(name)) for name in ("own", "other")]
            await register(hub, own)
            etcd.put("services/web/other", json.dumps({"Op": 0, "Addr": f"127.0.0.1:{other.port}"}))
            fresh(Envoy, await bootstrap(hub, "--outbound", outbound))
            calls = await stack.enter_async_context(traffic(outbound, "web.vm.mesh"))
            await calls.until_answered_by("own", "other")
            etcd.kill()
            await calls.until_answered_by("own")
            await own.drain()
            await calls.until_answered_by("other")
            assert calls.failures == []
    finally:
        hub.close()
