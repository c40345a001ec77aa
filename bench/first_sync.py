"""First sync of many instances into an empty target, against a bare client that writes the same records, in turn.

`python -m bench first_sync [--kinds etcd zookeeper …] [--instances N] [--rounds N] [--lease 15] [--profile]`

Ours is the whole path: plan, index, sink, and meanwhile the target's own source that reports every copy; the clock
stops with the last answer of the registry. The bare client has many requests on their way, each with one record: 200 at
etcd, all at ZooKeeper, 8 at Consul and PostgreSQL, one at SQLite, which knows no more. Behind a kind with a number it
writes so many records in a transaction, which is what a client made for nothing but this write would do.
"""

import argparse
import asyncio
import cProfile
import pstats
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from statistics import median
from typing import Any

import msgspec
from immutables import Map

from bench.harness.figures import conditions
from bench.harness.targets import (
    Open,
    Target,
    consul_target,
    database_target,
    etcd_target,
    kubernetes_target,
    native,
    zookeeper_target,
)
from pilot_plus.catalog import Catalog, Holder, Source
from pilot_plus.catalog.admission import admission_of
from pilot_plus.catalog.fold import Rules
from pilot_plus.config import Config, parse
from pilot_plus.ingest import Ingest, Watched
from pilot_plus.journal import Journal
from pilot_plus.model import Instance
from pilot_plus.ports import Done
from pilot_plus.sync import Sync
from registries import memory

TARGETS: dict[str, tuple[Callable[[ExitStack], Target], str]] = {
    "zookeeper": (lambda started: zookeeper_target(started, "spring"), "http"),
    "dubbo": (lambda started: zookeeper_target(started, "dubbo"), "dubbo"),
    "etcd": (lambda started: etcd_target(started, 1), "http"),
    "etcd-100": (lambda started: etcd_target(started, 100), "http"),
    "consul": (lambda started: consul_target(started, "agent"), "http"),
    "catalog": (lambda started: consul_target(started, "catalog"), "http"),
    "catalog-64": (lambda started: consul_target(started, "catalog", 64), "http"),
    "kubernetes": (kubernetes_target, "http"),
    "sqlite": (lambda started: database_target(started, "sqlite"), "http"),
    "sqlite-500": (lambda started: database_target(started, "sqlite", 500), "http"),
    "postgresql": (lambda started: database_target(started, "postgresql"), "http"),
    "postgresql-500": (lambda started: database_target(started, "postgresql", 500), "http"),
}


# ------------------------------------------------------------------------------------------------ ours


def configured(lease: float) -> Config:
    rule = {"name": "all", "from": {"registries": ["from"]}, "to": "to", "lease": f"{lease or 15:g}s"}
    whole = {
        "cluster": "east",
        "zones": [{"name": "a", "reaches": ["b"]}, {"name": "b", "reaches": ["a"]}],
        "registries": [{"name": "from", "kind": "memory", "zone": "a"}, {"name": "to", "kind": "memory", "zone": "b"}],
        "sync": [rule | {"lifetime": "leased" if lease else "durable"}],
    }
    return parse(msgspec.json.encode(whole).decode(), {})


class Counting:
    """How many copies were answered with Done, what they were, and when the last one was."""

    def __init__(self, open_: Open, expected: int) -> None:
        self._open = open_
        self._expected = expected
        self._keys: set[str] = set()
        self.copies: dict[str, Instance] = {}
        self.last = 0.0
        self.all = asyncio.Event()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Any]:
        async with self._open() as opened:
            put = opened.put

            async def counted(copies: Sequence[Instance]) -> Any:
                results = await put(copies)
                self.last = time.perf_counter()
                for copy, result in zip(copies, results, strict=True):
                    if isinstance(result, Done):
                        self._keys.add(result.key)
                        self.copies[result.key] = copy
                if len(self._keys) >= self._expected:
                    self.all.set()
                return results

            opened.put = counted
            yield opened


async def ours(target: Target, count: int, protocol: str, lease: float, profile: cProfile.Profile | None) -> Any:
    """Seconds until all are written, seconds until all are in step, CPU seconds, and the copies."""
    config = configured(lease)
    store = memory.store(f"first-{time.perf_counter()}")
    store.write(*(native(n, protocol) for n in range(count)))
    counting = Counting(target.open, count)
    opens: dict[str, Open] = {"from": lambda: _memory(store), "to": target.open}
    zones = {registry.name: config.zone_of(registry) for registry in config.registries}
    sources = {name: Source(name=name, kind="memory", zone=zone) for name, zone in zones.items()}
    holder = Holder(Catalog(epoch="e", sources=Map(sources)))
    watched = {
        registry.name: Watched(registry.name, opens[registry.name], Rules(admission_of(config, registry), None))
        for registry in config.registries
    }
    with tempfile.TemporaryDirectory() as folder:
        async with Journal.open(f"sqlite:///{folder}/j.db") as journal, asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(Ingest(holder, watched).run())
            while any(source.is_stale for source in holder.current.sources.values()):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            sync = Sync(config, holder, opens | {"to": counting.open}, journal.documents, owner="hub-1")
            begun, cpu = time.perf_counter(), time.process_time()
            if profile:
                profile.enable()
            writing = tasks.create_task(sync.run())
            await counting.all.wait()
            written, cpu = counting.last - begun, time.process_time() - cpu
            while len(holder.current.sources["to"].instances) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            if profile:
                profile.disable()
            in_step = time.perf_counter() - begun
            for task in (reading, writing):
                task.cancel()
    return written, in_step, cpu, list(counting.copies.values())


@asynccontextmanager
async def _memory(store: memory.Store) -> AsyncIterator[memory.Memory]:
    yield memory.Memory(store)


async def measure(kind: str, arguments: argparse.Namespace) -> None:
    make, protocol = TARGETS[kind]
    count = arguments.instances
    figures: list[tuple[float, float, float]] = []
    bare: list[float] = []
    profile = cProfile.Profile() if arguments.profile else None
    for _ in range(arguments.rounds):
        with ExitStack() as started:
            written, in_step, cpu, copies = await ours(make(started), count, protocol, arguments.lease, profile)
        with ExitStack() as started:
            bare.append(await make(started).bare(copies))
        figures.append((written, in_step, cpu))
    written, in_step, cpu = (median(one[n] for one in figures) for n in range(3))
    bare_s = median(bare)
    print(
        f"{kind:>14}: bare {count / bare_s:7.0f}/s  ours {count / written:7.0f}/s  = {bare_s / written:4.0%}"
        f"   (in step after {in_step:.2f} s; hub {cpu / count * 1e6:.0f} µs CPU a copy)",
        flush=True,
    )
    if profile:
        pstats.Stats(profile).sort_stats(arguments.sort).print_stats(45)


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kinds", nargs="+", default=list(TARGETS), choices=list(TARGETS))
    parser.add_argument("--instances", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--lease", type=float, default=15.0)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--sort", default="tottime")
    arguments = parser.parse_args()
    print(f"first sync of {arguments.instances} instances, lease {arguments.lease:g} s; {conditions()}")
    for kind in arguments.kinds:
        await measure(kind, arguments)


if __name__ == "__main__":
    asyncio.run(main())
