"""What has gone wrong with ZooKeeper in systems like ours, each with its test, over real servers."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import pytest
from kazoo.security import make_digest_acl

from devservers.fault_proxy import FaultProxy
from devservers.pytest_plugin import Fresh
from devservers.tls import Tls as Certificates
from devservers.zookeeper import ZooKeeper
from pilot_plus.model import Alive, Drop, Health, Put, Update
from pilot_plus.ports import SourceLost
from registries.layouts.layout import LayoutSetting
from registries.tls import Tls
from registries.zookeeper import Settings, connect
from registries.zookeeper import tree as following
from registries.zookeeper.connection import Connection, connection
from registries.zookeeper.requests import AddWatch, Stat
from tests.contract.backend_zookeeper import do_with, plain_client
from tests.contract.mirror import Mirror

pytestmark = pytest.mark.live


@asynccontextmanager
async def mirroring(settings: Settings) -> AsyncIterator[Mirror]:
    mirror = Mirror()
    async with connect(settings) as source, asyncio.TaskGroup() as tasks:
        follow = tasks.create_task(mirror.follow(source))
        try:
            yield mirror
        finally:
            follow.cancel()


async def first_word(settings: Settings) -> Update:
    async with connect(settings) as source:
        return await anext(source.watch())


def dubbo_at(address: str) -> Settings:
    return Settings(hosts=address, layouts=("dubbo",))


async def native(server: ZooKeeper, do: Callable[[Any], object]) -> None:
    await asyncio.to_thread(do_with, server, do)


async def create(server: ZooKeeper, *nodes: str) -> None:
    await native(server, lambda client: [client.create(node, makepath=True) for node in nodes])


async def delete(server: ZooKeeper, *nodes: str) -> None:
    await native(server, lambda client: [client.delete(node, recursive=True) for node in nodes])


def dubbo_node(service: str, host: str, query: str = "", root: str = "/dubbo") -> str:
    return f"{root}/{service}/providers/{quote(f'dubbo://{host}:20880/{service}?{query}', safe='')}"


def curator_json(name: str, number: int, extra: str = "") -> bytes:
    return f'{{"name":"{name}","id":"{number}","address":"10.1.0.{number}","port":8080{extra}}}'.encode()


def healths(mirror: Mirror) -> set[Health]:
    return {one.health for one in mirror.instances.values()}


def hosts(mirror: Mirror) -> set[str]:
    return {one.address for one in mirror.instances.values()}


async def test_a_list_that_breaks_off_in_the_middle_is_a_loss_and_no_short_list(fresh: Fresh):
    server = fresh(ZooKeeper)
    paths = [dubbo_node("a.B", f"10.1.{n // 200}.{n % 200 + 1}", "x=" + "y" * 300) for n in range(1000)]
    await native(server, lambda c: [c.create(path, makepath=True) for path in paths])
    for limit in (2_000, 50_000, 300_000):
        async with FaultProxy(server.address) as proxy:
            proxy.cut_after(limit)
            with pytest.raises(SourceLost):
                await first_word(Settings(hosts=proxy.address, layouts=("dubbo",)))


async def test_a_node_that_may_not_be_read_is_a_loss_and_no_absence(fresh: Fresh):
    server = fresh(ZooKeeper)
    acl = [make_digest_acl("somebody", "else", all=True)]

    def write(client: Any) -> None:
        client.create(dubbo_node("a.B", "10.1.0.1"), makepath=True)
        client.create("/dubbo/a.C")
        client.create("/dubbo/a.C/providers", acl=acl)

    await native(server, write)
    with pytest.raises(SourceLost, match="NoAuth"):
        await first_word(Settings(hosts=server.address, layouts=("dubbo",)))
    settings = Settings(hosts=server.address, layouts=("dubbo",), username="somebody", password="else")
    async with mirroring(settings) as mirror:
        await mirror.until(lambda m: hosts(m) == {"10.1.0.1"})


async def test_an_ended_session_is_a_loss_and_over(zookeeper: ZooKeeper):
    async with connection(dubbo_at(zookeeper.address)) as session:
        identity = session.session_id, session._client._session_passwd
        await asyncio.to_thread(end_session, zookeeper, identity)
        with pytest.raises(SourceLost):
            await session.events(10)
        with pytest.raises(SourceLost):
            await ask_for_ever(session)
        assert session.is_over


async def ask_for_ever(session: Connection) -> None:
    async with asyncio.timeout(20):
        while True:
            await session.try_all([Stat("/")])


def end_session(server: ZooKeeper, identity: tuple[int, bytes]) -> None:
    """Take a session over and close it: what the server does when it has expired."""
    with plain_client(server, client_id=identity):
        pass


async def test_a_short_break_of_the_connection_is_a_loss_since_events_may_be_missed(fresh: Fresh):
    server = fresh(ZooKeeper)
    await native(server, lambda c: c.create(dubbo_node("a.B", "10.1.0.1"), makepath=True))
    async with FaultProxy(server.address) as proxy, mirroring(dubbo_at(proxy.address)) as mirror:
        await mirror.until_synced()
        proxy.reset()
        await mirror.until_lost(5)
        assert hosts(mirror) == {"10.1.0.1"}


@pytest.mark.parametrize("fault", ["stall", "cut"])
async def test_a_server_that_says_nothing_at_the_start_is_a_loss_in_time(fresh: Fresh, fault: str):
    server = fresh(ZooKeeper)
    async with FaultProxy(server.address) as proxy, asyncio.timeout(10):
        getattr(proxy, fault)()
        with pytest.raises(SourceLost, match=r"no answer|refused"):
            async with connect(Settings(hosts=proxy.address, layouts=("dubbo",), connect_timeout=1)):
                pass


async def test_a_connection_that_turned_into_a_black_hole_is_noticed(fresh: Fresh):
    server = fresh(ZooKeeper)
    async with FaultProxy(server.address) as proxy, mirroring(dubbo_at(proxy.address)) as mirror:
        await mirror.until_synced()
        proxy.stall()
        await mirror.until_lost(15)


async def test_one_dead_host_of_several_does_not_matter(fresh: Fresh):
    server = fresh(ZooKeeper)
    async with mirroring(Settings(hosts=f"127.0.0.1:1,{server.address}", layouts=("dubbo",))) as mirror:
        await mirror.until_synced()


async def test_a_quiet_registry_says_that_it_is_alive(zookeeper: ZooKeeper):
    settings = Settings(hosts=zookeeper.address, layouts=({"dubbo": {"root": "/quiet"}},))
    async with mirroring(settings) as mirror:
        await mirror.until(lambda m: any(isinstance(update, Alive) for update in m.heard), patience=10)


async def test_a_root_that_comes_later_and_goes_and_comes_again_is_seen(zookeeper: ZooKeeper):
    for name, kind in (("new", following.Tree), ("old", following.OldTree)):
        root = f"/late-{name}/dubbo"
        node = dubbo_node("a.B", "10.1.0.1", root=root)
        async with mirroring_with(kind, zookeeper, {"dubbo": {"root": root}}) as mirror:
            await mirror.until_synced()
            for _ in range(2):
                await create(zookeeper, node)
                await mirror.until(lambda m: hosts(m) == {"10.1.0.1"})
                await delete(zookeeper, f"/late-{name}")
                await mirror.until(lambda m: not m.instances and not m.services)


async def test_a_changed_weight_is_one_put_under_one_key(zookeeper: ZooKeeper):
    settings = Settings(hosts=zookeeper.address, layouts=({"dubbo": {"root": "/weights"}},))
    nodes = [dubbo_node("a.B", "10.1.0.1", f"weight={weight}", "/weights") for weight in (10, 20)]
    await native(zookeeper, lambda c: c.create(nodes[0], makepath=True))
    async with mirroring(settings) as mirror:
        await mirror.until_synced()
        await native(zookeeper, lambda c: (c.create(nodes[1]), c.delete(nodes[0])))
        await mirror.until(lambda m: [one.weight for one in m.instances.values()] == [20])
        await native(zookeeper, lambda c: c.delete(nodes[1]))
        await mirror.until(lambda m: not m.instances)
        said = [update for update in mirror.heard[1:] if not isinstance(update, Alive)]
        assert [type(update) for update in said] == [Put, Put, Drop]


async def test_of_two_nodes_with_one_key_the_newer_speaks_after_a_reconnect_too(zookeeper: ZooKeeper):
    for first, second in ((10, 20), (20, 10)):
        root = f"/order-{first}"
        for weight in (first, second):
            node = dubbo_node("a.B", "10.1.0.1", f"weight={weight}", root)
            await create(zookeeper, node)
        async with mirroring(Settings(hosts=zookeeper.address, layouts=({"dubbo": {"root": root}},))) as mirror:
            await mirror.until_synced()
            assert [one.weight for one in mirror.instances.values()] == [second]


async def test_configurators_come_and_go(zookeeper: ZooKeeper):
    settings = Settings(hosts=zookeeper.address, layouts=({"dubbo": {"root": "/rules"}},))
    rule = quote("override://0.0.0.0/a.B?category=configurators&dynamic=false&disabled=true", safe="")
    await native(zookeeper, lambda c: c.create(dubbo_node("a.B", "10.1.0.1", root="/rules"), makepath=True))

    async with mirroring(settings) as mirror:
        await mirror.until(lambda m: healths(m) == {Health.PASSING})
        await native(zookeeper, lambda c: c.create(f"/rules/a.B/configurators/{rule}", makepath=True))
        await mirror.until(lambda m: healths(m) == {Health.CRITICAL})
        await native(zookeeper, lambda c: c.delete(f"/rules/a.B/configurators/{rule}"))
        await mirror.until(lambda m: healths(m) == {Health.PASSING})


@asynccontextmanager
async def mirroring_with(kind: type[following.Tree], server: ZooKeeper, layout: Any) -> AsyncIterator[Mirror]:
    """A mirror that follows by recursive watches, or as on an old server, which doesn't know them."""
    original = AddWatch.type
    AddWatch.type = original if kind is following.Tree else 99  # an operation that no server has
    try:
        async with mirroring(Settings(hosts=server.address, layouts=(layout,))) as mirror:
            yield mirror
    finally:
        AddWatch.type = original


