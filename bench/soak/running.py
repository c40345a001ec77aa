"""Running a soak: storms of changes and faults, and pauses in which everything must be as it is."""

import asyncio
import random
import signal
import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from time import monotonic
from typing import Final

import aiohttp
import msgspec

from bench.harness.figures import resident_of
from bench.soak.comparing import Asker, Remembered, recalled, remember, until_true
from bench.soak.faults import Fault, faults_of
from bench.soak.own import Own
from bench.soak.report import Report
from bench.soak.stand import KINDS, Stand, stands
from devservers import Postgres
from tests.feature.hub import Hub

PATIENCE: Final = 60.0
"""Seconds within which everything must be in step after the last fault: the longest pause between two tries is 5 s."""
RECALLED: Final = 6
"""Moments of the past that are asked about in a pause."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for."""

    seconds: float
    seed: int
    kinds: tuple[str, ...] = KINDS
    rate: float = 10.0
    journal: str = "sqlite"
    storm: tuple[float, float] = (8.0, 25.0)
    """Seconds of changes and faults between two pauses."""

    def __str__(self) -> str:
        """As the report says it."""
        return f"{self.seconds / 60:g} min, seed {self.seed}, {len(self.kinds)} registries, journal on {self.journal}"


async def soak(plan: Plan, say: Callable[[str], None]) -> Report:
    """Run it to its end."""
    async with AsyncExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="soak-")))
        made = await running.enter_async_context(stands(plan.kinds, folder))
        journal = f"sqlite:///{folder}/hub.db"
        if plan.journal == "postgresql":
            journal = (await running.enter_async_context(Postgres())).url
        own = Stand("own", len(made), Own("", journal), None, folder)
        made.insert(0, own)  # the first of its kind is the one that callers register in
        zones = [{"name": stand.kind} for stand in made]
        sections = {"zones": zones, "registries": [stand.section() for stand in made], "journal": journal}
        hub = Hub(folder, **sections)
        own.server = Own(hub.url, journal)
        running.callback(hub.close)
        session = await running.enter_async_context(aiohttp.ClientSession())
        return await Soak(plan, made, hub, Asker(hub.url, session), folder, say).run()


