"""Another hub as a backend: a process with a registry of its own, written over HTTP."""

import asyncio
import shutil
import signal
import tempfile
import time
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

import httpx

from devservers import free_port
from pilot_plus.model import Health
from pilot_plus.ports import Source
from pilot_plus.wire.selections import Selection
from registries.peer import Settings, connect
from tests.contract.backend import Sample
from tests.feature.hub import Hub

STARTS_WITHIN = 60.0


class PeerBackend:
    """The hub of cluster west, which exports everything to east."""

    holds_metadata = True
    holds_health = False
    weight_step = 1
    namespace = "shop"

    def __enter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="pilot-plus-peer-"))
        self._address = f"127.0.0.1:{free_port()}"
        self._hub = self._made()
        self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._hub.close()
        shutil.rmtree(self._folder)

    def connect(self) -> AbstractAsyncContextManager[Source]:
        everything = (Selection(services=("*/*",)),)
        return connect(Settings(cluster="east", name="west", address=self._address, selections=everything))

    async def write(self, *samples: Sample) -> None:
        async with httpx.AsyncClient(base_url=self._hub.url) as client:
            for sample in samples:
                body = {
                    "namespace": self.namespace,
                    "name": sample.service,
                    "id": sample.address,
                    "address": sample.address,
                    "ports": [{"name": "http", "number": sample.port, "protocol": "http"}],
                    "ttl": "24h",
                    "weight": sample.weight,
                    "metadata": dict(sample.metadata),
                }
                (await client.post("/api/v1/instances", json=body)).raise_for_status()

    async def remove(self, *samples: Sample) -> None:
        async with httpx.AsyncClient(base_url=self._hub.url) as client:
            for sample in samples:
                path = f"/api/v1/instances/{self.namespace}/{sample.service}/{quote(sample.address)}"
                (await client.delete(path)).raise_for_status()

    async def truth(self) -> set[Sample]:
        async with httpx.AsyncClient(base_url=self._hub.url) as client:
            services = (await client.get("/api/v1/services")).json()["services"]
            found = set()
            for service in services:
                answer = (await client.get(f"/api/v1/services/{service['namespace']}/{service['name']}")).json()
                found |= {_sample(service["name"], one) for one in answer["instances"]}
        return found

    async def write_garbage(self) -> str | None:
        return None

    async def remove_garbage(self) -> None:
        pass

    def kill(self) -> None:
        self._hub.end(signal.SIGKILL)

    async def start_again(self) -> None:
        await asyncio.to_thread(self._start)

    async def restart_empty(self) -> None:
        self._hub.close()
        shutil.rmtree(self._folder)
        self._hub = self._made()
        await asyncio.to_thread(self._start)

    def pause(self) -> None:
        self._hub.pause()

    def resume(self) -> None:
        self._hub.resume()

    def _made(self) -> Hub:
        reader = {"name": "east", "address": "127.0.0.1:1", "insecure": True, "export": [{"services": ["*/*"]}]}
        return Hub(
            self._folder,
            cluster="west",
            listen={"peer": self._address},
            zones=[{"name": "vm"}],
            registries=[{"name": "own", "kind": "database", "zone": "vm"}],
            peers=[reader],
        )

    def _start(self) -> None:
        self._hub.start()
        for _ in range(int(STARTS_WITHIN / 0.05)):
            try:
                httpx.get(f"{self._hub.url}/healthz").raise_for_status()
            except httpx.TransportError:
                time.sleep(0.05)
                continue
            return
        raise AssertionError(f"the hub did not start: {self._hub.said[-2000:]}")


def _sample(name: str, shape: dict[str, object]) -> Sample:
    port, metadata = shape["ports"], shape["metadata"]
    assert isinstance(port, list)
    assert isinstance(metadata, dict)
    return Sample(
        name,
        str(shape["address"]),
        port[0]["number"],
        int(str(shape["weight"])),
        tuple(sorted(metadata.items())),
        Health(str(shape["health"])),
    )
