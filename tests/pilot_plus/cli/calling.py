"""The command as a process of its own, beside a hub on a real socket."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from tests.pilot_plus.servers.api.hub import Hub
from tests.pilot_plus.servers.api.serving import served


class Called(msgspec.Struct, frozen=True):
    """What came of a call."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def rows(self) -> list[list[str]]:
        """The cells of a table; columns are three spaces apart."""
        return [[cell.strip() for cell in line.split("   ") if cell.strip()] for line in self.out.splitlines()]


class Command:
    """`pilot-plus`, with the address of a hub in its environment."""

    def __init__(self, address: str) -> None:
        self.address = address

    async def __call__(self, *words: str, **environ: str) -> Called:
        process = await self.start(*words, **environ)
        async with asyncio.timeout(20):
            out, err = await process.communicate()
        return Called(process.returncode or 0, out.decode(), err.decode())

    async def start(self, *words: str, **environ: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "pilot_plus.cli",
            *words,
            env={**os.environ, "PILOT_PLUS_ADDR": self.address, **environ},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )


@asynccontextmanager
async def commanding(hub: Hub) -> AsyncIterator[Command]:
    """A command that speaks to a hub."""
    async with served(hub) as port:
        yield Command(f"http://127.0.0.1:{port}")
