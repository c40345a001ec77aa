"""The pages about registries: each record that they show is written into a real server, and read as they say."""

import asyncio
import importlib
import json
import re
import sqlite3
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from devservers import Consul, Etcd, ZooKeeper
from devservers.pytest_plugin import Fresh
from pilot_plus.ports import Source
from registries import consul as consul_registry
from registries import database
from registries import etcd as etcd_registry
from registries import zookeeper as zookeeper_registry
from registries.etcd.settings import LAYOUTS as ETCD_LAYOUTS
from registries.zookeeper.settings import LAYOUTS as ZOOKEEPER_LAYOUTS
from tests.contract.backend_zookeeper import do_with
from tests.contract.mirror import Mirror
from tests.docs.pages import ROOT, blocks, page
from tests.docs.records import Example, examples, read


def shown(name: str) -> tuple[list[Any], list[Example]]:
    """The layouts and the records that a page shows."""
    text = page(f"docs/registries/{name}.md")
    trees = [yaml.safe_load(block) for block in blocks(text, "yaml")]
    (records,) = blocks(text, "records")
    return trees[-1].get("layouts", []), examples(records)


async def listened(source: Source, is_whole: Any) -> Mirror:
    """What a source says, as soon as it has said it."""
    mirror = Mirror()
    async with asyncio.TaskGroup() as tasks:
        following = tasks.create_task(mirror.follow(source))
        await mirror.until(is_whole, "all that the page shows")
        following.cancel()
    return mirror


def check(mirror: Mirror, said: list[Example]) -> None:
    """Whether that is what the page says."""
    assert read(mirror.instances.values(), mirror.services.values()) == sorted(one for each in said for one in each.is_)
    assert mirror.skipped == {one.path: one.skipped for one in said if one.skipped}


def is_said(said: list[Example]) -> Any:
    """Whether as much was said as the page shows."""
    records = sum(len([one for one in each.is_ if " is also called " not in one]) for each in said)
    skips = sum(bool(each.skipped) for each in said)
    return lambda mirror: len(mirror.instances) >= records and len(mirror.skipped) >= skips


async def test_zookeepers_records_are_read_as_the_page_says(zookeeper: ZooKeeper):
    layouts, said = shown("zookeeper")

    def write(client: Any) -> None:
        for one in said:
            client.create(f"/page{one.path}", one.data.encode(), makepath=True)

    await asyncio.to_thread(do_with, zookeeper, write)
    settings = msgspec.convert({"hosts": f"{zookeeper.address}/page", "layouts": layouts}, zookeeper_registry.Settings)
    async with zookeeper_registry.connect(settings) as source:
        check(await listened(source, is_said(said)), said)
    assert set(layouts) == set(ZOOKEEPER_LAYOUTS)


async def test_etcds_records_are_read_as_the_page_says(fresh: Fresh):
    layouts, said = shown("etcd")
    server = fresh(Etcd)
    for one in said:
        server.put(one.path, one.data)
    settings = msgspec.convert({"endpoints": [server.url], "layouts": layouts}, etcd_registry.Settings)
    async with etcd_registry.connect(settings) as source:
        mirror = await listened(source, is_said(said))
    check(mirror, said)
    assert {one.layout for one in mirror.instances.values()} == set(ETCD_LAYOUTS)


async def test_consuls_services_are_read_as_the_page_says(fresh: Fresh):
    _, said = shown("consul")
    server = fresh(Consul)
    for one in said:
        await asyncio.to_thread(server.call, "PUT", one.path, json.loads(one.data))
    settings = msgspec.convert({"url": server.url}, consul_registry.Settings)
    async with consul_registry.connect(settings) as source:
        check(await listened(source, is_said(said)), said)


async def test_a_row_that_somebody_inserts_is_read(tmp_path: Path):
    (statement,) = blocks(page("docs/registries/database.md"), "sql")
    settings = database.Settings(url=f"sqlite:///{tmp_path}/hub.db")
    async with database.connect(settings) as source:
        with sqlite3.connect(tmp_path / "hub.db") as connection:
            connection.execute(statement)
        mirror = await listened(source, lambda mirror: bool(mirror.instances))
    assert read(mirror.instances.values()) == ["orders 10.3.0.4 http:8080/http passing 100"]
    connection.close()


@pytest.mark.parametrize(("name", "known"), [("zookeeper", ZOOKEEPER_LAYOUTS), ("etcd", ETCD_LAYOUTS)])
def test_the_page_has_a_row_for_every_layout_and_names_each_of_its_options(name: str, known: dict[str, Any]):
    text = page(f"docs/registries/{name}.md")
    for layout, kind in known.items():
        assert f"\n| `{layout}` |" in text
        options = {field.name for field in msgspec.structs.fields(kind)} - {"root", "prefix"}
        assert not {option for option in options if not re.search(rf"\b{option}\b", text)}, layout


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "docs" / "registries").glob("*.md")))
def test_the_page_has_a_row_for_every_setting_and_no_other(name: str):
    table = page(f"docs/registries/{name}.md").split("\n| setting |")[1].partition("\n\n")[0]
    told = {setting for row in table.splitlines()[2:] for setting in re.findall(r"`(\w+)`", row.split("|")[1])}
    settings = importlib.import_module(f"registries.{name}").Settings
    assert told == {field.encode_name for field in msgspec.structs.fields(settings)}
