"""What history costs: the time to publish under a thousand changes a second, with it and without, and bytes a change.

    python -m bench history [--rate 1000] [--seconds 60] [--turns 2] [--services 1000]

In one process: memory registries, ingest, the journal's follower, a watcher of everything, and history on or off, in
turn (off on on off). A publish is timed from the write to the moment at which a watcher has it: in wall time, and in
CPU time of the event loop's thread, which is what history can add and other processes of a busy machine can't. Each
run falls into windows of five seconds; what counts is the median of their p99: a moment in which the machine was
elsewhere spoils one window, and not the run. The database is SQLite in a fresh folder; its growth is that of the file
with its log.
"""

import argparse
import asyncio
import random
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from statistics import median

import msgspec
from immutables import Map

from bench.harness.figures import conditions, quantile
from bench.harness.filled import address_of
from pilot_plus.catalog import Catalog, Holder, Source
from pilot_plus.catalog.admission import Admission
from pilot_plus.catalog.fold import Rules
from pilot_plus.ingest import Ingest, Watched
from pilot_plus.journal import Journal
from pilot_plus.journal.follow import follow
from pilot_plus.journal.past import Past
from pilot_plus.journal.recorder import Recorder
from pilot_plus.journal.scribe import Bounds
from pilot_plus.model import Health, Instance, Port, instance
from registries import memory

BURST = 10
"""Changes that are made at once at most."""
WINDOW = 5.0
"""Seconds over which a p99 is taken."""


class Published(msgspec.Struct):
    """One change, until a watcher had it."""

    at: float
    wall: float
    cpu: float
    """Seconds."""


class Ran(msgspec.Struct):
    """One run."""

    published: list[Published]
    cpu: float
    grown: int
    rows: int
    kept: int
    read: float

    def worst(self, which: str) -> list[float]:
        """The p99 of each whole window, in milliseconds."""
        windows: dict[int, list[float]] = {}
        for one in self.published:
            windows.setdefault(int((one.at - self.published[0].at) / WINDOW), []).append(getattr(one, which) * 1e3)
        return [quantile(times, 0.99) for number, times in sorted(windows.items()) if number < max(windows)]


def copy(n: int) -> Instance:
    return instance(
        key=f"svc-{n // 10}/i{n}",
        name=f"svc-{n // 10}",
        id=f"i{n}",
        address=address_of(n),
        ports=[Port("http", 8080, "http")],
        metadata={"team": "shop", "version": "v1", "az": f"az{n % 3}"},
    )


def changed(one: Instance, chance: random.Random) -> Instance:
    """Half weights, a quarter health, a quarter a version."""
    what = chance.random()
    if what < 0.5:
        return msgspec.structs.replace(one, weight=chance.randrange(1, 200))
    if what < 0.75:
        return msgspec.structs.replace(one, health=chance.choice((Health.PASSING, Health.WARNING)))
    metadata = tuple((name, f"v{chance.randrange(99)}" if name == "version" else value) for name, value in one.metadata)
    return msgspec.structs.replace(one, metadata=metadata)


async def run(said: argparse.Namespace, *, with_history: bool) -> Ran:
    store = memory.store("history")
    store.records.clear()
    there = [copy(n) for n in range(said.services * 10)]
    store.write(*there)
    rules = Rules(Admission(cluster="east", registry="zk", zone="east/z", namespace="n"))
    watched = Watched("zk", lambda: memory.connect(memory.Settings(store="history")), rules)
    holder = Holder(Catalog(epoch="e", sources=Map({"zk": Source(name="zk", kind="memory", zone="east/z")})))
    ingest = Ingest(holder, {"zk": watched})
    with tempfile.TemporaryDirectory() as folder:
        async with Journal.open(f"sqlite:///{folder}/hub.db") as journal, asyncio.TaskGroup() as tasks:
            recorder = Recorder(holder, journal.archive, Bounds(said.keep, said.max << 20))
            running = [
                tasks.create_task(ingest.run(), name="ingest"),
                tasks.create_task(
                    follow(
                        holder,
                        journal,
                        frozenset({"zk"}),
                        until_recorded=recorder.until_written if with_history else None,
                    )
                ),
                *([tasks.create_task(recorder.run(), name="recorder")] if with_history else ()),
            ]
            await _until_quiet(holder, recorder, len(there), with_history=with_history)
            before, began = _size(folder), time.process_time()
            published = await _change(said, holder, store, there)
            cpu = time.process_time() - began
            await asyncio.sleep(1.0)
            read = await _read(recorder, journal) if with_history else 0.0
            grown = _size(folder) - before
            rows = sum(one.changes for one in recorder.scribe.listed)
            kept = sum(one.bytes for one in recorder.scribe.listed)
            for task in running:
                task.cancel()
    return Ran(published, cpu, grown, rows, kept, read)


