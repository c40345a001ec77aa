"""Locks over every kind of registry that can hold one: of several hubs with the same rules one writes."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from pilot_plus.ports import Locking
from tests.contract.backends import backend as make_backend
from tests.contract.backends import chosen
from tests.contract.holder import holding
from tests.contract.mirror import PATIENCE

TTL = 2.0
UNLOCKED = ("peer",)
SERVED = [kind for kind in chosen() if kind not in (*UNLOCKED, "memory")]
"""Those that another process can reach."""


@pytest.fixture(scope="module", params=[kind for kind in chosen() if kind not in UNLOCKED])
def backend(request: pytest.FixtureRequest) -> Iterator[Any]:
    with make_backend(request.param) as made:
        yield made


@pytest.fixture(scope="module", params=SERVED)
def server(request: pytest.FixtureRequest) -> Iterator[Any]:
    with make_backend(request.param) as made:
        yield made


@asynccontextmanager
async def hub(backend: Any) -> AsyncIterator[Locking]:
    async with backend.connect() as registry:
        assert isinstance(registry, Locking)
        yield registry


async def claimed(registry: Locking, name: str, owner: str, whose: str) -> None:
    """Claim, as hubs do, until the lock is somebody's."""
    async with asyncio.timeout(PATIENCE):
        while await registry.claim(name, owner, TTL) != whose:  # noqa: ASYNC110 - nobody tells; hubs ask too
            await asyncio.sleep(TTL / 20)


async def test_of_two_that_claim_one_wins_and_both_say_which(backend: Any):
    async with hub(backend) as one, hub(backend) as two:
        said = await asyncio.gather(one.claim("both", "one", TTL), two.claim("both", "two", TTL))
        assert said[0] == said[1]
        assert said[0] in ("one", "two")


async def test_who_has_a_lock_keeps_it_by_claiming_it_again(backend: Any):
    async with hub(backend) as one, hub(backend) as two:
        for _ in range(3):
            assert await one.claim("again", "one", TTL) == "one"
            assert await two.claim("again", "two", TTL) == "one"


async def test_locks_of_other_names_are_other_locks(backend: Any):
    async with hub(backend) as one, hub(backend) as two:
        assert await one.claim("sync-east", "one", TTL) == "one"
        assert await two.claim("sync-west/../x", "two", TTL) == "two"


async def test_who_gives_a_lock_up_leaves_it_to_the_next_at_once(backend: Any):
    async with hub(backend) as one, hub(backend) as two:
        assert await one.claim("given", "one", 600) == "one"
        assert await two.claim("given", "two", 600) == "one"
        await one.release("given", "one")
        assert await two.claim("given", "two", 600) == "two"
        assert await one.claim("given", "one", 600) == "two"


async def test_nobody_gives_up_the_lock_of_another(backend: Any):
    async with hub(backend) as one, hub(backend) as two:
        assert await one.claim("kept", "one", 600) == "one"
        await two.release("kept", "two")
        assert await two.claim("kept", "two", 600) == "one"


async def test_when_the_holder_is_killed_the_next_one_takes_over(server: Any):
    async with holding(server.settings, "killed", "one", TTL) as one, hub(server) as two:
        await one.says("one")
        assert await two.claim("killed", "two", TTL) == "one"
        one.kill()
        await claimed(two, "killed", "two", "two")


async def test_a_holder_that_stood_still_learns_that_it_has_lost_its_lock(server: Any):
    async with holding(server.settings, "stalled", "one", TTL) as one, hub(server) as two:
        await one.says("one")
        one.stop()
        await claimed(two, "stalled", "two", "two")
        one.go_on()
        await one.says("two")
