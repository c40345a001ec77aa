"""Sync over HTTP, asked of a real `Sync` whose targets are never opened: what it says and what operators say to it."""

import pytest

from pilot_plus.model import Reset
from tests.pilot_plus.servers.api.asking import Asking
from tests.pilot_plus.servers.api.hub import CONFIG, Hub, copy

RULES = CONFIG + 'sync: [{name: orders, from: {registries: [zk], services: ["legacy/orders"]}, to: own}]\n'


@pytest.fixture
def hub() -> Hub:
    hub = Hub(RULES.replace("{name: legacy}", "{name: legacy, reaches: [mesh]}"))
    hub.say("zk", Reset(instances=[copy("a"), copy("b")]))
    return hub


async def test_a_rule_says_how_it_stands(hub):
    async with Asking(hub) as ask:
        (rule,) = (await ask.get("/api/v1/sync"))["sync"]
        assert (rule["name"], rule["target"], rule["mode"], rule["state"]) == ("orders", "own", "apply", "waiting")


async def test_metrics_say_how_rules_stand(hub):
    async with Asking(hub) as ask:
        said = (await ask("GET", "/metrics")).text
    assert 'pilot_plus_sync_copies{rule="orders",target="own"} 0.0' in said
    assert 'pilot_plus_sync_state{rule="orders",state="waiting",target="own"} 1.0' in said


async def test_a_plan_waits_for_its_target_and_then_says_every_line(hub):
    async with Asking(hub) as ask:
        assert [one["action"] for one in (await ask.get("/api/v1/sync/plan"))["changes"]] == ["wait"]
        hub.say("own", Reset())
        plan = await ask.get("/api/v1/sync/plan?rule=orders")
        assert (plan["creates"], plan["changed"], plan["removes"], plan["held"]) == (2, 0, 0, 0)
        assert {(one["action"], one["unit"], one["why"]) for one in plan["changes"]} == {
            ("create", "mesh/orders", "of legacy/orders")
        }


async def test_pauses_and_purges_are_kept_and_taken_back(hub):
    async with Asking(hub) as ask:
        for verb, state in (("pause", "paused"), ("purge", "purged")):
            assert (await ask("POST", f"/api/v1/sync/{verb}?rule=orders")).json()["rules"] == ["orders"]
            assert (await ask.get("/api/v1/sync"))["sync"][0]["state"] == state
            assert [one.key for one in await hub.desk.documents.list("sync-mode")] == ["orders"]
        assert (await ask("POST", "/api/v1/sync/resume")).json()["rules"] == ["orders"]
        assert await hub.desk.documents.list("sync-mode") == []
        assert (await ask("POST", "/api/v1/sync/approve")).json()["approved"] == 0


async def test_a_rule_that_is_not_there_is_not_steered(hub):
    async with Asking(hub) as ask:
        for method, path in (("GET", "plan"), ("POST", "approve"), ("POST", "pause"), ("POST", "purge")):
            missing = await ask(method, f"/api/v1/sync/{path}?rule=order")
            assert (missing.status_code, "there are: orders" in missing.json()["detail"]) == (404, True)
        assert await hub.desk.documents.list("sync-mode") == []


async def test_a_journal_that_cannot_be_written_is_said(hub):
    hub.desk.documents.broken = "disk full"
    async with Asking(hub) as ask:
        failed = await ask("POST", "/api/v1/sync/pause?rule=orders")
        assert (failed.status_code, "disk full" in failed.json()["detail"]) == (503, True)
        assert (await ask.get("/api/v1/sync"))["sync"][0]["state"] == "waiting"
