"""Writing into a real Consul: what is written comes back, and nobody else's record is touched."""

import asyncio
import base64
import socket
import struct
from collections.abc import Sequence
from functools import partial
from typing import Any, cast

import msgspec
import pytest

from devservers.consul import Consul
from devservers.network import HOST, free_port
from devservers.pytest_plugin import Fresh
from pilot_plus.model import NO_ORIGIN, Health, Instance, Locality, Origin, Port, instance
from pilot_plus.ports import Done, Failed, Refused, Renewing, Result, Sink, SourceLost
from registries.consul import Consul as Registry
from registries.consul import Settings, connect
from registries.layouts.dubbo_url import parse_url
from tests.contract.mirror import Mirror
from tests.live.test_consul import mirroring
from tests.live.test_consul_access import token

pytestmark = pytest.mark.live


def copy(name: str, number: int = 1, **fields: object) -> Instance:
    whole = {
        "name": name,
        "id": f"{name}-{number}",
        "address": "10.1.0.7",
        "ports": [Port("web", 8000 + number, "http")],
        "origin": Origin("east", "zk", f"{name}/{number}"),
        "zone": "east/legacy",
        "locality": Locality("eu", "eu-1"),
        "metadata": {"team": "shop"},
    }
    return instance(key="", **{**whole, **fields})  # type: ignore[arg-type]  # the fields of one test


def keys_of(results: Sequence[Result]) -> list[str]:
    keys = [result.key for result in results if isinstance(result, Done)]
    assert len(keys) == len(results), results
    return keys


def holds(mirror: Mirror, *copies: Instance) -> bool:
    names = {one.name for one in copies}
    there = {msgspec.structs.replace(one, key="") for one in mirror.instances.values() if one.name in names}
    return there == set(copies)


def is_gone(mirror: Mirror, name: str) -> bool:
    return all(one.name != name for one in mirror.instances.values())


def all_have(mirror: Mirror, name: str, count: int, health: Health) -> bool:
    found = [one for one in mirror.instances.values() if one.name == name]
    return len(found) == count and all(one.health is health for one in found)


async def test_what_is_put_comes_back_under_the_key_that_was_told_and_goes_when_dropped(consul: Consul):
    copies = [
        copy("sink-a", 1, weight=150),
        copy("sink-a", 2, lease=60.0),
        copy("sink-a", 3, origin=NO_ORIGIN, zone=""),
    ]
    async with connect(Settings(url=consul.url)) as registry, mirroring(Settings(url=consul.url)) as mirror:
        assert isinstance(registry, Sink)
        assert isinstance(registry, Renewing)
        keys = keys_of(await registry.put(copies))
        await mirror.until(partial(holds_all, copies=copies), "the copies")
        assert set(keys) == {key for key, one in mirror.instances.items() if one.name == "sink-a"}
        assert keys_of(await registry.put(copies)) == keys
        assert keys_of(await registry.drop(keys)) == keys
        await mirror.until(partial(is_gone, name="sink-a"), "gone")
        assert keys_of(await registry.drop(keys)) == keys


def holds_all(mirror: Mirror, copies: list[Instance]) -> bool:
    return holds(mirror, *copies)


@pytest.mark.parametrize("lease", [60.0, 0.0], ids=["at the agent", "in the catalog"])
async def test_a_change_is_one_change_and_no_flap(consul: Consul, lease: float):
    first = copy("sink-change", lease=lease)
    settings = Settings(url=consul.url, write="catalog")
    changed = [
        msgspec.structs.replace(first, weight=300),
        msgspec.structs.replace(first, metadata=(("team", "web"),)),
        msgspec.structs.replace(first, health=Health.WARNING),
        msgspec.structs.replace(first, health=Health.CRITICAL),
        msgspec.structs.replace(first, health=Health.DRAINING),
        first,
    ]
    async with connect(settings) as registry, mirroring(settings) as mirror:
        keys = keys_of(await registry.put([first]))
        await mirror.until(partial(holds_all, copies=[first]), "the copy")
        for one in changed:
            before = len(mirror.heard)
            assert keys_of(await registry.put([one])) == keys
            await mirror.until(partial(holds_all, copies=[one]), one.health)
            told = [update for update in mirror.heard[before:] if "sink-change" in str(update)]
            assert not [update for update in told if "Drop" in type(update).__name__]
        await registry.drop(keys)


