"""The page about Kubernetes: its records are read as it says, and its roles are enough, and for reading no less."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from pilot_plus.ports import Done, SourceLost
from registries.kubernetes import Settings, connect
from tests.docs.pages import blocks, page
from tests.docs.records import examples
from tests.docs.test_registries import check, is_said, listened
from tests.kube.world import World, truth, world_of
from tests.live.test_kubernetes_sink import made

PAGE = "docs/registries/kubernetes.md"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with world_of(tmp_path) as one:
        yield one


def roles() -> list[dict[str, Any]]:
    found = [yaml.safe_load(block) for block in blocks(page(PAGE), "yml")]
    assert [role["kind"] for role in found] == ["Role", "Role"]
    return found


async def heard(settings: Settings) -> None:
    """Listen for as long as it can be heard."""
    async with asyncio.timeout(30), connect(settings) as source:
        async for _ in source.watch():
            pass


async def test_its_records_are_read_as_the_page_says(world: World):
    (records,) = blocks(page(PAGE), "records")
    said = examples(records)
    for one in said:
        await world.kubectl.done("POST", one.path, json.loads(one.data))
    async with connect(world.settings()) as source:
        mirror = await listened(source, is_said(said))
    check(mirror, said)
    assert {one.name for one in mirror.services.values()} == {"orders", "search", "pay", "idle"}


async def test_the_roles_are_enough_to_read_and_to_write(world: World):
    reads, writes = roles()
    await world.serve("web", "10.4.0.9")
    await world.grant("reader", reads["rules"], "shop")
    assert len(await truth(world.settings(user="reader", namespaces=("shop",)))) == 1
    await world.grant("writer", reads["rules"] + writes["rules"], "shop")
    async with asyncio.timeout(30), connect(world.settings(user="writer", namespaces=("shop",))) as kubernetes:
        assert await kubernetes.claim("sync-east", "hub-1", 3.0) == "hub-1"
        copies = [made(lease=3.0), made("com.example.Orders", 2)]
        keys = [one.key for one in await kubernetes.put(copies) if isinstance(one, Done)]
        assert len(keys) == 2
        await kubernetes.put([made(lease=3.0, weight=7)])
        assert await kubernetes.renew(keys) == await kubernetes.drop(keys) == [Done(key) for key in keys]
        await kubernetes.release("sync-east", "hub-1")
    assert len(await truth(world.settings())) == 1


async def test_less_than_the_role_is_a_loss(world: World):
    (reads, _) = roles()
    for number in range(len(reads["rules"])):
        for verb in reads["rules"][number]["verbs"]:
            rules = msgspec.json.decode(msgspec.json.encode(reads["rules"]))
            rules[number]["verbs"].remove(verb)
            await world.grant("reader", rules, "shop")
            with pytest.raises(SourceLost, match="403"):
                await heard(world.settings(user="reader", namespaces=("shop",)))
            for kind in ("rolebindings", "roles"):
                await world.kubectl.done("DELETE", f"/apis/rbac.authorization.k8s.io/v1/namespaces/shop/{kind}/reader")
