"""Kubernetes as a backend: the fake API server, or a real one from `KUBEBUILDER_ASSETS`, written as kubectl does."""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Self

from pilot_plus.model import Health
from pilot_plus.ports import Source
from registries.kubernetes import Settings, connect
from tests.contract.backend import Sample
from tests.kube import Kubectl, Process, kubeconfig
from tests.kube.real import RealKube, assets

NAMESPACE = "shop"
SLICES = f"/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices"
SERVICES = f"/api/v1/namespaces/{NAMESPACE}/services"
SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"


class KubernetesBackend:
    """An API server of its own. An instance is a slice of a service without a selector, labelled with its metadata."""

    holds_metadata = True
    holds_health = True
    weight_step = 0
    namespace = NAMESPACE

    def __init__(self) -> None:
        self._folder = TemporaryDirectory()
        folder = Path(self._folder.name)
        real = assets()
        self.server = RealKube(folder, real) if real else Process(folder, "--bookmarks", "1")
        self._config = folder / "kubeconfig"
        self.settings = Settings(
            kubeconfig=str(self._config),
            namespaces=(NAMESPACE,),
            cluster="east",
            locks="default",
            allow=("insecure",) if real else (),
        )

    def __enter__(self) -> Self:
        self.server.start()
        insecure: dict[str, Any] = {"insecure-skip-tls-verify": True} if isinstance(self.server, RealKube) else {}
        self._config.write_text(kubeconfig(self.server.url, **insecure))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.server.kill()
        self._folder.cleanup()

    @property
    def kubectl(self) -> Kubectl:
        return Kubectl(self.server.url, tls=self.server.tls if isinstance(self.server, RealKube) else None)

    def connect(self) -> AbstractAsyncContextManager[Source]:
        return connect(self.settings)

    async def write(self, *samples: Sample) -> None:
        await self._make("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        for service, port in {sample.service: sample.port for sample in samples}.items():
            spec = {"clusterIP": "None", "ports": [{"port": port}]}
            await self._make(SERVICES, {"metadata": {"name": service}, "spec": spec})
        for sample in samples:
            status, _ = await self.kubectl.ask("PUT", f"{SLICES}/{_name(sample)}", _slice(sample))
            if status == 404:
                await self.kubectl.done("POST", SLICES, _slice(sample))

    async def remove(self, *samples: Sample) -> None:
        for sample in samples:
            await self.kubectl.done("DELETE", f"{SLICES}/{_name(sample)}")

    async def truth(self) -> set[Sample]:
        listed = await self.kubectl.done("GET", SLICES)
        return {_sample(found) for found in listed["items"] if MANAGED_BY not in found["metadata"]["labels"]}

    async def write_garbage(self) -> str | None:
        labels = {SERVICE_NAME: "orders", MANAGED_BY: "pilot-plus"}
        metadata = {"name": "garbage", "labels": labels, "annotations": {"pilot-plus/copies": "{no JSON"}}
        endpoints = [{"addresses": ["10.1.0.99"]}]
        await self._make(SLICES, {"metadata": metadata, "addressType": "IPv4", "endpoints": endpoints, "ports": []})
        return "shop/garbage"

    async def remove_garbage(self) -> None:
        await self.kubectl.done("DELETE", f"{SLICES}/garbage")

    def kill(self) -> None:
        self.server.kill()

    async def start_again(self) -> None:
        self.server.start()

    async def restart_empty(self) -> None:
        self.server.kill()
        self.server.forget()
        self.server.start()

    def pause(self) -> None:
        self.server.pause()

    def resume(self) -> None:
        self.server.resume()

    async def _make(self, path: str, body: Mapping[str, Any]) -> None:
        """Create what may be there already."""
        status, answer = await self.kubectl.ask("POST", path, body)
        assert status in (201, 409), answer


def _name(sample: Sample) -> str:
    return f"{sample.service}-{sample.address.replace('.', '-')}"


def _slice(sample: Sample) -> dict[str, Any]:
    labels = {SERVICE_NAME: sample.service, **dict(sample.metadata)}
    ready = sample.health is Health.PASSING
    return {
        "metadata": {"name": _name(sample), "labels": labels},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [sample.address], "conditions": {"ready": ready}}],
        "ports": [{"port": sample.port}],
    }


def _sample(found: Mapping[str, Any]) -> Sample:
    labels = dict(found["metadata"]["labels"])
    service = labels.pop(SERVICE_NAME)
    [endpoint], [port] = found["endpoints"], found["ports"]
    ready = endpoint["conditions"]["ready"]
    return Sample(
        service,
        endpoint["addresses"][0],
        port["port"],
        metadata=tuple(sorted(labels.items())),
        health=Health.PASSING if ready else Health.CRITICAL,
    )
