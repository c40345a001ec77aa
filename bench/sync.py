"""Sync between two real registries: how late a change is, what it costs, and what a storm makes it write.

    python -m bench sync [--only change,cost,storm] [--services 1000] [--of-each 10] [--rounds 400] [--pairs A-B,…]

change   From a write in one registry until the other's own watch shows it, through a hub; against the sum of the bare
         parts: the source's own watch, and one bare write to the target by the same client. In turn (A B B A).
cost     CPU of the hub for one change, with 1,000 and with 100,000 instances in the rule.
storm    2,000 instances restart within 10 s: what is written to the target, against what has really changed.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from bench import kubernetes as kube
from bench.harness import filled
from bench.harness.figures import conditions, cpu_of, milliseconds, quantile
from bench.harness.watchers import Sightings, child_watch, consul_query, etcd_events, etcd_watch
from devservers import Consul, Etcd, ZooKeeper
from tests.feature.hub import Hub, hub

LEGS = 8
OF_EACH = 10
ZONES = [{"name": "vm", "reaches": ["far"]}, {"name": "far"}]
Watch = Callable[[], AbstractAsyncContextManager[Sightings]]


class Side(NamedTuple):
    """A registry: how a hub sees it, who writes there, and its own watch."""

    registry: dict[str, Any]
    writer: filled.Writer
    watch: Watch
    fill: Callable[[int, int], Any]


@asynccontextmanager
async def etcd(services: int) -> AsyncIterator[Side]:
    del services
    with Etcd() as server:
        async with side_of(server) as side:
            yield side


@asynccontextmanager
async def side_of(server: Etcd) -> AsyncIterator[Side]:
    async with filled.etcd_writer(server) as writer:

        async def fill(services: int, of_each: int) -> None:
            await writer.fill(0, services * of_each, of_each)

        yield Side(filled.etcd_registry(server), writer, lambda: etcd_watch(server), fill)


@asynccontextmanager
async def zookeeper(services: int) -> AsyncIterator[Side]:
    del services
    with ZooKeeper() as server:
        async with filled.zookeeper_writer(server) as writer:
            providers = writer.providers(filled.CHANGING)
            yield Side(filled.zookeeper_registry(server), writer, lambda: child_watch(server, providers), writer.fill)


@asynccontextmanager
async def consul(services: int) -> AsyncIterator[Side]:
    with Consul(durable=False) as server:
        async with filled.consul_writer(server) as writer:
            registry = filled.consul_registry(server, services + 100)
            registry["settings"]["write"] = "catalog"  # an agent takes a hundred copies a second, whoever writes
            yield Side(registry, writer, lambda: consul_query(server), writer.fill)


@asynccontextmanager
async def kubernetes(services: int) -> AsyncIterator[Side]:
    del services
    with kube.started() as (server, file):
        async with kube.session_of(server) as session:
            writer = kube.Writer(session, OF_EACH)
            await writer.make("vm")

            async def fill(services: int, of_each: int) -> None:
                assert of_each == OF_EACH
                await writer.fill(services)

            yield Side(kube.registry_of(server, file), writer, lambda: kube.bare_watch(server), fill)


KINDS = {"etcd": etcd, "zookeeper": zookeeper, "consul": consul, "kubernetes": kubernetes}


@asynccontextmanager
async def in_step(source: Side, target: Side, copies: int, lifetime: str = "leased") -> AsyncIterator[Hub]:
    """A hub whose rule has brought so many instances of the source into the target."""
    registries = [
        {**source.registry, "name": "source", "zone": "far"},
        {**target.registry, "name": "target", "zone": "vm"},
    ]
    lifetime = "durable" if target.registry["kind"] == "consul" else lifetime
    rules = [{"name": "r", "from": {"registries": ["source"]}, "to": "target", "lifetime": lifetime, "lease": "30s"}]
    with tempfile.TemporaryDirectory() as folder:
        async with hub(Path(folder), zones=ZONES, registries=registries, sync=rules) as running:
            await until_copied(running, copies)
            await asyncio.sleep(3)  # what follows: the journal's first write
            yield running


async def until_copied(running: Hub, copies: int) -> None:
    while True:
        try:
            rules = (await running.get("/sync"))["sync"]
            if rules and rules[0]["copies"] >= copies and rules[0]["state"] == "in_step":
                return
        except OSError:
            pass
        except Exception as error:
            if type(error).__name__ != "ConnectError":
                raise
        await asyncio.sleep(0.1)


# ------------------------------------------------------------------------------------------------ change


async def seen_after(writer: filled.Writer, sightings: Sightings, mark: str) -> float:
    begun = time.perf_counter()
    seen = sightings.of(mark)
    await writer.write(mark)
    async with asyncio.timeout(30):
        return await seen - begun


async def written_in(writer: filled.Writer, mark: str) -> float:
    begun = time.perf_counter()
    await writer.write(mark)
    return time.perf_counter() - begun


async def change(pair: str, services: int, of_each: int, rounds: int) -> None:
    kinds = pair.split("-")
    gap = 0.06 if "consul" in kinds else 0.01
    async with AsyncExitStack() as opened:
        source, target, bare = [await opened.enter_async_context(KINDS[kind](services)) for kind in (*kinds, kinds[1])]
        await source.fill(services, of_each)
        await bare.fill(services, of_each)
        await opened.enter_async_context(in_step(source, target, services * of_each))
        heard: list[float] = []
        wrote: list[float] = []
        through: list[float] = []
        for leg in range(LEGS):
            is_ours = leg % 4 in (1, 2)
            async with (target if is_ours else source).watch() as sightings:
                for n in range(-10, rounds // LEGS * 2):
                    mark = f"m{leg}{n + 10_010}"
                    value = await seen_after(source.writer, sightings, mark)
                    await asyncio.sleep(gap)
                    if n >= 0 and is_ours:
                        through.append(value)
                    elif n >= 0:
                        heard.append(value)
                        wrote.append(await written_in(bare.writer, mark))
                        await asyncio.sleep(gap)
    parts = median(heard) + median(wrote)
    print(f"  {pair:>19} source's own watch {milliseconds(heard)}   one bare write {milliseconds(wrote)}")
    print(f"  {'':>19} through sync       {milliseconds(through)}   p50 by the sum of the parts: ", end="")
    print(f"{median(through) / parts:.2f}   p99 by theirs: ", end="")
    print(f"{quantile(through, 0.99) / (quantile(heard, 0.99) + quantile(wrote, 0.99)):.2f}")


# ------------------------------------------------------------------------------------------------ cost


async def cost(sizes: tuple[int, int] = (1_000, 100_000), changes: int = 800) -> None:
    """Both hubs are there at once, and take turns: what else the machine does concerns both."""
    spent: list[list[float]] = [[], []]
    async with AsyncExitStack() as opened:
        hubs: list[tuple[Side, Side, Hub]] = []
        for size in sizes:
            source, target = [await opened.enter_async_context(etcd(0)) for _ in range(2)]
            await source.fill(size // 10, 10)
            running = await opened.enter_async_context(in_step(source, target, size, lifetime="durable"))
            hubs.append((source, target, running))
        for _, _, running in hubs:
            await until_idle(running)
        for leg in range(LEGS):
            which = int(leg % 4 in (1, 2))
            source, target, running = hubs[which]
            async with target.watch() as sightings:
                for n in range(-20, changes // LEGS * 2):
                    if n == 0:
                        before = cpu_of(running.pid)
                    await seen_after(source.writer, sightings, f"m{leg}{n + 10_020}")
                spent[which].append((cpu_of(running.pid) - before) / (changes // LEGS * 2))
    for size, values in zip(sizes, spent, strict=True):
        print(f"  {size:>8} instances: {median(values) * 1e6:.0f} µs of CPU a change")
    print(f"  largest by smallest: {median(spent[1]) / median(spent[0]):.2f}")


async def until_idle(running: Hub) -> None:
    """Wait until what follows a first sync is done: a hub spends 5 ms of a second then."""
    while True:
        before = cpu_of(running.pid)
        await asyncio.sleep(3)
        if cpu_of(running.pid) - before < 0.06:
            return


# ------------------------------------------------------------------------------------------------ storm


async def storm(instances: int = 2000, within: float = 10.0, down: float = 1.0) -> None:
    with Etcd() as one, Etcd() as other:
        async with side_of(one) as source, side_of(other) as target, filled.etcd_writer(one) as writer:
            await source.fill(instances // 10, 10)
            async with in_step(source, target, instances) as running:
                seen: list[object] = []
                begun = time.perf_counter()
                async with etcd_events(other, f"{filled.PREFIX}/", seen.append), asyncio.TaskGroup() as tasks:
                    for n in range(instances):
                        tasks.create_task(restart(writer, n, begun + n * within / instances, down))
                    await asyncio.sleep(within + down + 3)
                    await until_copied(running, instances)
    print(
        f"  {instances} instances away for {down:.0f} s each: {2 * instances} changes, {len(seen)} writes in the target"
    )


async def restart(writer: filled.EtcdWriter, n: int, at: float, down: float) -> None:
    key = f"{filled.PREFIX}/svc-{n // 10}/{filled.address_of(n)}:9000"
    await asyncio.sleep(max(0.0, at - time.perf_counter()))
    await writer.delete(key)
    await asyncio.sleep(down)
    await writer.put([(key, filled.naming(n, f"restarted{n}"))])


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default="change,cost,storm")
    parser.add_argument("--pairs", default="etcd-etcd,zookeeper-zookeeper,etcd-consul,consul-etcd")
    parser.add_argument("--services", type=int, default=1000)
    parser.add_argument("--of-each", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=400)
    arguments = parser.parse_args()
    print(f"sync: {arguments.services} services of {arguments.of_each}; {conditions()}")
    for figure in arguments.only.split(","):
        if figure == "change":
            for pair in arguments.pairs.split(","):
                await change(pair, arguments.services, arguments.of_each, arguments.rounds)
        elif figure == "cost":
            await cost()
        else:
            await storm()


if __name__ == "__main__":
    asyncio.run(main())