@pytest.mark.parametrize("kind", [following.Tree, following.OldTree])
async def test_every_change_is_seen_with_recursive_watches_and_without(
    zookeeper: ZooKeeper, kind: type[following.Tree]
):
    root = f"/changes-{kind.__name__}"
    layouts = {"dubbo": {"root": f"{root}/dubbo"}}, {"spring": {"root": root}}, {"curator": {"root": root}}

    def node(n: int) -> str:
        return f"{root}/orders/{n}"

    async with mirroring_with(kind, zookeeper, layouts[2]) as mirror:
        await mirror.until_synced()
        await native(zookeeper, lambda c: c.create(node(1), curator_json("orders", 1), makepath=True))
        await mirror.until(lambda m: hosts(m) == {"10.1.0.1"})
        await native(zookeeper, lambda c: c.create(node(2), curator_json("orders", 2)))
        await native(zookeeper, lambda c: c.set(node(1), curator_json("orders", 1, ',"enabled":false')))
        await mirror.until(
            lambda m: {one.health for one in m.instances.values()} == set(Health) - {"warning", "draining"}
        )
        await native(zookeeper, lambda c: (c.delete(node(1)), c.create(node(1), curator_json("orders", 3))))
        await mirror.until(lambda m: hosts(m) == {"10.1.0.2", "10.1.0.3"})
        await native(zookeeper, lambda c: c.set(node(1), b"garbage"))
        await mirror.until(lambda m: hosts(m) == {"10.1.0.2"} and list(m.skipped) == [node(1)])
        await native(zookeeper, lambda c: (c.delete(node(1)), c.delete(node(2))))
        await mirror.until(lambda m: not m.instances and not m.skipped)
        await mirror.until(lambda m: [one.name for one in m.services.values()] == ["orders"])


