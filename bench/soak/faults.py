"""What goes wrong: each fault begins, lasts a while, and ends; the truth is what the server then holds."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

import msgspec

from bench.soak.stand import Stand
from tests.contract.backend import Backend
from tests.kube import Kubectl


class Fault(msgspec.Struct, frozen=True):
    """One way to break a stand. `down`: its server can't be written meanwhile."""

    name: str
    begin: Callable[[Stand, random.Random], Awaitable[None]]
    end: Callable[[Stand], Awaitable[None]]
    lasts: tuple[float, float]
    """Seconds, from and to."""
    down: bool = False
    kinds: tuple[str, ...] = ()
    """Empty: all that have a proxy."""


def _backend(stand: Stand) -> Backend:
    return cast("Backend", stand.server)


async def _kill(stand: Stand, _: random.Random) -> None:
    await asyncio.to_thread(_backend(stand).kill)


async def _start(stand: Stand) -> None:
    await _backend(stand).start_again()


async def _empty(stand: Stand) -> None:
    await _backend(stand).restart_empty()


async def _pause(stand: Stand, _: random.Random) -> None:
    await asyncio.to_thread(_backend(stand).pause)


async def _resume(stand: Stand) -> None:
    await asyncio.to_thread(_backend(stand).resume)


def _proxied(do: Callable[[Any, random.Random], None]) -> Callable[[Stand, random.Random], Awaitable[None]]:
    async def begin(stand: Stand, chance: random.Random) -> None:
        do(stand.proxy, chance)

    return begin


async def _heal(stand: Stand) -> None:
    if stand.proxy:
        stand.proxy.heal()


async def _nothing(_: Stand) -> None:
    pass


async def _compact(stand: Stand, _: random.Random) -> None:
    """Forget history while the hub can't hear: it must begin anew."""
    assert stand.proxy is not None
    stand.proxy.cut()
    server: Any = stand.server
    if stand.kind == "etcd":
        await asyncio.to_thread(server.server.compact)
    else:
        await _kubectl(stand).done("PUT", "/_fake/compact", {})


def _api(**faults: Any) -> Callable[[Stand, random.Random], Awaitable[None]]:
    async def begin(stand: Stand, _: random.Random) -> None:
        await _kubectl(stand).faults(**faults)

    return begin


async def _api_is_well(stand: Stand) -> None:
    await _kubectl(stand).faults()


def _kubectl(stand: Stand) -> Kubectl:
    server: Any = stand.server
    found: Kubectl = server.kubectl
    return found


_SERVERS: Final = ("zookeeper", "consul", "etcd", "postgresql", "sqlite", "kubernetes")

FAULTS: Final = (
    Fault("killed", _kill, _start, (0.2, 8), down=True, kinds=_SERVERS),
    Fault("restarted empty", _kill, _empty, (0.1, 2), down=True, kinds=_SERVERS),
    Fault("stopped", _pause, _resume, (0.5, 10), down=True, kinds=_SERVERS),
    Fault("cut", _proxied(lambda proxy, _: proxy.cut()), _heal, (0.1, 8)),
    Fault("reset", _proxied(lambda proxy, _: proxy.reset()), _heal, (0.1, 1)),
    Fault("stalled", _proxied(lambda proxy, _: proxy.stall()), _heal, (0.5, 12)),  # a session of ZooKeeper's expires
    Fault("slow", _proxied(lambda proxy, chance: proxy.delay(chance.uniform(0.05, 0.5))), _heal, (2, 10)),
    Fault("narrow", _proxied(lambda proxy, chance: proxy.limit(chance.uniform(2e3, 2e4))), _heal, (2, 10)),
    Fault("cut in a word", _proxied(lambda proxy, chance: proxy.cut_after(chance.randrange(1, 4000))), _heal, (1, 6)),
    Fault("compacted", _compact, _heal, (0.2, 4), kinds=("etcd", "kubernetes")),
    Fault("410 as a status", _api(gone="status"), _api_is_well, (1, 6), kinds=("kubernetes",)),
    Fault("410 in a stream", _api(gone="event"), _api_is_well, (1, 6), kinds=("kubernetes",)),
    Fault("silent", _api(hang=True), _api_is_well, (2, 10), down=True, kinds=("kubernetes",)),
)


def faults_of(stand: Stand) -> list[Fault]:
    """What may happen to a stand."""
    return [fault for fault in FAULTS if stand.kind in fault.kinds or (not fault.kinds and stand.proxy is not None)]
