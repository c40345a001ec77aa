"""A stand: one registry's server with a proxy before it, what changes in it, and how the hub is told of it."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final, Protocol, cast
from urllib.parse import urlsplit

from devservers import FaultProxy
from pilot_plus.model import Health
from tests.contract.backend import Backend, Sample
from tests.contract.backends import backend
from tests.contract.mirror import held_by
from tests.kube import kubeconfig

SERVICES: Final = 6
ADDRESSES: Final = 14
"""Services of a stand, and addresses that an instance of it may have: few, so that they come and go again and again."""
KINDS: Final = ("zookeeper", "consul", "etcd", "postgresql", "sqlite", "kubernetes")


class Server(Protocol):
    """A registry's server, written and read natively; as the contract tests have it."""

    holds_metadata: bool
    holds_health: bool
    weight_step: int

    async def write(self, *samples: Sample) -> None:
        """Create or overwrite."""
        ...

    async def remove(self, *samples: Sample) -> None:
        """Remove."""
        ...

    async def truth(self) -> set[Sample]:
        """What it must hold now."""
        ...


class Stand:
    """One registry. `is_up`: its server can be written now."""

    def __init__(self, kind: str, number: int, server: Server, proxy: FaultProxy | None, folder: Path) -> None:
        self.kind = kind
        self.name = kind
        self.server = server
        self.proxy = proxy
        self.is_up = True
        self.faulty = ""
        self._number = number
        self._folder = folder
        self._there: set[tuple[str, str]] = set()

    def section(self) -> dict[str, Any]:
        """Its part of the hub's configuration: holds are short, so that a registry that came back empty is believed."""
        guard = {"max_removal": 0.5, "window": "5s", "hold_for": "3s", "min": 5}
        base = {"name": self.name, "zone": self.kind, "settings": self._settings(), "guard": guard}
        if self.kind in ("own", "postgresql", "sqlite"):
            return {**base, "kind": "database"}
        return {**base, "kind": self.kind} | ({} if self.kind == "kubernetes" else {"namespace": self.kind})

    def _settings(self) -> dict[str, Any]:
        server: Any = self.server
        at = self.proxy.address if self.proxy else ""
        match self.kind:
            case "zookeeper":
                return {"hosts": at, "layouts": ["dubbo"]}
            case "consul":
                return {"url": f"http://{at}"}
            case "etcd":
                return {"endpoints": [f"http://{at}"], "layouts": [{"naming": {"prefix": "services"}}], "silence": 3}
            case "postgresql":
                return {"url": server.url.replace(server.server.address, at)}
            case "sqlite" | "own":
                return {} if self.kind == "own" else {"url": server.url}
            case _:
                file = self._folder / "kubeconfig"
                file.write_text(kubeconfig(f"http://{at}"))
                return {"kubeconfig": str(file), "namespaces": ["shop"]}

    async def fill(self, chance: random.Random) -> None:
        """Begin with half of what could be there."""
        places = [(service, address) for service in range(SERVICES) for address in range(ADDRESSES)]
        await self._write([self._sample(chance, *place) for place in chance.sample(places, len(places) // 2)])

    async def change(self, chance: random.Random) -> int:
        """Write and remove a few records, as somebody who knows nothing of the hub; return how many."""
        number = chance.choice((1, 1, 1, 2, 5))
        if self._there and chance.random() < 0.4:
            gone = chance.sample(sorted(self._there), min(number, len(self._there)))
            await self.server.remove(*(Sample(service, address) for service, address in gone))
            self._there.difference_update(gone)
            return len(gone)
        return await self._write(
            [self._sample(chance, chance.randrange(SERVICES), chance.randrange(ADDRESSES)) for _ in range(number)]
        )

    async def truth(self) -> set[Sample]:
        """What the server itself says that it holds, as far as its layout can hold it."""
        found = {self.held(one) for one in await self.server.truth()}
        self._there = {(one.service, one.address) for one in found}
        return found

    def held(self, sample: Sample) -> Sample:
        """What of a sample the registry can hold."""
        return held_by(cast("Backend", self.server), sample)

    def _sample(self, chance: random.Random, service: int, address: int) -> Sample:
        health = chance.choice((Health.PASSING, Health.PASSING, Health.PASSING, Health.CRITICAL))
        metadata = (("note", chance.choice("abc")), ("team", chance.choice(("shop", "cart"))))
        return Sample(
            f"{self.kind}-{service}",
            f"10.{self._number}.{service}.{address + 1}",
            weight=100 * chance.randint(1, 5),
            metadata=metadata,
            health=health if self.server.holds_health else Health.PASSING,
        )

    async def _write(self, samples: list[Sample]) -> int:
        unlike = list({(one.service, one.address): one for one in samples}.values())
        await self.server.write(*unlike)
        self._there |= {(one.service, one.address) for one in unlike}
        return len(unlike)


@asynccontextmanager
async def stands(kinds: tuple[str, ...], folder: Path) -> AsyncIterator[list[Stand]]:
    """Servers of these kinds, each with a proxy before it (but for SQLite's file)."""
    async with AsyncExitStack() as running:
        made = []
        for number, kind in enumerate(kinds):
            owner = backend(kind)
            server = await asyncio.to_thread(owner.__enter__)
            running.push_async_callback(asyncio.to_thread, owner.__exit__, None, None, None)
            proxy = None if kind == "sqlite" else await running.enter_async_context(FaultProxy(_address(kind, server)))
            made.append(Stand(kind, number, server, proxy, folder))
        yield made


def _address(kind: str, server: Any) -> str:
    return urlsplit(server.server.url).netloc if kind == "kubernetes" else str(server.server.address)
