"""The Envoys of an agent, where none can start: it ends all the same when it is told to."""

import asyncio
import shutil
from pathlib import Path

from edge_sidecar.envoy.envoys import Envoys, Plan


def envoys_of(program: str, folder: Path, crashes: asyncio.Queue[int]) -> Envoys:
    (folder / "run").mkdir()
    plan = Plan(
        program=Path(shutil.which(program) or program),
        data=folder,
        sockets=folder,
        node="vm/one",
        zone="vm",
        drain_time=1,
        concurrency=1,
        base_id=1,
    )
    return Envoys(plan, changed=lambda: None, took_over=lambda: None, crashed=crashes.put_nowait)


async def test_it_ends_between_two_tries(tmp_path: Path):
    crashes: asyncio.Queue[int] = asyncio.Queue()
    envoys = envoys_of("false", tmp_path, crashes)
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        tasks.create_task(envoys.run())
        while await crashes.get() < 3:
            pass
        assert "Envoy refuses" in envoys.trouble
        envoys.stop()


async def test_it_ends_before_the_first_try(tmp_path: Path):
    envoys = envoys_of("false", tmp_path, asyncio.Queue())
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(envoys.run())
        tasks.create_task(_stopping(envoys))
        await running


async def _stopping(envoys: Envoys) -> None:
    """In the turn in which the first one is launched."""
    envoys.stop()
