"""Sync while a target is down, fails or has a defect: it delays itself only, and ends in step."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from pilot_plus.model import Instance
from pilot_plus.ports import Failed, Result, SourceLost
from pilot_plus.views.copies import RULE
from registries.memory import Memory
from tests.pilot_plus.sync.hubs import (
    Registries,
    configured,
    ids,
    native,
    rule,
    running,
    until,
    until_quiet,
)
from tests.pilot_plus.sync.test_safety import ORDERS, ZONES, Stripping


async def test_a_target_that_is_down_delays_only_itself_and_is_put_right_on_return():
    registries = Registries("zk", "consul", "etcd")
    zones = {**ZONES, "etcd": "dark"}
    rules = [ORDERS, rule("s", "zk", "etcd")]
    registries["zk"].write(native("orders", "a"), native("orders", "b"))
    async with running(configured(zones, rules), registries) as hub:
        await until_quiet(hub)
        registries["consul"].fail("down")
        await until(lambda: hub.holder.current.sources["consul"].is_stale)
        registries["zk"].write(native("orders", "c"))
        registries["zk"].remove("orders/a")
        registries["consul"].records.clear()
        await until(lambda: ids(registries.copies("etcd")) == {"b", "c"})
        assert hub.status("r").state == "waiting"
        registries["consul"].heal()
        await until(lambda: ids(registries.copies("consul")) == {"b", "c"})


async def test_an_emptied_target_is_filled_again():
    registries = Registries(*ZONES)
    registries["zk"].write(*(native("orders", f"k{n}") for n in range(10)))
    async with running(configured(ZONES, [ORDERS]), registries) as hub:
        await until_quiet(hub)
        registries["consul"].fail("emptied")
        registries["consul"].records.clear()
        registries["consul"].heal()
        await until(lambda: len(registries.copies("consul")) == 10)


# ------------------------------------------------------------------------------------------------ storms and failures


async def test_a_storm_writes_little_more_than_its_net_changes():
    registries = Registries(*ZONES)
    keys = [f"k{n}" for n in range(500)]
    registries["zk"].write(*(native(f"s{n % 50}", key) for n, key in enumerate(keys)))
    config = configured(ZONES, [rule("r", "zk", "consul", guard={"max_removal": 1})])
    draw = random.Random(7)
    async with running(config, registries) as hub:
        await until(lambda: len(registries.copies("consul")) == 500)
        await until_quiet(hub)
        before, changes = hub.writes, 0
        for start in range(0, 500, 25):
            for n in range(start, start + 25):
                registries["zk"].remove(f"s{n % 50}/{keys[n]}")
            for _ in range(draw.randrange(200)):
                await asyncio.sleep(0)
            for n in range(start, start + 25):
                registries["zk"].write(native(f"s{n % 50}", keys[n], weight=7))
            changes += 50
        await until(lambda: all(one.weight == 7 for one in registries.copies("consul").values()))
        await until_quiet(hub)
        assert len(registries.copies("consul")) == 500
        assert hub.writes - before <= 1.5 * changes


class Flaky:
    """A sink that fails now and then, in every way that it may."""

    def __init__(self, memory: Memory, draw: random.Random) -> None:
        self.watch, self.renew, self.claim, self.release = memory.watch, memory.renew, memory.claim, memory.release
        self._memory, self._draw = memory, draw

    async def put(self, instances: Sequence[Instance]) -> Sequence[Result]:
        self._fall()
        return [
            Failed("full") if self._draw.random() < 0.2 else (await self._memory.put([one]))[0] for one in instances
        ]

    async def drop(self, keys: Sequence[str]) -> Sequence[Result]:
        self._fall()
        return [Failed("slow") if self._draw.random() < 0.2 else self._memory._drop(key) for key in keys]

    def _fall(self) -> None:
        if self._draw.random() < 0.1:
            raise SourceLost("the connection broke")


@pytest.mark.parametrize("seed", range(3))
async def test_a_sink_that_fails_now_and_then_ends_in_step(seed: int):
    registries = Registries(*ZONES)
    draw = random.Random(seed)
    opened = registries.opened["consul"]

    @asynccontextmanager
    async def connect() -> AsyncIterator[Flaky]:
        async with opened() as memory:
            yield Flaky(memory, draw)

    registries.opened["consul"] = connect  # type: ignore[assignment]
    async with running(configured(ZONES, [ORDERS]), registries):
        for turn in range(6):
            for n in range(10):
                key = f"k{draw.randrange(30)}"
                if draw.random() < 0.3:
                    registries["zk"].remove(f"orders/{key}")
                else:
                    registries["zk"].write(native("orders", key, weight=10 * turn + n + 1))
            await asyncio.sleep(0.01)
        held = registries.held("zk")
        await until(
            lambda: (
                {(one.id, one.weight) for one in registries.copies("consul").values()}
                == {(one.id, one.weight) for one in held.values()}
            ),
            lambda: (len(registries.copies("consul")), len(held)),
        )


async def test_a_sink_with_a_defect_does_not_take_the_other_targets_down():
    registries = Registries("zk", "consul", "etcd")
    opened = registries.opened["consul"]

    class Broken(Stripping):
        async def put(self, instances: Sequence[Instance]) -> Sequence[Result]:
            raise RuntimeError("a defect")

    @asynccontextmanager
    async def connect() -> AsyncIterator[Broken]:
        async with opened() as memory:
            yield Broken(memory)

    registries.opened["consul"] = connect  # type: ignore[assignment]
    registries["zk"].write(native("orders", "a"))
    config = configured({**ZONES, "etcd": "dark"}, [ORDERS, rule("s", "zk", "etcd")])
    async with running(config, registries) as hub:
        await until(lambda: ids(registries.copies("etcd")) == {"a"})
        await until(lambda: "a defect" in (hub.status("r").error or ""))
        assert hub.status("s").state == "in_step"


async def test_a_sink_that_cannot_write_is_said():
    registries = Registries(*ZONES)

    class Deaf:
        def __init__(self, memory: Memory) -> None:
            self.watch = memory.watch

    opened = registries.opened["consul"]

    @asynccontextmanager
    async def connect() -> AsyncIterator[Deaf]:
        async with opened() as memory:
            yield Deaf(memory)

    registries.opened["consul"] = connect  # type: ignore[assignment]
    async with running(configured(ZONES, [ORDERS]), registries) as hub:
        await until(lambda: "its kind has no sink" in (hub.status("r").error or ""))


async def test_hostile_names_stay_apart():
    registries = Registries(*ZONES)
    hostile = ["../../etc", "a/b", "{namespace}", "%2e%2e", "x" * 400, "ümlaut", "a b"]
    registries["zk"].write(*(native(name, f"k{n}") for n, name in enumerate(hostile)))
    async with running(configured(ZONES, [ORDERS]), registries) as hub:
        await until_quiet(hub)
        written = {(one.name, one.id) for one in registries.copies("consul").values()}
        assert written == {(name, f"k{n}") for n, name in enumerate(hostile)}
        assert all(one.meta(RULE) == "east/r" for one in registries.copies("consul").values())
