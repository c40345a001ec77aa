"""The page about sync: its configuration runs over real servers, and its commands print what it shows."""

import asyncio
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml

from devservers import Consul, ZooKeeper
from tests.contract.backend_zookeeper import do_with
from tests.docs.pages import blocks, page, transcripts
from tests.feature.hub import hub

PAGE = page("docs/sync.md")
PROVIDERS = [
    f"dubbo://10.1.0.{host}:20880/com.example.StockService?interface=com.example.StockService&version=1.0.0"
    for host in (7, 8)
]


def as_shown(zookeeper: ZooKeeper, consul: Consul) -> dict[str, Any]:
    """The page's configuration, with the addresses of our servers."""
    text = blocks(PAGE, "yaml")[0]
    shown: dict[str, Any] = yaml.safe_load(text.replace("127.0.0.1:2181", zookeeper.address))
    shown["registries"][1]["settings"] = {"url": consul.url}
    return shown


async def test_the_configuration_runs_and_its_commands_print_what_the_page_shows(
    tmp_path: Path, zookeeper: ZooKeeper, consul: Consul
):
    def fill(zk: Any) -> None:
        for url in PROVIDERS:
            zk.create(f"/dubbo/com.example.StockService/providers/{quote(url, safe='')}", makepath=True)

    def empty(zk: Any) -> None:
        zk.delete("/dubbo/com.example.StockService", recursive=True)

    await asyncio.to_thread(do_with, zookeeper, fill)
    consul.register("web", 8080, instance="web-1", Address="10.2.0.9", Meta={"team": "shop", "protocol": "http"})
    try:
        async with hub(tmp_path, **as_shown(zookeeper, consul)) as running:

            async def rules() -> dict[str, dict[str, Any]]:
                return {one["name"]: one for one in (await running.get("/sync"))["sync"]}

            await running.until(rules, lambda found: found["stock-to-consul"]["copies"] == 2)
            await running.until(rules, lambda found: found["stock-to-consul"]["state"] == "in_step")
            await running.until(rules, lambda found: found["web-to-spring"]["behind"] == 1)
            shown = transcripts(PAGE)
            assert {one.words[:2] for one in shown} == {("sync", "status"), ("sync", "plan")}
            for one in shown:
                got = await running.call(*one.words)
                assert one.is_what(got.out), got.out
            assert (await running.post("/sync/purge")).status_code == 200
            await running.until(rules, lambda found: found["stock-to-consul"]["copies"] == 0)
    finally:
        await asyncio.to_thread(do_with, zookeeper, empty)
        consul.deregister("web-1")