async def test_an_old_server_is_read_by_child_watches(zookeeper: ZooKeeper):
    root = "/old/dubbo"
    async with mirroring_with(following.OldTree, zookeeper, {"dubbo": {"root": root}}) as mirror:
        await mirror.until_synced()
        for n in range(1, 4):
            node = dubbo_node("a.B", f"10.1.0.{n}", root=root)
            await create(zookeeper, node)
            await mirror.until(lambda m: f"10.1.0.{n}" in hosts(m))  # noqa: B023 - it is awaited here
        await native(zookeeper, lambda c: c.create(dubbo_node("a.B", "10.1.0.1", "weight=7", root)))
        await mirror.until(lambda m: 7 in {one.weight for one in m.instances.values()})
        await native(zookeeper, lambda c: c.delete("/old/dubbo/a.B", recursive=True))
        await mirror.until(lambda m: not m.instances and not m.services)


async def test_a_path_in_the_hosts_is_below_everything(zookeeper: ZooKeeper):
    node = dubbo_node("a.B", "10.1.0.1", root="/company/dubbo")
    await native(zookeeper, lambda c: c.create(node, makepath=True))
    async with mirroring(Settings(hosts=f"{zookeeper.address}/company", layouts=("dubbo",))) as mirror:
        await mirror.until(lambda m: list(m.instances) == ["/dubbo/a.B@dubbo://10.1.0.1:20880"])
        await native(zookeeper, lambda c: c.delete(node))
        await mirror.until(lambda m: not m.instances)


