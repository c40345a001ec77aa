"""A first full read of etcd into a published catalog, against the same client's bare list of the same keys.

python -m bench first_read [--instances 100000] [--turns 7]
"""

import argparse
import asyncio
import time
from statistics import median

from immutables import Map

from bench.harness import filled
from bench.harness.figures import conditions
from devservers import Etcd
from pilot_plus.catalog import Catalog, Holder, Source
from pilot_plus.catalog.admission import Admission
from pilot_plus.catalog.fold import Rules, fold
from pilot_plus.model import Reset
from registries.etcd import Settings, connect
from registries.etcd import wire_pb2 as wire
from registries.etcd.client import Client
from registries.etcd.methods import RANGE

RULES = Rules(Admission(cluster="east", registry="etcd", zone="east/vm", namespace="vm"), None)
PAGE = 2000


async def bare(client: Client) -> float:
    """Seconds for all keys and values in pages, one after the other, with nothing done to them."""
    begun, start, end = time.perf_counter(), f"{filled.PREFIX}/".encode(), f"{filled.PREFIX}0".encode()
    while True:
        answer = await client.call(RANGE, wire.RangeRequest(key=start, range_end=end, limit=PAGE))
        if not answer.more:
            return time.perf_counter() - begun
        start = answer.kvs[-1].key + b"\0"


async def ours(server: Etcd, instances: int) -> float:
    """Seconds from opening the source until the catalog with all of them is published."""
    begun = time.perf_counter()
    holder = Holder(Catalog(epoch="e", sources=Map({"etcd": Source(name="etcd", kind="etcd", zone="east/vm")})))
    settings = Settings(endpoints=(server.url,), layouts=({"naming": {"prefix": filled.PREFIX}},))
    async with connect(settings) as source:
        async for update in source.watch():
            if isinstance(update, Reset):
                step = fold(holder.current, "etcd", [update], RULES, 1.0)
                holder.publish(step.catalog, step.touched)
                break
        passed = time.perf_counter() - begun
    found = sum(len(entry.instances) for entry in holder.current.entries.values())
    if found != instances:
        raise RuntimeError(f"read {found} of {instances}")
    return passed


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--instances", type=int, default=100_000)
    parser.add_argument("--turns", type=int, default=7)
    arguments = parser.parse_args()
    print(f"first read: {arguments.instances} instances in etcd, 10 a service; {conditions()}")
    with Etcd() as server:
        async with filled.etcd_writer(server) as writer:
            await writer.fill(0, arguments.instances, 10)
            lists, reads = [], []
            for turn in range(arguments.turns):
                for is_ours in (False, True) if turn % 2 else (True, False):
                    if is_ours:
                        reads.append(await ours(server, arguments.instances))
                    else:
                        lists.append(await bare(writer.client))
    print(f"  bare list {median(lists):.2f} s ({min(lists):.2f} to {max(lists):.2f})")
    print(f"  published {median(reads):.2f} s ({min(reads):.2f} to {max(reads):.2f})")
    print(f"  ratio {median(reads) / median(lists):.2f}")


if __name__ == "__main__":
    asyncio.run(main())
