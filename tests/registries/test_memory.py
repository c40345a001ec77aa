"""The reference implementation: leases end when they are over, and a lost lock lets nothing pass."""

import pytest

from pilot_plus.model import Instance, Port, instance
from pilot_plus.ports import Done, Failed
from registries import memory
from registries.memory import Memory, Store


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, in the test's hand."""
    held = [100.0]
    monkeypatch.setattr(memory, "monotonic", lambda: held[0])
    return held


def orders(name: str, lease: float = 10.0) -> Instance:
    return instance(key="", namespace="shop", name="orders", id=name, address="h", ports=[Port("", 1)], lease=lease)


async def test_what_is_over_goes_and_what_was_renewed_or_lasts_stays(now: list[float]):
    store = Store()
    registry = Memory(store)
    await registry.put([orders("a"), orders("b", 20.0), orders("c", 0.0)])
    assert store.expire() == 110.0
    now[0] = 105.0
    await registry.renew(["shop/orders/a"])
    now[0] = 110.0
    assert store.expire() == 115.0
    assert len(store.records) == 3
    now[0] = 115.0
    assert store.expire() == 120.0
    assert set(store.records) == {"shop/orders/b", "shop/orders/c"}
    now[0] = 120.0
    assert store.expire() is None
    assert set(store.records) == {"shop/orders/c"}


async def test_a_shorter_lease_ends_sooner_also_after_its_record_was_removed(now: list[float]):
    store = Store()
    registry = Memory(store)
    for lease in (10.0, 5.0, 10.0, 4.0):
        await registry.put([orders("a", lease)])
        await registry.drop(["shop/orders/a"])
    await registry.put([orders("a", 5.0)])
    now[0] = 104.0
    assert store.expire() == 105.0
    assert store.records
    now[0] = 105.0
    store.expire()
    assert not store.records
    now[0] = 110.0
    assert store.expire() is None


async def test_who_has_lost_his_lock_writes_nothing_until_it_is_his_again(now: list[float]):
    store = Store()
    one, two = Memory(store), Memory(store)
    assert await one.claim("sync", "one", 5.0) == "one"
    now[0] = 105.0
    assert await two.claim("sync", "two", 5.0) == "two"
    lost = Failed("the lock is somebody else's now")
    assert await one.put([orders("a")]) == [lost]
    assert await one.claim("sync", "one", 5.0) == "two"
    assert await one.drop(["shop/orders/a"]) == [lost]
    await two.release("sync", "two")
    assert await one.claim("sync", "one", 5.0) == "one"
    assert await one.put([orders("a")]) == [Done("shop/orders/a")]
