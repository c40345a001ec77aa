"""Hubs with a wide area between them: late, lossy and narrow, broken, and passable in one direction only."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from devservers import wan
from tests.feature.hub import PATIENCE, Hub

pytestmark = pytest.mark.skipif(not wan.can_be_made(), reason="this machine lets us make no network namespace")

EVERYTHING = [{"services": ["*/*"]}]
PORT = 15020
ASK = """
import json, sys, urllib.request
url, questions = sys.argv[1], json.load(sys.stdin)
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
for path, body in questions:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url + "/api/v1" + path, data, {"content-type": "application/json"})
    answer = opener.open(request, timeout=20).read()
print(answer.decode())
"""


class Far:
    """A hub in a namespace of its own, asked from inside."""

    def __init__(self, made: Hub) -> None:
        self.hub = made

    async def ask(self, *questions: tuple[str, Any]) -> Any:
        """Paths and bodies, one after the other; the last answer, None if there is none."""
        command = (*self.hub.within, sys.executable, "-c", ASK, self.hub.url)
        process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, stderr=PIPE)
        out, _ = await process.communicate(json.dumps(questions).encode())
        return json.loads(out) if out else None

    async def register(self, count: int, **more: Any) -> None:
        body = {"namespace": "shop", "ttl": "1h", "ports": [{"name": "http", "number": 80, "protocol": "http"}], **more}
        ids = [
            {"name": f"s-{n % 7}", "id": f"i-{n}", "address": f"10.3.{n // 250}.{n % 250 + 1}"} for n in range(count)
        ]
        await self.ask(*(("/instances", {**body, **each}) for each in ids))

    async def peer(self) -> dict[str, Any]:
        """How it stands with the one peer that it has."""
        answer = await self.ask(("/peers", None))
        return answer["peers"][0] if answer else {}

    async def until(self, is_so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        try:
            async with asyncio.timeout(2 * PATIENCE):
                while not (found and is_so(found)):
                    found = await self.peer()
        except TimeoutError:
            raise AssertionError(f"{found}\n{self.hub.said[-3000:]}") from None
        return found


@asynccontextmanager
async def far_apart(folder: Path, line: wan.Wan) -> AsyncIterator[tuple[Far, Far]]:
    """East and west, which have met."""
    async with AsyncExitStack() as stack:
        hubs = []
        for name, other in (("east", "west"), ("west", "east")):
            entry = {"name": other, "address": f"{line.addresses[other]}:{PORT}", "export": EVERYTHING}
            made = Hub(
                folder / name,
                cluster=name,
                listen={"peer": f"{line.addresses[name]}:{PORT}"},
                zones=[{"name": "vm"}],
                registries=[{"name": "own", "kind": "database", "zone": "vm"}],
                peers=[{**entry, "import": EVERYTHING}],
            )
            made.within = line.within(name)
            made.start()
            stack.callback(made.close)
            hubs.append(Far(made))
        east, west = hubs
        for one in hubs:
            await one.until(bool)
        token = (await west.ask(("/peers/east/token", {})))["token"]
        assert await east.ask(("/peers/west/join", {"token": token}))
        yield east, west


async def test_hubs_stay_in_step_over_a_line_that_is_late_lossy_narrow_broken_and_of_one_direction(tmp_path: Path):
    with wan.wide_area("east", "west") as line, line.carrying():
        line.delay, line.loss, line.rate = 0.025, 0.05, 200_000
        async with far_apart(tmp_path, line) as (east, west):
            await west.register(200)
            await east.until(lambda one: (one["state"], one["instances"]) == ("synced", 200))
            await west.until(lambda one: one["state"] == "synced" and one["reader"]["lag"] == 0)
            assert line.lost

            line.loss = 1.0
            await east.until(lambda one: one["state"] == "lost")
            await west.register(203, weight=7)
            line.one_way_only, line.loss = "east", 0.05  # nobody can begin a connection to east any more
            await east.until(lambda one: (one["state"], one["instances"]) == ("synced", 203))
            weights = [
                instance["weight"]
                for number in range(7)
                for instance in (await east.ask((f"/services/shop/s-{number}", None)))["instances"]
            ]
            assert weights == [7] * 203
            assert (await west.peer())["state"] == "lost"
