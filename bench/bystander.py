"""What it costs to watch 1,000 Consul services while another one changes all the time: CPU of Consul and of the hub.

    python -m bench bystander [--services 1000] [--rate 50] [--seconds 15]

The changes go through the catalog's API, at an even rate. In turn: nobody watches, a hub with a long poll for each
service, a hub with the default number of connections; each quiet first, and then in the storm. What the storm costs
Consul while nobody watches is the writer's own load, and what the others are measured against.
"""

import argparse
import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic

import msgspec

from bench.harness import filled
from bench.harness.figures import conditions, cpu_of
from devservers import Consul
from tests.feature.hub import hub


class Load(msgspec.Struct, frozen=True):
    """CPU, as parts of a core."""

    consul: float
    hub: float

    def __str__(self) -> str:
        return f"Consul {self.consul:6.1%}, hub {self.hub:6.1%}"


async def measured(consul: int, hub_pid: int | None, seconds: float) -> Load:
    """What both use within so many seconds."""
    pids = (consul, hub_pid) if hub_pid else (consul,)
    before, began = [cpu_of(pid) for pid in pids], monotonic()
    await asyncio.sleep(seconds)
    used = [(cpu_of(pid) - spent) / (monotonic() - began) for pid, spent in zip(pids, before, strict=True)]
    return Load(*used) if hub_pid else Load(used[0], 0.0)


@asynccontextmanager
async def storm(writer: filled.ConsulWriter, rate: float) -> AsyncIterator[None]:
    """One service changes so many times a second."""

    async def change() -> None:
        began, number = monotonic(), 0
        while True:
            number += 1
            service = {"ID": "busy-1", "Service": "busy", "Address": "10.9.9.8", "Port": 80, "Meta": {"n": str(number)}}
            await writer.put("/v1/catalog/register", {"Node": "busy", "Address": "10.9.9.8", "Service": service})
            await asyncio.sleep(max(0.0, began + number / rate - monotonic()))

    async with asyncio.TaskGroup() as tasks:
        changing = tasks.create_task(change())
        try:
            yield
        finally:
            changing.cancel()


async def watched(
    said: argparse.Namespace, server: Consul, writer: filled.ConsulWriter, connections: int
) -> tuple[Load, Load]:
    """Quiet, and in the storm."""
    if not connections:
        return await both(said, server, writer, None)
    registry = filled.consul_registry(server, connections)
    with tempfile.TemporaryDirectory() as folder:
        async with hub(Path(folder), zones=[{"name": "vm"}], registries=[registry]) as running:
            await running.until(
                lambda: running.registry("consul"), lambda one: one["instances"] >= said.services * said.of_each
            )
            await asyncio.sleep(3)  # what follows the first list: long polls begin, the journal's first write
            return await both(said, server, writer, running.pid)


async def both(
    said: argparse.Namespace, server: Consul, writer: filled.ConsulWriter, hub_pid: int | None
) -> tuple[Load, Load]:
    """Quiet, and in the storm."""
    quiet = await measured(server.pid, hub_pid, said.seconds)
    async with storm(writer, said.rate):
        await asyncio.sleep(1)
        return quiet, await measured(server.pid, hub_pid, said.seconds)


async def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench bystander")
    parser.add_argument("--services", type=int, default=1000)
    parser.add_argument("--of-each", type=int, default=10)
    parser.add_argument("--rate", type=float, default=50.0, help="changes a second")
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--turns", type=int, default=2)
    said = parser.parse_args()
    print(f"bystander: {said.services} services of {said.of_each}, {said.rate:g} changes/s elsewhere; {conditions()}")
    with Consul(durable=False) as server:
        async with filled.consul_writer(server) as writer:
            await writer.fill(said.services, said.of_each)
            for turn in range(said.turns):
                cases = [("nobody", 0), ("a long poll each", said.services + 100), ("the default", 150)]
                for name, connections in cases if turn % 2 == 0 else reversed(cases):
                    quiet, stormy = await watched(said, server, writer, connections)
                    print(f"  {name:18} quiet: {quiet}   storm: {stormy}", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
