"""Registering from the command line."""

import asyncio

import pytest

from pilot_plus.model import Drop, Reset
from tests.pilot_plus.cli.calling import commanding
from tests.pilot_plus.servers.api.hub import Hub, copy

REGISTER = ("register", "shop/orders", "--address", "10.3.0.4", "--port", "http:8080")


@pytest.fixture
def hub() -> Hub:
    hub = Hub()
    hub.say("own", Reset())
    return hub


async def test_an_instance_registers_drains_weighs_and_goes(hub):
    async with commanding(hub) as call:
        got = await call(*REGISTER, "--port", "admin:9090/tcp", "--meta", "team=shop", "--weight", "50")
        assert (got.code, got.out) == (0, "10.3.0.4:8080\n")
        assert "registered in own for 15s" in got.err
        key = "shop/orders/10.3.0.4:8080"
        found = hub.catalog.sources["own"].instances[key]
        assert [(port.name, port.number, port.protocol) for port in found.ports] == [
            ("http", 8080, "http"),
            ("admin", 9090, "tcp"),
        ]
        assert (found.weight, found.metadata, found.lease) == (50, (("team", "shop"),), 15.0)
        assert (await call("drain", "shop/orders", found.id)).code == 0
        assert hub.catalog.sources["own"].instances[key].health == "draining"
        assert (await call("drain", "shop/orders", found.id, "--undo")).code == 0
        assert (await call("weight", "shop/orders", found.id, "7")).code == 0
        assert hub.catalog.sources["own"].instances[key].weight == 7
        assert (await call("deregister", "shop/orders", found.id)).code == 0
        assert (await call("deregister", "shop/orders", found.id)).code == 1
    assert "shop/orders" not in hub.catalog.entries


async def test_kept_means_heartbeats_until_interrupted(hub):
    async with commanding(hub) as call:
        process = await call.start(*REGISTER, "--ttl", "1s", "--keep")
        async with asyncio.timeout(60):
            while len(hub.desk.renewed) < 2:  # noqa: ASYNC110 - the desk counts, and tells nobody
                await asyncio.sleep(0.02)
        process.send_signal(2)
        assert await process.wait() == 0
    assert "shop/orders" not in hub.catalog.entries


async def test_who_keeps_an_instance_outlasts_a_hub_that_is_away_or_has_forgotten_it(hub):
    key = "shop/orders/10.3.0.4:8080"
    async with commanding(hub) as call:
        process = await call.start(*REGISTER, "--ttl", "1s", "--keep")
        async with asyncio.timeout(60):
            while not hub.desk.renewed:  # noqa: ASYNC110 - the desk counts, and tells nobody
                await asyncio.sleep(0.02)
            hub.desk.down = "the database is away"
            await asyncio.sleep(0.5)  # a heartbeat is refused
            hub.desk.down = ""
            hub.say("own", Drop(key))
            while key not in hub.catalog.sources["own"].instances:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        process.send_signal(2)
        assert await process.wait() == 0
    assert key not in hub.catalog.sources["own"].instances


async def test_held_removals_are_released(hub):
    hub.say("zk", Reset(instances=[copy(f"k{n}") for n in range(6)]))
    hub.say("zk", *(Drop(f"k{n}") for n in range(6)))
    async with commanding(hub) as call:
        got = await call("release", "zk")
        assert (got.code, got.err) == (0, "6 released in zk\n")
        assert (await call("release", "nope")).code == 1


@pytest.mark.parametrize(
    ("words", "code", "part"),
    [
        (("register", "shop/orders"), 2, "--address"),
        ((*REGISTER[:4], "--port", "x"), 2, "--port"),
        ((*REGISTER[:4], "--port", "99999"), 2, "--port"),
        ((*REGISTER, "--meta", "x"), 2, "NAME=VALUE"),
        ((*REGISTER, "--ttl", "0s"), 1, "1s..24h"),
        ((*REGISTER, "--registry", "zk"), 1, "can't be written"),
        (("drain", "shop/orders", "nope"), 1, "not registered"),
        (("weight", "shop/orders", "x", "-1"), 2, ""),
    ],
)
async def test_what_is_wrong_is_said(hub, words, code, part):
    async with commanding(hub) as call:
        got = await call(*words)
    assert got.code == code
    assert part in got.err
    assert got.out == ""
