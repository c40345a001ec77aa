"""The page about history: what it shows is what happens, in a real etcd behind a real hub."""

import json
import re
from pathlib import Path
from typing import Any

from devservers import Etcd
from pilot_plus.config import Duration, parse
from tests.feature.hub import hub
from tests.feature.test_one_live_catalog import OWN, ZONES, addresses_in, etcd_registry, write
from tests.pilot_plus.cli.calling import Called, Command

PAGE = (Path(__file__).parents[2] / "docs" / "history.md").read_text()
TIME = re.compile(r"\d\d:\d\d:\d\d")


def shown(command: str) -> list[str]:
    """What the page says that a command prints."""
    (block,) = re.findall(rf"```\n\$ {re.escape(command)}\n(.*?)```", PAGE, re.DOTALL)
    return plain(block)


def plain(text: str) -> list[str]:
    """Lines without what differs each time: times, and how wide columns are."""
    return [re.sub(r" {2,}", "  ", TIME.sub("TIME", line)).rstrip() for line in text.splitlines()]


async def test_the_page_shows_what_the_commands_print(tmp_path: Path):
    with Etcd() as etcd:
        write(etcd, "orders", *addresses_in(10))
        async with hub(tmp_path, zones=ZONES, registries=[OWN, etcd_registry(etcd)]) as running:
            call = Command(running.url)
            await running.until_addresses("vm/orders", addresses_in(10))
            etcd.delete("services/orders/10.2.0.1", end="services/orders/10.2.0.9:")

            async def timeline() -> Any:
                return (await running.get("/services/vm/orders/history"))["timeline"]

            held = (await running.until(timeline, lambda lines: "held" in lines[-1]["text"]))[-1]["time"]
            assert (await running.post("/registries/etcd/release")).status_code < 300
            await running.until(timeline, lambda lines: lines[-1]["text"].endswith(" gone"))

            async def ran(*words: str) -> Called:
                called = await call(*words, TZ="UTC")
                assert (called.code, called.err) == (0, "")
                return called

            assert plain((await ran("history", "vm/orders")).out) == shown("pilot-plus history vm/orders")
            expected = shown("pilot-plus history vm/orders --at 14:02:30")
            assert expected[-1] == "…"
            assert plain((await ran("history", "vm/orders", "--at", held)).out)[: len(expected) - 1] == expected[:-1]
            answer = await running.get(f"/services/vm/orders/history?at={held}")
            (example,) = (json.loads(text) for text in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL))
            assert answer.keys() == example.keys()
            for part in ("changes", "events", "timeline"):
                assert answer[part][0].keys() == example[part][0].keys()
            told = next(one for one in answer["changes"] if one["id"] == "10.2.0.1:9000" and one["change"] == "held")
            assert {**told, "time": "", "revision": ""} == {**example["changes"][0], "time": "", "revision": ""}


def test_the_settings_on_the_page_are_the_defaults():
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert parse(f"cluster: east\n{text}").history == parse("cluster: east").history
    assert parse("cluster: east\nhistory: {keep: 0s}").history.keep == Duration(0)
