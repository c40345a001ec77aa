"""How a hub process grows: CPU for one change, and resident memory for one instance, from 1,000 to 100,000 instances.

    python -m bench growth [--changes 2000] [--sizes 1000,10000,100000]

Each size is a hub of its own over a real etcd, with one HTTP watcher of the changing service. A change is written when
the watcher has seen the one before.
"""

import argparse
import asyncio
import tempfile
from itertools import pairwise
from pathlib import Path

from bench.harness import filled
from bench.harness.figures import conditions, cpu_of, resident_of
from bench.harness.watchers import events_of
from devservers import Etcd
from tests.feature.hub import hub


async def measured(server: Etcd, writer: filled.EtcdWriter, size: int, changes: int) -> tuple[float, int]:
    """Seconds of CPU for a change, and bytes of resident memory."""
    with tempfile.TemporaryDirectory() as folder:
        async with hub(Path(folder), zones=[{"name": "vm"}], registries=[filled.etcd_registry(server)]) as running:
            await running.until(lambda: running.registry("etcd"), lambda one: one["instances"] >= size)
            await asyncio.sleep(3)  # what follows the first list: the journal's first write
            async with events_of(running.url, "vm", filled.CHANGING) as sightings:
                spent = 0.0
                for n in range(-changes // 4, changes):
                    if n == 0:
                        spent = cpu_of(running.pid)
                    seen = sightings.of(f"m{n + changes}")
                    await writer.write(f"m{n + changes}")
                    async with asyncio.timeout(30):
                        await seen
                spent = cpu_of(running.pid) - spent
            return spent / changes, resident_of(running.pid)


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--changes", type=int, default=2000)
    parser.add_argument("--sizes", default="1000,10000,100000")
    arguments = parser.parse_args()
    sizes = [int(size) for size in arguments.sizes.split(",")]
    print(f"growth: etcd, 10 instances a service; {conditions()}")
    print(f"{'size':>8} {'a change µs':>12} {'resident MB':>12}")
    found: list[tuple[int, float, int]] = []
    with Etcd() as server:
        async with filled.etcd_writer(server) as writer:
            filled_to = 0
            for size in sizes:
                await writer.fill(filled_to, size, 10)
                filled_to = size
                found.append((size, *await measured(server, writer, size, arguments.changes)))
                print(f"{size:>8} {found[-1][1] * 1e6:>12.0f} {found[-1][2] / 1e6:>12.1f}")
    print(f"  CPU of a change, largest by smallest: {found[-1][1] / found[0][1]:.2f}")
    for (few, _, less), (many, _, more) in pairwise(found):
        print(f"  {few} to {many}: {(more - less) / (many - few):.0f} bytes an instance")


if __name__ == "__main__":
    asyncio.run(main())
