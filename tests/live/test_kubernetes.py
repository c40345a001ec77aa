"""Kubernetes broken in the ways in which it breaks, each ending with what the source says and what it must not say."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from devservers.fault_proxy import FaultProxy
from devservers.tls import Authority, Tls
from pilot_plus.model import Alive, Drop, Health, Instance, Put, Reset, Service, Skipped, Update
from pilot_plus.ports import SourceLost
from registries.kubernetes import Settings, connect
from tests.kube import Settings as FakeSettings
from tests.kube import Store, kubeconfig, serving
from tests.kube.world import SERVICES, SLICES, World, truth, world_of

pytestmark = pytest.mark.live
BOUND = 30.0


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with world_of(tmp_path) as made:
        yield made


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask every moment whether the server lives."""
    monkeypatch.setattr("registries.kubernetes.source.PROBE_EVERY", 0.05)
    monkeypatch.setattr("registries.kubernetes.source.PROBE_SILENCE", 0.3)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A watch may end at once: the tests end them."""
    monkeypatch.setattr("registries.kubernetes.watch.SHORTEST_WATCH", 0.0)


class Ear:
    """Hears all the time, and hands out updates one by one."""

    def __init__(self) -> None:
        self._heard: asyncio.Queue[Update | SourceLost] = asyncio.Queue()

    async def listen(self, updates: AsyncIterator[Update]) -> None:
        try:
            async for update in updates:
                self._heard.put_nowait(update)
        except SourceLost as lost:
            self._heard.put_nowait(lost)

    async def next(self) -> Update:
        heard = await self._heard.get()
        if isinstance(heard, SourceLost):
            raise heard
        return heard

    async def change(self) -> Update:
        """The next that is no sign of life."""
        while isinstance(update := await self.next(), Alive):
            pass
        return update

    async def record(self) -> Instance | Service:
        """The next record that is put."""
        update = await self.change()
        assert isinstance(update, Put), update
        return update.record

    async def end(self) -> str:
        """Listen until it is lost; why."""
        try:
            while True:
                assert not isinstance(update := await self.next(), Drop), update
        except SourceLost as lost:
            return str(lost)


@asynccontextmanager
async def listening(settings: Settings) -> AsyncIterator[tuple[Ear, Reset]]:
    async with asyncio.timeout(BOUND), connect(settings) as source, asyncio.TaskGroup() as tasks:
        ear = Ear()
        hearing = tasks.create_task(ear.listen(source.watch()))
        reset = await ear.next()
        assert isinstance(reset, Reset)
        yield ear, reset
        hearing.cancel()


async def lost(settings: Settings) -> str:
    """Why a watch can't begin."""
    with pytest.raises(SourceLost) as found:
        async with asyncio.timeout(BOUND), connect(settings) as source:
            await anext(source.watch())
    return str(found.value)


# ------------------------------------------------------------------------------------------------ lists


@pytest.mark.parametrize("page_size", [1, 7, 500])
async def test_a_list_of_many_pages_is_complete(world: World, page_size: int):
    for n in range(60):
        await world.serve(f"s{n}", f"10.1.0.{n + 1}")
    async with listening(world.settings(page_size=page_size)) as (_, reset):
        assert len(reset.instances) == len(reset.services) == 60


async def test_pages_are_sized_by_what_objects_weigh(world: World):
    for n in range(120):
        note = {"x" * 50: "y" * 200_000}
        body = {"metadata": {"name": f"s{n}", "annotations": note}, "spec": {"ports": [{"port": 80}]}}
        await world.kubectl.done("POST", SERVICES, body)
    async with listening(world.settings()) as (_, reset):
        assert len(reset.services) == 120
    limits = [request.partition("limit=")[2] for request in world.api.requests if "/api/v1/services?limit" in request]
    assert len(limits) > 8
    assert limits[1].startswith("50")
    assert all(limit.startswith("10") for limit in limits[2:])


@pytest.mark.parametrize("faults", [{"cut_page": 2}, {"expired_pages": True}, {"garbage": "list"}, {"status": 503}])
async def test_a_list_that_breaks_anywhere_is_a_loss_and_no_shorter_list(world: World, faults: dict[str, Any]):
    for n in range(5):
        await world.serve(f"s{n}", f"10.1.0.{n + 1}")
    settings = world.settings(page_size=2)
    await world.kubectl.faults(**faults)
    assert await lost(settings)
    await world.kubectl.done("PUT", "/_fake/faults", {})
    assert len(await truth(settings)) == 5


async def test_an_item_that_no_client_can_read_is_skipped_and_spoils_no_other(world: World):
    await world.serve("orders", "10.1.0.1")
    await world.kubectl.faults(garbage_item=True)
    async with listening(world.settings()) as (ear, reset):
        assert [one.address for one in reset.instances] == ["10.1.0.1"]
        skipped = await ear.change()
        assert isinstance(skipped, Skipped)
        assert "?0" in skipped.place
        assert "JSON" in skipped.reason


