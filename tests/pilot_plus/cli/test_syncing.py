"""Sync from the command line: plan, status, and what operators say."""

import pytest

from pilot_plus.model import Reset
from tests.pilot_plus.cli.calling import commanding
from tests.pilot_plus.servers.api.hub import CONFIG, Hub, copy

RULES = CONFIG + 'sync: [{name: orders, from: {registries: [zk], services: ["legacy/orders"]}, to: own}]\n'


@pytest.fixture
def hub() -> Hub:
    hub = Hub(RULES.replace("{name: legacy}", "{name: legacy, reaches: [mesh]}"))
    hub.say("zk", Reset(instances=[copy("a")]))
    return hub


async def test_a_plan_with_work_to_do_exits_3_and_says_why(hub):
    hub.say("own", Reset())
    async with commanding(hub) as call:
        got = await call("sync", "plan")
        assert got.code == 3
        assert got.out.splitlines() == [
            "orders → own",
            "  + create    mesh/orders  10.1.97.7:8080  of legacy/orders",
            "",
            "Plan: 1 to create, 0 to change, 0 to remove.",
        ]
        data = await call("sync", "plan", "orders", "-o", "json")
        assert (data.code, data.json["creates"]) == (3, 1)


async def test_a_plan_that_only_waits_exits_0(hub):
    async with commanding(hub) as call:
        got = await call("sync", "plan")
        assert (got.code, "nothing is written before own is in step" in got.out) == (0, True)


async def test_conflicts_are_no_work(hub):
    there = copy("a")
    hub.say("own", Reset(instances=[copy("x", namespace="mesh", address=there.address)]))
    async with commanding(hub) as call:
        got = await call("sync", "plan")
        assert (got.code, "1 in conflict" in got.out) == (0, True)
        assert (await call("sync", "plan", "-o", "yaml")).code == 0


async def test_status_and_get_show_each_rule_in_its_target(hub):
    async with commanding(hub) as call:
        for words in (("sync", "status"), ("sync", "status", "orders"), ("get", "sync")):
            assert (await call(*words)).rows[1][:4] == ["orders", "own", "waiting", "0"]
        assert (await call("get", "sync", "-o", "json")).json["sync"][0]["name"] == "orders"
        assert (await call("sync", "status", "other")).code == 1


async def test_rules_are_paused_purged_and_resumed(hub):
    async with commanding(hub) as call:
        for words, said in (
            (("pause", "orders"), "paused: orders"),
            (("purge", "--yes"), "purged: orders"),
            (("resume",), "resumed: orders"),
            (("approve",), "0 removals approved"),
        ):
            got = await call("sync", *words)
            assert (got.code, got.out, got.err.strip()) == (0, "", said)
        missing = await call("sync", "pause", "order")
        assert (missing.code, "there is no rule 'order'" in missing.err) == (1, True)
