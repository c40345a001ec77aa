"""The `edge-sidecar` command as users have it: a process of its own, on an address of its own."""

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from devservers.parts import ENVOY, tool
from edge_sidecar.envoy.admin import Admin
from pilot_plus.quantities import Address

NET = f"127.{64 + os.getpid() % 128}"
"""Our own part of loopback: ports of edges are fixed, and several test runs may share a machine."""


class Agent:
    def __init__(self, process: asyncio.subprocess.Process, data: Path, log: Path) -> None:
        self.process = process
        self.data = data
        self.log = log

    @property
    def status(self) -> dict[str, Any]:
        try:
            return dict(json.loads((self.data / "run" / "status.json").read_bytes()))
        except FileNotFoundError:
            return {}

    async def figure(self, name: str) -> int | None:
        """What its Envoy counts under a name."""
        (place,) = (self.data / "run").glob("admin-*.sock")
        number = os.open(place.parent, os.O_PATH)
        try:
            figures = await Admin(Path(f"/proc/self/fd/{number}") / place.name).figures(f"^{re.escape(name)}$", "All")
        finally:
            os.close(number)
        return figures.get(name)

    def envoys(self) -> list[int]:
        """The process ids of its Envoys."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [int(one) for one in children if b"envoy" in _program(one)]

    async def until(self, holds: Callable[[dict[str, Any]], object], within: float = 60) -> None:
        try:
            async with asyncio.timeout(within):
                while not holds(self.status):
                    assert self.process.returncode is None, self.log.read_text()
                    await asyncio.sleep(0.03)
        except TimeoutError as error:
            raise AssertionError(f"{self.status}\n{self.log.read_text()[-3000:]}") from error

    async def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(60):
            code = await self.process.wait()
        if code:
            print(self.log.read_text()[-3000:])
        return code


@asynccontextmanager
async def agent_of(
    hub: Address, token: str, place: Path, *options: str, address: str, zone: str = "vm", within: tuple[str, ...] = ()
) -> AsyncIterator[Agent]:
    """An agent that runs in the background, until the context ends it by force; `within`: words before the command."""
    data, log = place / "data", place / "agent.log"
    await asyncio.to_thread(place.mkdir, exist_ok=True, parents=True)
    envoy = tool(ENVOY)
    command = ["run", "--hub", str(hub), "--zone", zone, "--address", address, "--data", str(data), *options]
    if token:
        command += ["--token", token]
    with log.open("ab") as file:
        process = await asyncio.create_subprocess_exec(
            *(*within, sys.executable, "-m", "edge_sidecar", *command, "--concurrency", "1"),
            stdout=file,
            stderr=file,
            env={**os.environ, "ENVOY": str(envoy.path)},
            cwd=place,
        )
    try:
        yield Agent(process, data, log)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _program(pid: str) -> bytes:
    """What a process was started as; nothing, if it has ended meanwhile."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().partition(b"\0")[0]
    except (FileNotFoundError, ProcessLookupError):
        return b""