async def test_several_layouts_share_one_tree(zookeeper: ZooKeeper):
    spring = ',"payload":{"@class":"org.springframework.cloud.zookeeper.discovery.ZookeeperInstance"}'
    dubbo = ',"payload":{"@class":"org.apache.dubbo.registry.zookeeper.ZookeeperInstance"}'

    def write(client: Any) -> None:
        for number, extra in enumerate(("", spring, dubbo), 1):
            client.create(f"/shared/orders/{number}", curator_json("orders", number, extra), makepath=True)
        client.create("/shared-mapping/a.B", b"orders", makepath=True)

    await native(zookeeper, write)
    layouts: list[LayoutSetting] = [{name: {"root": "/shared"}} for name in ("curator", "spring")]
    layouts.append({"dubbo3": {"root": "/shared", "mapping": "/shared-mapping"}})
    async with mirroring(Settings(hosts=zookeeper.address, layouts=tuple(layouts))) as mirror:
        await mirror.until_synced()
        assert {one.id: one.layout for one in mirror.instances.values()} == {
            "1": "curator",
            "2": "spring",
            "3": "dubbo3",
        }
        assert [one.aliases for one in mirror.services.values()] == [("a.B",)]


async def test_a_storm_of_changes_ends_in_the_truth(zookeeper: ZooKeeper):
    nodes = [f"/storm/service-{n % 10}/{n}" for n in range(1, 201)]

    def storm(client: Any) -> None:
        for service in range(10):
            client.ensure_path(f"/storm/service-{service}")
        for turn in range(4):
            pending = [
                client.create_async(node, curator_json(node.split("/")[2], n)) for n, node in enumerate(nodes, 1)
            ]
            pending += [client.delete_async(node) for node in nodes[turn::3]]
            for one in pending:  # many of the later turns fail, for what they create is there
                one.wait(10)

    async with mirroring(Settings(hosts=zookeeper.address, layouts=({"curator": {"root": "/storm"}},))) as mirror:
        await mirror.until_synced()
        await native(zookeeper, storm)
        held: set[str] = set()

        def read(client: Any) -> None:
            for name in client.get_children("/storm"):
                held.update(f"/storm/{name}/{child}" for child in client.get_children(f"/storm/{name}"))

        await native(zookeeper, read)
        assert held
        await mirror.until(lambda m: set(m.instances) == held)


async def test_tls_and_sasl_are_shown_and_demanded(fresh: Fresh, tls: Certificates):
    server = fresh(ZooKeeper, tls=tls, users={"hub": "secret"}, require_users=True)
    secure = Tls(ca=str(tls.ca), cert=str(tls.client.cert), key=str(tls.client.key))
    known: dict[str, Any] = {"hosts": server.tls_address, "layouts": ("dubbo",)}
    async with mirroring(Settings(**known, tls=secure, auth="sasl", username="hub", password="secret")) as mirror:
        await mirror.until_synced()
    for wrong in (
        Settings(**known),
        Settings(**known, tls=secure),
        Settings(**known, tls=secure, auth="sasl", username="hub", password="wrong"),
        Settings(**known, tls=Tls(ca=str(tls.ca)), auth="sasl", username="hub", password="secret"),
        Settings(**known, tls=Tls(), auth="sasl", username="hub", password="secret"),
    ):
        with pytest.raises(SourceLost) as lost:
            async with asyncio.timeout(15), connect(wrong):
                pass
        assert "secret" not in str(lost.value)
    assert not [thread for thread in threading.enumerate() if thread.name == "zookeeper"]


async def test_a_hostile_tree_is_read_as_far_as_it_makes_sense(zookeeper: ZooKeeper):
    url = "dubbo://10.1.0.1:20880/a.B?"
    hostile = [
        "dubbo://10.1.0.1:70000/a.B",
        "dubbo://10.1.0.1:20880/../../etc",
        f"{url}weight=-1",
        f"{url}version=1\n2",
        f"{url}group=\0",
        "dubbo://10.1.0.1\r\n:20880/a.B",
        "x" * 10_000,
        "%FF%FE",
        "dubbo%3A%2F%2F%FF%3A1%2Fa.B",
    ]

    def write(client: Any) -> None:
        client.create(dubbo_node("a.B", "10.1.0.9", root="/hostile"), makepath=True)
        for name in hostile:
            client.create(f"/hostile/a.B/providers/{quote(name, safe='%' if '%F' in name else '')}")
        client.create("/hostile/services/orders/1", b"[" * 100_000, makepath=True)
        client.create("/hostile/services/orders/2", b'"' + b"x" * 900_000 + b'"')

    await native(zookeeper, write)
    layouts: tuple[LayoutSetting, ...] = {"dubbo": {"root": "/hostile"}}, {"spring": {"root": "/hostile/services"}}
    async with mirroring(Settings(hosts=zookeeper.address, layouts=layouts)) as mirror:
        await mirror.until_synced()
        await mirror.until(lambda m: len(m.skipped) == len(hostile) + 2)
        assert hosts(mirror) == {"10.1.0.9"}
        assert all(reason.isprintable() for reason in mirror.skipped.values())
