"""Ingest: keeps every source open, and is the only place that retries.

Each source has a task that opens it, hands on what it says, and opens it again when it is lost, with a growing pause.
One task folds: it takes whatever has arrived, from whichever source, and publishes. The first change goes out at once;
what arrives while it is folded goes out together with the next.
"""

import asyncio
import gc
import logging
import random
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, suppress
from time import monotonic
from typing import Final, TypeAlias, cast

import msgspec

from pilot_plus import metrics
from pilot_plus.catalog.catalog import Catalog
from pilot_plus.catalog.fold import Folded, Rules, fold, forget, lose, next_tick, release, restore, steps, tick, vouch
from pilot_plus.catalog.holder import Holder
from pilot_plus.model import Alive, Drop, Instance, Reset, Resumed, Service, Skipped, Update
from pilot_plus.ports import Locating, Source, SourceLost, Vouching

log = logging.getLogger(__name__)

FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 5.0
LATER_PAUSE: Final = 30.0
"""Seconds. The longest pause for the first minute of a loss, and after it."""
QUEUE: Final = 4096
"""Updates that wait to be folded; a source that says more waits."""
BATCH: Final = 1024
LOCATING: Final = 2.0
"""Seconds that a registry has to say where records lie."""


class Watched(msgspec.Struct, frozen=True):
    """A source: its name, how to open it, and the rules for what it says."""

    name: str
    open: Callable[[], AbstractAsyncContextManager[Source]]
    rules: Rules


Act: TypeAlias = Callable[[Catalog], Folded | None]
"""Anything else that makes the next catalog; it stands in the queue too, in order with what the sources say."""