async def test_a_big_first_list_never_holds_up_the_loop_for_long(world: World):
    """Not by the clock: others get their turns while the list is decoded."""
    for n in range(1000):
        world.fill(f"s{n}", f"10.1.{n // 250}.{n % 250 + 1}")
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as tasks:
        counting = tasks.create_task(count())
        async with listening(world.settings()) as (_, reset):
            assert len(reset.instances) == 1000
        counting.cancel()
    assert turns > 50


# ------------------------------------------------------------------------------------------------ watches


@pytest.mark.usefixtures("impatient")
async def test_a_watch_that_the_server_ends_in_order_goes_on_and_misses_nothing(world: World):
    await world.serve("orders", "10.1.0.1")
    async with listening(world.settings()) as (ear, _):
        for n in range(2, 5):
            await world.slice("orders-1", "orders", "10.1.0.1", f"10.1.0.{n}")
            assert (await ear.record()).key.endswith(f"10.1.0.{n}:8080")
            if n > 2:
                assert isinstance(await ear.change(), Drop)
            watches = world.watches()
            await world.kubectl.faults(cut_watches=n, cut="clean")
            await world.until(lambda watches=watches: world.watches() >= watches + 2)  # type: ignore[misc]


@pytest.mark.parametrize("cut", ["abort", "half_line"])
async def test_a_watch_that_breaks_off_is_a_loss(world: World, cut: str):
    await world.serve("orders", "10.1.0.1")
    async with listening(world.settings()) as (ear, _):
        await world.until(lambda: world.watches() == 2)
        await world.kubectl.faults(cut_watches=1, cut=cut)
        assert await ear.end()


@pytest.mark.parametrize("gone", ["status", "event"])
async def test_an_expired_watch_is_a_loss_in_either_form_and_the_next_list_is_the_truth(world: World, gone: str):
    await world.serve("orders", "10.1.0.1")
    settings = world.settings()
    await world.kubectl.faults(gone=gone)
    async with listening(settings) as (ear, _):
        assert "410" in (why := await ear.end())
        assert "too old resource version" in why
    await world.kubectl.done("PUT", "/_fake/faults", {})
    await world.slice("orders-1", "orders", "10.1.0.2")
    assert [one.address for one in await truth(settings)] == ["10.1.0.2"]


@pytest.mark.parametrize("bookmarks", [True, False])
async def test_bookmarks_move_a_silent_watch_on_beyond_a_compaction(
    world: World, monkeypatch: pytest.MonkeyPatch, bookmarks: bool
):
    """Without them the next watch would begin where nothing can be had any more."""
    monkeypatch.setattr("registries.kubernetes.watch.WATCH_SECONDS", 0.5)
    monkeypatch.setattr("registries.kubernetes.watch.SHORTEST_WATCH", 0.0)
    world.api.bookmark_every = 0.1 if bookmarks else 60.0
    await world.serve("orders", "10.1.0.1")
    async with listening(world.settings()) as (ear, _):
        await world.kubectl.done("POST", "/api/v1/namespaces", {"metadata": {"name": "other"}})
        await world.until(lambda: world.watches() >= 6)
        await world.kubectl.done("PUT", "/_fake/compact", {})
        if not bookmarks:
            assert "too old" in await ear.end()
            return
        await world.until(lambda: world.watches() >= 10)
        await world.slice("orders-1", "orders", "10.1.0.1", "10.1.0.2")
        assert (await ear.record()).key == "shop/orders/10.1.0.2:8080"


async def test_a_watch_in_which_nothing_happens_is_no_loss(world: World, monkeypatch: pytest.MonkeyPatch):
    """A real server with an older etcd says nothing then, not even a bookmark."""
    monkeypatch.setattr("registries.kubernetes.watch.WATCH_SECONDS", 1.2)
    world.api.bookmark_every = 3600.0
    await world.serve("orders", "10.1.0.1")
    async with listening(world.settings()) as (ear, _):
        await world.until(lambda: world.watches() >= 6)
        await world.slice("orders-1", "orders", "10.1.0.1", "10.1.0.2")
        assert (await ear.record()).key == "shop/orders/10.1.0.2:8080"


async def test_garbage_in_a_watch_is_a_loss(world: World):
    async with listening(world.settings()) as (ear, _):
        await world.kubectl.faults(garbage="watch")
        assert "an event that is none" in await ear.end()


async def test_a_watch_that_is_ended_at_once_again_and_again_is_a_loss_and_no_storm(world: World):
    world.api.bookmark_every = 60.0
    async with listening(world.settings()) as (ear, _):
        await world.until(lambda: world.watches() == 2)
        await world.kubectl.faults(cut_watches=1)
        assert "ends it at once" in await ear.end()


