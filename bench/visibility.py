"""From a write in a registry until a watcher has it: through the hub, and through the registry's own watch.

    python -m bench visibility [--rounds 300] [--services 1000] [--of-each 10] [--only etcd,zookeeper,consul]

Both watchers are of this process and follow one service; they take turns (A B B A), one write at a time.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Any

from bench.harness import filled
from bench.harness.figures import conditions, milliseconds, quantile
from bench.harness.watchers import Sightings, child_watch, consul_query, etcd_watch, events_of
from devservers import Consul, Etcd, ZooKeeper
from tests.feature.hub import Hub, hub

Watch = Callable[[], AbstractAsyncContextManager[Sightings]]
LEGS = 8
CONSUL_GAP = 0.06
"""Seconds between writes: the source asks for one service at most 20 times a second after a burst of 20."""


async def timed(writer: filled.Writer, sightings: Sightings, rounds: int, first: int, gap: float) -> list[float]:
    """Seconds from each write's beginning to the watcher's sight of it."""
    values = []
    for n in range(first, first + rounds):
        begun = time.perf_counter()
        seen = sightings.of(f"m{n}")
        await writer.write(f"m{n}")
        async with asyncio.timeout(30):
            values.append(await seen - begun)
        await asyncio.sleep(gap)
    return values


async def compared(name: str, writer: filled.Writer, own: Watch, ours: Watch, rounds: int, gap: float = 0.004) -> None:
    bare: list[float] = []
    through: list[float] = []
    tails: tuple[list[float], list[float]] = [], []
    first = 1
    for leg in range(LEGS):
        is_ours = leg % 4 in (1, 2)
        async with (ours if is_ours else own)() as sightings:
            await timed(writer, sightings, 10, first, gap)
            values = await timed(writer, sightings, rounds // LEGS * 2, first + 10, gap)
        (through if is_ours else bare).extend(values)
        tails[is_ours].append(quantile(values, 0.99))
        first += 10 + rounds
    ratios = [quantile(through, part) / quantile(bare, part) for part in (0.5, 0.99)]
    legs = median(tails[1]) / median(tails[0])  # a moment in which the machine was elsewhere spoils one leg only
    print(f"{name:>10} itself   {milliseconds(bare)}   ({len(bare)} writes)")
    said = f"ratio p50 {ratios[0]:.2f} p99 {ratios[1]:.2f}, median of the legs' p99 {legs:.2f}"
    print(f"{'':>10} by a hub {milliseconds(through)}   {said}")


@asynccontextmanager
async def watching(registry: dict[str, Any], instances: int) -> AsyncIterator[Hub]:
    """A hub that has seen so many instances of a registry."""
    with tempfile.TemporaryDirectory() as folder:
        async with hub(Path(folder), zones=[{"name": "vm"}], registries=[registry]) as running:
            name = registry["name"]
            await running.until(lambda: running.registry(name), lambda one: one["instances"] >= instances)
            yield running


async def etcd(services: int, of_each: int, rounds: int) -> None:
    with Etcd() as server:
        async with filled.etcd_writer(server) as writer:
            await writer.fill(0, services * of_each, of_each)
            async with watching(filled.etcd_registry(server), services * of_each) as running:
                ours = lambda: events_of(running.url, "vm", filled.CHANGING)  # noqa: E731
                await compared("etcd", writer, lambda: etcd_watch(server), ours, rounds)


async def zookeeper(services: int, of_each: int, rounds: int) -> None:
    with ZooKeeper() as server:
        async with filled.zookeeper_writer(server) as writer:
            await writer.fill(services, of_each)
            async with watching(filled.zookeeper_registry(server), services * of_each) as running:
                name = f"{filled.CHANGING}:1.0.0"
                ours = lambda: events_of(running.url, "vm", name)  # noqa: E731
                own = lambda: child_watch(server, writer.providers(filled.CHANGING))  # noqa: E731
                await compared("ZooKeeper", writer, own, ours, rounds)


async def consul(services: int, of_each: int, rounds: int) -> None:
    with Consul(durable=False) as server:
        async with filled.consul_writer(server) as writer:
            await writer.fill(services, of_each)
            registry = filled.consul_registry(server, services + 100)
            async with watching(registry, services * of_each) as running:
                ours = lambda: events_of(running.url, "vm", filled.CHANGING)  # noqa: E731
                await compared("Consul", writer, lambda: consul_query(server), ours, rounds, CONSUL_GAP)


KINDS = {"etcd": etcd, "zookeeper": zookeeper, "consul": consul}


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=400)
    parser.add_argument("--services", type=int, default=1000)
    parser.add_argument("--of-each", type=int, default=10)
    parser.add_argument("--only", default=",".join(KINDS))
    arguments = parser.parse_args()
    print(f"visibility: {arguments.services} services of {arguments.of_each}; {conditions()}")
    for kind in arguments.only.split(","):
        await KINDS[kind](arguments.services, arguments.of_each, arguments.rounds)


if __name__ == "__main__":
    asyncio.run(main())
