"""What each server can be asked to do besides: users, certificates, short sessions, small quotas."""

import asyncio
from urllib.error import HTTPError

import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import AuthFailedError, SessionClosedRequireSaslError

from devservers import Consul, Etcd, FaultProxy, Tls, ZooKeeper
from devservers.network import fetch
from devservers.pytest_plugin import Fresh

TOKEN = "11111111-2222-3333-4444-555555555555"


def test_etcd_demands_a_user_once_told_so(fresh: Fresh) -> None:
    etcd = fresh(Etcd)
    assert etcd.enable_auth("pass") == ("root", "pass")
    etcd.put("/a", "1")
    with pytest.raises(HTTPError) as refused:
        fetch(f"{etcd.url}/v3/kv/put", {"key": "YQ==", "value": "YQ=="})
    refused.value.close()
    etcd.start_again()
    assert etcd.get("/a") == "1"


def test_etcd_serves_tls_and_demands_a_certificate(fresh: Fresh, tls: Tls) -> None:
    etcd = fresh(Etcd, tls=tls, client_certificates=True)
    assert etcd.url.startswith("https://")
    assert etcd.put("/a", "1") > 0


def test_etcd_forgets_what_was_compacted(fresh: Fresh) -> None:
    etcd = fresh(Etcd)
    first = etcd.put("/a", "1")
    etcd.put("/a", "2")
    assert etcd.compact() > first
    with pytest.raises(HTTPError) as refused:
        etcd.call("/v3/kv/range", {"key": "L2E=", "revision": str(first)})
    assert b"compacted" in refused.value.read()
    refused.value.close()


def test_etcd_runs_full(fresh: Fresh) -> None:
    etcd = fresh(Etcd, quota_bytes=1 << 20)
    with pytest.raises(HTTPError) as refused:
        fill(etcd)
    assert b"space exceeded" in refused.value.read()
    refused.value.close()


def fill(etcd: Etcd) -> None:
    """Write until it refuses: etcd counts its size at its next commit, a tenth of a second later."""
    for number in range(300):
        etcd.put(f"/{number}", "x" * 100_000)


def test_consul_denies_whoever_shows_no_token(fresh: Fresh, tls: Tls) -> None:
    consul = fresh(Consul, durable=False, token=TOKEN, tls=tls)
    consul.register("web", 8080, Meta={"a": "b"})
    assert consul.call("GET", "/v1/catalog/service/web") != []
    assert fetch(f"{consul.url}/v1/catalog/service/web").strip() == b"[]"
    headers = {"X-Consul-Token": TOKEN}
    services = fetch(f"{consul.https_url}/v1/catalog/services", headers=headers, context=tls.client_context())
    assert b'"web"' in services
    consul.deregister("web-8080")
    assert consul.call("GET", "/v1/catalog/service/web") == []


async def test_a_zookeeper_session_expires_soon_after_its_client_fell_silent(zookeeper: ZooKeeper) -> None:
    async with FaultProxy(zookeeper.address) as proxy:
        client = KazooClient(proxy.address, timeout=1.5)
        await asyncio.to_thread(client.start, 30)
        await asyncio.to_thread(client.create, "/expiring", b"", ephemeral=True)
        proxy.stall()
        async with asyncio.timeout(20):
            while "/expiring" in await asyncio.to_thread(zookeeper.ask, "dump"):  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.02)
        proxy.heal()
        await asyncio.to_thread(client.stop)
        client.close()


def test_zookeeper_knows_its_users(fresh: Fresh) -> None:
    zookeeper = fresh(ZooKeeper, users={"bob": "pass"})
    assert create_as(zookeeper, "pass") == "/mine"
    with pytest.raises(AuthFailedError):
        create_as(zookeeper, "wrong")


def test_zookeeper_can_refuse_whoever_is_no_user(fresh: Fresh) -> None:
    zookeeper = fresh(ZooKeeper, users={"bob": "pass"}, require_users=True)
    assert create_as(zookeeper, "pass") == "/mine"
    client = KazooClient(zookeeper.address)
    client.start(timeout=30)
    with pytest.raises(SessionClosedRequireSaslError):
        client.create("/stranger", b"")
    client.stop()
    client.close()


def create_as(zookeeper: ZooKeeper, password: str) -> str:
    options = {"mechanism": "DIGEST-MD5", "username": "bob", "password": password}
    client = KazooClient(zookeeper.address, sasl_options=options)
    try:
        client.start(timeout=30)
        return str(client.create("/mine", b""))
    finally:
        client.stop()
        client.close()


def test_zookeeper_serves_tls(fresh: Fresh, tls: Tls) -> None:
    zookeeper = fresh(ZooKeeper, tls=tls)
    files = {"ca": str(tls.ca), "certfile": str(tls.client.cert), "keyfile": str(tls.client.key)}
    client = KazooClient(zookeeper.tls_address, use_ssl=True, **files)
    client.start(timeout=10)
    assert client.create("/a", b"") == "/a"
    client.stop()
    client.close()
