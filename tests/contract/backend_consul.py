"""Consul as a backend: written through its agent's API, read back from its catalog."""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Self, cast

import aiohttp

from devservers.consul import Consul as Server
from pilot_plus.model import Health
from pilot_plus.ports import Source
from registries.consul import Settings, connect
from tests.contract.backend import Sample

_CRITICAL = {"Name": "told by the test", "TTL": "1h", "Status": "critical"}


class ConsulBackend:
    """An agent of its own. One instance is one service registration, with a check if it is critical."""

    holds_metadata = True
    holds_health = True
    weight_step = 100
    namespace = ""

    def __init__(self) -> None:
        self.server = Server()
        self.settings = Settings(url=self.server.url)

    def __enter__(self) -> Self:
        self.server.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.server.close()

    def connect(self) -> AbstractAsyncContextManager[Source]:
        return connect(self.settings)

    async def write(self, *samples: Sample) -> None:
        for sample in samples:
            body = {
                "ID": _id(sample),
                "Name": sample.service,
                "Address": sample.address,
                "Port": sample.port,
                "Meta": dict(sample.metadata),
                "Weights": {"Passing": sample.weight // 100, "Warning": 1},
                "Checks": [_CRITICAL] if sample.health is Health.CRITICAL else [],
            }
            await self._call("PUT", "/v1/agent/service/register?replace-existing-checks=true", body)

    async def remove(self, *samples: Sample) -> None:
        for sample in samples:
            await self._call("PUT", f"/v1/agent/service/deregister/{_id(sample)}")

    async def truth(self) -> set[Sample]:
        services = cast("dict[str, list[str]]", await self._call("GET", "/v1/catalog/services"))
        found = set()
        for name in services.keys() - {"consul", "garbage"}:
            entries = cast("list[dict[str, dict[str, object]]]", await self._call("GET", f"/v1/health/service/{name}"))
            found |= {_sample(entry) for entry in entries}
        return found

    async def write_garbage(self) -> str | None:
        await self._call("PUT", "/v1/agent/service/register", {"ID": "no-port", "Name": "garbage", "Port": 70_000})
        return "no-port"

    async def remove_garbage(self) -> None:
        await self._call("PUT", "/v1/agent/service/deregister/no-port")

    def kill(self) -> None:
        self.server.kill()

    async def start_again(self) -> None:
        self.server.start()

    async def restart_empty(self) -> None:
        self.server.wipe()

    def pause(self) -> None:
        self.server.pause()

    def resume(self) -> None:
        self.server.resume()

    async def _call(self, method: str, path: str, body: object = None) -> object:
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, self.server.url + path, json=body) as reply,
        ):
            assert reply.status == 200, await reply.text()
            text = await reply.text()
            return await reply.json() if text else None


def _id(sample: Sample) -> str:
    return f"{sample.service}-{sample.address}"


def _sample(entry: Mapping[str, Mapping[str, object]]) -> Sample:
    service, checks = entry["Service"], cast("list[dict[str, str]]", entry["Checks"])
    meta = cast("dict[str, str]", service["Meta"] or {})
    critical = any(check["Status"] == "critical" for check in checks)
    weight = cast("dict[str, int]", service["Weights"])["Passing"] * 100
    return Sample(
        str(service["Service"]),
        str(service["Address"]),
        cast("int", service["Port"]),
        weight,
        tuple(sorted(meta.items())),
        Health.CRITICAL if critical else Health.PASSING,
    )