async def test_a_foreign_record_is_never_touched(consul: Consul):
    async with connect(Settings(url=consul.url)) as registry:
        (key,) = keys_of(await registry.put([copy("sink-foreign")]))
        identity = key.split("/")[2]
        await registry.drop([key])
        consul.register("theirs", 80, instance=identity)
        (refused,) = await registry.put([copy("sink-foreign")])
        assert isinstance(refused, Refused)
        assert "somebody else's" in refused.reason
        assert all(isinstance(result, Refused) for result in await registry.drop([key, "theirs/devserver/x", "no key"]))
        held = consul.call("GET", f"/v1/agent/service/{identity}")
        assert isinstance(held, dict)
        assert held["Service"] == "theirs"
        consul.deregister(identity)


async def test_the_copy_of_another_agent_is_refused(consul: Consul):
    async with connect(Settings(url=consul.url)) as registry:
        (refused,) = await registry.drop(["orders/another-node/pilot-plus:orders-1:00"])
        assert isinstance(refused, Refused)
        assert "another-node" in refused.reason


async def test_what_was_changed_by_hand_is_repaired_by_another_put(consul: Consul):
    one = copy("sink-repair", lease=60.0)
    async with connect(Settings(url=consul.url)) as registry, mirroring(Settings(url=consul.url)) as mirror:
        (key,) = keys_of(await registry.put([one]))
        identity = key.split("/")[2]
        consul.call("PUT", f"/v1/agent/service/maintenance/{identity}?enable=true")
        await mirror.until(lambda m: all_have(m, "sink-repair", 1, Health.DRAINING), "the hand's work")
        await registry.put([one])
        await mirror.until(partial(holds_all, copies=[one]), "repaired")
        await registry.drop([key])


async def test_leased_copies_turn_critical_together_and_durable_ones_stay(consul: Consul):
    leased = [copy("sink-lease", number, lease=1.0) for number in range(20)]
    durable = copy("sink-durable")
    async with mirroring(Settings(url=consul.url)) as mirror:
        async with connect(Settings(url=consul.url)) as registry:
            keys = keys_of(await registry.put([*leased, durable]))
            await mirror.until(lambda m: all_have(m, "sink-lease", 20, Health.PASSING), "the copies")
        await mirror.until(lambda m: all_have(m, "sink-lease", 20, Health.CRITICAL), "critical")
        assert holds(mirror, durable)
        lease = lease_of(consul, keys[0])
        async with connect(Settings(url=consul.url)) as registry:
            await registry.tidy()  # copies that somebody may go on with still live by it
            assert lease in agent_services(consul)
            await registry.drop(keys)
            (key,) = keys_of(await registry.put([copy("sink-lease", lease=60.0)]))
            begun = lease_of(consul, key)
            await registry.tidy()
            assert lease not in agent_services(consul)
            assert begun in agent_services(consul)
            await registry.drop([key])
            await registry.tidy()
            assert begun not in agent_services(consul)


def agent_services(consul: Consul) -> dict[str, Any]:
    services: Any = consul.call("GET", "/v1/agent/services")
    return cast("dict[str, Any]", services)


def lease_of(consul: Consul, key: str) -> str:
    meta = agent_services(consul)[key.split("/")[2]]["Meta"]
    return str(meta["pilot-plus-lease"]).partition(" ")[2]


