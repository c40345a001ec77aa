"""The Envoys of an agent: carries out what the lifecycle commands, and tells it what happens."""

import asyncio
import logging
from asyncio.subprocess import Process
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Final, assert_never

import msgspec

from edge_sidecar.bootstrap import admin_socket, bootstrap
from edge_sidecar.envoy.admin import Admin
from edge_sidecar.envoy.process import Refused, running, validate
from edge_sidecar.lifecycle import Command, Drain, End, Launch, Lifecycle, Terminate

log = logging.getLogger(__name__)

POLL: Final = 0.05
"""Seconds between two looks at an Envoy that starts or drains."""
SETTLE: Final = 0.5
"""Seconds that a draining Envoy stays though it has no connection: one may be on its way."""
DRAIN_STRATEGY: Final = "immediate"


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What every Envoy of an agent is started with."""

    program: Path
    data: Path
    sockets: Path
    """The data folder by a short name."""
    node: str
    zone: str
    drain_time: float
    concurrency: int
    base_id: int


class Running(msgspec.Struct, frozen=True):
    """An Envoy with a process."""

    process: Process
    admin: Admin
    began: float
    """Monotonic seconds."""


class Envoys:
    """The Envoys, and the state machine that says which there are."""

    def __init__(
        self,
        plan: Plan,
        *,
        changed: Callable[[], None],
        took_over: Callable[[], None],
        crashed: Callable[[int], None],
    ) -> None:
        """Who hears that something changed; that a new one serves and others drain; of crashes, how many in a row."""
        self.lifecycle = Lifecycle()
        self.trouble = ""
        """Why none serves, or the last one ended."""
        self._plan = plan
        self._changed = changed
        self._took_over = took_over
        self._crashed = crashed
        self._commands: asyncio.Queue[Command] = asyncio.Queue()
        self._lives: dict[int, asyncio.Task[None]] = {}
        self._running: dict[int, Running] = {}

    @property
    def newest(self) -> Running | None:
        """The one that was launched last, if it has a process."""
        return self._running.get(self.lifecycle.newest)

    async def run(self) -> None:
        """Keep Envoys running until told to `stop`, and all have ended."""
        self._obey(self.lifecycle.begin())
        async with asyncio.TaskGroup() as tasks:
            while True:
                match command := await self._commands.get():
                    case Launch():
                        self._lives[command.number] = tasks.create_task(self._live(command))
                        await asyncio.sleep(0)  # it begins: cancelled before that, it would tell nobody of its end
                    case Drain():
                        tasks.create_task(self._drain(command.number))
                    case Terminate():
                        self._lives[command.number].cancel()
                    case End():
                        return
                    case _:
                        assert_never(command)

    def replace(self) -> None:
        """Let another Envoy take over."""
        self._obey(self.lifecycle.replace())

    def stop(self) -> None:
        """Drain, and end."""
        self._obey(self.lifecycle.stop())

    def _obey(self, commands: list[Command]) -> None:
        for command in commands:
            self._commands.put_nowait(command)
        self._changed()

    async def _live(self, launch: Launch) -> None:
        """The life of one Envoy."""
        number, began, plan = launch.number, monotonic(), self._plan
        try:
            await asyncio.sleep(launch.pause)
            content = bootstrap(node=plan.node, zone=plan.zone, number=number)
            place = await validate(plan.program, plan.data, content, number)
            (plan.data / admin_socket(number)).unlink(missing_ok=True)
            async with running(plan.program, plan.data, place, _options(plan)) as process:
                began = monotonic()
                self._running[number] = Running(process, Admin(plan.sockets / admin_socket(number)), began)
                log.info("Envoy %d starts as process %d", number, process.pid)
                await self._attend(number, self._running[number])
        except (Refused, OSError) as error:
            self.trouble = str(error)
            log.error("Envoy %d can't be started: %s", number, error)
        finally:
            self._running.pop(number, None)
            for file in (f"run/envoy-{number}.json", admin_socket(number)):
                (plan.data / file).unlink(missing_ok=True)
            before = self.lifecycle.crashes
            commands = self.lifecycle.exited(number, monotonic() - began)
            if self.lifecycle.crashes != before:
                self._crashed(self.lifecycle.crashes)
            self._obey(commands)

    async def _attend(self, number: int, one: Running) -> None:
        async with asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(self._await_ready(number, one.admin))
            code = await one.process.wait()
            waiting.cancel()
        self.trouble = f"Envoy ended by itself with {code}"
        log.error("Envoy %d ended by itself with %d, %d times in a row", number, code, self.lifecycle.crashes + 1)

    async def _await_ready(self, number: int, admin: Admin) -> None:
        while not await admin.is_ready():  # noqa: ASYNC110 - Envoy tells nobody - Envoy tells nobody by itself
            await asyncio.sleep(POLL)
        log.info("Envoy %d serves", number)
        self.trouble = ""
        commands = self.lifecycle.ready(number)
        if commands:
            self._took_over()
        self._obey(commands)

    async def _drain(self, number: int) -> None:
        """Until it has no connection, or its time is up."""
        one = self._running.get(number)
        try:
            if one is not None:
                async with asyncio.timeout(self._plan.drain_time):
                    await one.admin.drain()
                    await asyncio.sleep(SETTLE)
                    while (await one.admin.look()).connections:  # noqa: ASYNC110 - Envoy tells nobody
                        await asyncio.sleep(POLL)
        except TimeoutError:
            log.info("Envoy %d has had its time to drain", number)
        except OSError as error:
            log.warning("Envoy %d doesn't drain: %s", number, error)
        self._obey(self.lifecycle.drained(number))


def _options(plan: Plan) -> dict[str, str]:
    options = {
        "base-id": str(plan.base_id),
        "log-level": "warning",
        "drain-time-s": str(max(1, round(plan.drain_time))),
        "drain-strategy": DRAIN_STRATEGY,
    }
    return options | ({"concurrency": str(plan.concurrency)} if plan.concurrency else {})
