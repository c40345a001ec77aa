"""What tests rely on of an API server: the same facts of the fake, and of a real one if `KUBEBUILDER_ASSETS` is set."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from tests.kube.api import Settings
from tests.kube.real import RealKube, assets
from tests.kube.running import Kubectl, serving
from tests.kube.store import Store

pytestmark = pytest.mark.live
KINDS = ["fake", *(["real"] if assets() else [])]
_numbers = count()


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealKube | None]:
    programs = assets()
    if programs is None:
        yield None
        return
    server = RealKube(tmp_path_factory.mktemp("kube"), programs, {"nobody": "nobody"})
    server.start()
    yield server
    server.kill()


class Space:
    """A namespace of its own, in a server."""

    def __init__(self, kubectl: Kubectl, name: str) -> None:
        self.kubectl = kubectl
        self.name = name

    def path(self, kind: str, name: str = "") -> str:
        root = {"endpointslices": "/apis/discovery.k8s.io/v1", "leases": "/apis/coordination.k8s.io/v1"}
        return f"{root.get(kind, '/api/v1')}/namespaces/{self.name}/{kind}" + (f"/{name}" if name else "")

    async def apply(self, kind: str, name: str, body: dict[str, Any], manager: str = "hub", **options: str) -> Any:
        metadata = {"name": name, **body.pop("metadata", {})}
        whole = {**HEADS[kind], "metadata": metadata, **body}
        return await self.kubectl.ask("APPLY", self.path(kind, name), whole, fieldManager=manager, **options)


HEADS = {
    "services": {"apiVersion": "v1", "kind": "Service"},
    "endpointslices": {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice"},
    "leases": {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease"},
}


@pytest.fixture(params=KINDS)
async def space(request: pytest.FixtureRequest, real: RealKube | None) -> AsyncIterator[Space]:
    name = f"facts-{next(_numbers)}"
    if request.param == "real":
        assert real is not None
        kubectl = Kubectl(real.url, tls=real.tls)
        await kubectl.done("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        yield Space(kubectl, name)
        return
    tokens = {"admin": "admin", "nobody": "nobody"}
    async with serving(Store(), Settings(tokens=tokens, bookmark_every=0.2)) as (_, url):
        kubectl = Kubectl(url)
        await kubectl.done("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        yield Space(kubectl, name)


def a_slice(name: str, *addresses: str, family: str = "IPv4", **labels: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "labels": labels},
        "addressType": family,
        "endpoints": [{"addresses": [address]} for address in addresses],
        "ports": [{"port": 80}],
    }


async def make(space: Space, *names: str, **labels: str) -> None:
    for name in names:
        await space.kubectl.done("POST", space.path("endpointslices"), a_slice(name, "10.1.0.1", **labels))


@asynccontextmanager
async def watching(space: Space, kind: str, **params: str) -> AsyncIterator[Any]:
    """Events of a watch."""
    kubectl = space.kubectl
    headers = {"Authorization": f"Bearer {kubectl._token}"}
    timeout = aiohttp.ClientTimeout(total=90)
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=kubectl.tls or True), timeout=timeout) as session,
        session.get(kubectl.url + space.path(kind), params={"watch": "true", **params}, headers=headers) as response,
    ):
        assert response.status == 200

        async def events() -> AsyncIterator[Any]:
            async for line in response.content:
                yield msgspec.json.decode(line)

        yield events()


# ------------------------------------------------------------------------------------------------ reading


async def test_pages_are_of_one_revision_and_name_the_next(space: Space):
    await make(space, "a", "b", "c")
    first = await space.kubectl.done("GET", space.path("endpointslices"), limit="2")
    await space.kubectl.done("DELETE", space.path("endpointslices", "c"))
    more = {"limit": "2", "continue": first["metadata"]["continue"]}
    second = await space.kubectl.done("GET", space.path("endpointslices"), **more)
    names = [one["metadata"]["name"] for one in (*first["items"], *second["items"])]
    assert names == ["a", "b", "c"]
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    assert "continue" not in second["metadata"]


async def test_a_damaged_continue_token_is_refused(space: Space):
    status, answer = await space.kubectl.ask("GET", space.path("services"), limit="2", **{"continue": "%%"})
    assert (status, answer["reason"]) == (400, "BadRequest")
    assert "continue key is not valid" in answer["message"]


async def test_an_item_in_a_list_names_neither_its_kind_nor_its_version(space: Space):
    await make(space, "a")
    listed = await space.kubectl.done("GET", space.path("endpointslices"))
    assert listed["kind"] == "EndpointSliceList"
    assert "kind" not in listed["items"][0]


async def test_label_selectors_choose(space: Space):
    await make(space, "a", team="shop")
    await make(space, "b", team="web")
    for selector, names in {
        "team=shop": ["a"],
        "team!=shop": ["b"],
        "team in (shop,web)": ["a", "b"],
        "team notin (shop)": ["b"],
        "team": ["a", "b"],
        "!team": [],
        "team=shop,team!=web": ["a"],
    }.items():
        listed = await space.kubectl.done("GET", space.path("endpointslices"), labelSelector=selector)
        assert [one["metadata"]["name"] for one in listed["items"]] == names, selector
    status, _ = await space.kubectl.ask("GET", space.path("endpointslices"), labelSelector="team in shop")
    assert status == 400


async def test_a_watch_tells_what_comes_after_a_list_in_order(space: Space):
    await make(space, "a")
    listed = await space.kubectl.done("GET", space.path("endpointslices"))
    version = listed["metadata"]["resourceVersion"]
    await make(space, "b")
    await space.kubectl.done("MERGE", space.path("endpointslices", "a"), {"metadata": {"labels": {"x": "y"}}})
    await space.kubectl.done("DELETE", space.path("endpointslices", "b"))
    async with asyncio.timeout(20), watching(space, "endpointslices", resourceVersion=version) as events:
        told = [await anext(events) for _ in range(3)]
    assert [(one["type"], one["object"]["metadata"]["name"]) for one in told] == [
        ("ADDED", "b"),
        ("MODIFIED", "a"),
        ("DELETED", "b"),
    ]
    versions = [int(one["object"]["metadata"]["resourceVersion"]) for one in told]
    assert versions == sorted(versions)
    assert versions[0] > int(version)


async def test_a_watch_with_a_selector_tells_of_what_leaves_it_as_deleted(space: Space):
    await make(space, "a", team="shop")
    version = (await space.kubectl.done("GET", space.path("endpointslices")))["metadata"]["resourceVersion"]
    path = space.path("endpointslices", "a")
    await space.kubectl.done("MERGE", path, {"metadata": {"labels": {"team": "web"}}})
    await space.kubectl.done("MERGE", path, {"metadata": {"labels": {"team": "shop"}}})
    chosen = {"resourceVersion": version, "labelSelector": "team=shop"}
    async with asyncio.timeout(20), watching(space, "endpointslices", **chosen) as events:
        assert [(await anext(events))["type"] for _ in range(2)] == ["DELETED", "ADDED"]


async def test_a_watch_from_the_future_is_accepted_and_silent_until_its_time_is_over(space: Space):
    ends = {"resourceVersion": "99999999", "timeoutSeconds": "1"}
    async with asyncio.timeout(20), watching(space, "endpointslices", **ends) as events:
        await make(space, "a")
        assert [event async for event in events] == []


async def test_a_list_from_the_future_is_told_that_it_is_too_large(space: Space):
    status, answer = await space.kubectl.ask("GET", space.path("services"), resourceVersion="99999999")
    assert (status, answer["reason"]) == (504, "Timeout")
    assert "Too large resource version: 99999999, current: " in answer["message"]


async def test_a_namespace_that_is_not_there_is_an_empty_list_and_takes_nothing(space: Space):
    other = Space(space.kubectl, "nowhere")
    assert (await space.kubectl.done("GET", other.path("services")))["items"] == []
    status, answer = await space.kubectl.ask("POST", other.path("endpointslices"), a_slice("a", "10.1.0.1"))
    assert (status, answer["message"]) == (404, 'namespaces "nowhere" not found')


# ------------------------------------------------------------------------------------------------ writing


async def test_what_changes_nothing_makes_no_revision(space: Space):
    for kind, body in (
        ("endpointslices", {"addressType": "IPv4", "endpoints": [{"addresses": ["10.1.0.1"]}], "ports": []}),
        ("services", {"spec": {"ports": [{"port": 80}]}}),
    ):
        status, first = await space.apply(kind, "a", dict(body))
        assert status == 201, first
        status, second = await space.apply(kind, "a", dict(body))
        assert status == 200
        assert first["metadata"]["resourceVersion"] == second["metadata"]["resourceVersion"]


async def test_an_apply_demands_the_state_that_it_names(space: Space):
    _, made = await space.apply("services", "a", {"spec": {"ports": [{"port": 80}]}})
    version = made["metadata"]["resourceVersion"]
    body: dict[str, Any] = {"spec": {"ports": [{"port": 81}]}, "metadata": {"resourceVersion": version}}
    status, changed = await space.apply("services", "a", {**body}, force="true")
    assert (status, [port["port"] for port in changed["spec"]["ports"]]) == (200, [81])
    body = {"spec": {"ports": [{"port": 82}]}, "metadata": {"resourceVersion": version}}
    status, answer = await space.apply("services", "a", body, force="true")
    assert (status, answer["reason"]) == (409, "Conflict")


async def test_an_apply_makes_what_has_gone_whatever_state_it_names(space: Space):
    _, made = await space.apply("services", "a", {"spec": {"ports": [{"port": 80}]}})
    await space.kubectl.done("DELETE", space.path("services", "a"))
    metadata = {"resourceVersion": made["metadata"]["resourceVersion"]}
    status, again = await space.apply("services", "a", {"spec": {"ports": [{"port": 80}]}, "metadata": metadata})
    assert status == 201
    assert again["metadata"]["uid"] != made["metadata"]["uid"]


async def test_an_apply_takes_part_in_somebody_elses_object_and_can_be_taken_back(space: Space):
    foreign = {"metadata": {"name": "a"}, "spec": {"ports": [{"name": "web", "port": 80}]}}
    await space.kubectl.done("POST", space.path("services"), foreign)
    mine = {"metadata": {"labels": {"mine": "yes"}}, "spec": {"ports": [{"name": "metrics", "port": 9}]}}
    status, joined = await space.apply("services", "a", mine)
    assert status == 200
    assert [port["name"] for port in joined["spec"]["ports"]] == ["web", "metrics"]
    nothing = {"metadata": {"resourceVersion": joined["metadata"]["resourceVersion"]}}
    status, left = await space.apply("services", "a", nothing, force="true")
    assert status == 200, left
    assert [port["name"] for port in left["spec"]["ports"]] == ["web"]
    assert "labels" not in left["metadata"]


async def test_a_field_of_another_manager_is_a_conflict_unless_forced(space: Space):
    body = {"addressType": "IPv4", "endpoints": [{"addresses": ["10.1.0.1"]}], "ports": [{"port": 80}]}
    await space.apply("endpointslices", "a", dict(body), "one")
    other = {**body, "endpoints": [{"addresses": ["10.1.0.2"]}]}
    status, answer = await space.apply("endpointslices", "a", dict(other), "two")
    assert (status, answer["reason"]) == (409, "Conflict")
    assert answer["message"] == 'Apply failed with 2 conflicts: conflicts with "one":\n- .endpoints\n- .ports'
    status, _ = await space.apply("endpointslices", "a", dict(other), "two", force="true")
    assert status == 200


async def test_a_slice_of_ours_cannot_be_left_without_what_it_needs(space: Space):
    body = {"addressType": "IPv4", "endpoints": [{"addresses": ["10.1.0.1"]}], "ports": []}
    await space.apply("endpointslices", "a", body)
    status, answer = await space.apply("endpointslices", "a", {}, force="true")
    assert (status, answer["reason"]) == (422, "Invalid")


async def test_owners_are_replaced_by_an_apply(space: Space):
    def owner(uid: str) -> dict[str, Any]:
        return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "name": "l", "uid": uid}

    body = {"addressType": "IPv4", "endpoints": [], "ports": []}
    for uid in ("11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222"):
        metadata = {"ownerReferences": [owner(uid)]}
        status, found = await space.apply("endpointslices", "a", {**body, "metadata": metadata}, force="true")
        assert status in (200, 201), found
        assert [one["uid"] for one in found["metadata"]["ownerReferences"]] == [uid]
    _, found = await space.apply("endpointslices", "a", dict(body), force="true")
    assert "ownerReferences" not in found["metadata"]


async def test_a_removal_demands_the_state_that_it_names(space: Space):
    await make(space, "a")
    found = await space.kubectl.done("GET", space.path("endpointslices", "a"))
    conditions = {"uid": found["metadata"]["uid"], "resourceVersion": "1"}
    status, answer = await space.kubectl.ask(
        "DELETE",
        space.path("endpointslices", "a"),
        {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": conditions},
    )
    assert (status, answer["reason"]) == (409, "Conflict")
    conditions["resourceVersion"] = found["metadata"]["resourceVersion"]
    whole = {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": conditions}
    status, _ = await space.kubectl.ask("DELETE", space.path("endpointslices", "a"), whole)
    assert status == 200
    status, _ = await space.kubectl.ask("DELETE", space.path("endpointslices", "a"), whole)
    assert status == 404


@pytest.mark.parametrize(
    ("address", "family", "why"),
    [
        ("127.0.0.1", "IPv4", "loopback range"),
        ("::1", "IPv6", "loopback range"),
        ("0.0.0.0", "IPv4", "unspecified"),
        ("169.254.1.1", "IPv4", "link-local range"),
        ("224.0.0.9", "IPv4", "link-local multicast range"),
        ("orders", "IPv4", "must be a valid IP address"),
        ("10.1.0.1", "IPv6", "must be an IPv6 address"),
    ],
)
async def test_addresses_that_are_nobodys_are_refused_in_slices(space: Space, address: str, family: str, why: str):
    body = a_slice("a", address, family=family)
    status, answer = await space.kubectl.ask("POST", space.path("endpointslices"), body)
    assert status == 422, answer
    assert why in answer["message"]
    assert answer["details"]["causes"][0]["field"].startswith("endpoints[0].addresses")


@pytest.mark.parametrize("name", ["Orders", "9orders", "-orders", "orders.example", "o" * 64])
async def test_names_of_services_are_labels(space: Space, name: str):
    body = {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}]}}
    status, answer = await space.kubectl.ask("POST", space.path("services"), body)
    if name == "9orders" and status == 201:
        return  # newer versions take any label
    assert (status, answer["reason"]) == (422, "Invalid")


async def test_a_service_needs_ports_with_names_of_their_own(space: Space):
    for ports in ([], [{"port": 80}, {"port": 81}], [{"name": "a", "port": 80}, {"name": "a", "port": 81}]):
        body = {"metadata": {"name": "orders"}, "spec": {"ports": ports}}
        status, answer = await space.kubectl.ask("POST", space.path("services"), body)
        assert (status, answer["reason"]) == (422, "Invalid"), ports


async def test_a_slice_holds_a_thousand_endpoints_and_256_kib_of_annotations(space: Space):
    many = a_slice("a", *(f"10.1.{n // 250}.{n % 250}" for n in range(1001)))
    status, _ = await space.kubectl.ask("POST", space.path("endpointslices"), many)
    assert status == 422
    big = a_slice("a", "10.1.0.1")
    big["metadata"]["annotations"] = {"note": "x" * 270_000}
    status, answer = await space.kubectl.ask("POST", space.path("endpointslices"), big)
    assert status == 422
    assert "Too long" in answer["message"]


async def test_a_lease_is_created_once_and_replaced_by_who_has_seen_it(space: Space):
    body: dict[str, Any] = {"metadata": {"name": "l"}, "spec": {"holderIdentity": "one", "leaseDurationSeconds": 3}}
    made = await space.kubectl.done("POST", space.path("leases"), body)
    status, answer = await space.kubectl.ask("POST", space.path("leases"), body)
    assert (status, answer["reason"]) == (409, "AlreadyExists")
    body["metadata"]["resourceVersion"] = made["metadata"]["resourceVersion"]
    body["spec"]["renewTime"] = "2026-01-01T00:00:00.000000Z"
    await space.kubectl.done("PUT", space.path("leases", "l"), body)
    status, answer = await space.kubectl.ask("PUT", space.path("leases", "l"), body)
    assert (status, answer["reason"]) == (409, "Conflict")
    wrong = {"metadata": {"name": "m"}, "spec": {"leaseDurationSeconds": 0}}
    status, _ = await space.kubectl.ask("POST", space.path("leases"), wrong)
    assert status == 422


# ------------------------------------------------------------------------------------------------ who may


async def test_an_unknown_token_is_401_and_a_missing_right_403(space: Space):
    stranger = Kubectl(space.kubectl.url, "wrong", space.kubectl.tls)
    status, answer = await stranger.ask("GET", space.path("services"))
    assert (status, answer["reason"]) == (401, "Unauthorized")
    nobody = Kubectl(space.kubectl.url, "nobody", space.kubectl.tls)
    status, answer = await nobody.ask("GET", space.path("services"))
    assert (status, answer["reason"]) == (403, "Forbidden")
    assert (
        f'User "nobody" cannot list resource "services" in API group "" in the namespace "{space.name}"'
        in (answer["message"])
    )


async def test_an_apply_needs_the_right_to_patch_and_to_create_what_is_not_there(space: Space, tmp_path: Path):
    rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{space.name}"
    rules = [{"apiGroups": [""], "resources": ["services"], "verbs": ["patch"]}]
    await space.kubectl.done("POST", f"{rbac}/roles", {"metadata": {"name": "patching"}, "rules": rules})
    subjects = [{"kind": "User", "name": "nobody", "apiGroup": "rbac.authorization.k8s.io"}]
    ref = {"kind": "Role", "name": "patching", "apiGroup": "rbac.authorization.k8s.io"}
    binding = {"metadata": {"name": "patching"}, "subjects": subjects, "roleRef": ref}
    await space.kubectl.done("POST", f"{rbac}/rolebindings", binding)
    nobody = Space(Kubectl(space.kubectl.url, "nobody", space.kubectl.tls), space.name)
    body = {"spec": {"ports": [{"port": 80}]}}
    async with asyncio.timeout(20):
        while True:  # a real server takes a moment to hear of a new role
            status, answer = await nobody.apply("services", "a", dict(body))
            if 'cannot patch resource "services"' not in answer["message"]:
                break
            await asyncio.sleep(0.1)
    assert (status, 'cannot create resource "services"' in answer["message"]) == (403, True), answer
    await space.apply("services", "a", dict(body), "other")
    status, _ = await nobody.apply("services", "a", {"metadata": {"labels": {"x": "y"}}})
    assert status == 200
