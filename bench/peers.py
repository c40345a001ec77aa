"""Hubs of two clusters: how soon the other one sees a change, and how many bytes it takes.

    python -m bench peers [--instances 100000] [--rounds 200] [--only visibility,bytes,mesh]

West reads a real etcd; east reads west through a proxy that delays every byte by 25 ms each way, and counts them.
"""

import argparse
import asyncio
import signal
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx

from bench.harness import filled
from bench.harness.figures import conditions, milliseconds, quantile
from bench.harness.watchers import events_of
from devservers import Etcd, FaultProxy, free_port
from tests.feature.hub import Hub, hub

ONE_WAY = 0.025
EVERYTHING = [{"services": ["*/*"]}]


@asynccontextmanager
async def pair(folder: Path, server: Etcd, detail: str = "instances") -> AsyncIterator[tuple[Hub, Hub, FaultProxy]]:
    """West, east, and the link from east to west."""
    port = free_port()
    exporting = {"name": "east", "address": "127.0.0.1:1", "insecure": True, "export": EVERYTHING, "detail": detail}
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(FaultProxy(f"127.0.0.1:{port}"))
        west = hub(
            folder / f"west-{detail}",
            cluster="west",
            listen={"peer": f"127.0.0.1:{port}"},
            zones=[{"name": "vm"}],
            registries=[filled.etcd_registry(server)],
            peers=[exporting],
        )
        importing = {"name": "west", "address": proxy.address, "insecure": True, "import": EVERYTHING}
        yield (
            await stack.enter_async_context(west),
            await stack.enter_async_context(
                hub(folder / f"east-{detail}", cluster="east", registries=[], peers=[importing])
            ),
            proxy,
        )


async def until_instances(running: Hub, registry: str, count: int) -> None:
    async with asyncio.timeout(120):
        while True:
            with suppress(httpx.TransportError):  # the hub does not listen yet
                if (await running.registry(registry))["instances"] >= count:
                    return
            await asyncio.sleep(0.05)


async def visibility(rounds: int) -> None:
    with Etcd() as server, tempfile.TemporaryDirectory() as folder:
        async with filled.etcd_writer(server) as writer, pair(Path(folder), server) as (west, east, proxy):
            await writer.fill(0, 10_000, 10)
            await until_instances(west, "etcd", 10_000)
            await until_instances(east, "west", 10_000)
            proxy.delay(ONE_WAY)
            async with (
                events_of(west.url, "vm", filled.CHANGING) as here,
                events_of(east.url, "vm", filled.CHANGING) as there,
            ):
                local: list[float] = []
                remote: list[float] = []
                for n in range(rounds):
                    begun, seen, seen_there = time.perf_counter(), here.of(f"m{n}"), there.of(f"m{n}")
                    await writer.write(f"m{n}")
                    async with asyncio.timeout(30):
                        local.append(await seen - begun)
                        remote.append(await seen_there - begun)
                    await asyncio.sleep(0.005)
    bound = ONE_WAY + 2 * quantile(local, 0.99)
    print(f"  west's own watcher {milliseconds(local)}")
    print(f"  east's watcher     {milliseconds(remote)}   bound for p99: {bound * 1e3:.1f} ms")


async def volume(instances: int) -> None:
    with Etcd() as server, tempfile.TemporaryDirectory() as folder:
        async with filled.etcd_writer(server) as writer:
            await writer.fill(0, instances, 50)
            sizes = {}
            for detail in ("summary", "instances"):
                async with pair(Path(folder), server, detail) as (west, east, proxy):
                    await until_instances(west, "etcd", instances)
                    count = instances if detail == "instances" else instances // 50
                    await until_instances(east, "west", count)
                    sizes[detail] = proxy.bytes_to_client
                    if detail == "instances":
                        await cut(writer, east, proxy, instances, sizes[detail])
            print(f"  full list {sizes['instances'] / 1e6:.2f} MB, summary {sizes['summary'] / 1e6:.3f} MB:")
            print(f"  a summary is {sizes['instances'] / sizes['summary']:.0f} times smaller")