class Ingest:
    """Drives sources into a holder."""

    def __init__(self, holder: Holder, sources: Mapping[str, Watched]) -> None:
        """Publish into `holder`, whose catalog already knows each source by name."""
        self._holder = holder
        self._sources = sources
        self._queue: asyncio.Queue[tuple[str, Update | Act, float]] = asyncio.Queue(QUEUE)
        self._ticks = asyncio.Event()
        self._opened: dict[str, object] = {}
        """The sources that are open now, for what only some of them can be asked."""
        self._progress: dict[str, str] = {}
        """How far each source has come, for those that can go on from there."""
        self._taken_out: Counter[str] = Counter()
        """How often what a source had said was taken out, or changed, without a word of it."""

    async def run(self) -> None:
        """Run until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._fold(), name="fold")
            tasks.create_task(self._tick(), name="tick")
            for source in self._sources.values():
                tasks.create_task(self._keep_open(source), name=f"source {source.name}")

    def restore(self, name: str, records: list[Instance | Service], silence: float | None = None) -> None:
        """Show what the journal last knew of a source, not heard for `silence` seconds; before `run`."""
        heard = None if silence is None else monotonic() - silence
        rules = self._sources[name].rules
        self._publish(name, restore(self._holder.current, name, records, rules.admission, heard))

    async def release(self, name: str) -> int:
        """Let the held removals of a source happen; return how many they were."""
        held = len(self._holder.current.sources[name].held)
        if held:
            log.info("released", extra={"registry": name, "held": held})
            await self._queue.put((name, lambda catalog: release(catalog, name), monotonic()))
        return held

    async def forget(self, name: str) -> None:
        """Take out everything that a source has said, unless it is in step: it will not come back."""

        def act(catalog: Catalog) -> Folded | None:
            if not catalog.sources[name].is_stale:
                return None
            self._must_say_everything(name)
            return forget(catalog, name)

        await self._queue.put((name, act, monotonic()))

    async def touch(self, services: frozenset[str]) -> None:
        """Let everybody look at services again: something that is no record of theirs decides how they are seen."""

        def act(catalog: Catalog) -> Folded:
            return Folded(msgspec.structs.replace(catalog, number=catalog.number + 1), services)

        await self._queue.put((next(iter(self._sources)), act, monotonic()))

    async def locate(self, name: str, keys: Sequence[str]) -> Mapping[str, Sequence[str]]:
        """Where the records of those keys lie in a registry, as far as it can be asked now and answers in time."""
        opened = self._opened.get(name)
        if isinstance(opened, Locating):
            with suppress(SourceLost, TimeoutError):
                async with asyncio.timeout(LOCATING):
                    return await opened.locate(keys)
        return {}

    async def _keep_open(self, source: Watched) -> None:
        """Open a source again and again; a loss in its first seconds makes the pause before the next try longer."""
        failing_since: float | None = None
        tries = 0
        while True:
            opened = monotonic()
            error, synced = await self._listen(source)
            if synced and monotonic() - opened > LONGEST_PAUSE:
                failing_since, tries = None, 0
            failing_since = failing_since if failing_since is not None else monotonic()
            tries += 1
            await self._queue.put((source.name, _losing(source.name, error, monotonic()), monotonic()))
            log.warning("source lost: %s", error, extra={"registry": source.name, "tries": tries})
            limit = LONGEST_PAUSE if monotonic() - failing_since < 60 else LATER_PAUSE
            await asyncio.sleep(random.uniform(0.5, 1) * min(limit, FIRST_PAUSE * 2 ** min(tries, 20)))
            metrics.RECONNECTS.labels(source.name).inc()

    async def _listen(self, source: Watched) -> tuple[str, bool]:
        """Hand on what a source says until it is lost; return why, and whether it was ever in step."""
        synced = False
        try:
            async with source.open() as opened, aclosing(self._watch(source.name, opened)) as updates:
                self._opened[source.name], taken_out = opened, self._taken_out[source.name]
                async for update in updates:
                    if isinstance(update, Resumed) and not await self._goes_on(source, taken_out):
                        return "it must say everything again", False
                    synced = synced or isinstance(update, Reset | Resumed)
                    if isinstance(update, Alive):
                        self._progress[source.name] = update.progress
                    await self._queue.put((source.name, update, monotonic()))
                    if isinstance(update, Alive) and isinstance(opened, Vouching):
                        await self._queue.put((source.name, _vouching(source.name, opened.unheard()), monotonic()))
        except SourceLost as lost:
            return str(lost), synced
        except Exception as error:  # a defect of an adapter must not take the other registries down
            log.exception("the adapter failed", extra={"registry": source.name})
            return f"the adapter failed: {type(error).__name__}: {error}", synced
        finally:
            self._opened.pop(source.name, None)
        return "the source ended without saying why", synced

    def _watch(self, name: str, opened: Source) -> AsyncGenerator[Update, None]:
        """Go on from where the source was heard last, if it can."""
        return cast("AsyncGenerator[Update, None]", opened.watch(self._progress.get(name) or None))

    async def _goes_on(self, source: Watched, taken_out: int) -> bool:
        """Take in that a source goes on where it was; not if that is not what we hold any more."""
        decided: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        def act(catalog: Catalog) -> Folded | None:
            is_so = self._taken_out[source.name] == taken_out
            if not decided.done():
                decided.set_result(is_so)
            return fold(catalog, source.name, (Resumed(),), source.rules, monotonic()) if is_so else None

        await self._queue.put((source.name, act, monotonic()))
        return await decided

    def _must_say_everything(self, name: str) -> None:
        self._progress.pop(name, None)
        self._taken_out[name] += 1

    async def _fold(self) -> None:
        """The one task that makes catalogs."""
        while True:
            waiting = [await self._queue.get()]
            while len(waiting) < BATCH and not self._queue.empty():
                waiting.append(self._queue.get_nowait())
            for name, updates, arrived in _by_source(waiting):
                await self._take(name, updates)
                metrics.PUBLISH.observe(monotonic() - arrived)
            await asyncio.sleep(0)

    async def _take(self, name: str, updates: list[Update | Act]) -> None:
        if callable(act := updates[0]):
            self._publish(name, act(self._holder.current))
            return
        said = [update for update in updates if not callable(update)]
        metrics.UPDATES.labels(name).inc(len(said))
        for update in said:
            if isinstance(update, Skipped) and update.reason:
                log.info("skipped %s: %s", update.place[:200], update.reason, extra={"registry": name})
        ours = self._holder.ours.of(name)
        folding = steps(self._holder.current, name, said, self._sources[name].rules, monotonic(), ours)
        while True:
            try:
                next(folding)
            except StopIteration as stop:
                self._publish(name, stop.value)
                break
            await asyncio.sleep(0)
        self._holder.ours.forget(name, [update.key for update in said if isinstance(update, Drop)])
        if any(isinstance(update, Reset) and len(update.instances) >= BATCH for update in said):
            gc.freeze()  # what a big first list brought stays: later collections needn't look at it

    def _publish(self, name: str, folded: Folded | None) -> None:
        if folded is None:
            return
        before, after = self._holder.current.sources[name], folded.catalog.sources[name]
        if len(after.held) > len(before.held):
            log.warning("removals held", extra={"registry": name, "held": len(after.held)})
        self._holder.publish(folded.catalog, folded.touched)
        if after.held or after.is_stale:
            self._ticks.set()

    async def _tick(self) -> None:
        """Carry out what only time brings: the end of a hold, the end of patience with a lost source."""
        while True:
            catalog = self._holder.current
            times = [next_tick(catalog.sources[name], source.rules) for name, source in self._sources.items()]
            due = min((time for time in times if time is not None), default=None)
            self._ticks.clear()
            try:
                async with asyncio.timeout(None if due is None else max(0.0, due - monotonic())):
                    await self._ticks.wait()
            except TimeoutError:
                for name, source in self._sources.items():
                    await self._queue.put((name, self._ticking(name, source.rules), monotonic()))

    def _ticking(self, name: str, rules: Rules) -> Act:
        def act(catalog: Catalog) -> Folded | None:
            if folded := tick(catalog, name, rules, monotonic()):
                self._must_say_everything(name)
            return folded

        return act


def _losing(name: str, error: str, now: float) -> Act:
    return lambda catalog: lose(catalog, name, error, now)


def _vouching(name: str, unheard: frozenset[str]) -> Act:
    return lambda catalog: None if catalog.sources[name].unheard == unheard else vouch(catalog, name, unheard)


def _by_source(
    waiting: list[tuple[str, Update | Act, float]],
) -> list[tuple[str, list[Update | Act], float]]:
    """What waits, source by source, each in its order; an act stands alone."""
    batches: list[tuple[str, list[Update | Act], float]] = []
    latest: dict[str, int] = {}
    for name, update, arrived in waiting:
        at = latest.get(name)
        if at is None or callable(update) or callable(batches[at][1][0]):
            latest[name] = len(batches)
            batches.append((name, [update], arrived))
        else:
            batches[at][1].append(update)
    return batches