class Soak:
    """One soak."""

    def __init__(
        self, plan: Plan, made: list[Stand], hub: Hub, ask: Asker, folder: Path, say: Callable[[str], None]
    ) -> None:
        self.report = Report(str(plan))
        self._plan = plan
        self._stands = made
        self._hub = hub
        self._ask = ask
        self._folder = folder
        self._say = say
        self._chance = random.Random(plan.seed)
        self._moments: list[Remembered] = []
        self._began = 0.0

    async def run(self) -> Report:
        self._hub.start()
        await self._hub.until_state("own", "synced")
        for stand in self._stands:
            await stand.fill(self._chance)
        self._began = monotonic()
        await self._pause()
        while self._passed < self._plan.seconds:
            await self._storm()
            await self._pause()
        return self.report

    @property
    def _passed(self) -> float:
        return monotonic() - self._began

    # -------------------------------------------------------------------------------------------- storms

    async def _storm(self) -> None:
        """Change things for a while, and let several go wrong, the hub among them."""
        ends = monotonic() + self._chance.uniform(*self._plan.storm)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._change_until(ends, random.Random(self._chance.random())))
            for stand in filter(faults_of, self._stands):
                tasks.create_task(self._break_until(ends, stand, random.Random(self._chance.random())))
            if self._chance.random() < 0.3:
                tasks.create_task(self._break_hub(ends, random.Random(self._chance.random())))

    async def _change_until(self, ends: float, chance: random.Random) -> None:
        while monotonic() < ends:
            stand = chance.choice(self._stands)
            if stand.is_up:
                try:
                    async with asyncio.timeout(10):
                        self.report.changes += await stand.change(chance)
                except OSError:
                    pass  # nobody is there just now
                except Exception as error:  # noqa: BLE001 - whatever came of it, the truth is read from the server
                    self._say(f"  {stand.name}: not written: {type(error).__name__}: {error}"[:160])
            await asyncio.sleep(chance.expovariate(self._plan.rate))

    async def _break_until(self, ends: float, stand: Stand, chance: random.Random) -> None:
        """One fault after the other, with quiet between; each ends before the storm does."""
        while (left := ends - monotonic()) > 0.3:
            await asyncio.sleep(min(left, chance.expovariate(1 / 5)))
            if ends - monotonic() < 0.3:
                return
            fault = chance.choice(faults_of(stand))
            await self._suffer(stand, fault, min(chance.uniform(*fault.lasts), ends - monotonic()), chance)

    async def _suffer(self, stand: Stand, fault: Fault, seconds: float, chance: random.Random) -> None:
        self.report.faults[fault.name] += 1
        stand.is_up = not fault.down
        try:
            await fault.begin(stand, chance)
            await asyncio.sleep(max(0.0, seconds))
        except Exception as error:  # noqa: BLE001 - it could not be broken so: nobody had it open, or it had just ended
            self._say(f"  {stand.name}: not {fault.name}: {type(error).__name__}: {error}"[:160])
        finally:
            await self._mend(stand, fault)
            stand.is_up = True

    async def _mend(self, stand: Stand, fault: Fault) -> None:
        for _ in range(5):
            try:
                await fault.end(stand)
            except Exception as error:  # noqa: BLE001 - a busy machine starts servers slowly: the soak needs it
                self._say(f"  {stand.name}: not mended yet: {type(error).__name__}: {error}"[:160])
                await asyncio.sleep(1)
            else:
                return

    async def _break_hub(self, ends: float, chance: random.Random) -> None:
        """Stop the hub for a while; kill it only at first and at last, so that one long life shows its memory."""
        await asyncio.sleep(chance.uniform(0, max(0.0, ends - monotonic() - 4)))
        part = self._passed / self._plan.seconds
        if 0.2 < part < 0.9:
            self.report.faults["the hub stopped"] += 1
            self._hub.signal(signal.SIGSTOP)
            await asyncio.sleep(chance.uniform(0.5, 4))
            self._hub.signal(signal.SIGCONT)
            return
        self.report.reconnected(await self._ask.text("/metrics"))
        self.report.died()
        await asyncio.to_thread(self._hub.end, signal.SIGKILL)
        await asyncio.sleep(chance.uniform(0, 3))
        self._hub.start()

    # -------------------------------------------------------------------------------------------- pauses

    async def _pause(self) -> None:
        """Nothing changes: what the hub shows must become what the registries hold, and history must tell the truth."""
        found = await asyncio.gather(*(until_true(self._ask, stand, PATIENCE) for stand in self._stands))
        for one in found:
            if one.why:
                self.report.divergences.append(f"{one.stand} after {one.after:.0f} s: {one.why}")
            elif one.after > max(self.report.healed, default=0.0):
                self.report.slowest = one.stand
            self.report.healed.append(one.after)
        self.report.pauses += 1
        await self._recall()
        await self._remember()
        self.report.reconnected(await self._ask.text("/metrics"))
        self.report.memory.append((self.report.deaths, self._passed, resident_of(self._hub.pid)))
        self.report.database.append(sum(file.stat().st_size for file in self._folder.glob("hub.db*")))
        worst = max(found, key=lambda one: one.after)
        self._say(
            f"{self._passed:6.0f} s: {len(self.report.divergences)} divergences, in step after {worst.after:.1f} s "
            f"({worst.stand}), {self.report.changes} changes, {sum(self.report.faults.values())} faults, "
            f"{self.report.memory[-1][2] / 1e6:.0f} MB"
        )

    async def _remember(self) -> None:
        """Note how some services are shown, for later."""
        answer = await self._ask.get("/api/v1/services?limit=10000")
        services = answer["services"] if answer else []
        for service in self._chance.sample(services, min(4, len(services))):
            if (one := await remember(self._ask, service)) is not None:
                self._moments.append(one)

    async def _recall(self) -> None:
        """Ask history about some earlier pauses."""
        for one in self._chance.sample(self._moments, min(RECALLED, len(self._moments))):
            if why := await recalled(self._ask, one):
                self.report.divergences.append(why)
            self.report.recalled += 1