async def test_renewed_copies_live_on_also_when_a_successor_renews_them(consul: Consul):
    leased = [copy("sink-renewed", number, lease=2.0) for number in range(40)]
    settings = Settings(url=consul.url)
    async with mirroring(settings) as mirror:
        async with connect(settings) as registry:
            keys = keys_of(await registry.put(leased))
            await mirror.until(partial(holds_all, copies=leased), "the copies")
        before = len(mirror.heard)
        async with connect(settings) as successor:
            for _ in range(8):  # twice the lease
                assert keys_of(await successor.renew(keys)) == keys
                await asyncio.sleep(0.5)
            assert holds(mirror, *leased)
            assert not [update for update in mirror.heard[before:] if "sink-renewed" in str(update)]
            await successor.drop(keys)


async def test_a_lease_that_the_agent_has_lost_is_refused_and_begun_again_by_a_put(fresh: Fresh):
    server = fresh(Consul, durable=False)
    one = copy("orders", lease=60.0)
    async with connect(Settings(url=server.url)) as registry:
        (key,) = keys_of(await registry.put([one]))
        await asyncio.to_thread(server.start_again)  # this one forgets
        results = await until_heard(registry, key)
        assert isinstance(results[0], Refused)
        assert keys_of(await registry.put([one])) == [key]
        assert keys_of(await registry.renew([key])) == [key]


async def until_heard(registry: Registry, key: str) -> list[Result]:
    """The first requests after a restart find their connections closed."""
    async with asyncio.timeout(20):
        while True:
            try:
                return list(await registry.renew([key]))
            except SourceLost:
                await asyncio.sleep(0.05)


async def test_the_agent_keeps_copies_and_leases_over_a_restart_of_its_own(fresh: Fresh):
    server = fresh(Consul)
    copies = [copy("orders", lease=60.0), copy("carts"), copy("sick", health=Health.WARNING)]
    async with connect(Settings(url=server.url)) as registry:
        keys = keys_of(await registry.put(copies))
    await asyncio.to_thread(server.start_again)
    async with connect(Settings(url=server.url)) as registry, mirroring(Settings(url=server.url)) as mirror:
        await mirror.until(lambda m: holds(m, *copies), "the copies")
        assert keys_of(await registry.renew(keys)) == keys


async def test_hostile_names_are_written_as_they_are_or_refused_and_touch_nothing_else(fresh: Fresh):
    server = fresh(Consul, durable=False)
    server.register("orders", 80)
    names = ["../orders", "a/b", "a?b#c", "..", "ü", "%2e%2e", "x" * 500]
    async with connect(Settings(url=server.url)) as registry:
        results = await registry.put([copy(name) for name in names])
        keys = [result.key for result in results if isinstance(result, Done)]
        listed = server.call("GET", "/v1/catalog/services")
        assert isinstance(listed, dict)
        assert {"orders"} <= listed.keys() <= {"orders", "consul", *names}
        assert keys_of(await registry.drop(keys)) == keys
        left = server.call("GET", "/v1/agent/services")
        assert isinstance(left, dict)
        assert left.keys() == {"orders-80"}


async def test_a_token_that_may_not_write_is_told_so(fresh: Fresh):
    server = fresh(Consul, durable=False, token="root-token")
    rights = 'service_prefix "" {policy = "read"} node_prefix "" {policy = "read"}'
    reader = token(server, "reader", rights)
    async with connect(Settings(url=server.url, token=reader)) as registry:
        with pytest.raises(SourceLost, match="agent_prefix"):
            await registry.put([copy("orders")])
    narrow = token(server, "narrow", rights + 'agent_prefix "" {policy = "read"} service "mine" {policy = "write"}')
    async with connect(Settings(url=server.url, token=narrow)) as registry:
        results = await registry.put([copy("mine"), copy("orders")])
        assert isinstance(results[0], Done)
        assert isinstance(results[1], Refused)


class WithDns(Consul):
    """A Consul that answers DNS."""

    def __init__(self) -> None:
        super().__init__(durable=False)
        self._ports["dns"] = self.dns_port = free_port()


