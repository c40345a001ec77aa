"""A process: one Envoy on a leash. The kernel kills it when the agent dies, however that dies."""

import asyncio
import json
import re
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process, create_subprocess_exec
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from pilot_plus.leash import leashed

VALIDATE_WITHIN: Final = 30.0
"""Seconds."""
END_WITHIN: Final = 5.0
"""Seconds that Envoy gets to end when it is asked."""


class Refused(Exception):  # noqa: N818 - it says what is wrong, like every name of ours
    """Envoy says that it can't run with this bootstrap."""


async def version_of(program: Path) -> str:
    """The program's version, such as `1.40.0`; empty if it doesn't say.

    Raises:
        OSError: it can't be run.
    """
    process = await create_subprocess_exec(str(program), "--version", stdin=DEVNULL, stdout=PIPE)
    said, _ = await process.communicate()
    found = re.search(rb"/(\d+\.\d+\.\d+[^/]*)/", said)
    return found[1].decode() if found else ""


async def validate(program: Path, folder: Path, bootstrap: Mapping[str, Any], number: int) -> Path:
    """Write a bootstrap, and let Envoy say whether it can run with it; where it was written.

    Raises:
        Refused: it can't.
        OSError: it can't be written, or the program not run.
    """
    place = folder / "run" / f"envoy-{number}.json"
    place.write_text(json.dumps(bootstrap, indent=1))
    command = [str(program), "--mode", "validate", "-c", str(place), "--disable-hot-restart", "--log-level", "error"]
    process = await create_subprocess_exec(*command, cwd=folder, stdin=DEVNULL, stdout=PIPE, stderr=PIPE)
    try:
        async with asyncio.timeout(VALIDATE_WITHIN):
            said, complained = await process.communicate()
    except TimeoutError as error:
        raise Refused(f"Envoy did not validate {place} within {VALIDATE_WITHIN:.0f} s") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        lines = (said + complained).decode(errors="replace").strip().splitlines()
        raise Refused(f"Envoy refuses {place}: {lines[-1][:500] if lines else 'it said nothing'}")
    return place


@asynccontextmanager
async def running(program: Path, folder: Path, bootstrap: Path, options: Mapping[str, str]) -> AsyncIterator[Process]:
    """An Envoy in the agent's process group, until the context ends.

    Raises:
        OSError: it can't be started.
    """
    flags = [part for name, value in options.items() for part in (f"--{name}", value)]
    command = [str(program), "-c", str(bootstrap), "--disable-hot-restart", *flags]
    process = await create_subprocess_exec(*leashed(*command), cwd=folder, stdin=DEVNULL, stdout=DEVNULL)
    try:
        yield process
    finally:
        await end(process)


async def end(process: Process) -> None:
    """Ask it to end, and after a while make it."""
    if process.returncode is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(END_WITHIN):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
