"""The reference implementation as a backend: what it costs nothing to break."""

from contextlib import AbstractAsyncContextManager
from itertools import count

import msgspec

from pilot_plus.model import Instance, Port, instance
from pilot_plus.ports import Source
from registries.memory import STORES, Settings, Store, connect
from tests.contract.backend import Sample

_names = count()


class MemoryBackend:
    """A store of its own. `Skipped` is not in its power: it holds instances, so garbage can't get in."""

    holds_metadata = True
    holds_health = True
    weight_step = 1
    namespace = "legacy"

    def __init__(self) -> None:
        self.settings = Settings(store=f"contract-{next(_names)}")
        self.store = STORES.setdefault(self.settings.store, Store())

    def connect(self) -> AbstractAsyncContextManager[Source]:
        return connect(self.settings)

    async def write(self, *samples: Sample) -> None:
        self.store.write(*(_instance(sample) for sample in samples))

    async def remove(self, *samples: Sample) -> None:
        self.store.remove(*(_instance(sample).key for sample in samples))

    async def truth(self) -> set[Sample]:
        records = [one.record for one in self.store.records.values() if isinstance(one.record, Instance)]
        return {
            Sample(one.name, one.address, one.ports[0].number, one.weight, one.metadata, one.health) for one in records
        }

    async def write_garbage(self) -> str | None:
        return None

    async def remove_garbage(self) -> None:
        raise AssertionError("there is none")

    def kill(self) -> None:
        self.store.fail("killed")

    async def start_again(self) -> None:
        self.store.heal()

    async def restart_empty(self) -> None:
        self.store.fail("emptied")
        self.store.records.clear()
        self.store.heal()

    def pause(self) -> None:
        self.store.fail("paused")

    def resume(self) -> None:
        self.store.heal()


def _instance(sample: Sample) -> Instance:
    made = instance(
        key=f"{sample.service}/{sample.address}",
        namespace="legacy",
        name=sample.service,
        id=sample.address,
        address=sample.address,
        ports=[Port("http", sample.port, "http")],
        weight=sample.weight,
        metadata=sample.metadata,
    )
    return msgspec.structs.replace(made, health=sample.health)
