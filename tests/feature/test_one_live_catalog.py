"""The main job, as a user has it: real registries, a hub process, HTTP; then things break."""

import asyncio
import json
import signal
from pathlib import Path
from typing import Any
from urllib.parse import quote

from kazoo.client import KazooClient

from devservers import Consul, Etcd, ZooKeeper
from tests.feature.hub import Hub, hub

ZONES = [{"name": "legacy"}, {"name": "vm"}]
OWN = {"name": "own", "kind": "database", "zone": "vm"}


def etcd_registry(server: Etcd, **more: Any) -> dict[str, Any]:
    settings = {"endpoints": [server.url], "layouts": [{"naming": {"prefix": "services", "protocol": "http"}}]}
    return {"name": "etcd", "kind": "etcd", "zone": "vm", "settings": settings, **more}


def write(server: Etcd, service: str, *addresses: str) -> None:
    for address in addresses:
        value = json.dumps({"Op": 0, "Addr": f"{address}:9000", "Metadata": None})
        server.put(f"services/{service}/{address}:9000", value)


def addresses_in(count: int) -> list[str]:
    return [f"10.2.0.{n + 1}" for n in range(count)]


async def test_services_of_every_registry_are_in_one_place(
    tmp_path: Path, zookeeper: ZooKeeper, consul: Consul, etcd: Etcd
):
    url = "dubbo://10.1.0.7:20880/com.example.OrderService?application=orders&interface=com.example.OrderService&version=1.0.0"
    zk = KazooClient(zookeeper.address)
    await asyncio.to_thread(zk.start)
    await asyncio.to_thread(
        zk.create, f"/one-place/com.example.OrderService/providers/{quote(url, safe='')}", ephemeral=True, makepath=True
    )
    consul.register("search", 8080, instance="search-1")
    write(etcd, "recommend", "10.2.0.31")
    registries = [
        OWN,
        {
            "name": "zk",
            "kind": "zookeeper",
            "zone": "legacy",
            "settings": {"hosts": zookeeper.address, "layouts": [{"dubbo": {"root": "/one-place"}}]},
        },
        {"name": "consul", "kind": "consul", "zone": "vm", "settings": {"url": consul.url}},
        etcd_registry(etcd),
    ]
    try:
        async with hub(tmp_path, zones=ZONES, registries=registries) as running:
            for name in ("own", "zk", "consul", "etcd"):
                await running.until_state(name, "synced")
            body = {
                "namespace": "shop",
                "name": "orders",
                "id": "orders-1",
                "address": "10.3.0.4",
                "ports": [{"name": "http", "number": 8080, "protocol": "http"}],
                "ttl": "15s",
            }
            assert (await running.post("/instances", body)).status_code == 201
            await running.until_addresses("shop/orders", ["10.3.0.4"])
            services = {(one["namespace"], one["name"]) for one in (await running.get("/services"))["services"]}
            assert {
                ("legacy", "com.example.OrderService:1.0.0"),
                ("vm", "search"),
                ("vm", "recommend"),
                ("shop", "orders"),
            } <= services
            dubbo = await running.get("/services/legacy/com.example.OrderService:1.0.0")
            assert dubbo["instances"][0]["origin"]["registry"] == "zk"
            assert dubbo["instances"][0]["ports"] == [{"name": "dubbo", "number": 20880, "protocol": "dubbo"}]
            await asyncio.to_thread(zk.stop)
            await running.until_addresses("legacy/com.example.OrderService:1.0.0", [])
    finally:
        await asyncio.to_thread(zk.stop)
        await asyncio.to_thread(zk.close)
        consul.deregister("search-1")


async def test_a_lost_registry_takes_nothing_away_and_says_its_age(tmp_path: Path):
    with Etcd() as etcd:
        write(etcd, "orders", *addresses_in(3))
        async with hub(tmp_path, zones=ZONES, registries=[OWN, etcd_registry(etcd)]) as running:
            await running.until_addresses("vm/orders", addresses_in(3))
            etcd.kill()
            lost = await running.until_state("etcd", "lost")
            assert lost["error"]
            service = await running.until(
                lambda: running.get("/services/vm/orders"), lambda answer: all(i["stale"] for i in answer["instances"])
            )
            assert len(service["instances"]) == 3
            assert (await running.registry("own"))["state"] == "synced"
            await asyncio.to_thread(etcd.start_again)
            await running.until_state("etcd", "synced")
            write(etcd, "orders", "10.2.0.77")
            await running.until_addresses("vm/orders", [*addresses_in(3), "10.2.0.77"])


