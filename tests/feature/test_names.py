"""One service under the names of several registries, as a user has it: real servers, a hub process, its commands."""

import asyncio
import json
import signal
from pathlib import Path
from typing import Any
from urllib.parse import quote

from devservers import Etcd, ZooKeeper
from devservers.pytest_plugin import Fresh
from tests.contract.backend_zookeeper import do_with
from tests.feature.hub import hub

PROVIDER = quote("dubbo://10.1.0.7:20880/com.example.Orders?version=1.0.0&weight=50", safe="")
NODE = f"/names/com.example.Orders/providers/{PROVIDER}"
ALIASES = [{"name": "shop/orders", "services": ["vm/orders", "legacy/com.example.Orders:1.0.0"]}]
ORDERS = {
    "namespace": "vm",
    "name": "orders",
    "id": "o-1",
    "address": "10.3.0.4",
    "ports": [{"name": "http", "number": 8080, "protocol": "http"}],
    "ttl": "1h",
}


def registries(zookeeper: ZooKeeper, etcd: Etcd, **more: Any) -> list[dict[str, Any]]:
    naming = {"naming": {"prefix": "services", "protocol": "http"}}
    zk = {"hosts": zookeeper.address, "layouts": [{"dubbo": {"root": "/names"}}]}
    return [
        {"name": "own", "kind": "database", "zone": "vm"},
        {"name": "zk", "kind": "zookeeper", "zone": "legacy", "settings": zk},
        {
            "name": "etcd",
            "kind": "etcd",
            "zone": "vm",
            "settings": {"endpoints": [etcd.url], "layouts": [naming]},
            **more,
        },
    ]


async def test_a_service_has_one_name_for_all_of_its_registries(tmp_path: Path, zookeeper: ZooKeeper, fresh: Fresh):
    etcd = fresh(Etcd)
    await asyncio.to_thread(do_with, zookeeper, lambda client: client.create(NODE, makepath=True))
    etcd.put("services/orders/10.2.0.1:9000", json.dumps({"Addr": "10.2.0.1:9000"}))
    sections: dict[str, Any] = {
        "zones": [{"name": "legacy"}, {"name": "vm", "reaches": ["legacy"]}],
        "registries": registries(zookeeper, etcd),
        "names": {"aliases": ALIASES},
        "exports": [{"services": ["shop/*"], "from": ["legacy"], "to": ["vm"]}],
    }
    async with hub(tmp_path, **sections) as running:
        await running.until_addresses("shop/orders", ["10.1.0.7", "10.2.0.1"])
        assert (await running.post("/instances", ORDERS)).status_code == 201
        await running.until_addresses("vm/orders", ["10.1.0.7", "10.2.0.1", "10.3.0.4"])
        for service in ("vm/orders", "shop/orders"):
            assert (await running.put(f"/instances/{service}/o-1/heartbeat")).status_code == 204
        assert (await running.call("weight", "shop/orders", "o-1", "7")).code == 0
        weight = lambda: running.get("/instances?namespace=shop&registry=own")  # noqa: E731
        await running.until(weight, lambda found: [one["weight"] for one in found["instances"]] == [7])
        told = await running.call("explain", "legacy/com.example.Orders:1.0.0", "--from", "vm")
        assert f"Record:    {NODE} in zk, layout dubbo" in told.out
        assert "Name:      vm/orders, by names.aliases shop/orders" in told.out
        assert (await running.call("get", "services")).rows[1][:3] == ["shop", "orders", "3/3"]

        running.end(signal.SIGTERM)
        etcd.kill()
        sections["registries"] = registries(zookeeper, etcd, rename=[{"from": "orders", "to": "carts"}])
        running.configure(**sections)
        running.start()
        await running.until_addresses("vm/carts", ["10.2.0.1"])
        assert (await running.registry("etcd"))["state"] == "never_synced"
        assert (await running.delete("/instances/vm/orders/o-1")).status_code == 204
        await running.until_addresses("shop/orders", ["10.1.0.7"])