@pytest.mark.usefixtures("often")
async def test_a_server_that_is_there_and_silent_is_a_loss(world: World):
    await world.serve("orders", "10.1.0.1")
    async with listening(world.settings()) as (ear, _):
        await world.kubectl.faults(hang=True)
        assert "no answer in time" in await ear.end()


@pytest.mark.usefixtures("often")
async def test_a_half_open_connection_is_a_loss(world: World):
    await world.serve("orders", "10.1.0.1")
    async with FaultProxy(world.kubectl.url.removeprefix("http://")) as proxy:
        file = world.folder / "proxied"
        file.write_text(kubeconfig(f"http://{proxy.address}"))
        async with listening(Settings(kubeconfig=str(file))) as (ear, _):
            proxy.stall()
            assert "no answer in time" in await ear.end()


async def test_a_slow_server_is_no_lost_one(world: World):
    await world.serve("orders", "10.1.0.1")
    await world.kubectl.faults(delay=0.5)
    async with listening(world.settings()) as (_, reset):
        assert len(reset.instances) == 1


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize("path", [SERVICES, SLICES])
async def test_a_cluster_restored_from_a_backup_is_a_history_that_began_anew(world: World, path: str):
    await world.kubectl.done("PUT", "/_fake/bump", 1_000)
    await world.serve("orders", "10.1.0.1")
    async with listening(world.settings()) as (ear, _):
        (name,) = await world.revisions(path)
        await world.kubectl.done("MERGE", f"{path}/{name}", {"metadata": {"labels": {"a": "b"}}})
        await ear.change()
        world.api.store.revision = 500
        assert "history went back" in await ear.end()


# ------------------------------------------------------------------------------------------------ rights


READING = [
    {"apiGroups": [""], "resources": ["services"], "verbs": ["list", "watch"]},
    {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
]


async def test_a_role_in_the_namespaces_that_are_named_is_enough(world: World):
    await world.serve("orders", "10.1.0.1")
    await world.grant("reader", READING, "shop")
    assert len(await truth(world.settings(user="reader", namespaces=("shop",)))) == 1
    why = await lost(world.settings(user="reader"))
    assert 'User "reader" cannot list resource "endpointslices"' in why
    assert "at the cluster scope" in why


@pytest.mark.parametrize("missing", [0, 1])
async def test_one_missing_right_is_a_loss_and_no_empty_catalog(world: World, missing: int):
    await world.serve("orders", "10.1.0.1")
    await world.grant("reader", READING[missing : missing + 1])
    assert "HTTP 403" in await lost(world.settings(user="reader"))


async def test_an_unknown_token_is_refused(world: World):
    assert "HTTP 401" in await lost(world.settings(user="nobody"))


@pytest.mark.usefixtures("impatient")
async def test_a_token_file_that_is_replaced_is_read_again_without_a_loss(world: World):
    await world.serve("orders", "10.1.0.1")
    token = world.folder / "token"
    token.write_text("admin\n")
    file = world.folder / "rotating"
    file.write_text(kubeconfig(world.kubectl.url).replace('"token":"admin"', '"tokenFile":"token"'))
    async with listening(Settings(kubeconfig=str(file))) as (ear, _):
        await world.kubectl.done("PUT", "/_fake/tokens", {"admin": "admin", "second": "admin"})
        token.write_text("second\n")
        world.api.tokens = {"second": "admin"}
        world.api.faults = msgspec.structs.replace(world.api.faults, cut_watches=1)
        await world.until(lambda: world.watches() == 4)  # which is asked with the new one
        before = {"metadata": {"name": "carts"}, "spec": {"clusterIP": "None"}}
        world.kubectl._token = "second"
        await world.kubectl.done("POST", SERVICES, before)
        assert (await ear.record()).key == "shop/carts"


@pytest.mark.usefixtures("impatient")
async def test_in_a_pod_the_service_account_is_enough_and_its_token_may_be_replaced(
    tmp_path: Path, tls: Tls, monkeypatch: pytest.MonkeyPatch
):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tls.server.cert, tls.server.key)
    account = tmp_path / "serviceaccount"
    account.mkdir()
    (account / "ca.crt").symlink_to(tls.ca)
    (account / "token").write_text("first")
    tokens = {"first": "admin", "second": "admin"}
    async with serving(Store(), FakeSettings(tokens=tokens, bookmark_every=0.1), tls=context) as (api, url):
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", url.rpartition(":")[2])
        async with listening(Settings(service_account=str(account))) as (ear, reset):
            assert not reset.services
            (account / "token").write_text("second")
            api.tokens = {"second": "admin"}
            api.faults = msgspec.structs.replace(api.faults, cut_watches=1)
            api.write("services", "default", {"metadata": {"name": "orders"}, "spec": {"ports": [{"port": 80}]}})
            assert (await ear.record()).key == "default/orders"
        (account / "token").write_text("third")
        assert "HTTP 401" in await lost(Settings(service_account=str(account)))
        (account / "ca.crt").unlink()
        assert "ca.crt" in await lost(Settings(service_account=str(account)))


