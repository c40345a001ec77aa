"""Kubernetes in step with others: a hub process, a real Consul and ZooKeeper, and an API server like a real one."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from devservers import Consul, ZooKeeper
from tests.contract.backend_zookeeper import children_of, do_with
from tests.feature.hub import Hub, hub
from tests.feature.test_sync import agent, rule, tree, until, until_state
from tests.feature.test_takeover import until_one_writes
from tests.kube import kubeconfig
from tests.kube.world import LEASES, SERVICES, SLICES, World, world_of

ZONES = [
    {"name": "vm", "reaches": ["legacy", "pods"]},
    {"name": "legacy", "reaches": ["vm", "pods"]},
    {"name": "pods", "reaches": ["vm", "legacy"]},
]
SHOP = {"registry": "kube", "namespace": "shop"}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with world_of(tmp_path) as made:
        yield made


def kube(world: World, **settings: Any) -> dict[str, Any]:
    file = world.folder / "kubeconfig"
    file.write_text(kubeconfig(world.kubectl.url))
    return {"name": "kube", "kind": "kubernetes", "zone": "pods", "settings": {"kubeconfig": str(file), **settings}}


async def endpoints(world: World, service: str) -> list[str]:
    slices = await world.objects(SLICES, labelSelector=f"kubernetes.io/service-name={service}")
    return sorted(address for one in slices for endpoint in one["endpoints"] for address in endpoint["addresses"])


async def until_endpoints(running: Hub, world: World, service: str, *addresses: str) -> None:
    await running.until(lambda: endpoints(world, service), lambda found: found == sorted(addresses))


async def test_what_consul_knows_is_a_service_for_pods_as_long_as_consul_knows_it(
    tmp_path: Path, consul: Consul, world: World
):
    for number in (1, 2):
        consul.register("kube-web", 8080, instance=f"kube-web-{number}", Address=f"10.2.0.{number}", Meta={"v": "1"})
    select = {"services": ["vm/kube-*"]}
    rules = [
        rule("out", "consul", SHOP, select=select),
        rule("back", "kube", "consul", select={"services": ["shop/*"]}),
    ]
    try:
        async with hub(tmp_path, zones=ZONES, registries=[agent(consul), kube(world)], sync=rules) as running:
            await until_endpoints(running, world, "kube-web", "10.2.0.1", "10.2.0.2")
            (service,) = await world.objects(SERVICES)
            assert [port["port"] for port in service["spec"]["ports"]] == [8080]
            assert "selector" not in service["spec"]
            seen = await running.get("/services/shop/kube-web")
            assert {one["origin"]["registry"] for one in seen["instances"]} == {"consul"}
            consul.register("kube-web", 8080, instance="kube-web-3", Address="10.2.0.3")
            consul.deregister("kube-web-1")
            await until_endpoints(running, world, "kube-web", "10.2.0.2", "10.2.0.3")
            await until_state(running, "out", "in_step")
            assert len(consul.call("GET", "/v1/health/service/kube-web")) == 2  # type: ignore[arg-type]  # and no copy back
            before = await world.revisions(SLICES) | await world.revisions(SERVICES)
            running.end(signal.SIGKILL)
            running.start()
            await until_state(running, "out", "in_step")
            assert await world.revisions(SLICES) | await world.revisions(SERVICES) == before
            assert (await running.call("sync", "plan")).code == 0
            (lease,) = [one for one in await world.objects(LEASES) if "pilot-plus/cluster" in one["metadata"]["labels"]]
            assert lease["spec"]["leaseDurationSeconds"] == 6
            assert (await running.post("/sync/purge")).status_code == 200
            await running.until(lambda: world.objects(SERVICES), lambda found: not found)
            assert await world.objects(SLICES) == []
    finally:
        for number in (2, 3):
            consul.deregister(f"kube-web-{number}")


async def test_what_kubernetes_runs_is_found_in_consul_and_zookeeper(
    tmp_path: Path, consul: Consul, zookeeper: ZooKeeper, world: World
):
    root = "/from-kube"
    await world.serve("pay", "10.9.0.1", "10.9.0.2")
    select = {"services": ["shop/*"]}
    rules = [
        rule("to-consul", "kube", {"registry": "consul", "name": "kube-{name}"}, select=select),
        rule("to-zk", "kube", {"registry": "zk", "layout": "spring"}, select=select),
    ]
    registries = [kube(world), agent(consul), tree(zookeeper, {"spring": {"root": root}})]

    def in_consul() -> list[str]:
        found: Any = consul.call("GET", "/v1/health/service/kube-pay?passing")
        return sorted(f"{one['Service']['Address']}:{one['Service']['Port']}" for one in found)

    def in_zookeeper() -> list[str]:
        def read(zk: Any) -> list[str]:
            nodes = map(json.loads, children_of(zk, f"{root}/pay").values())
            return sorted(f"{node['address']}:{node['port']}" for node in nodes)

        return do_with(zookeeper, read)

    async with hub(tmp_path, zones=ZONES, registries=registries, sync=rules) as running:
        for look in (in_consul, in_zookeeper):
            await until(running, look, lambda found: found == ["10.9.0.1:8080", "10.9.0.2:8080"])
        await world.slice("pay-1", "pay", "10.9.0.2", "10.9.0.3")
        for look in (in_consul, in_zookeeper):
            await until(running, look, lambda found: found == ["10.9.0.2:8080", "10.9.0.3:8080"])
        world.api.faults.status = 503  # nothing may go anywhere for that
        await running.until_state("kube", "lost")
        assert in_consul() == await asyncio.to_thread(in_zookeeper) == ["10.9.0.2:8080", "10.9.0.3:8080"]
        world.api.faults.status = 0
        await world.slice("pay-1", "pay", "10.9.0.3")
        for look in (in_consul, in_zookeeper):
            await until(running, look, lambda found: found == ["10.9.0.3:8080"])
        assert (await running.post("/sync/purge")).status_code == 200
        for look in (in_consul, in_zookeeper):
            await until(running, look, lambda found: not found)
    assert await endpoints(world, "pay") == ["10.9.0.3"]


async def test_a_service_of_somebody_else_is_a_conflict_that_is_shown(tmp_path: Path, consul: Consul, world: World):
    await world.serve("kube-taken", "10.9.0.1")
    consul.register("kube-taken", 8080, instance="kube-taken-1", Address="10.2.0.1")
    before = await world.revisions(SLICES) | await world.revisions(SERVICES)
    rules = [rule("out", "consul", SHOP, select={"services": ["vm/kube-taken"]})]
    try:
        async with hub(tmp_path, zones=ZONES, registries=[agent(consul), kube(world)], sync=rules) as running:

            async def why() -> str:
                return json.dumps((await running.get("/sync"))["sync"])

            await running.until(why, lambda said: "somebody else's" in said)
            await running.until_addresses("shop/kube-taken", ["10.9.0.1"])
            assert await world.revisions(SLICES) | await world.revisions(SERVICES) == before
    finally:
        consul.deregister("kube-taken-1")


async def test_what_is_registered_through_the_hub_lies_in_kubernetes_while_it_is_heard(tmp_path: Path, world: World):
    body = {
        "namespace": "shop",
        "name": "orders",
        "id": "orders-1",
        "address": "10.3.0.4",
        "ports": [{"name": "http", "number": 8080, "protocol": "http"}],
        "ttl": "2s",
        "registry": "kube",
    }
    async with hub(tmp_path, zones=ZONES, registries=[kube(world)]) as running:
        await running.until_state("kube", "synced")
        assert (await running.post("/instances", body)).status_code == 201
        await until_endpoints(running, world, "orders", "10.3.0.4")
        await running.until_addresses("shop/orders", ["10.3.0.4"])
        await until_endpoints(running, world, "orders")  # nobody is heard
        await running.until_addresses("shop/orders", [])


async def test_the_next_hub_takes_over_from_one_that_was_killed_and_nobody_sees_a_gap(
    tmp_path: Path, consul: Consul, world: World
):
    for number in (1, 2):
        consul.register("kube-taken", 8080, instance=f"kube-taken-{number}", Address=f"10.2.0.{number}")
    sections = {
        "cluster": "east",
        "zones": ZONES,
        "registries": [agent(consul), kube(world)],
        "sync": [rule("r", "consul", SHOP, select={"services": ["vm/kube-taken"]}, lease="3s")],
    }
    try:
        async with hub(tmp_path / "one", **sections) as first, hub(tmp_path / "two", **sections) as second:
            writer, other = await until_one_writes(first, second)
            await until_endpoints(writer, world, "kube-taken", "10.2.0.1", "10.2.0.2")
            before = await world.revisions(SLICES)
            writer.end(signal.SIGKILL)
            consul.register("kube-taken", 8080, instance="kube-taken-3", Address="10.2.0.3")
            seen: list[int] = []

            async def look() -> int:
                seen.append(len(await endpoints(world, "kube-taken")))
                return seen[-1]

            await other.until(look, lambda found: found == 3)
            assert min(seen) == 2
            assert set(await world.revisions(SLICES)) == set(before), "the same slices, and not new ones"
            await until_state(other, "r", "in_step")
    finally:
        for number in (1, 2, 3):
            consul.deregister(f"kube-taken-{number}")