def addresses(port: int, name: str) -> set[str]:
    """The A records of a name (RFC 1035, as far as it goes here)."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    asked = struct.pack("!6H", 7, 0x100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!2H", 1, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(20)
        sock.sendto(asked, (HOST, port))
        answer = sock.recv(4096)
    (count,) = struct.unpack("!H", answer[6:8])
    records = [answer[len(asked) + 16 * n : len(asked) + 16 * (n + 1)] for n in range(count)]
    return {socket.inet_ntoa(record[12:16]) for record in records}


async def test_consuls_own_dns_answers_for_copies_that_are_well(fresh: Fresh):
    server = fresh(WithDns)
    copies = [copy("orders", number, address=f"10.1.0.{number}") for number in (1, 2, 3)]
    copies[2] = msgspec.structs.replace(copies[2], health=Health.CRITICAL)
    async with connect(Settings(url=server.url)) as registry, mirroring(Settings(url=server.url)) as mirror:
        await registry.put(copies)
        await mirror.until(partial(holds_all, copies=copies), "the copies")
        assert addresses(server.dns_port, "orders.service.consul") == {"10.1.0.1", "10.1.0.2"}


async def test_readers_that_are_not_ours_find_copies_as_they_ask_for_them(consul: Consul):
    """Dubbo's registry asks with its tag, Spring Cloud for all that pass; both of the service and its `Meta`."""
    name = "com.example.ReadByOthers"
    provider = copy(name, 1, ports=[Port("dubbo", 20880, "dubbo")], metadata={"methods": "find"})
    sick = copy(name, 2, ports=[Port("dubbo", 20880, "dubbo")], address="10.1.0.8", health=Health.CRITICAL)
    web = copy("read-by-spring", 1, ports=[Port("web", 8443, "https")], lease=60.0)
    async with connect(Settings(url=consul.url)) as registry:
        keys = keys_of(await registry.put([provider, sick, web]))
        (found,) = asked(consul, f"/v1/health/service/{name}?passing&tag=dubbo")
        url = parse_url(found["Service"]["Meta"]["url"])
        assert (url.protocol, url.host, url.port, url.path) == ("dubbo", "10.1.0.7", 20880, name)
        assert (url.get("interface"), url.get("side"), url.get("methods")) == (name, "provider", "find")
        (found,) = asked(consul, "/v1/health/service/read-by-spring?passing")
        service = found["Service"]
        assert (service["Address"], service["Port"], service["Meta"]["secure"]) == ("10.1.0.7", 8443, "true")
        assert (service["Meta"]["team"], service["Tags"]) == ("shop", ["secure=true"])
        keys_of(await registry.drop(keys))


def asked(server: Consul, path: str) -> list[dict[str, Any]]:
    return cast("list[dict[str, Any]]", server.call("GET", path))


async def test_an_agent_of_another_datacenter_is_not_written_to(consul: Consul):
    async with connect(Settings(url=consul.url, datacenter="dc2")) as registry:
        (result,) = await registry.put([copy("orders")])
        assert isinstance(result, Refused)
        assert "dc2" in result.reason


async def test_durable_copies_in_the_catalog_come_back_and_go(fresh: Fresh):
    server = fresh(Consul)
    settings = Settings(url=server.url, write="catalog")
    copies = [copy(f"service-{number % 50}", number, health=list(Health)[number % 4]) for number in range(200)]
    copies += [copy("service-1", 1000, lease=60.0)]
    async with connect(settings) as registry, mirroring(settings) as mirror:
        keys = keys_of(await registry.put(copies))
        await mirror.until(partial(holds_all, copies=copies), "the copies")
        assert keys_of(await registry.put(copies)) == keys
        assert keys_of(await registry.renew(keys)) == keys
        assert [key.split("/")[1] for key in keys] == ["pilot-plus"] * 200 + ["devserver"]
        server.register("theirs", 80)
        assert keys_of(await registry.drop(keys)) == keys
        await mirror.until(lambda m: {one.name for one in m.instances.values()} == {"theirs"}, "only theirs")
        node = server.call("GET", "/v1/health/node/pilot-plus")
        assert node == []