async def cut(writer: filled.EtcdWriter, east: Hub, proxy: FaultProxy, instances: int, full: int) -> None:
    """1 % changes while the link is cut for a minute; then east starts anew, with nothing."""
    proxy.cut()
    changed = range(0, instances, 100)
    await writer.put_all((n, f"m{n}") for n in changed)
    await asyncio.sleep(60)
    proxy.heal()
    before, last = proxy.bytes_to_client, changed[-1]
    name = f"svc-{last // 50}"

    async def has_last() -> bool:
        found = (await east.get(f"/services/vm/{name}"))["instances"]
        return any(one["metadata"].get("mark") == f"m{last}" for one in found)

    await east.until(has_last, bool)
    behind = proxy.bytes_to_client - before
    print(f"  after 60 s and 1 % of changes: {behind} bytes, of {full} ({behind / full:.1%})")
    east.end(signal.SIGKILL)
    begun = time.perf_counter()
    east.forget()
    east.start()
    await until_instances(east, "west", instances)
    print(f"  cold start of {instances}: {time.perf_counter() - begun:.1f} s, the process's own start included")


async def mesh(rate: int, seconds: float) -> None:
    """Four hubs, each the peer of all others: what leaves the one where things change, on each link."""
    names = ["a", "b", "c", "d"]
    ports = {name: free_port() for name in names}
    with Etcd() as server, tempfile.TemporaryDirectory() as folder:
        async with AsyncExitStack() as stack:
            writer = await stack.enter_async_context(filled.etcd_writer(server))
            await writer.fill(0, 1000, 10)
            proxies = {
                name: await stack.enter_async_context(FaultProxy(f"127.0.0.1:{ports['a']}")) for name in names[1:]
            }
            hubs = {}
            for name in names:
                others = [other for other in names if other != name]
                peers: list[dict[str, Any]] = [
                    {
                        "name": other,
                        "address": proxies[name].address if other == "a" else f"127.0.0.1:{ports[other]}",
                        "insecure": True,
                        "export": EVERYTHING,
                        "import": EVERYTHING,
                    }
                    for other in others
                ]
                registries = [filled.etcd_registry(server)] if name == "a" else []
                made = hub(
                    Path(folder, name), cluster=name, listen={"peer": f"127.0.0.1:{ports[name]}"},
                    zones=[{"name": "vm"}], registries=registries, peers=peers,
                )  # fmt: skip
                hubs[name] = await stack.enter_async_context(made)
            for name in names[1:]:
                await until_instances(hubs[name], "a", 1000)
            before = {name: await records_sent(hubs["a"], name) for name in names[1:]}
            bytes_before = {name: proxy.bytes_to_client for name, proxy in proxies.items()}
            begun, sent = time.monotonic(), 0
            while (passed := time.monotonic() - begun) < seconds:
                due = int(passed * rate) - sent
                if due > 0:
                    await writer.put_all((n % 1000, f"m{n}") for n in range(sent, sent + due))
                    sent += due
                await asyncio.sleep(0.01)
            await asyncio.sleep(2)
            for name in names[1:]:
                said = await records_sent(hubs["a"], name) - before[name]
                size = proxies[name].bytes_to_client - bytes_before[name]
                print(
                    f"  a to {name}: {said} records for {sent} changes in {passed:.0f} s, {size / sent:.0f} bytes each"
                )


async def records_sent(running: Hub, name: str) -> int:
    return int(next(one for one in (await running.get("/peers"))["peers"] if one["name"] == name)["reader"]["records"])


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--instances", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--only", default="visibility,bytes,mesh")
    arguments = parser.parse_args()
    print(f"peers: {conditions()}")
    for part in arguments.only.split(","):
        print(f"{part}:")
        if part == "visibility":
            await visibility(arguments.rounds)
        elif part == "bytes":
            await volume(arguments.instances)
        else:
            await mesh(1000, 20)


if __name__ == "__main__":
    asyncio.run(main())
