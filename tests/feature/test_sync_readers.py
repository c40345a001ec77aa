"""Proof with readers that aren't ours: what a hub writes is found by the libraries that callers already use."""

import asyncio
import json
from pathlib import Path

from devservers import Consul, Etcd, ZooKeeper
from devservers.java import compile_java, curator_classpath
from devservers.pytest_plugin import Fresh
from tests.contract.backend_zookeeper import children_of, do_with
from tests.feature.hub import hub
from tests.feature.test_sync import OWN, ZONES, agent, keys, naming, rule, tree, until, write


async def test_apache_curator_watches_instances_come_and_go(tmp_path: Path, zookeeper: ZooKeeper, etcd: Etcd):
    write(etcd, "curator", "orders", 1)
    registries = [naming(etcd, "curator"), tree(zookeeper, {"curator": {"root": "/watched-by-curator"}})]
    watcher = compile_java(Path(__file__).with_name("CuratorWatcher.java"), curator_classpath())
    async with hub(tmp_path, zones=ZONES, registries=registries, sync=[rule("r", "etcd", "zk")]) as running:
        place = "/watched-by-curator/orders"
        await until(running, lambda: do_with(zookeeper, lambda zk: children_of(zk, place)), bool)
        started = watcher.start(zookeeper.address, "/watched-by-curator", "orders", ready="watching")
        with await asyncio.to_thread(started.__enter__):
            write(etcd, "curator", "orders", 2)
            await until(running, started.log.read_text, lambda said: "now [10.2.0.1:9000, 10.2.0.2:9000]" in said)
            etcd.delete("curator/orders/10.2.0.1:9000")
            await until(running, started.log.read_text, lambda said: said.rstrip().endswith("now [10.2.0.2:9000]"))
            assert "now []" not in started.log.read_text()


async def test_grpcs_resolver_finds_what_it_expects_in_etcd(tmp_path: Path, etcd: Etcd):
    """gRPC-Go's (`clientv3/naming/endpoints`) reads all keys under `SERVICE/`, as `{"Op": 0, "Addr", "Metadata"}`."""
    registries = [OWN, naming(etcd, "resolved")]
    async with hub(tmp_path, zones=ZONES, registries=registries, sync=[rule("r", "own", "etcd")]) as running:
        await running.until_state("own", "synced")
        where = ("--address", "10.3.0.4", "--port", "http:8080/http", "--ttl", "60s", "--meta", "team=shop")
        assert (await running.call("register", "mesh/orders", *where)).code == 0
        await until(running, lambda: keys(etcd, "resolved"), {"orders/10.3.0.4:8080"}.__eq__)
        record = json.loads(etcd.get("resolved/orders/10.3.0.4:8080") or "")
        assert set(record) == {"Op", "Addr", "Metadata"}
        assert (record["Op"], record["Addr"], record["Metadata"]["team"]) == (0, "10.3.0.4:8080", "shop")


async def test_two_clusters_that_write_from_both_ends_make_no_loop(tmp_path: Path, zookeeper: ZooKeeper, fresh: Fresh):
    """Nobody tells them of each other: what a copy says of itself is enough."""
    consul = fresh(Consul, durable=False)
    registries = [tree(zookeeper, {"spring": {"root": "/both-ends"}}), agent(consul)]
    east = hub(tmp_path / "east", cluster="east", zones=ZONES, registries=registries, sync=[rule("r", "zk", "consul")])
    west = hub(tmp_path / "west", cluster="west", zones=ZONES, registries=registries, sync=[rule("r", "consul", "zk")])
    consul.register("carts", 8080, instance="carts-1", Address="10.2.0.9", Meta={"protocol": "http"})
    async with east as one, west as other:
        await one.until_state("zk", "synced")
        where = ("--address", "10.1.0.4", "--port", "http:8080/http", "--ttl", "60s", "--registry", "zk")
        assert (await one.call("register", "legacy/orders", *where)).code == 0
        for running in (one, other):
            for service in ("vm/orders", "legacy/orders"):
                await running.until_addresses(service, ["10.1.0.4"])
            for service in ("vm/carts", "legacy/carts"):
                await running.until_addresses(service, ["10.2.0.9"])
        for running in (one, other):
            assert (await running.post("/sync/pause")).status_code == 200
            assert (await running.post("/sync/resume")).status_code == 200  # everything is compared in full
            assert (await running.call("sync", "plan")).code == 0
        held = [(await running.registry(name))["instances"] for running in (one, other) for name in ("zk", "consul")]
        assert held == [2, 2, 2, 2]
