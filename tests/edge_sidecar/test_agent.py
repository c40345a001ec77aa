"""The agent as users have it, with a real Envoy, against a hub that says what the test wants."""

import asyncio
import os
import signal
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from devservers.network import free_port
from edge_sidecar.relay import disk
from edge_sidecar.relay.shelf import CRASHED
from pilot_plus.wire.discovery import Type
from tests.edge_sidecar.agent import NET, Agent, agent_of
from tests.edge_sidecar.hub import Discovery, hub_of
from tests.edge_sidecar.resources import ENDS_ENVOY, answering, cluster
from tests.pilot_plus.identity.company import Company

pytestmark = pytest.mark.live

ADDRESS = f"{NET}.1.1"


@pytest.fixture
async def company() -> Company:
    return await Company().open()


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def discovery(port: int) -> Discovery:
    found = Discovery()
    found.put(Type.CLUSTER, "a", cluster("a"), "1")
    found.put(Type.LISTENER, "mesh", answering("mesh", ADDRESS, port, "one", "mesh|vm/a|http"), "1")
    return found


async def answer(port: int) -> str:
    async with httpx.AsyncClient(trust_env=False, verify=False) as client:
        return (await client.get(f"http://{ADDRESS}:{port}/")).text


async def until_answers(port: int, text: str) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                if await answer(port) == text:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.02)


async def until_gone(pid: int) -> None:
    """A process has ended, whoever has to collect it."""
    async with asyncio.timeout(30):
        while is_running(pid):  # noqa: ASYNC110 - it is no child of ours
            await asyncio.sleep(0.01)


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def is_back(restarts: int, status: dict[str, Any]) -> bool:
    return status["envoy_serves"] is True and status["envoy_restarts"] == restarts


def carries(agent: Agent) -> bool:
    return agent.status.get("carries") == ["mesh|vm/a|http"]


async def test_an_edge_joins_serves_reports_what_envoy_acknowledged_and_leaves_in_order(
    company: Company, discovery: Discovery, port: int, tmp_path: Path
) -> None:
    token = (await company.token(edge=True)).text
    async with hub_of(company, discovery) as hub, agent_of(hub.address, token, tmp_path, address=ADDRESS) as agent:
        await agent.until(lambda _: carries(agent))
        await hub.known.until(lambda: any(len(one.acknowledged) == 2 for one in hub.known.edges.values()))
        (edge,) = hub.known.edges.values()
        assert not edge.draining
        assert edge.stats.envoy_version == "1.40.0"
        assert sorted(name for _, name in edge.acknowledged) == ["mesh", "mesh|vm/a|http"]
        assert await answer(port) == "one"

        (envoy,) = agent.envoys()
        assert os.getpgid(envoy) == os.getpgid(agent.process.pid)
        assert await agent.stop() == 0
        assert hub.known.edges == {}
        await until_gone(envoy)
        assert agent.status["pid"] == 0


async def test_a_listener_that_envoy_rejects_harms_nothing_and_the_hub_hears_why(
    company: Company, discovery: Discovery, port: int, tmp_path: Path
) -> None:
    token = (await company.token(edge=True)).text
    shelf = tmp_path / "data" / "xds"
    shelf.parent.mkdir(mode=0o700)
    shelf.touch()  # no folder: what is acknowledged can't be kept for now
    async with hub_of(company, discovery) as hub, agent_of(hub.address, token, tmp_path, address=ADDRESS) as agent:
        await agent.until(lambda _: carries(agent) and "can't be kept" in agent.log.read_text())
        shelf.unlink()
        await agent.until(lambda _: (shelf / "listener.pb").exists() and (shelf / "cluster.pb").exists())
        bad = answering("mesh", ADDRESS, port, "two")
        bad.filter_chains[0].filters[0].typed_config.value = b"\xff\xff"
        discovery.put(Type.LISTENER, "mesh", bad, "2")
        await discovery.until(lambda: any(one.HasField("error_detail") for one in discovery.heard))
        await hub.known.until(lambda: any(one.stats.error for one in hub.known.edges.values()))
        assert await answer(port) == "one"
        assert disk.load(agent.data / "xds")[Type.LISTENER]["mesh"].version == "1"

        discovery.put(Type.LISTENER, "mesh", answering("mesh", ADDRESS, port, "three"), "3")
        await until_answers(port, "three")
        await hub.known.until(lambda: not any(one.stats.error for one in hub.known.edges.values()))


