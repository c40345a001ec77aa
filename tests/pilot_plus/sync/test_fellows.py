"""Fellows: several copies of a hub with one journal look after each registration together, and one holds it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from pilot_plus.catalog import Catalog, Holder
from pilot_plus.ports import Done
from pilot_plus.sync import Missing, Registrar
from pilot_plus.sync import registrar as module
from tests.pilot_plus.sync.hubs import Documents, Registries, native, until

MINE = native("orders", "a", namespace="shop", lease=2.0)


@pytest.fixture(autouse=True)
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK", 0.02)


class Copies:
    """Copies of a hub over the same registries, with one journal."""

    def __init__(self) -> None:
        self.registries = Registries("own", "zk")
        self.documents = Documents()
        self.numbers: set[int] = set()

    @asynccontextmanager
    async def copy(self, number: int) -> AsyncIterator[Registrar]:
        holder = Holder(Catalog(epoch="e"))
        made = Registrar(
            self.registries.opened, self.documents, holder, own="own", presence=_Presence(number, self.numbers)
        )
        self.numbers.add(number)
        try:
            async with asyncio.TaskGroup() as tasks:
                task = tasks.create_task(made.run())
                try:
                    yield made
                finally:
                    task.cancel()
        finally:
            self.numbers.discard(number)

    def is_there(self) -> bool:
        self.registries["zk"].expire()
        return bool(self.registries.held("zk"))


class _Presence:
    def __init__(self, number: int, numbers: set[int]) -> None:
        self.number = number
        self._numbers = numbers

    async def present(self) -> frozenset[int]:
        return frozenset(self._numbers)


async def beat_until(desk: Registrar, beats: int, copies: Copies) -> None:
    """Send heartbeats, a fifth of a lease apart; it must be there all the time."""
    done = 0
    while done < beats:
        assert await desk.renew("shop", "orders", "a") == Done("shop/orders/a")
        done += 1
        await until(lambda: not copies.documents.kinds.get("registration-wish"))
        assert copies.is_there()
        await asyncio.sleep(0.2)


async def test_a_heartbeat_may_come_to_any_copy():
    copies = Copies()
    async with copies.copy(1) as one, copies.copy(2) as other:
        await one.put(MINE, "zk", "")
        await until(lambda: ("shop", "orders", "a") in other._fellows.elsewhere)
        await beat_until(other, 10, copies)
        await until(lambda: not copies.is_there())  # nobody beats any more


async def test_a_copy_that_starts_takes_nothing_over_from_one_that_is_there():
    copies = Copies()
    async with copies.copy(1) as one:
        await one.put(MINE, "zk", "")
        async with copies.copy(2) as other:
            assert other.of("zk") == []
            await beat_until(one, 10, copies)  # longer than its TTL, and the second copy hears nothing


async def test_what_a_copy_held_that_is_gone_another_goes_on_with():
    copies = Copies()
    async with copies.copy(2) as other:
        async with copies.copy(1) as one:
            await one.put(MINE, "zk", "")
            await until(lambda: ("shop", "orders", "a") in other._fellows.elsewhere)
        await until(lambda: other.of("zk"))
        await beat_until(other, 10, copies)
        assert (await other.drop("shop", "orders", "a")) == Done("shop/orders/a")
        await until(lambda: not copies.is_there())


async def test_it_is_changed_and_goes_by_any_copy():
    copies = Copies()
    async with copies.copy(1) as one, copies.copy(2) as other:
        await one.put(MINE, "zk", "")
        await until(lambda: ("shop", "orders", "a") in other._fellows.elsewhere)
        assert await other.change("shop", "orders", "a", None, 50) == Done("shop/orders/a")
        await until(lambda: [one.weight for one in copies.registries.held("zk").values()] == [50])
        assert await other.drop("shop", "orders", "a") == Done("shop/orders/a")
        await until(lambda: not copies.is_there() and not other._fellows.elsewhere)
        assert isinstance(await other.renew("shop", "orders", "a"), Missing)
