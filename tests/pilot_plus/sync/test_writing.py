"""Writing: batches are as large as the registry is quick."""

from collections.abc import Sequence

from pilot_plus.catalog.ours import Ours
from pilot_plus.model import Instance
from pilot_plus.ports import Done, Result
from pilot_plus.sync.index import Index
from pilot_plus.sync.settling import Settling
from pilot_plus.sync.writing import BATCH, FEWEST, FIRST, Writing
from pilot_plus.views.copies import Copy
from pilot_plus.views.plan import Put
from tests.pilot_plus.sync.hubs import Documents, native


class Slow:
    """A sink that takes its time for each write, on a clock of its own."""

    def __init__(self, each: float) -> None:
        self.each = each
        self.now = 0.0

    def clock(self) -> float:
        return self.now

    async def put(self, instances: Sequence[Instance]) -> Sequence[Result]:
        self.now += len(instances) * self.each
        return [Done(one.key) for one in instances]

    async def drop(self, keys: Sequence[str]) -> Sequence[Result]:
        return [Done(key) for key in keys]


def puts(count: int) -> list[Put]:
    records = [native("orders", f"k{n}") for n in range(count)]
    return [
        Put(copy=Copy(rule="r", service="legacy/orders", unit="vm/orders", record=one, expected=one, is_foreseen=True))
        for one in records
    ]


async def test_a_slow_registry_gets_small_batches_and_large_ones_again_when_it_is_quick():
    sink = Slow(each=0.05)
    writing = Writing("consul", sink, Index(Documents()), Settling(), Ours(), sink.clock)
    assert writing.size == FIRST
    longest = []
    for _ in range(8):
        before = sink.now
        await writing.put(puts(writing.size))
        longest.append(sink.now - before)
    assert max(longest[4:]) < 4
    assert writing.size >= FEWEST
    sink.each = 0.0
    for _ in range(8):
        await writing.put(puts(writing.size))
    assert writing.size == BATCH
