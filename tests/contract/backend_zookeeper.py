"""ZooKeeper as a backend: Dubbo providers, written and read back with plain kazoo."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import parse_qs, quote, unquote, urlsplit

from kazoo.client import KazooClient
from kazoo.exceptions import NodeExistsError, NoNodeError

from devservers.zookeeper import ZooKeeper as Server
from pilot_plus.model import Health
from pilot_plus.ports import Source
from registries.zookeeper import Settings, connect
from tests.contract.backend import Sample

T = TypeVar("T")


class ZooKeeperBackend:
    """A server of its own. One instance is one provider of Dubbo's, whose name is the record."""

    holds_metadata = True
    holds_health = True
    weight_step = 1
    namespace = ""

    def __init__(self) -> None:
        self.server = Server()
        self.settings = Settings(hosts=self.server.address, layouts=("dubbo",))

    def __enter__(self) -> Self:
        self.server.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.server.close()

    def connect(self) -> AbstractAsyncContextManager[Source]:
        return connect(self.settings)

    async def write(self, *samples: Sample) -> None:
        await self._with(lambda client: _write(client, samples))

    async def remove(self, *samples: Sample) -> None:
        await self._with(lambda client: _remove(client, samples))

    async def truth(self) -> set[Sample]:
        return await self._with(lambda client: set(_providers(client)))

    async def write_garbage(self) -> str | None:
        await self._with(lambda client: client.create("/dubbo/garbage/providers/no-url", makepath=True))
        return "no-url"

    async def remove_garbage(self) -> None:
        await self._with(lambda client: client.delete("/dubbo/garbage/providers/no-url"))

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

    async def _with(self, do: Callable[[Any], T]) -> T:
        return await asyncio.to_thread(lambda: do_with(self.server, do))


def do_with(server: Server, do: Callable[[Any], T]) -> T:
    with plain_client(server) as client:
        return do(client)


@contextmanager
def plain_client(server: Server, **options: object) -> Iterator[Any]:
    """Kazoo as anybody would use it."""
    client = KazooClient(hosts=server.address, timeout=4.0, **options)
    client.start()
    try:
        yield client
    finally:
        client.stop()
        client.close()


def children_of(client: Any, path: str) -> dict[str, bytes]:
    """The children of a node and what they hold, but for those that go while they are read; of no node, none."""
    found: dict[str, bytes] = {}
    with suppress(NoNodeError):
        for name in client.get_children(path):
            with suppress(NoNodeError):
                found[name], _ = client.get(f"{path}/{name}")
    return found


def provider(sample: Sample) -> str:
    """The node's name."""
    metadata = "".join(f"&{name}={value}" for name, value in sample.metadata)
    sick = "&disabled=true" if sample.health is Health.CRITICAL else ""
    url = f"dubbo://{sample.address}:{sample.port}/{sample.service}?interface={sample.service}&dynamic=false"
    return quote(f"{url}&side=provider&weight={sample.weight}{sick}{metadata}", safe="")


def _write(client: Any, samples: Sequence[Sample]) -> None:
    for sample in samples:
        folder = f"/dubbo/{sample.service}/providers"
        before = _names(client, sample)
        with suppress(NodeExistsError):
            client.create(f"{folder}/{provider(sample)}", makepath=True)
        for name in before - {provider(sample)}:
            client.delete(f"{folder}/{name}")


def _remove(client: Any, samples: Sequence[Sample]) -> None:
    for sample in samples:
        for name in _names(client, sample):
            client.delete(f"/dubbo/{sample.service}/providers/{name}")


def _names(client: Any, sample: Sample) -> set[str]:
    try:
        names = client.get_children(f"/dubbo/{sample.service}/providers")
    except NoNodeError:
        return set()
    return {name for name in names if f"//{sample.address}:" in unquote(name)}


def _providers(client: Any) -> Iterator[Sample]:
    with suppress(NoNodeError):
        for interface in client.get_children("/dubbo"):
            for name in client.get_children(f"/dubbo/{interface}/providers"):
                if name != "no-url":
                    yield _sample(interface, unquote(name))


def _sample(interface: str, text: str) -> Sample:
    url = urlsplit(text)
    query = {name: values[0] for name, values in parse_qs(url.query).items()}
    return Sample(
        interface,
        url.hostname or "",
        url.port or 0,
        int(query["weight"]),
        tuple((name, query[name]) for name in ("note", "team") if name in query),
        Health.CRITICAL if "disabled" in query else Health.PASSING,
    )
