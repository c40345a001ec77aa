"""A company's registries: real servers, filled with what its applications would write there, by plain clients."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final
from urllib.parse import quote

import click
from kazoo.client import KazooClient

from devservers.consul import Consul
from devservers.etcd import Etcd
from devservers.zookeeper import ZooKeeper

_SECTIONS: Final = """\
  - name: zk
    kind: zookeeper
    zone: legacy
    settings: {{hosts: "{zookeeper}", layouts: [dubbo, spring]}}
  - {{name: consul, kind: consul, zone: legacy, settings: {{url: "{consul}"}}}}
  - name: etcd
    kind: etcd
    zone: legacy
    settings: {{endpoints: ["{etcd}"], layouts: [{{naming: {{prefix: services, protocol: grpc}}}}]}}
"""
_SPRING: Final = "org.springframework.cloud.zookeeper.discovery.ZookeeperInstance"


@contextmanager
def company() -> Iterator[str]:
    """Start ZooKeeper, Consul and etcd, fill them, and say how the hub reaches them."""
    with ExitStack() as started:
        click.echo("starting ZooKeeper, Consul and etcd …", err=True)
        zookeeper = started.enter_context(ZooKeeper())
        consul = started.enter_context(Consul(durable=False))
        etcd = started.enter_context(Etcd())
        _fill_zookeeper(zookeeper.address)
        _fill_consul(consul)
        _fill_etcd(etcd)
        yield _SECTIONS.format(zookeeper=zookeeper.address, consul=consul.url, etcd=etcd.url)


def _fill_zookeeper(address: str) -> None:
    """Dubbo providers and a Spring Cloud application."""
    client: Any = KazooClient(hosts=address)
    client.start()
    try:
        for host in ("10.1.0.7", "10.1.0.8"):
            interface = "com.example.StockService"
            url = (
                f"dubbo://{host}:20880/{interface}?application=stock&interface={interface}&version=1.0.0&side=provider"
            )
            client.create(f"/dubbo/{interface}/providers/{quote(url, safe='')}", makepath=True)
        payload = {"@class": _SPRING, "id": "billing", "name": "billing", "metadata": {"team": "finance"}}
        record = {
            "name": "billing",
            "id": "billing-1",
            "address": "10.1.0.20",
            "port": 8080,
            "sslPort": None,
            "payload": payload,
            "registrationTimeUTC": 1_700_000_000_000,
            "serviceType": "DYNAMIC",
            "uriSpec": None,
        }
        client.create("/services/billing/billing-1", json.dumps(record).encode(), makepath=True)
    finally:
        client.stop()
        client.close()


def _fill_consul(consul: Consul) -> None:
    """An application with a check that passes, and one with a check that doesn't."""
    for number, status in ((1, "passing"), (2, "critical")):
        consul.register(
            "search",
            9200,
            instance=f"search-{number}",
            Address=f"10.2.0.{number}",
            Meta={"protocol": "http"},
            Check={"Name": "demo", "TTL": "1h", "Status": status},
        )


def _fill_etcd(etcd: Etcd) -> None:
    """What gRPC's resolver for etcd expects."""
    for host in ("10.2.0.31", "10.2.0.32"):
        record = {"Op": 0, "Addr": f"{host}:9000", "Metadata": None}
        etcd.put(f"services/recommend/{host}:9000", json.dumps(record))
