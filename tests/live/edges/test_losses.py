"""What a failure costs, counted under load: requests that fail."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.edge_sidecar.agent import NET
from tests.live.edges.applications import serving, web
from tests.live.edges.company import Company, company_of
from tests.live.edges.load import load_on

pytestmark = pytest.mark.live

CALLERS = 8


@pytest.fixture
async def company(tmp_path: Path) -> AsyncIterator[Company]:
    async with company_of(tmp_path) as made:
        yield made


async def test_instances_come_and_go_behind_an_edge_and_edges_come_go_and_die(company: Company):
    async with serving(web("a")) as a:
        await company.register("legacy/orders", "127.0.0.1", a, "http", id_="a")
        first = await company.edge("legacy", f"{NET}.2.1", name="first")
        await company.edge("vm")
        (door,) = await company.until_seen("legacy/orders", "vm")
        async with load_on(*door, CALLERS) as load:
            await load.until_more(200)
            async with serving(web("b")) as b:
                await company.register("legacy/orders", "127.0.0.1", b, "http", id_="b")
                await load.until_more(400)
                assert load.answers["b"]
                await company.deregister("legacy/orders", "a")
                await load.until_more(400)
                assert load.failures == []

                second = await company.edge("legacy", f"{NET}.2.2", name="second")
                await company.until_seen("legacy/orders", "vm", 2, "mesh")
                await load.until_more(400)
                assert await first.stop() == 0
                await load.until_more(400)
                assert load.failures == []

                third = await company.edge("legacy", f"{NET}.2.3", name="third")
                await company.until_seen("legacy/orders", "vm", 2, "mesh")
                await load.until_more(400)
                third.process.kill()
                await load.until_more(400)
                assert len(load.failures) <= CALLERS
                failed = len(load.failures)
                await company.until_edge("third", "lost")
                await load.until_more(400)
                assert len(load.failures) == failed
                assert await second.stop() == 0


async def test_envoys_are_replaced_on_both_sides_and_no_request_is_lost(company: Company):
    async with serving(web("a")) as a:
        await company.register("legacy/orders", "127.0.0.1", a, "http")
        there, here = await company.edge("legacy"), await company.edge("vm")
        (door,) = await company.until_seen("legacy/orders", "vm")
        async with load_on(*door, CALLERS) as load:
            await load.until_more(200)
            for edge in (there, here):
                (old,) = edge.envoys()
                edge.process.send_signal(signal.SIGHUP)
                async with asyncio.timeout(60):
                    while old in edge.envoys() or not edge.envoys():
                        await load.until_more(20)
                await load.until_more(200)
            assert load.failures == []


async def test_the_hub_is_gone_an_agent_restarts_meanwhile_and_traffic_goes_on(company: Company, tmp_path: Path):
    async with serving(web("a")) as a:
        await company.register("legacy/orders", "127.0.0.1", a, "http")
        there = await company.edge("legacy")
        here = await company.edge("vm")
        (door,) = await company.until_seen("legacy/orders", "vm")
        async with load_on(*door, CALLERS) as load:
            await load.until_more(200)
            company.hub.end(signal.SIGKILL)
            await load.until_more(200)
            assert load.failures == []
            company.hub.start()
            await company.until_edge("edge-vm", "ready")
            await company.until_seen("legacy/orders", "vm", 1, "mesh")
            await load.until_more(400)
            assert load.failures == []
        company.hub.end(signal.SIGKILL)
        for edge in (there, here):
            edge.process.kill()
            await edge.process.wait()
        await company.edge_again("legacy")
        await company.edge_again("vm")
        async with load_on(*door, CALLERS) as load:
            async with asyncio.timeout(60):
                while not load.answers:
                    await load.until_more(1)
            load.failures.clear()
            await load.until_more(200)
            assert load.failures == []
