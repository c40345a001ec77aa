"""A writer killed with SIGKILL at any moment leaves one of the two worlds between which it was, and never a part."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from pilot_plus.journal import Journal

SIZE = 1500
WRITER = f"""
import asyncio, sys
from pilot_plus.journal import Changes, Journal
from tests.pilot_plus.journal.test_journal import order
async def main():
    async with Journal.open(sys.argv[1]) as journal:
        for world in range(1, 100_000):
            await journal.write([Changes("zk", [order(n, world) for n in range({SIZE})], whole=True),
                                 Changes("small", [order(n, world) for n in range(20)])])
            print(world, flush=True)
asyncio.run(main())
"""


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.live)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/journal.db"
    return str(request.getfixturevalue("postgres").fresh_database())


def start(program: str, url: str) -> "subprocess.Popen[str]":
    return subprocess.Popen([sys.executable, "-c", program, url], stdout=subprocess.PIPE, text=True)


async def test_killed_at_any_moment_it_leaves_a_whole_world(url: str):
    for moment in range(8):
        with start(WRITER, url) as writer:
            assert writer.stdout is not None
            await asyncio.to_thread(writer.stdout.readline)
            await asyncio.sleep(moment * 0.013)  # somewhere in the middle of the next world
            writer.kill()
            worlds = ["1", *writer.stdout.read().split()]
        written = int(worlds[-1])
        async with Journal.open(url) as journal:
            known = await journal.last_known()
        for registry, size in (("zk", SIZE), ("small", 20)):
            weights = {one.weight for one in known[registry].instances}
            assert len(known[registry].instances) == size
            assert len(weights) == 1
            assert weights <= {written, written + 1}, registry


async def test_killed_in_the_middle_of_its_first_list_it_knows_nothing_rather_than_a_part(url: str):
    first = WRITER.replace("whole=True", "whole=False")
    for moment in range(4):
        with start(first, url) as writer:
            await asyncio.sleep(0.4 + moment * 0.03)
            writer.kill()
        async with Journal.open(url) as journal:
            known = await journal.last_known()
        assert "zk" not in known or len(known["zk"].instances) == SIZE