async def test_a_server_whose_certificate_is_another_authoritys_is_not_spoken_to(tmp_path: Path, tls: Tls):
    other = Authority(tmp_path, "another authority")
    certificate = other.issue("server")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate.cert, certificate.key)
    async with serving(Store(), FakeSettings(), tls=context) as (api, url):
        (tmp_path / "ca").symlink_to(tls.ca)
        (tmp_path / "config").write_text(kubeconfig(url, **{"certificate-authority": "ca"}))
        assert "certificate verify failed" in await lost(
            Settings(kubeconfig=str(tmp_path / "config"), allow=("files",))
        )
        assert not api.requests, "no token was shown to it"


# ------------------------------------------------------------------------------------------------ what is seen


async def test_a_service_without_endpoints_is_there_with_none(world: World):
    await world.serve("orders")
    async with listening(world.settings()) as (ear, reset):
        assert [one.service for one in reset.services] == ["shop/orders"]
        assert not reset.instances
        await world.kubectl.done("DELETE", f"{SERVICES}/orders")
        assert await ear.change() == Drop("shop/orders")


async def test_a_selector_chooses_services_and_their_slices_with_them(world: World):
    await world.serve("orders", "10.1.0.1", labels={"team": "shop"})
    await world.serve("carts", "10.1.0.2", labels={"team": "web"})
    for selector in ("team=shop", "team in (shop),team!=web", {"team": "shop"}):
        async with listening(world.settings(selector=selector)) as (ear, reset):
            assert [one.name for one in reset.instances] == ["orders"]
    async with listening(world.settings(selector={"team": "shop"})) as (ear, _):
        await world.kubectl.done("MERGE", f"{SERVICES}/carts", {"metadata": {"labels": {"team": "shop"}}})
        assert {(await ear.record()).key, (await ear.record()).key} == {"shop/carts", "shop/carts/10.1.0.2:8080"}
        await world.kubectl.done("MERGE", f"{SERVICES}/orders", {"metadata": {"labels": {"team": "web"}}})
        assert {(await ear.change()), (await ear.change())} == {Drop("shop/orders/10.1.0.1:8080"), Drop("shop/orders")}


async def test_an_external_name_is_an_instance_that_is_a_host_name(world: World):
    await world.serve("pay", type="ExternalName", externalName="pay.example.com")
    (one,) = await truth(world.settings())
    assert (one.address, one.ports[0].number) == ("pay.example.com", 80)


async def test_endpoints_that_move_between_slices_do_not_flap(world: World):
    await world.serve("orders", "10.1.0.1", "10.1.0.2")
    async with listening(world.settings()) as (ear, _):
        await world.slice("orders-2", "orders", "10.1.0.2", "10.1.0.3")
        assert (await ear.record()).key == "shop/orders/10.1.0.3:8080"
        await world.slice("orders-1", "orders", "10.1.0.1")
        await world.kubectl.done("DELETE", f"{SLICES}/orders-1")
        assert await ear.change() == Drop("shop/orders/10.1.0.1:8080")


async def test_readiness_serving_and_terminating_are_health(world: World):
    await world.serve("orders", "10.1.0.1")
    conditions: list[tuple[dict[str, bool], Health]] = [
        ({"ready": False}, Health.CRITICAL),
        ({"ready": False, "serving": True, "terminating": True}, Health.DRAINING),
        ({"ready": False, "serving": False, "terminating": True}, Health.CRITICAL),
        ({}, Health.PASSING),
    ]
    async with listening(world.settings()) as (ear, _):
        for said, health in conditions:
            await world.slice("orders-1", "orders", endpoints=[{"addresses": ["10.1.0.1"], "conditions": said}])
            record = await ear.record()
            assert isinstance(record, Instance)
            assert record.health is health


async def test_namespaces_that_are_named_are_the_only_ones_seen(world: World):
    await world.serve("orders", "10.1.0.1")
    body = {"metadata": {"name": "kube-dns"}, "spec": {"ports": [{"port": 53}]}}
    await world.kubectl.done("POST", "/api/v1/namespaces/kube-system/services", body)
    async with listening(world.settings(namespaces=("shop", "default"))) as (_, reset):
        assert [one.service for one in reset.services] == ["shop/orders"]
    async with listening(world.settings()) as (_, reset):
        assert [one.service for one in reset.services] == ["kube-system/kube-dns", "shop/orders"]
