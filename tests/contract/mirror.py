"""A mirror: keeps what a source has said so far, so that a test can wait for it to equal the truth."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from pilot_plus.model import Alive, Drop, Instance, Put, Reset, Resumed, Service, Skipped, Update
from pilot_plus.ports import Source, SourceLost
from tests.contract.backend import Backend, Sample

PATIENCE = 60.0
"""Seconds that a test waits at the most for something that must come."""


class Mirror:
    """What a source has said, folded as simply as can be."""

    def __init__(self) -> None:
        self.heard: list[Update] = []
        self.instances: dict[str, Instance] = {}
        self.services: dict[str, Service] = {}
        self.skipped: dict[str, str] = {}
        self.progress = ""
        self.lost: str | None = None
        self._changed = asyncio.Event()

    def take(self, update: Update) -> None:
        self.heard.append(update)
        match update:
            case Reset(services=services, instances=instances):
                self.instances = {one.key: one for one in instances}
                self.services = {one.key: one for one in services}
                assert len(self.instances) == len(instances), "a key stands twice in a Reset"
                self.skipped = {}
            case Put(record=Instance() as record):
                self.instances[record.key] = record
            case Put(record=Service() as record):
                self.services[record.key] = record
            case Drop(key=key):
                self.instances.pop(key, None)
                self.services.pop(key, None)
            case Skipped(place=place, reason=""):
                self.skipped.pop(place, None)
            case Skipped(place=place, reason=reason):
                self.skipped[place] = reason
            case Alive(progress=progress):
                self.progress = progress or self.progress
            case Resumed():
                pass
        self._changed.set()

    async def follow(self, source: Source, after: str | None = None) -> None:
        """Listen until the source is lost."""
        try:
            async for update in source.watch(after):
                self.take(update)
        except SourceLost as lost:
            self.lost = str(lost)
        finally:
            self._changed.set()

    async def until(self, is_so: Callable[["Mirror"], bool], what: str = "", patience: float = PATIENCE) -> None:
        """Wait until something is so, with a bound."""
        try:
            async with asyncio.timeout(patience):
                while not is_so(self):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"waited {patience} s for {what or is_so}; {self!r}") from None

    async def until_synced(self) -> None:
        await self.until(lambda mirror: bool(mirror.heard) or mirror.lost is not None, "the first word")
        assert self.lost is None, self.lost

    async def until_lost(self, patience: float = PATIENCE) -> None:
        await self.until(lambda mirror: mirror.lost is not None, "the loss", patience)

    def samples(self, backend: Backend) -> set[Sample]:
        """What it holds, as tests write it; what the backend's layout can't hold is at its default."""
        return {as_sample(one, backend) for one in self.instances.values()}

    async def until_true(self, backend: Backend, expected: set[Sample] | None = None) -> None:
        """Wait until it equals what the server itself says that it holds (and what the test expects, if it says)."""
        truth = await backend.truth()
        if expected is not None:
            assert truth == {held_by(backend, one) for one in expected}
        await self.until(lambda mirror: mirror.samples(backend) == truth, f"the truth {truth}")

    def __repr__(self) -> str:
        return f"<Mirror {sorted(self.instances)} skipped {self.skipped} lost {self.lost!r}>"


def as_sample(one: Instance, backend: Backend) -> Sample:
    """An instance, as a test writes it."""
    written = {"team", "note"}
    metadata = tuple((name, value) for name, value in one.metadata if name in written)
    return held_by(
        backend,
        Sample(one.name.partition(":")[0], one.address, one.ports[0].number, one.weight, metadata, one.health),
    )


def held_by(backend: Backend, sample: Sample) -> Sample:
    """What of a sample the backend's layout can hold."""
    default = Sample("", "")
    return Sample(
        sample.service,
        sample.address,
        sample.port,
        sample.weight if backend.weight_step else default.weight,
        sample.metadata if backend.holds_metadata else default.metadata,
        sample.health if backend.holds_health else default.health,
    )


@asynccontextmanager
async def mirroring(backend: Backend, after: str | None = None) -> AsyncIterator[Mirror]:
    """A mirror that follows the backend's source as long as the block runs."""
    mirror = Mirror()
    async with backend.connect() as source, asyncio.TaskGroup() as tasks:
        following = tasks.create_task(mirror.follow(source, after))
        try:
            yield mirror
        finally:
            following.cancel()
