"""What one change costs the catalog, and what an instance weighs in it, as it grows. In process; no registry."""

import gc
import os
import platform
import time
from pathlib import Path

from immutables import Map

from pilot_plus.catalog import Catalog, Source
from pilot_plus.catalog.admission import Admission
from pilot_plus.catalog.fold import Rules, fold
from pilot_plus.catalog.guard import Limits
from pilot_plus.model import Instance, Port, Put, Reset, instance

RULES = Rules(
    Admission(cluster="east", registry="zk", zone="east/z", namespace="n"),
    Limits(max_removal=0.5, window=30, hold_for=600, min=5),
)
CHANGES = 5000


def copy(n: int, weight: int = 100) -> Instance:
    address = f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}"
    return instance(
        key=f"svc{n // 10}/{address}",
        name=f"svc{n // 10}",
        id=f"i{n}",
        address=address,
        ports=[Port("http", 8080, "http"), Port("admin", 9090, "http")],
        weight=weight,
        metadata={"team": "shop", "version": "v1", "az": f"az{n % 3}", "app": f"app{n // 10}"},
    )


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def measure(size: int) -> None:
    gc.collect()
    before = resident()
    catalog = Catalog(epoch="e", sources=Map({"zk": Source(name="zk", kind="memory", zone="east/z")}))
    instances = [copy(n) for n in range(size)]
    start = time.perf_counter()
    catalog = fold(catalog, "zk", [Reset(instances=instances)], RULES, 1.0).catalog
    first = time.perf_counter() - start
    del instances
    gc.collect()
    weighs = (resident() - before) / size
    changes = [Put(copy(n * 7 % size, n % 90)) for n in range(CHANGES)]
    gc.freeze()
    start = time.process_time()
    for change in changes:
        catalog = fold(catalog, "zk", [change], RULES, 2.0).catalog
    each = (time.process_time() - start) / CHANGES
    print(f"{size:>8} {first * 1e3:>14.0f} {weighs:>16.0f} {each * 1e6:>14.1f}")


if __name__ == "__main__":
    print(f"fold: Python {platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print(f"{'size':>8} {'first list ms':>14} {'bytes/instance':>16} {'a change µs':>14}")
    for count in (1_000, 10_000, 100_000):
        measure(count)