async def test_an_agent_that_restarts_without_a_hub_serves_what_was_acknowledged_last(
    company: Company, discovery: Discovery, port: int, tmp_path: Path
) -> None:
    token = (await company.token(edge=True)).text
    shelf = tmp_path / "data" / "xds"
    shelf.parent.mkdir(mode=0o700)
    shelf.touch()  # no folder: what is acknowledged can't be kept for now
    async with hub_of(company, discovery) as hub, agent_of(hub.address, token, tmp_path, address=ADDRESS) as agent:
        await agent.until(lambda _: carries(agent) and "can't be kept" in agent.log.read_text())
        shelf.unlink()
        await agent.until(lambda _: (shelf / "listener.pb").exists() and (shelf / "cluster.pb").exists())
        (envoy,) = agent.envoys()
        agent.process.kill()
        await agent.process.wait()
        await until_gone(envoy)
    gone = hub.address
    async with agent_of(gone, "", tmp_path, address=ADDRESS) as agent:
        await until_answers(port, "one")
        await agent.until(lambda status: carries(agent) and not status["session"])
        discovery.put(Type.LISTENER, "mesh", answering("mesh", ADDRESS, port, "two", "mesh|vm/a|http"), "2")
        discovery.drop(Type.CLUSTER, "a")
        discovery.sent.clear()
        async with hub_of(company, discovery, gone.port) as hub:
            await until_answers(port, "two")
            await hub.known.until(lambda: bool(hub.known.edges))
            assert [name for one in discovery.sent for name in one.removed_resources] == ["a"]


async def test_an_envoy_is_replaced_under_way_and_no_request_is_lost(
    company: Company, discovery: Discovery, port: int, tmp_path: Path
) -> None:
    token = (await company.token(edge=True)).text
    async with hub_of(company, discovery) as hub, agent_of(hub.address, token, tmp_path, address=ADDRESS) as agent:
        await agent.until(lambda _: carries(agent))
        (first,) = agent.envoys()
        async with httpx.AsyncClient(trust_env=False) as keeping:
            answers = []
            agent.process.send_signal(signal.SIGHUP)
            async with asyncio.timeout(20):
                while agent.envoys() in ([first], []) or first in agent.envoys():
                    answers.append((await keeping.get(f"http://{ADDRESS}:{port}/")).text)
                    answers.append(await answer(port))
        assert set(answers) == {"one"}
        assert len(agent.envoys()) == 1


async def test_an_envoy_that_is_killed_comes_back_and_one_that_cannot_start_is_tried_again(
    company: Company, discovery: Discovery, port: int, tmp_path: Path
) -> None:
    token = (await company.token(edge=True)).text
    async with hub_of(company, discovery) as hub, agent_of(hub.address, token, tmp_path, address=ADDRESS) as agent:
        await agent.until(lambda status: carries(agent) and status["envoy_serves"])
        for restarts in (1, 2):
            (envoy,) = agent.envoys()
            os.kill(envoy, signal.SIGKILL)
            await agent.until(partial(is_back, restarts))
            await until_answers(port, "one")
        await hub.known.until(lambda: any(one.stats.envoy_restarts == 2 for one in hub.known.edges.values()))


async def test_what_crashes_an_envoy_again_and_again_gives_way_to_what_one_has_lived_with(
    company: Company, discovery: Discovery, port: int, tmp_path: Path
) -> None:
    token = (await company.token(edge=True)).text
    async with hub_of(company, discovery) as hub:
        async with agent_of(hub.address, token, tmp_path, address=ADDRESS) as agent:
            await agent.until(lambda _: carries(agent) and (agent.data / "xds" / "listener.pb").exists())
            assert await agent.stop() == 0
        async with agent_of(hub.address, "", tmp_path, address=ADDRESS) as agent:
            await agent.until(lambda status: status.get("pid") == agent.process.pid and status["envoy_serves"])
            discovery.heard.clear()
            script = f"function envoy_on_request(handle) {ENDS_ENVOY} end"
            bad = answering("mesh", ADDRESS, port, "never", "mesh|vm/a|http", script=script)
            discovery.put(Type.LISTENER, "mesh", bad, "2")
            await discovery.until(
                lambda: any(one.response_nonce and one.type_url == Type.LISTENER for one in discovery.heard)
            )
            await until_answers(port, "one")  # each one that asks before that ends an Envoy
            assert agent.status["envoy_restarts"] == 2
            await hub.known.until(lambda: any(CRASHED in one.stats.error for one in hub.known.edges.values()))
            discovery.put(Type.LISTENER, "mesh", answering("mesh", ADDRESS, port, "three"), "3")
            await until_answers(port, "three")
            await hub.known.until(lambda: not any(one.stats.error for one in hub.known.edges.values()))


async def test_an_agent_that_is_told_twice_waits_for_no_connection(
    company: Company, discovery: Discovery, port: int, tmp_path: Path
) -> None:
    token = (await company.token(edge=True)).text
    slowly = ("--drain-time", "10m")
    async with (
        hub_of(company, discovery) as hub,
        agent_of(hub.address, token, tmp_path, *slowly, address=ADDRESS) as agent,
    ):
        await agent.until(lambda _: carries(agent))
        (envoy,) = agent.envoys()
        _, writer = await asyncio.open_connection(ADDRESS, port)
        agent.process.send_signal(signal.SIGTERM)
        await hub.known.until(lambda: all(one.draining for one in hub.known.edges.values()))
        assert await agent.stop() == 0
        await until_gone(envoy)
        writer.transport.abort()