async def test_a_durable_copy_in_the_catalog_stays_as_it_is_when_agents_restart(fresh: Fresh):
    server = fresh(Consul)
    copies = [copy("orders", 1), copy("orders", 2, health=Health.WARNING)]
    async with connect(Settings(url=server.url, write="catalog")) as registry:
        await registry.put(copies)
    await asyncio.to_thread(server.start_again)
    async with mirroring(Settings(url=server.url)) as mirror:
        await mirror.until(partial(holds_all, copies=copies), "the copies")


async def test_somebody_elses_node_and_record_in_the_catalog_are_left_alone(fresh: Fresh):
    server = fresh(Consul, durable=False)
    settings = Settings(url=server.url, write="catalog")
    async with connect(settings) as registry:
        (key,) = keys_of(await registry.put([copy("orders")]))
        identity = key.split("/")[2]
        theirs = {"ID": identity, "Service": "orders", "Address": "10.9.9.9", "Port": 1}
        server.call("PUT", "/v1/txn", [{"Service": {"Verb": "set", "Node": "pilot-plus", "Service": theirs}}])
        assert isinstance((await registry.put([copy("orders")]))[0], Refused)
        assert isinstance((await registry.drop([key]))[0], Refused)
    server.call("PUT", "/v1/catalog/deregister", {"Node": "pilot-plus"})
    server.call("PUT", "/v1/catalog/register", {"Node": "pilot-plus", "Address": "10.9.9.9"})
    async with connect(settings) as registry:
        (refused,) = await registry.put([copy("orders")])
        assert isinstance(refused, Refused)
        assert "somebody else's" in refused.reason


async def test_a_node_that_was_removed_by_hand_is_made_again(fresh: Fresh):
    server = fresh(Consul, durable=False)
    async with connect(Settings(url=server.url, write="catalog")) as registry:
        keys = keys_of(await registry.put([copy("orders")]))
        server.call("PUT", "/v1/catalog/deregister", {"Node": "pilot-plus"})
        assert isinstance((await registry.put([copy("orders")]))[0], Failed)
        assert keys_of(await registry.put([copy("orders")])) == keys


async def test_who_has_lost_the_lock_writes_nothing_in_the_catalog_until_it_is_his_again(fresh: Fresh):
    server = fresh(Consul, durable=False)
    async with connect(Settings(url=server.url, write="catalog")) as one:
        assert await one.claim("sync-east", "one", 60.0) == "one"
        (kept,) = keys_of(await one.put([copy("fenced", 9)]))
        assert await one.claim("sync-east", "one", 60.0) == "one"
        keys_of(await one.put([copy("fenced", 8)]))
        put_key(server, "pilot-plus/locks/sync-east/owner", b'{"owner":"two","ttl":60.0}')
        lost = Failed("the lock is somebody else's now")
        assert await one.put([copy("fenced", number) for number in range(1, 4)]) == [lost] * 3
        assert await one.drop([kept]) == [lost]
        assert await one.claim("sync-east", "one", 60.0) == "two"
        server.call("DELETE", "/v1/kv/pilot-plus/locks?recurse")
        assert await one.claim("sync-east", "one", 60.0) == "one"
        keys_of(await one.put([copy("fenced", number) for number in range(1, 4)]))
        assert len(server.call("GET", "/v1/catalog/service/fenced")) == 5  # type: ignore[arg-type]  # a list


async def test_a_token_that_may_not_lock_is_told_what_it_needs(fresh: Fresh):
    server = fresh(Consul, durable=False, token="master")
    narrow = token(server, "narrow", 'service_prefix "" {policy = "write"} node_prefix "" {policy = "read"}')
    async with connect(Settings(url=server.url, token=narrow)) as one:
        with pytest.raises(SourceLost, match="key_prefix"):
            await one.claim("sync-east", "one", 60.0)


def put_key(server: Consul, key: str, value: bytes) -> None:
    operation = {"Verb": "set", "Key": key, "Value": base64.b64encode(value).decode()}
    server.call("PUT", "/v1/txn", [{"KV": operation}])
