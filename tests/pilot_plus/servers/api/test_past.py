"""History over HTTP and from the command line: shapes, times, and what is refused."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pilot_plus.cli.past import moment_of
from pilot_plus.journal import Journal
from pilot_plus.journal.past import Past
from pilot_plus.journal.recorder import Recorder
from pilot_plus.journal.scribe import Bounds
from pilot_plus.model import Drop, Health, Put, Reset
from pilot_plus.quantities import time_of
from tests.pilot_plus.cli.calling import commanding
from tests.pilot_plus.servers.api.asking import Asking
from tests.pilot_plus.servers.api.hub import Hub, copy

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp()
PATH = "/api/v1/services/legacy/orders/history"


@asynccontextmanager
async def remembering(folder: Path) -> AsyncIterator[Hub]:
    """A hub to which something happened at noon, and one minute after the other."""
    hub = Hub()
    time = NOON
    async with Journal.open(f"sqlite:///{folder}/hub.db") as journal, asyncio.TaskGroup() as tasks:
        recorder = Recorder(hub.holder, journal.archive, Bounds(86400.0, 1 << 30), clock=lambda: time)
        hub.context.past = Past(recorder, journal.archive)
        running = tasks.create_task(recorder.run())
        await recorder.scribe.recovered.wait()
        for updates in (
            [Reset(instances=[copy("a"), copy("b")])],
            [Put(copy("a", weight=30)), Put(copy("b", health=Health.CRITICAL))],
            [Drop("b")],
        ):
            time += 60
            hub.say("zk", *updates)
            while recorder.seen is not hub.catalog:  # noqa: ASYNC110 - the recorder wakes nobody
                await asyncio.sleep(0)
        try:
            yield hub
        finally:
            running.cancel()


async def test_what_changed_is_told_with_its_time_and_revision(tmp_path: Path):
    async with remembering(tmp_path) as hub, Asking(hub) as ask:
        answer = await ask.get(PATH)
        assert [(one["time"][11:19], one["change"], one["id"]) for one in answer["changes"]] == [
            ("12:01:00", "came", "a"),
            ("12:01:00", "came", "b"),
            ("12:02:00", "changed", "a"),
            ("12:02:00", "changed", "b"),
            ("12:03:00", "gone", "b"),
        ]
        assert answer["changes"][2]["fields"] == [{"name": "weight", "old": 100, "new": 30}]
        assert {one["revision"] for one in answer["changes"][:2]} == {"e.1"}
        assert [line["text"] for line in answer["timeline"]] == [
            "the hub started",
            "synced, holding 2 instances",
            "2 came",
            "2 of 2 changed: health, weight",
            "b gone, 1 left",
        ]
        assert answer["at"] is None
        assert answer["known_from"] == "2026-11-21T12:00:00.000Z"


@pytest.mark.parametrize(
    "at", ["2026-11-21T12:02:30Z", "2026-11-21T13:02:30%2B01:00", "2026-11-21T13:02:30+01:00", str(int(NOON) + 150)]
)
async def test_the_state_at_a_time_is_what_was_answered_then(tmp_path: Path, at: str):
    async with remembering(tmp_path) as hub, Asking(hub) as ask:
        answer = await ask.get(f"{PATH}?at={at}")
        assert [(one["id"], one["weight"], one["health"]) for one in answer["instances"]] == [
            ("a", 30, "passing"),
            ("b", 100, "critical"),
        ]
        assert answer["at"] == "2026-11-21T12:02:30.000Z"
        assert len(answer["changes"]) == 4
        now = await ask.get(PATH)
        assert now["instances"] == (await ask.get("/api/v1/services/legacy/orders"))["instances"]


async def test_what_can_not_be_answered_is_said(tmp_path: Path):
    async with remembering(tmp_path) as hub, Asking(hub) as ask:
        early = await ask("GET", f"{PATH}?at=2026-11-21T11:59:59Z")
        assert (early.status_code, early.json()["detail"]) == (404, "history goes back to 2026-11-21T12:00:00.000Z")
        wrong = await ask("GET", f"{PATH}?at=yesterday")
        assert wrong.status_code == 400
        assert "expected a time like 2026-11-21T14:02:07Z" in wrong.json()["detail"]
        assert (await ask("GET", "/api/v1/services/legacy/nosuch/history")).status_code == 404
        hub.say("zk", Drop("a"))
        gone = await ask.get(PATH)
        assert gone["instances"] == []
        hub.context.past = None
        assert "history is off" in (await ask("GET", PATH)).json()["detail"]


async def test_the_command_shows_a_timeline_and_a_state(tmp_path: Path):
    async with remembering(tmp_path) as hub, commanding(hub) as call:
        got = await call("history", "legacy/orders", TZ="UTC")
        assert (got.code, got.err) == (0, "")
        assert got.rows[0] == ["TIME", "REGISTRY", "WHAT"]
        assert got.rows[-1][1:] == ["zk", "b gone, 1 left"]
        assert "REVISION" in (await call("history", "legacy/orders", "-o", "wide")).rows[0]
        got = await call("history", "legacy/orders", "--at", "2026-11-21T12:02:30", TZ="UTC")
        assert "1 of 2 passing" in got.out
        assert [row[1] for row in got.rows if row and row[0] == "legacy/orders"] == ["a", "b"]
        got = await call("history", "legacy/orders", "--at", "2026-11-21T12:02:30Z", "-o", "json")
        assert [one["id"] for one in got.json["instances"]] == ["a", "b"]
        assert (await call("history", "legacy/orders", "--at", "soon")).code == 2
        assert (await call("history", "legacy/nosuch")).code == 1


def test_times_are_read_as_people_write_them():
    now = datetime(2026, 11, 21, 14, 0, tzinfo=UTC)
    assert moment_of("10m", now) == "2026-11-21T13:50:00Z"
    assert moment_of("13:59:58.5", now) == "2026-11-21T13:59:58.500000Z"
    assert moment_of("14:02", now) == "2026-11-20T14:02:00Z"
    assert moment_of("2026-11-01", now) == "2026-11-01T00:00:00Z"
    assert moment_of("1763726494", now) == "2025-11-21T12:01:34Z"
    assert time_of("2026-11-21T14:02:07 01:00") == time_of("2026-11-21T13:02:07Z") == time_of("2026-11-21 13:02:07")
    for wrong in ("", "now", "25:00", "2026-13-01T00:00:00Z", "9" * 40):
        with pytest.raises(ValueError, match="expected a time like"):
            time_of(wrong)
