"""A namespace `shop` in an API server: what most tests of the adapter begin with. Mostly the fake, in this process."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pilot_plus.model import Instance, Reset
from registries.kubernetes import Settings as Adapted
from registries.kubernetes import connect
from registries.kubernetes.settings import Allowance
from tests.kube.api import Api, Settings
from tests.kube.real import RealKube
from tests.kube.running import Kubectl, kubeconfig, serving
from tests.kube.store import Store

SHOP = "/namespaces/shop"
SERVICES = f"/api/v1{SHOP}/services"
SLICES = f"/apis/discovery.k8s.io/v1{SHOP}/endpointslices"
LEASES = f"/apis/coordination.k8s.io/v1{SHOP}/leases"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
PATIENCE = 60.0
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
USERS = ("admin", "writer", "reader")
"""Token and user are one; only `admin` may do anything as long as nobody grants it."""


class World(msgspec.Struct):
    """The server, and ways to write and ask it as `kubectl` does."""

    kubectl: Kubectl
    folder: Path
    fake: Api | None

    @property
    def api(self) -> Api:
        """The fake's inside; a test that needs it is no test for a real server."""
        if self.fake is None:
            pytest.skip("only the fake can be made to do this")
        return self.fake

    def settings(self, cluster: str = "east", user: str = "admin", **more: Any) -> Adapted:
        """The adapter's settings for this server."""
        file = self.folder / f"{user}.kubeconfig"
        unverified: dict[str, Any] = {"insecure-skip-tls-verify": True} if self.kubectl.tls else {}
        file.write_text(kubeconfig(self.kubectl.url, token=user, **unverified))
        allow: tuple[Allowance, ...] = ("insecure",) if unverified else ()
        return Adapted(kubeconfig=str(file), cluster=cluster, locks="shop", allow=allow, **more)

    async def objects(self, path: str, **selection: str) -> list[dict[str, Any]]:
        """All of a kind."""
        items: list[dict[str, Any]] = (await self.kubectl.done("GET", path, **selection))["items"]
        return items

    async def revisions(self, path: str) -> dict[str, str]:
        """Names and resourceVersions."""
        return {one["metadata"]["name"]: one["metadata"]["resourceVersion"] for one in await self.objects(path)}

    def watches(self) -> int:
        """How many watches have been asked for."""
        return sum("watch=true" in request for request in self.api.requests)

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait until something is so, with a bound."""
        async with asyncio.timeout(PATIENCE):
            while not is_so():  # noqa: ASYNC110 - what requests come tells nobody
                await asyncio.sleep(0.01)

    def fill(self, name: str, address: str) -> None:
        """A service with a slice of one address, without the way over HTTP: for thousands of them."""
        self.api.write("services", "shop", {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}]}})
        self.api.write("endpointslices", "shop", slice_of(f"{name}-1", name, address))

    async def serve(self, name: str, *addresses: str, labels: dict[str, str] | None = None, **spec: Any) -> None:
        """A service with a slice of these addresses, as its controller would write it."""
        ports = [{"name": "http", "port": 80}]
        service = {"metadata": {"name": name, "labels": labels or {}}, "spec": {"ports": ports, **spec}}
        await self.kubectl.done("POST", SERVICES, service)
        if addresses:
            await self.slice(f"{name}-1", name, *addresses)

    async def slice(self, name: str, service: str, *addresses: str, **more: Any) -> None:
        """Create or replace a slice."""
        status, answer = await self.kubectl.ask("PUT", f"{SLICES}/{name}", slice_of(name, service, *addresses, **more))
        if status == 404:
            status, answer = await self.kubectl.ask("POST", SLICES, slice_of(name, service, *addresses, **more))
        assert status < 300, answer

    async def grant(self, user: str, rules: list[dict[str, Any]], namespace: str = "") -> None:
        """Let a user do what rules allow, in a namespace or in all."""
        kind, place = (
            ("Role", f"{RBAC}/namespaces/{namespace}/role") if namespace else ("ClusterRole", f"{RBAC}/clusterrole")
        )
        await self.kubectl.done("POST", f"{place}s", {"metadata": {"name": user}, "rules": rules})
        subjects = [{"kind": "User", "name": user}]
        binding = {"metadata": {"name": user}, "subjects": subjects, "roleRef": {"kind": kind, "name": user}}
        await self.kubectl.done("POST", f"{place}bindings", binding)


def slice_of(name: str, service: str, *addresses: str, **more: Any) -> dict[str, Any]:
    """A slice as its controller writes it."""
    labels = {"kubernetes.io/service-name": service, **more.pop("labels", {})}
    return {
        "metadata": {"name": name, "labels": labels},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}} for address in addresses],
        "ports": [{"name": "http", "port": 8080}],
        **more,
    }


@asynccontextmanager
async def world_of(folder: Path) -> AsyncIterator[World]:
    """The world, as long as the block runs."""
    tokens = {user: user for user in USERS}
    async with serving(Store(), Settings(bookmark_every=0.1, tokens=tokens)) as (api, url):
        kubectl = Kubectl(url)
        await kubectl.done("POST", "/api/v1/namespaces", {"metadata": {"name": "shop"}})
        yield World(kubectl, folder, api)


@asynccontextmanager
async def real_world_of(folder: Path, server: RealKube) -> AsyncIterator[World]:
    """The same in a real server, which is left as it was: without controllers, no namespace can be removed."""
    kubectl = Kubectl(server.url, tls=server.tls)
    status, answer = await kubectl.ask("POST", "/api/v1/namespaces", {"metadata": {"name": "shop"}})
    assert status in (201, 409), answer
    yield World(kubectl, folder, None)
    left = [SERVICES, SLICES, LEASES, f"{RBAC}/clusterroles", f"{RBAC}/clusterrolebindings", CRDS]
    for path in left:
        status, listed = await kubectl.ask("GET", path)
        for one in listed["items"]:
            if not one["metadata"]["name"].startswith(("system:", "admin", "edit", "view", "cluster-admin")):
                await kubectl.ask("DELETE", f"{path}/{one['metadata']['name']}")


async def truth(settings: Adapted) -> Sequence[Instance]:
    """What a new connection says that there is."""
    async with connect(settings) as source, aclosing(source.watch()) as updates:  # type: ignore[type-var]
        reset = await anext(updates)
        assert isinstance(reset, Reset)
        return reset.instances
