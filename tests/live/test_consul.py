"""A real Consul, broken in the ways in which it breaks; at the end the mirror equals what Consul holds."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from http.client import HTTPConnection

import psutil
import pytest

from devservers.consul import Consul
from devservers.fault_proxy import FaultProxy
from devservers.network import HOST, fetch
from devservers.pytest_plugin import Fresh
from pilot_plus.model import Alive, Health, Instance, Reset, Update
from pilot_plus.ports import SourceLost
from registries.consul import Settings, connect
from registries.consul.settings import OTHERS
from tests.contract.mirror import Mirror

pytestmark = pytest.mark.live
FEWEST = OTHERS + 2
"""Connections: two long polls."""
NOTICED_WITHIN = 15.0
"""Seconds."""


@asynccontextmanager
async def mirroring(settings: Settings) -> AsyncIterator[Mirror]:
    mirror = Mirror()
    async with connect(settings) as source, asyncio.TaskGroup() as tasks:
        following = tasks.create_task(mirror.follow(source))
        try:
            yield mirror
        finally:
            following.cancel()


async def first_word(settings: Settings) -> Update:
    async with connect(settings) as source:
        return await anext(source.watch())


@asynccontextmanager
async def proxied(server: Consul) -> AsyncIterator[tuple[FaultProxy, Settings]]:
    async with FaultProxy(server.address) as proxy:
        yield proxy, Settings(url=f"http://{proxy.address}")


def write(server: Consul, path: str, body: object) -> None:
    """As another client than the hub, for Consul counts the connections of each."""
    connection = HTTPConnection(HOST, server.port, timeout=30, source_address=("127.0.0.9", 0))
    try:
        connection.request("PUT", path, json.dumps(body), {"X-Consul-Token": server.token or ""})
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
    finally:
        connection.close()


def put(server: Consul, service: str, port: int = 8080, node: str = "ext", **fields: object) -> None:
    """Write into the catalog, on a node that no agent looks after."""
    record = {"Service": service, "ID": f"{service}-1", "Address": "10.1.0.7", "Port": port, **fields}
    body = {"Node": node, "Address": "10.9.0.1", "SkipNodeUpdate": True, "Service": record}
    write(server, "/v1/catalog/register", body)


def remove(server: Consul, service: str, node: str = "ext") -> None:
    body = {"Node": node, "ServiceID": f"{service}-1"}
    write(server, "/v1/catalog/deregister", body)


def judge(server: Consul, status: str, service: str = "", node: str = "ext") -> None:
    """Write a check of a service, or of the node."""
    owner = {"ServiceID": f"{service}-1", "CheckID": f"check-{service}"} if service else {"CheckID": "serfHealth"}
    check = {"Node": node, "Name": "told by the test", "Status": status, **owner}
    write(server, "/v1/catalog/register", {"Node": node, "Address": "10.9.0.1", "Check": check})


def one(mirror: Mirror, service: str) -> Instance | None:
    return next((found for found in mirror.instances.values() if found.name == service), None)


async def until_names(mirror: Mirror, names: set[str]) -> None:
    await mirror.until(lambda m: {found.name for found in m.instances.values()} == names, f"exactly {sorted(names)}")


# Loss


async def test_cut_off_in_the_middle_of_the_first_list_says_nothing_at_all(fresh: Fresh):
    server = fresh(Consul, durable=False)
    for number in range(40):
        put(server, f"service-{number}")
    async with proxied(server) as (proxy, settings):
        for passed in (100, 600, 3000):
            proxy.cut_after(passed)
            with pytest.raises(SourceLost):
                await first_word(settings)
        proxy.heal()
        async with mirroring(settings) as mirror:
            await until_names(mirror, {f"service-{number}" for number in range(40)})


async def test_a_half_open_connection_is_noticed(fresh: Fresh):
    server = fresh(Consul, durable=False)
    put(server, "orders")
    async with proxied(server) as (proxy, settings), mirroring(settings) as mirror:
        await until_names(mirror, {"orders"})
        proxy.stall()
        await mirror.until_lost(NOTICED_WITHIN)
        assert one(mirror, "orders")


async def test_a_slow_consul_is_no_lost_one(fresh: Fresh):
    server = fresh(Consul, durable=False)
    put(server, "orders")
    async with proxied(server) as (proxy, settings):
        proxy.delay(0.3)
        async with mirroring(settings) as mirror:
            await until_names(mirror, {"orders"})
            put(server, "carts")
            await until_names(mirror, {"orders", "carts"})
            assert mirror.lost is None


async def test_set_back_to_a_snapshot_is_a_new_history(fresh: Fresh):
    server = fresh(Consul)
    put(server, "orders")
    snapshot = fetch(f"{server.url}/v1/snapshot")
    for number in range(20):
        put(server, f"later-{number}")
    async with mirroring(Settings(url=server.url)) as mirror:
        await mirror.until(lambda m: len(m.instances) == 21, "all")
        await asyncio.to_thread(restore, server, snapshot)
        await mirror.until(lambda m: m.lost is not None or len(m.instances) == 1, "the loss, or the truth")
    async with mirroring(Settings(url=server.url)) as mirror:
        await until_names(mirror, {"orders"})


def restore(server: Consul, snapshot: bytes) -> None:
    import urllib.request

    asked = urllib.request.Request(f"{server.url}/v1/snapshot", data=snapshot, method="PUT")
    with urllib.request.urlopen(asked, timeout=30) as answer:
        assert answer.status == 200


@pytest.fixture
def narrow(fresh: Fresh) -> Consul:
    """A Consul that allows 20 connections to a client, and has 40 services."""
    server = fresh(Consul, durable=False, settings={"limits": {"http_max_conns_per_client": 20}})
    for number in range(40):
        put(server, f"service-{number}")
    return server


async def test_fewer_connections_than_configured_are_enough(narrow: Consul):
    async with mirroring(Settings(url=narrow.url)) as mirror:
        await mirror.until(lambda m: len(m.instances) == 40, "all")
        for number in range(0, 40, 5):
            put(narrow, f"service-{number}", 9000)
        for number in range(0, 40, 5):
            await mirror.until(partial(at_port, service=f"service-{number}", port=9000), "the change")
        assert mirror.lost is None


async def test_long_polls_that_consul_still_holds_for_a_former_connection_are_no_loss(narrow: Consul):
    for port in (9001, 9002):
        async with mirroring(Settings(url=narrow.url, connections=19)) as mirror:
            await mirror.until(lambda m: len(m.instances) == 40, "all")
            await asyncio.to_thread(put, narrow, "service-0", port)
            await mirror.until(partial(at_port, service="service-0", port=port), "a change")
            assert mirror.lost is None


async def test_no_connection_left_is_a_loss_that_names_the_remedy(narrow: Consul):
    host, _, port = narrow.address.rpartition(":")
    held = [await asyncio.open_connection(host, int(port)) for _ in range(20)]
    try:
        with pytest.raises(SourceLost, match="`connections`"):
            await first_word(Settings(url=narrow.url))
    finally:
        for _, writer in held:
            writer.close()
            await writer.wait_closed()


# Changes


@pytest.fixture(params=[150, FEWEST], ids=["with a long poll each", "beyond the bound"])
def connections(request: pytest.FixtureRequest) -> int:
    return int(request.param)


async def test_every_kind_of_change_arrives(fresh: Fresh, connections: int):
    server = fresh(Consul, durable=False)
    names = [f"service-{number:02}" for number in range(30)]
    for name in names:
        put(server, name)
        judge(server, "passing", name)
    async with FaultProxy(server.address) as proxy:
        settings = Settings(url=f"http://{proxy.address}", connections=connections)
        async with mirroring(settings) as mirror:
            await until_names(mirror, set(names))
            for name in ("service-00", "service-15", "service-29"):
                await changes(server, mirror, name)
            judge(server, "critical")
            await mirror.until(lambda m: all(found.health is Health.CRITICAL for found in m.instances.values()), "dead")
            judge(server, "passing")
            await mirror.until(lambda m: all(found.health is Health.PASSING for found in m.instances.values()), "alive")
            put(server, "zz-new")
            await until_names(mirror, {*names, "zz-new"})
            for name in names:
                remove(server, name)
            await until_names(mirror, {"zz-new"})
            assert sum(isinstance(update, Reset) for update in mirror.heard) == 1
            assert proxy.open_connections <= connections


async def changes(server: Consul, mirror: Mirror, name: str) -> None:
    def shows(**fields: object) -> bool:
        found = one(mirror, name)
        return found is not None and all(getattr(found, field) == value for field, value in fields.items())

    put(server, name, Meta={"team": "shop"})
    await mirror.until(lambda _: shows(metadata=(("team", "shop"),)), f"metadata of {name}")
    put(server, name, Weights={"Passing": 3, "Warning": 1})
    await mirror.until(lambda _: shows(metadata=(), weight=300), f"weight of {name}")
    judge(server, "critical", name)
    await mirror.until(lambda _: shows(health=Health.CRITICAL), f"health of {name}")
    put(server, name)
    judge(server, "passing", name)
    await mirror.until(lambda _: shows(health=Health.PASSING, weight=100), f"{name} as it was")
    remove(server, name)
    await mirror.until(lambda _: one(mirror, name) is None, f"{name} gone")
    put(server, name)
    judge(server, "passing", name)
    await mirror.until(lambda _: shows(health=Health.PASSING), f"{name} again")


async def test_a_busy_service_beyond_the_bound_gets_a_long_poll(fresh: Fresh):
    server = fresh(Consul, durable=False)
    names = [f"service-{number}" for number in range(10)]
    for name in names:
        put(server, name)
    async with mirroring(Settings(url=server.url, connections=FEWEST, wait="1s")) as mirror:
        await until_names(mirror, set(names))
        for port in (9001, 9002, 9003):
            put(server, "service-9", port)
            await mirror.until(partial(at_port, service="service-9", port=port), f"port {port}")


def at_port(mirror: Mirror, service: str, port: int) -> bool:
    found = one(mirror, service)
    return found is not None and found.ports[0].number == port


async def test_an_id_that_moves_to_another_service_is_in_one_of_them(consul: Consul):
    record = {"ID": "moving", "Address": "10.1.0.9", "Port": 80}
    async with mirroring(Settings(url=consul.url)) as mirror:
        for name in ("move-a", "move-b", "move-a", "move-b"):
            consul.call("PUT", "/v1/agent/service/register", {"Name": name, **record})
            await mirror.until(partial(is_in, names=[name]), name)
        consul.deregister("moving")
        await mirror.until(partial(is_in, names=[]), "gone")


def is_in(mirror: Mirror, names: list[str]) -> bool:
    return [found.name for found in mirror.instances.values() if found.id == "moving"] == names


async def test_maintenance_is_draining(consul: Consul):
    consul.register("maintained", 80, instance="maintained-1")
    async with mirroring(Settings(url=consul.url)) as mirror:
        for enable, health in (("true", Health.DRAINING), ("false", Health.PASSING)):
            consul.call("PUT", f"/v1/agent/service/maintenance/maintained-1?enable={enable}")
            await mirror.until(partial(has_health, service="maintained", health=health), health)
    consul.deregister("maintained-1")


def has_health(mirror: Mirror, service: str, health: Health) -> bool:
    found = one(mirror, service)
    return found is not None and found.health is health


async def test_proxies_and_gateways_are_no_services_of_ours(consul: Consul):
    proxy = {"Name": "web-proxy", "Kind": "connect-proxy", "Port": 1, "Proxy": {"DestinationServiceName": "web"}}
    consul.call("PUT", "/v1/agent/service/register", proxy)
    consul.call("PUT", "/v1/agent/service/register", {"Name": "gate", "Kind": "mesh-gateway", "Port": 2})
    consul.register("web", 80)
    async with mirroring(Settings(url=consul.url)) as mirror:
        await mirror.until(lambda m: one(m, "web") is not None, "web")
        assert not {"web-proxy", "gate", "consul"} & {found.name for found in mirror.instances.values()}
    for name in ("web-proxy", "gate", "web-80"):
        consul.deregister(name)


HOSTILE = ["../x", "a/b", "a//b", "..", "a b?c#d", "%2e%2e", "ü", "line\nbreak", "nul\x00", "x" * 600]


async def test_hostile_names_are_read_or_skipped_and_disturb_nobody(fresh: Fresh):
    server = fresh(Consul, durable=False)
    put(server, "orders")
    for name in HOSTILE:
        put(server, name)
    async with mirroring(Settings(url=server.url)) as mirror:
        await mirror.until_synced()
        await mirror.until(lambda m: len(m.instances) + len(m.skipped) >= len(HOSTILE) + 1, "each read or skipped")
        names = {found.name for found in mirror.instances.values()}
        assert {"orders", "a/b", "a b?c#d", "%2e%2e", "ü"} <= names
        assert names <= {"orders", *HOSTILE}
        assert all(place.isprintable() and reason for place, reason in mirror.skipped.items())
        for name in HOSTILE:
            remove(server, name)
        await mirror.until(lambda m: not m.skipped and len(m.instances) == 1, "the skips taken back")


async def test_a_storm_costs_a_bounded_number_of_answers(fresh: Fresh):
    server = fresh(Consul, durable=False)
    put(server, "stormy")
    loop = asyncio.get_running_loop()
    async with proxied(server) as (proxy, settings), mirroring(settings) as mirror:
        await until_names(mirror, {"stormy"})
        began, before = loop.time(), len(mirror.heard)
        await asyncio.to_thread(storm, server, 300)
        await mirror.until(lambda m: at_port(m, "stormy", 9299), "the last change")
        told = sum(not isinstance(update, Alive) for update in mirror.heard[before:])
        assert told <= 20 + 20 * (loop.time() - began) + 1
        assert proxy.open_connections <= settings.connections


def storm(server: Consul, count: int) -> None:
    for number in range(count):
        put(server, "stormy", 9000 + number)


# Ends


async def test_closing_leaves_no_connection_and_no_task(fresh: Fresh):
    server = fresh(Consul, durable=False)
    for number in range(20):
        put(server, f"service-{number}")
    tasks = asyncio.all_tasks()
    async with mirroring(Settings(url=server.url)) as mirror:
        await mirror.until(lambda m: len(m.instances) == 20, "all")
        assert connections_to(server)
    assert not connections_to(server)
    assert asyncio.all_tasks() == tasks


def connections_to(server: Consul) -> list[object]:
    found = psutil.Process().net_connections("tcp")
    return [one for one in found if one.raddr and one.raddr.port == server.port and one.status == "ESTABLISHED"]


async def test_a_thousand_services_are_read_through_few_connections(fresh: Fresh):
    server = fresh(Consul, durable=False)
    await asyncio.to_thread(fill, server, 1000)
    async with proxied(server) as (proxy, settings), mirroring(settings) as mirror:
        await mirror.until(lambda m: len(m.instances) == 1000, "all")
        assert proxy.open_connections <= settings.connections
        put(server, "service-7", 9000)
        await mirror.until(lambda m: at_port(m, "service-7", 9000), "a change beyond the bound")


def fill(server: Consul, count: int) -> None:
    """64 operations fit into one transaction."""
    put(server, "service-0")
    for start in range(0, count, 64):
        records = [
            {"ID": f"service-{n}-1", "Service": f"service-{n}", "Address": "10.1.0.7", "Port": 8080}
            for n in range(start, min(start + 64, count))
        ]
        operations = [{"Service": {"Verb": "set", "Node": "ext", "Service": record}} for record in records]
        server.call("PUT", "/v1/txn", operations)


async def test_an_agent_of_another_datacenter_is_told_in_its_own_words(consul: Consul):
    with pytest.raises(SourceLost, match="datacenter"):
        await first_word(Settings(url=consul.url, datacenter="nowhere"))
