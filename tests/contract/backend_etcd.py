"""etcd as a backend: client-naming records, written and read back through the server's own JSON gateway."""

import asyncio
import base64
import json
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Self, cast

from devservers.etcd import Etcd as Server
from pilot_plus.ports import Source
from registries.etcd import Settings, connect
from tests.contract.backend import Sample

PREFIX = "services"
_GARBAGE = f"{PREFIX}/garbage/10.9.9.9:1"


class EtcdBackend:
    """A member of its own, in the layout `naming`."""

    holds_metadata = True
    holds_health = False
    weight_step = 1
    namespace = ""

    def __init__(self) -> None:
        self.server = Server()
        self.settings = settings(self.server)

    def __enter__(self) -> Self:
        self.server.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.server.close()

    def connect(self) -> AbstractAsyncContextManager[Source]:
        return connect(self.settings)

    async def write(self, *samples: Sample) -> None:
        for sample in samples:
            await asyncio.to_thread(self.server.put, key_of(sample), value_of(sample))

    async def remove(self, *samples: Sample) -> None:
        for sample in samples:
            await asyncio.to_thread(self.server.delete, key_of(sample))

    async def truth(self) -> set[Sample]:
        return await asyncio.to_thread(truth, self.server)

    async def write_garbage(self) -> str | None:
        await asyncio.to_thread(self.server.put, _GARBAGE, "no JSON")
        return _GARBAGE

    async def remove_garbage(self) -> None:
        await asyncio.to_thread(self.server.delete, _GARBAGE)

    def kill(self) -> None:
        self.server.kill()

    async def start_again(self) -> None:
        await asyncio.to_thread(self.server.start)

    async def restart_empty(self) -> None:
        await asyncio.to_thread(self.server.wipe)

    def pause(self) -> None:
        self.server.pause()

    def resume(self) -> None:
        self.server.resume()


def settings(server: Server) -> Settings:
    return Settings(endpoints=(server.url,), layouts=({"naming": {"prefix": PREFIX}},), silence=3)


def key_of(sample: Sample) -> str:
    return f"{PREFIX}/{sample.service}/{sample.address}:{sample.port}"


def value_of(sample: Sample) -> str:
    metadata: dict[str, object] = dict(sample.metadata)
    if sample.weight != 100:
        metadata["weight"] = sample.weight
    return json.dumps({"Op": 0, "Addr": f"{sample.address}:{sample.port}", "Metadata": metadata or None})


def truth(server: Server) -> set[Sample]:
    """Every record that is one, read with one range."""
    start, end = base64.b64encode(f"{PREFIX}/".encode()), base64.b64encode(f"{PREFIX}0".encode())
    answer = server.call("/v3/kv/range", {"key": start.decode(), "range_end": end.decode()})
    found = set()
    for pair in cast("list[dict[str, str]]", answer.get("kvs", [])):
        key, value = (base64.b64decode(pair[field]).decode() for field in ("key", "value"))
        if key != _GARBAGE:
            found.add(_sample(key, json.loads(value)))
    return found


def _sample(key: str, value: dict[str, object]) -> Sample:
    address, _, port = str(value["Addr"]).rpartition(":")
    metadata = dict(cast("dict[str, str]", value["Metadata"] or {}))
    weight = int(metadata.pop("weight", 100))
    return Sample(key.split("/")[1], address, int(port), weight, tuple(sorted(metadata.items())))