async def _change(
    said: argparse.Namespace, holder: Holder, store: memory.Store, there: list[Instance]
) -> list[Published]:
    """Change instances at an even rate; the times from each write to the catalog that holds it."""
    chance = random.Random(7)
    waiting: dict[str, tuple[Instance, float, float]] = {}
    times: list[Published] = []

    async def watch() -> None:
        with holder.following() as follower:
            while True:
                touched = await follower.changes()
                now, used = time.perf_counter(), time.thread_time()
                for service in touched:
                    for (_, key), one in holder.current.entries[service].instances.items():
                        if (
                            key in waiting
                            and one.weight == waiting[key][0].weight
                            and one.health is waiting[key][0].health
                        ):
                            _, begun, before = waiting.pop(key)
                            times.append(Published(begun, now - begun, used - before))

    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(watch())
        began, done = time.perf_counter(), 0
        while (passed := time.perf_counter() - began) < said.seconds:
            done = max(
                done, int(passed * said.rate) - BURST
            )  # what a machine that was away has missed is not made up for
            while done < passed * said.rate:
                number = chance.randrange(len(there))
                one = changed(there[number], chance)
                if one != there[number]:
                    there[number] = one
                    waiting[one.key] = (one, time.perf_counter(), time.thread_time())
                    store.write(one)
                done += 1
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.5)
        watching.cancel()
    return times


async def _until_quiet(holder: Holder, recorder: Recorder, count: int, *, with_history: bool) -> None:
    async with asyncio.timeout(120):
        while len(holder.current.sources["zk"].instances) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        while with_history and (  # noqa: ASYNC110 - the recorder wakes nobody
            recorder.seen is not holder.current or len(recorder.scribe.chapters) > 1
        ):
            await asyncio.sleep(0.05)
    await asyncio.sleep(2)


async def _read(recorder: Recorder, journal: Journal) -> float:
    """Median seconds of a question about the past."""
    past = Past(recorder, journal.archive)
    times = []
    begun, ended = past.known_from, max(chapter.ended for chapter in recorder.scribe.chapters)
    for n in range(100):
        began = time.perf_counter()
        await past.service(f"n/svc-{n}", begun + (ended - begun) * n / 100, 1000)
        times.append(time.perf_counter() - began)
    return median(times)


def _size(folder: str) -> int:
    total = 0
    for file in Path(folder).glob("hub.db*"):
        with suppress(FileNotFoundError):
            total += file.stat().st_size
    return total


def _median(one: Ran, which: str) -> float:
    return float(median(getattr(each, which) for each in one.published)) * 1e3


def _spread(times: list[float]) -> str:
    """The median of windows, and where the middle half of them lies."""
    return f"{median(times):.2f} [{quantile(times, 0.25):.2f}..{quantile(times, 0.75):.2f}]"


async def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench history")
    parser.add_argument("--rate", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--turns", type=int, default=1, help="times off on on off")
    parser.add_argument("--services", type=int, default=1000, help="of ten instances each")
    parser.add_argument("--keep", type=float, default=86400.0, help="seconds")
    parser.add_argument("--max", type=int, default=1024, help="megabytes")
    said = parser.parse_args()
    print(f"history: {said.services * 10} instances, {said.rate} changes/s for {said.seconds:g} s; {conditions()}")
    ran: dict[bool, list[Ran]] = {False: [], True: []}
    for with_history in (False, True, True, False) * said.turns:
        one = await run(said, with_history=with_history)
        ran[with_history].append(one)
        wall, cpu = one.worst("wall"), one.worst("cpu")
        line = (
            f"  {'on ' if with_history else 'off'}: publish p50 {_median(one, 'wall'):.2f} ms, p99 {_spread(wall)} ms"
        )
        line += f"; CPU of the loop p50 {_median(one, 'cpu'):.2f} ms, p99 {_spread(cpu)} ms"
        line += f"; CPU {one.cpu / said.seconds:5.1%}"
        if with_history:
            line += f"; {one.rows} rows complete in {one.kept / 1e6:.1f} MB; a question {one.read * 1e3:.1f} ms"
        print(f"{line}; the file grew by {one.grown / 1e6:.1f} MB", flush=True)
    for which, name in (("wall", "wall time"), ("cpu", "CPU of the loop")):
        off, on = ([p99 for one in ran[key] for p99 in one.worst(which)] for key in (False, True))
        print(
            f"p99 with history / without, {name}: {median(on) / median(off):.2f}  ({_spread(on)} / {_spread(off)} ms)"
        )
    complete = [one for one in ran[True] if one.kept]
    if complete:
        print(f"bytes a change in chapters: {median(one.kept / max(1, one.rows) for one in complete):.0f}")


if __name__ == "__main__":
    asyncio.run(main())