async def test_a_hub_killed_and_started_while_a_registry_is_down_serves_what_it_knew(tmp_path: Path):
    with Etcd() as etcd:
        write(etcd, "orders", *addresses_in(3))
        running = Hub(tmp_path, zones=ZONES, registries=[OWN, etcd_registry(etcd)])
        try:
            running.start()
            await running.until_addresses("vm/orders", addresses_in(3))
            await running.until_kept("etcd", 3)
            running.end(signal.SIGKILL)
            etcd.kill()
            running.start()
            await running.until_addresses("vm/orders", addresses_in(3))
            assert (await running.registry("etcd"))["state"] == "never_synced"
            assert all(one["stale"] for one in (await running.get("/services/vm/orders"))["instances"])
            await asyncio.to_thread(etcd.start_again)
            await running.until_state("etcd", "synced")
            etcd.delete("services/orders/10.2.0.1:9000")
            await running.until_addresses("vm/orders", addresses_in(3)[1:])
            assert running.end(signal.SIGTERM) == 0
        finally:
            running.close()


async def test_a_mass_removal_is_held_shown_and_released(tmp_path: Path):
    with Etcd() as etcd:
        write(etcd, "orders", *addresses_in(10))
        async with hub(tmp_path, zones=ZONES, registries=[OWN, etcd_registry(etcd)]) as running:
            await running.until_addresses("vm/orders", addresses_in(10))
            etcd.delete("services/orders/", end="services/orders0")
            held = await running.until(lambda: running.registry("etcd"), lambda one: one["held"] > 0)
            assert held["held"] == 10
            assert await running.addresses("vm/orders") == sorted(addresses_in(10))
            assert (await running.post("/registries/etcd/release")).status_code < 300
            await running.until_addresses("vm/orders", [])


async def test_a_registry_restarted_empty_is_held_too(tmp_path: Path):
    with Etcd() as etcd:
        write(etcd, "orders", *addresses_in(10))
        async with hub(tmp_path, zones=ZONES, registries=[OWN, etcd_registry(etcd)]) as running:
            await running.until_addresses("vm/orders", addresses_in(10))
            await asyncio.to_thread(etcd.wipe)
            await running.until(lambda: running.registry("etcd"), lambda one: one["held"] == 10)
            assert await running.addresses("vm/orders") == sorted(addresses_in(10))


async def test_an_instance_whose_ttl_has_passed_is_gone_and_one_that_beats_stays(tmp_path: Path):
    async with hub(tmp_path, zones=ZONES, registries=[OWN]) as running:
        await running.until_state("own", "synced")
        for name in ("beats", "silent"):
            body = {
                "namespace": "shop",
                "name": "orders",
                "id": name,
                "address": f"10.3.0.{len(name)}",
                "ports": [{"name": "http", "number": 80, "protocol": "http"}],
                "ttl": "2s",
            }
            assert (await running.post("/instances", body)).status_code == 201

        async def beaten() -> list[str]:
            assert (await running.put("/instances/shop/orders/beats/heartbeat")).status_code < 300
            return await running.addresses("shop/orders")

        await running.until(beaten, lambda found: found == ["10.3.0.5"])
        assert (await running.put("/instances/shop/orders/silent/heartbeat")).status_code == 404


async def test_a_registry_that_is_down_at_the_start_does_not_keep_the_hub_from_starting(tmp_path: Path):
    nobody = {"name": "consul", "kind": "consul", "zone": "vm", "settings": {"url": "http://127.0.0.1:1"}}
    async with hub(tmp_path, zones=ZONES, registries=[OWN, nobody]) as running:
        await running.until_state("own", "synced")
        lost = await running.until(lambda: running.registry("consul"), lambda one: bool(one["error"]))
        assert lost["state"] == "never_synced"
