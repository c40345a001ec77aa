"""A hub that claims a lock again and again, in a process of its own that may be killed or stopped.

`python -m tests.contract.holder MODULE SETTINGS NAME OWNER TTL` says on each line whose the lock is by its last claim.
"""

import asyncio
import importlib
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from pilot_plus.ports import SourceLost
from tests.contract.mirror import PATIENCE


async def hold(module: str, settings: str, name: str, owner: str, ttl: float) -> None:
    adapter: Any = importlib.import_module(module)
    decoded = msgspec.json.decode(settings, type=adapter.Settings)
    while True:
        try:
            async with adapter.connect(decoded) as registry:
                while True:
                    print(await registry.claim(name, owner, ttl), flush=True)
                    await asyncio.sleep(ttl / 3)
        except SourceLost as lost:
            print(f"lost: {lost}", file=sys.stderr, flush=True)
            await asyncio.sleep(0.1)


class Holder:
    """Such a process, as a test sees it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def says(self, owner: str) -> None:
        """Wait until it says that the lock is somebody's."""
        assert self._process.stdout
        async with asyncio.timeout(PATIENCE):
            while line := await self._process.stdout.readline():
                if line.decode().strip() == owner:
                    return
        raise AssertionError(f"it ended before it said {owner}")

    def kill(self) -> None:
        self._process.kill()

    def stop(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._process.send_signal(signal.SIGCONT)


@asynccontextmanager
async def holding(settings: msgspec.Struct, name: str, owner: str, ttl: float) -> AsyncIterator[Holder]:
    """A process that claims a lock until the block ends."""
    module = ".".join(type(settings).__module__.split(".")[:2])
    text = msgspec.json.encode(settings).decode()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.contract.holder", module, text, name, owner, str(ttl)),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield Holder(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


if __name__ == "__main__":
    _, chosen, text, lock, me, seconds = sys.argv
    asyncio.run(hold(chosen, text, lock, me, float(seconds)))
