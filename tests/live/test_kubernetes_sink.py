"""What the hub writes into Kubernetes: read back by its own source, in objects of its own, and in nobody else's."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pilot_plus.model import Alive, Drop, Health, Instance, Locality, Origin, Port, Put, Reset, Update, instance
from pilot_plus.ports import Done, Failed, Locking, Previewing, Refused, Renewing, Sink, SourceLost
from registries.kubernetes import Kubernetes, Settings, connect
from tests.kube.real import RealKube, assets
from tests.kube.world import LEASES, SERVICES, SLICES, USERS, World, real_world_of, slice_of, truth, world_of

pytestmark = pytest.mark.live
BOUND = 30.0
OPEN = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
IMPORTS = "/apis/multicluster.x-k8s.io/v1alpha1/namespaces/shop/serviceimports"


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealKube | None]:
    programs = assets()
    server = RealKube(tmp_path_factory.mktemp("kube"), programs, {user: user for user in USERS}) if programs else None
    if server:
        server.start()
    yield server
    if server:
        server.kill()


@pytest.fixture
async def world(tmp_path: Path, real: RealKube | None) -> AsyncIterator[World]:
    """The fake, or the server that `KUBEBUILDER_ASSETS` names."""
    async with real_world_of(tmp_path, real) if real else world_of(tmp_path) as made:
        yield made


def made(name: str = "orders", number: int = 1, **fields: Any) -> Instance:
    common: dict[str, Any] = {
        "key": "",
        "namespace": "shop",
        "name": name,
        "id": f"{name}-{number}",
        "address": f"10.1.{number // 250}.{number % 250 + 1}",
        "ports": (Port("http", 8080, "http"),),
        "origin": Origin("east", "zk", f"/{name}/{number}", ("east",)),
        "zone": "east/legacy",
        "metadata": (("pilot-plus-rule", "east/all"), ("team", "shop")),
    }
    return instance(**(common | fields))


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Kubernetes]:
    async with asyncio.timeout(BOUND), connect(settings) as kubernetes:
        yield kubernetes


async def done(sink: Sink, *instances: Instance) -> list[str]:
    """Write, which must succeed; the keys."""
    results = await sink.put(instances)
    assert all(isinstance(one, Done) for one in results), results
    return [one.key for one in results if isinstance(one, Done)]


async def refusal(sink: Sink, copy: Instance) -> str:
    (result,) = await sink.put([copy])
    assert isinstance(result, Refused), result
    return result.reason


def test_it_is_everything_that_a_sink_can_be():
    for port in (Sink, Renewing, Previewing, Locking):
        assert issubclass(Kubernetes, port)


@pytest.mark.parametrize("lease", [0.0, 15.0])
async def test_what_is_put_is_reported_as_it_was_foreseen(world: World, lease: float):
    copies = [
        made(number=1, weight=50, locality=Locality(az="a")),
        made("com.example.Orders:1.0.0", 2, ports=(Port("Dubbo", 20880, "dubbo"), Port("x", 7, "unknown"))),
        made("orders", 3, health=Health.DRAINING, address="2001:db8::1"),
        made("carts", 4, health=Health.WARNING, ports=(Port("dns", 53, "udp"), Port("h2", 80, "http2"))),
        made("carts", 5, health=Health.CRITICAL),
    ]
    copies = [msgspec.structs.replace(copy, lease=lease) for copy in copies]
    async with opened(world.settings()) as kubernetes:
        keys = await done(kubernetes, *copies)
        foreseen = [kubernetes.preview(copy) for copy in copies]
        assert {one.key: one for one in await truth(world.settings())} == dict(zip(keys, foreseen, strict=True))
        for copy, one in zip(copies, foreseen, strict=True):
            assert isinstance(one, Instance)
            assert msgspec.structs.replace(one, key="") == copy
        assert await kubernetes.drop(keys) == [Done(key) for key in keys]
        assert await kubernetes.drop(keys) == [Done(key) for key in keys]
    assert await world.objects(SLICES) == await world.objects(SERVICES) == []
    assert await truth(world.settings()) == []


async def test_pods_find_a_service_with_its_ports_and_slices_without_a_selector(world: World):
    admin = (Port("http", 8081, "http"), Port("admin", 9090, "http"))
    async with opened(world.settings()) as kubernetes:
        await done(kubernetes, made(), made(number=2), made(number=3, ports=admin))
    (service,) = await world.objects(SERVICES)
    assert "selector" not in service["spec"]
    assert [(port["name"], port["port"]) for port in service["spec"]["ports"]] == [("admin", 9090), ("http", 8080)]
    slices = await world.objects(SLICES, labelSelector="kubernetes.io/service-name=orders")
    assert sorted(len(one["endpoints"]) for one in slices) == [1, 2]
    labels = slices[0]["metadata"]["labels"]
    assert labels["endpointslice.kubernetes.io/managed-by"] == "pilot-plus"
    assert (labels["pilot-plus/cluster"], labels["pilot-plus/rule"]) == ("east", "all")


async def test_a_slice_holds_a_hundred_at_the_most_and_is_filled_before_another_is_begun(world: World):
    async with opened(world.settings()) as kubernetes:
        keys = await done(kubernetes, *(made(number=n) for n in range(250)))
        assert sorted(len(one["endpoints"]) for one in await world.objects(SLICES)) == [50, 100, 100]
        await kubernetes.drop(keys[:30])
        await done(kubernetes, *(made(number=n) for n in range(300, 330)))
        assert sorted(len(one["endpoints"]) for one in await world.objects(SLICES)) == [50, 100, 100]
    assert len(await truth(world.settings())) == 250


async def test_writing_again_what_is_there_writes_nothing(world: World):
    copies = [made(), made(number=2, lease=15.0), made("carts")]
    async with opened(world.settings()) as kubernetes:
        await done(kubernetes, *copies)
    before = await world.revisions(SLICES) | await world.revisions(SERVICES)
    for _ in range(2):
        async with opened(world.settings()) as kubernetes:
            await done(kubernetes, *copies)
            await done(kubernetes, *copies)
    assert await world.revisions(SLICES) | await world.revisions(SERVICES) == before


async def test_a_foreign_service_of_the_same_name_is_left_alone(world: World):
    spec = {"ports": [{"name": "http", "port": 8080}], "selector": {"app": "orders"}}
    await world.kubectl.done("POST", SERVICES, {"metadata": {"name": "orders"}, "spec": spec})
    await world.kubectl.done("POST", SLICES, slice_of("orders-x", "orders", "10.9.0.1"))
    before = await world.objects(SERVICES), await world.objects(SLICES)
    async with opened(world.settings()) as kubernetes:
        assert "somebody else's" in await refusal(kubernetes, made())
        assert isinstance((await kubernetes.drop(["shop/orders/10.9.0.1:8080"]))[0], Refused)
    assert before == (await world.objects(SERVICES), await world.objects(SLICES))


async def test_a_foreign_service_made_between_the_look_and_the_write_is_given_back_as_it_was(world: World):
    spec = {"ports": [{"name": "metrics", "port": 9}]}
    async with opened(world.settings()) as kubernetes:
        await done(kubernetes, made("carts"))  # from here on it thinks that it knows the namespace
        await world.kubectl.done("POST", SERVICES, {"metadata": {"name": "orders"}, "spec": spec})
        assert "somebody else's" in await refusal(kubernetes, made())
    (found,) = await world.objects(SERVICES, fieldSelector="metadata.name=orders")
    assert [port["name"] for port in found["spec"]["ports"]] == ["metrics"]
    assert "labels" not in found["metadata"]
    assert not await world.objects(SLICES, labelSelector="kubernetes.io/service-name=orders")


async def test_our_endpoints_leave_a_service_that_somebody_has_made_his_own(world: World):
    async with opened(world.settings()) as kubernetes:
        await done(kubernetes, made())
        await world.kubectl.done("DELETE", f"{SERVICES}/orders")
        spec = {"ports": [{"name": "http", "port": 8080}]}
        await world.kubectl.done("POST", SERVICES, {"metadata": {"name": "orders"}, "spec": spec})
        assert "somebody else's" in await refusal(kubernetes, made(weight=7))
    assert await world.objects(SLICES) == []
    assert len(await world.objects(SERVICES)) == 1


async def test_another_cluster_is_somebody_else(world: World):
    async with opened(world.settings()) as east, opened(world.settings("west")) as west:
        (key,) = await done(east, made(lease=15.0))
        assert "somebody else's" in await refusal(west, made(lease=15.0))
        assert isinstance((await west.drop([key]))[0], Refused)
        assert isinstance((await west.renew([key]))[0], Refused)
        assert await east.renew([key]) == [Done(key)]


async def test_what_was_edited_or_deleted_by_hand_is_repaired(world: World):
    async with opened(world.settings()) as kubernetes:
        await done(kubernetes, made(), made(number=2))
        before = {one.key: one for one in await truth(world.settings())}
        (found,) = await world.objects(SLICES)
        edits: list[dict[str, Any]] = [
            {"endpoints": [{**found["endpoints"][0], "conditions": {"ready": False}}, found["endpoints"][1]]},
            {"endpoints": found["endpoints"][:1]},
            {"metadata": {"annotations": {"pilot-plus/copies": "{damaged"}}},
            {"metadata": {"labels": {"kubernetes.io/service-name": None}}},
        ]
        for edit in edits:
            (name,) = await world.revisions(SLICES)
            await world.kubectl.done("MERGE", f"{SLICES}/{name}", edit)
            assert {one.key: one for one in await truth(world.settings())} != before, edit
            await done(kubernetes, made(), made(number=2))
            assert {one.key: one for one in await truth(world.settings())} == before, edit
        for kind in (SLICES, SERVICES):
            for name in await world.revisions(kind):
                await world.kubectl.done("DELETE", f"{kind}/{name}")
            await done(kubernetes, made(), made(number=2))
            assert {one.key: one for one in await truth(world.settings())} == before, kind


async def test_a_change_is_one_write_and_new_ports_come_before_the_old_go(world: World):
    async with opened(world.settings()) as kubernetes, opened(world.settings()) as source:
        await done(kubernetes, *(made(number=n) for n in range(3)))
        said: list[Update] = []
        async with aclosing(source.watch()) as updates:  # type: ignore[type-var]
            async for update in updates:
                if isinstance(update, Reset):
                    await done(kubernetes, made(weight=7))
                    await done(kubernetes, made(ports=(Port("http", 8080, "http"), Port("admin", 9090, "http"))))
                    await done(kubernetes, made("end", 9))
                elif not isinstance(update, Alive):
                    said.append(update)
                if isinstance(update, Put) and update.record.name == "end" and isinstance(update.record, Instance):
                    break
    assert not any(isinstance(update, Drop) for update in said)
    changes = [one.record for one in said if isinstance(one, Put) and isinstance(one.record, Instance)]
    assert changes[0].weight == 7
    assert [port.name for port in changes[-2].ports] == ["http", "admin"]


async def test_two_instances_that_would_be_one_record_are_a_conflict(world: World):
    async with opened(world.settings()) as kubernetes:
        first, second, third = await kubernetes.put([made(), made(id="other"), made()])
        assert isinstance(first, Done)
        assert first == third
        assert isinstance(second, Refused)
        assert "two instances" in second.reason


async def test_two_names_that_would_be_one_are_a_conflict(world: World):
    async with opened(world.settings()) as kubernetes:
        odd = made("Orders!")
        (key,) = await done(kubernetes, odd)
        _, name, _ = key.split("/")
        assert "conflict" in await refusal(kubernetes, made(name, 2))


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"address": "127.0.0.1"}, "loopback"),
        ({"address": "169.254.1.1"}, "link-local"),
        ({"address": "224.0.0.7"}, "multicast"),
        ({"address": "::"}, "unspecified"),
        ({"address": "orders.example"}, "host name"),
        ({"namespace": "No Such"}, "no name of a namespace"),
        ({"namespace": ".."}, "no name of a namespace"),
        ({"ports": ()}, "has no port"),
        ({"id": "x" * 3000}, "has room for"),
    ],
)
async def test_what_kubernetes_cannot_hold_is_refused_with_a_reason_before_it_is_written(
    world: World, fields: dict[str, Any], why: str
):
    async with opened(world.settings()) as kubernetes:
        foreseen = kubernetes.preview(made(**fields))
        assert isinstance(foreseen, Refused)
        assert why in foreseen.reason
        assert await refusal(kubernetes, made(**fields)) == foreseen.reason
        await done(kubernetes, made())


async def test_a_namespace_that_is_not_there_is_refused_and_never_made(world: World):
    async with opened(world.settings()) as kubernetes:
        assert 'namespaces "nowhere" not found' in await refusal(kubernetes, made(namespace="nowhere"))
    async with opened(world.settings(namespaces=("default",))) as kubernetes:
        assert "settings.namespaces" in await refusal(kubernetes, made())


async def test_copies_carry_the_labels_by_which_the_source_chooses(world: World):
    settings = world.settings(selector={"team": "shop"})
    async with opened(settings) as kubernetes:
        await done(kubernetes, made())
    assert len(await truth(settings)) == 1
    async with opened(world.settings(selector="team in (shop)")) as kubernetes:
        assert "selector" in await refusal(kubernetes, made())


async def test_metadata_that_is_too_large_is_left_out_and_the_mark_stays(world: World):
    big = made(metadata=(("note", "x" * 3000), ("pilot-plus-rule", "east/all")))
    async with opened(world.settings()) as kubernetes:
        foreseen = kubernetes.preview(big)
        await done(kubernetes, big)
    assert await truth(world.settings()) == [foreseen]
    assert isinstance(foreseen, Instance)
    assert foreseen.metadata == (("pilot-plus-rule", "east/all"),)
    assert foreseen.origin == big.origin


async def test_leased_copies_go_with_the_lease_of_their_hub_and_durable_ones_stay(world: World):
    async with opened(world.settings()) as kubernetes:
        keys = await done(kubernetes, made(lease=15.0), made(number=2), made("carts", 3, lease=15.0))
        assert await kubernetes.renew(keys) == [Done(key) for key in keys]
    assert world.api, "which collects garbage"
    (lease,) = await world.objects(LEASES)
    assert (lease["spec"]["leaseDurationSeconds"], lease["spec"]["holderIdentity"]) == (15, "east")
    await world.kubectl.done("DELETE", f"{LEASES}/{lease['metadata']['name']}")
    assert [one.key for one in await truth(world.settings())] == [keys[1]]
    assert set(await world.revisions(SERVICES)) == {"orders"}
    async with opened(world.settings()) as kubernetes:
        assert isinstance((await kubernetes.renew(keys))[0], Refused)
        await done(kubernetes, made(lease=15.0))
    assert len(await truth(world.settings())) == 2


async def test_hubs_of_other_clusters_end_the_lease_of_one_that_is_gone_and_no_other(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("registries.kubernetes.keeper.SWEEP_EVERY", 0.0)
    assert world.api, "which collects garbage"
    async with opened(world.settings("gone")) as gone:
        await done(gone, made("carts", 2, lease=1.0))
    async with opened(world.settings("alive")) as alive, opened(world.settings()) as kubernetes:
        (living,) = await done(alive, made("users", 3, lease=1.0))
        await done(kubernetes, made(lease=1.0))
        async with asyncio.timeout(BOUND):
            while "carts" in await world.revisions(SERVICES):
                await alive.renew([living])
                await kubernetes.claim("sync-east", "hub-1", 3.0)
                await asyncio.sleep(0.2)
    assert set(await world.revisions(SERVICES)) == {"orders", "users"}
    assert {one.name for one in await truth(world.settings())} == {"orders", "users"}


async def test_a_lease_on_which_nothing_hangs_any_more_goes_and_one_that_is_needed_stays(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("registries.kubernetes.keeper.SWEEP_EVERY", 0.0)

    async def leases() -> int:
        return sum("pilot-plus/cluster" in one["metadata"].get("labels", {}) for one in await world.objects(LEASES))

    async with opened(world.settings()) as kubernetes:
        (key,) = await done(kubernetes, made(lease=0.5))
        begun = asyncio.get_running_loop().time()
        while asyncio.get_running_loop().time() < begun + 2.5:  # a hub that is late: nobody renews
            await kubernetes.claim("sync-east", "hub-1", 3.0)
            await asyncio.sleep(0.1)
        assert await leases() == 1
        await kubernetes.drop([key])
        async with asyncio.timeout(BOUND):
            while await leases():
                await kubernetes.claim("sync-east", "hub-1", 3.0)
                await asyncio.sleep(0.1)
        await done(kubernetes, made(lease=0.5))
        assert await leases() == 1


async def test_of_two_hubs_one_has_the_lock_and_the_other_is_told_whose_it_is(world: World):
    async with opened(world.settings()) as one, opened(world.settings()) as two:
        assert await one.claim("sync-east", "hub-1", 3.0) == "hub-1"
        assert await two.claim("sync-east", "hub-2", 3.0) == "hub-1"
        assert await one.claim("sync-east", "hub-1", 3.0) == "hub-1"
        await two.release("sync-east", "hub-2")
        assert await two.claim("sync-east", "hub-2", 3.0) == "hub-1"
        await one.release("sync-east", "hub-1")
        assert await two.claim("sync-east", "hub-2", 3.0) == "hub-2"


async def test_a_lock_ends_with_its_owner_and_not_while_it_is_kept(world: World):
    async with opened(world.settings()) as two:
        async with opened(world.settings()) as one:
            await one.claim("sync-east", "hub-1", 1.0)
            for _ in range(8):
                assert await two.claim("sync-east", "hub-2", 1.0) == "hub-1"
                await asyncio.sleep(0.2)
                assert await one.claim("sync-east", "hub-1", 1.0) == "hub-1"
        async with asyncio.timeout(BOUND):
            while await two.claim("sync-east", "hub-2", 1.0) != "hub-2":  # noqa: ASYNC110 - time wakes nobody
                await asyncio.sleep(0.1)
        assert (await world.objects(LEASES))[0]["spec"]["leaseTransitions"] == 1


async def test_two_hubs_that_write_the_same_service_at_once_lose_nothing(world: World):
    async with opened(world.settings()) as one, opened(world.settings()) as two:
        await asyncio.gather(
            *(done(one, made(number=n)) for n in range(0, 10, 2)),
            *(done(two, made(number=n)) for n in range(1, 10, 2)),
        )
    assert {one.id for one in await truth(world.settings())} == {f"orders-{n}" for n in range(10)}


async def test_a_service_import_stands_beside_the_service_where_its_definition_is_installed(world: World):
    await world.kubectl.done(
        "POST",
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
        {
            "metadata": {"name": "serviceimports.multicluster.x-k8s.io"},
            "spec": {
                "group": "multicluster.x-k8s.io",
                "scope": "Namespaced",
                "names": {"plural": "serviceimports", "kind": "ServiceImport", "singular": "serviceimport"},
                "versions": [
                    {"name": "v1alpha1", "served": True, "storage": True, "schema": {"openAPIV3Schema": OPEN}}
                ],
            },
        },
    )
    async with asyncio.timeout(BOUND):
        while (await world.kubectl.ask("GET", IMPORTS))[0] != 200:  # noqa: ASYNC110 - a real server takes a moment
            await asyncio.sleep(0.1)
    async with opened(world.settings()) as kubernetes:
        keys = await done(kubernetes, made(), made(number=2))
        (found,) = await world.objects(IMPORTS)
        assert found["spec"] == {
            "type": "ClusterSetIP",
            "ports": [{"port": 8080, "name": "http", "protocol": "TCP", "appProtocol": "http"}],
        }
        (written,) = await world.objects(SLICES)
        assert written["metadata"]["labels"]["multicluster.kubernetes.io/service-name"] == "orders"
        assert written["metadata"]["labels"]["multicluster.kubernetes.io/source-cluster"] == "east"
        await kubernetes.drop(keys)
        assert await world.objects(IMPORTS) == []
        head = {"apiVersion": "multicluster.x-k8s.io/v1alpha1", "kind": "ServiceImport"}
        foreign = {**head, "metadata": {"name": "carts"}, "spec": {"type": "ClusterSetIP"}}
        await world.kubectl.done("POST", IMPORTS, foreign)
    async with opened(world.settings()) as kubernetes:
        assert "ServiceImport carts is there already" in await refusal(kubernetes, made("carts"))


async def test_a_hub_that_may_only_read_is_told_what_it_may_not(world: World):
    rules = [{"apiGroups": ["", "discovery.k8s.io"], "resources": ["*"], "verbs": ["get", "list", "watch"]}]
    await world.grant("reader", rules)
    async with opened(world.settings(user="reader")) as kubernetes:
        assert 'User "reader" cannot patch resource "services"' in await refusal(kubernetes, made())
        with pytest.raises(SourceLost, match="cannot get resource"):
            await kubernetes.claim("sync-east", "hub-1", 3.0)


async def test_a_server_that_fails_each_write_stays_connected_and_one_that_is_gone_is_a_loss(world: World):
    assert world.api, "which can fail"
    async with opened(world.settings()) as kubernetes:
        await done(kubernetes, made())
        await world.kubectl.faults(status=500)
        (failed,) = await kubernetes.put([made(number=2)])
        assert isinstance(failed, Failed)
        assert "500" in failed.reason
        await world.kubectl.done("PUT", "/_fake/faults", {})
        await done(kubernetes, made(number=2))
    async with opened(world.settings()) as kubernetes:
        await world.kubectl.faults(status=500)
        with pytest.raises(SourceLost):
            await kubernetes.put([made(number=3)])
