"""Ten thousand instances with heartbeats every 5 s: what they cost the hub, the database, and a registration meanwhile.

    python -m bench.heartbeats [--instances 10000] [--every 5] [--seconds 15] [--url sqlite:///… | postgresql://…]

Without `--url` it measures a fresh SQLite file, and a fresh PostgreSQL that syncs to the disk. CPU is in parts of one
core: of this process (its threads included), and of the server's processes. `idle` is the same with no heartbeat.
"""

import argparse
import asyncio
import os
import platform
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from devservers import Postgres
from pilot_plus.model import Instance, Port, Put, instance
from pilot_plus.ports import Done
from registries.database import Settings, connect
from registries.database.registry import Database


def make(n: int, *, weight: int = 100) -> Instance:
    return instance(
        key="", namespace="shop", name=f"orders-{n // 10}", id=f"orders-{n}", address="10.3.0.4", weight=weight,
        ports=(Port("http", 8080, "http"), Port("grpc", 9090, "grpc")), lease=15.0,
        metadata={"team": "shop", "version": "1.4.2", "az": "a", "build": "1234"},
    )  # fmt: skip


async def beats(own: Database, keys: Sequence[str], every: float) -> None:
    """Heartbeats one by one, as callers send them, spread evenly."""
    refused, begun, n = 0, time.monotonic(), 0
    while True:
        due = int((time.monotonic() - begun) / every * len(keys))
        for _ in range(n, due):
            refused += [type(r) for r in await own.renew([keys[n % len(keys)]])] != [Done]
            n += 1
        if refused:
            raise RuntimeError(f"{refused} heartbeats were refused")
        await asyncio.sleep(0.005)


async def registrations(own: Database, lags: list[float], puts: list[float]) -> None:
    """Change one instance every 50 ms, and note when the change was answered and when a watcher had it."""
    begun: dict[int, float] = {}
    seen = asyncio.Event()

    async def watch() -> None:
        async for update in own.watch():
            if isinstance(update, Put) and isinstance(update.record, Instance) and update.record.weight in begun:
                lags.append(time.perf_counter() - begun[update.record.weight])
                seen.set()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(watch())
        await asyncio.sleep(0.5)
        for weight in range(1000, 1_000_000):
            seen.clear()
            begun[weight] = time.perf_counter()
            await own.put([make(0, weight=weight)])
            puts.append(time.perf_counter() - begun[weight])
            await seen.wait()
            await asyncio.sleep(0.05)


def cpu(server: psutil.Process | None) -> tuple[float, float]:
    own = time.process_time()
    if server is None:
        return own, 0.0
    times = [process.cpu_times() for process in (server, *server.children(recursive=True))]
    return own, sum(one.user + one.system for one in times)


def milliseconds(values: list[float]) -> str:
    ordered = sorted(values)
    return f"p50 {ordered[len(ordered) // 2] * 1e3:.1f}, p99 {ordered[int(len(ordered) * 0.99)] * 1e3:.1f} ms"


async def measure(name: str, url: str, arguments: argparse.Namespace, server: psutil.Process | None) -> None:
    async with connect(Settings(url=url)) as own:
        begun = time.perf_counter()
        results = await own.put([make(n) for n in range(arguments.instances)])
        keys = [result.key for result in results if isinstance(result, Done)]
        print(f"{name}: registered {len(keys)} in {time.perf_counter() - begun:.2f} s")
        for beating in (False, True, True, False):
            lags: list[float] = []
            puts: list[float] = []
            async with asyncio.TaskGroup() as tasks:
                running = [tasks.create_task(beats(own, keys, arguments.every))] if beating else []
                if beating:
                    await asyncio.sleep(1)
                else:
                    await own.renew(keys)
                start, at = cpu(server), time.perf_counter()
                await asyncio.sleep(arguments.seconds if beating else 5)
                end, passed = cpu(server), time.perf_counter() - at
                running.append(tasks.create_task(registrations(own, lags, puts)))
                await asyncio.sleep(5)
                for task in running:
                    task.cancel()
            hub, base = ((end[n] - start[n]) / passed for n in (0, 1))
            print(
                f"  {'beating' if beating else 'idle   '}: hub {hub:6.1%}, server {base:6.1%}; "
                f"register: {milliseconds(puts)}; to a watcher: {milliseconds(lags)}"
            )


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--instances", type=int, default=10_000)
    parser.add_argument("--every", type=float, default=5.0)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--url")
    arguments = parser.parse_args()
    print(
        f"{arguments.instances} instances, a heartbeat each every {arguments.every:g} s; "
        f"Python {platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    )
    if arguments.url:
        await measure("given", arguments.url, arguments, None)
        return
    with tempfile.TemporaryDirectory() as folder:
        await measure("SQLite", f"sqlite:///{Path(folder, 'own.db')}", arguments, None)
    with Postgres(settings={"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}) as server:
        await measure("PostgreSQL", server.url, arguments, psutil.Process(server.pid))


if __name__ == "__main__":
    asyncio.run(main())
