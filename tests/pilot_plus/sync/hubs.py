"""Hubs in this process, over stores in memory: real ingest, real catalogs, real sync; nothing else."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import count
from typing import Any
from zlib import crc32

import msgspec
from immutables import Map

from pilot_plus.catalog import Catalog, Holder, Source
from pilot_plus.catalog.admission import admission_of
from pilot_plus.catalog.fold import Rules
from pilot_plus.catalog.guard import Limits
from pilot_plus.config import Config, parse
from pilot_plus.ingest import Ingest, Watched
from pilot_plus.model import Instance, Port, instance
from pilot_plus.sync import Sync
from pilot_plus.views.sync import RuleStatus
from registries.memory import STORES, Memory, Settings, Store, connect

PATIENCE = 60.0
"""Seconds that a test waits at the most for something that must come."""
_names = count()


def native(
    service: str, key: str, address: str = "", port: int = 8080, metadata: Mapping[str, str] | None = None, **more: Any
) -> Instance:
    """A record as its registry's own users write it."""
    made = instance(
        key=f"{service}/{key}",
        name=service,
        id=key,
        address=address or _address(f"{service}/{key}"),
        ports=[Port("http", port, "http")],
        metadata=metadata or {},
    )
    return msgspec.structs.replace(made, **more)


def _address(text: str) -> str:
    number = crc32(text.encode())
    return f"10.{number % 251}.{number // 251 % 251}.{number // 63001 % 251 + 1}"


class Registries:
    """Stores with names of their own in this test, and how each is opened."""

    def __init__(self, *names: str) -> None:
        prefix = f"sync-{next(_names)}"
        self.stores: dict[str, Store] = {}
        self.opened: dict[str, Callable[[], AbstractAsyncContextManager[Memory]]] = {}
        for name in names:
            settings = Settings(store=f"{prefix}-{name}")
            self.stores[name] = STORES.setdefault(settings.store, Store())
            self.opened[name] = lambda settings=settings: connect(settings)  # type: ignore[misc]

    def __getitem__(self, name: str) -> Store:
        return self.stores[name]

    def held(self, name: str) -> dict[str, Instance]:
        """What a store holds: by key."""
        records = self.stores[name].records.items()
        return {key: one.record for key, one in records if isinstance(one.record, Instance)}

    def copies(self, name: str) -> dict[str, Instance]:
        """What a store holds that a hub wrote."""
        records = self.stores[name].records.items()
        return {key: one.record for key, one in records if one.is_ours and isinstance(one.record, Instance)}


class Documents:
    """The journal's documents, in memory; they outlive a hub as a journal does."""

    def __init__(self) -> None:
        self.kinds: dict[str, dict[str, bytes]] = {}
        self.broken = ""
        """Why nothing can be written."""
        self._revisions: dict[tuple[str, str], int] = {}
        self._revision = 0

    async def list(self, kind: str) -> Sequence[Any]:
        return [_Document(key, payload) for key, payload in self.kinds.get(kind, {}).items()]

    async def write(self, kind: str, puts: Mapping[str, bytes], deletes: Sequence[str] = ()) -> None:
        await asyncio.sleep(0)
        if self.broken:
            raise OSError(self.broken)
        documents = self.kinds.setdefault(kind, {})
        documents.update(puts)
        self._revision += 1
        self._revisions.update(((kind, key), self._revision) for key in puts)
        for key in deletes:
            documents.pop(key, None)

    async def changed(self, kind: str, since: int) -> Sequence[Any]:
        return [one for one in await self.list(kind) if self._revisions[kind, one.key] > since]

    async def revision(self) -> int:
        return self._revision


class _Document(msgspec.Struct, frozen=True):
    key: str
    payload: bytes


class Hub:
    """A hub: its catalog and its sync."""

    def __init__(self, config: Config, registries: Registries, documents: Documents, owner: str, guard: bool) -> None:
        self.config = config
        zones = {registry.name: config.zone_of(registry) for registry in config.registries}
        sources = {name: Source(name=name, kind="memory", zone=zone) for name, zone in zones.items()}
        self.holder = Holder(Catalog(epoch=owner, sources=Map(sources)))
        limits = Limits(max_removal=0.5, window=30, hold_for=600, min=5)
        watched = {
            registry.name: Watched(
                registry.name,
                registries.opened[registry.name],
                Rules(admission_of(config, registry), limits if guard else None),
            )
            for registry in config.registries
        }
        self.ingest = Ingest(self.holder, watched)
        self.sync = Sync(config, self.holder, registries.opened, documents, owner=owner)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.ingest.run())
            tasks.create_task(self.sync.run())

    def status(self, rule: str) -> RuleStatus:
        (found,) = [one for one in self.sync.status().sync if one.name == rule]
        return found

    @property
    def writes(self) -> int:
        return sum(one.writes for one in self.sync._reconcilers.values())

    @property
    def is_quiet(self) -> bool:
        """Everything that is known is written: nothing is to be looked at."""
        return all(one.is_quiet for one in self.sync._reconcilers.values())


def configured(
    places: Mapping[str, str], rules: Sequence[Mapping[str, object]] = (), cluster: str = "east", **sections: object
) -> Config:
    """Registries with their zones, each zone reaching all others; and sync rules."""
    names = list(dict.fromkeys(places.values()))
    whole: dict[str, Any] = {
        "cluster": cluster,
        "zones": [{"name": name, "reaches": [other for other in names if other != name]} for name in names],
        "registries": [{"name": name, "kind": "memory", "zone": zone} for name, zone in places.items()],
        "sync": list(rules),
        **sections,
    }
    return parse(msgspec.json.encode(whole).decode(), {})


def rule(name: str, from_: str | Sequence[str], to: str, **more: object) -> dict[str, object]:
    registries = [from_] if isinstance(from_, str) else list(from_)
    selection = {"registries": registries, **more.pop("select", {})}  # type: ignore[dict-item]
    return {"name": name, "from": selection, "to": to, **more}


@asynccontextmanager
async def running(
    config: Config,
    registries: Registries,
    documents: Documents | None = None,
    owner: str = "hub-1",
    guard: bool = False,
) -> AsyncIterator[Hub]:
    """A hub that runs as long as the block does."""
    hub = Hub(config, registries, documents or Documents(), owner, guard)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(hub.run())
        try:
            yield hub
        finally:
            task.cancel()


async def until(is_so: Callable[[], object], what: object = "", patience: float = PATIENCE) -> None:
    """Wait until something is so, with a bound."""
    try:
        async with asyncio.timeout(patience):
            while not is_so():  # noqa: ASYNC110 - what is waited for is in a store, which tells nobody
                await asyncio.sleep(0.002)
    except TimeoutError:
        raise AssertionError(f"waited {patience} s for {what() if callable(what) else what or is_so}") from None


async def until_quiet(*hubs: Hub) -> None:
    """Wait until nothing happens any more: no hub has anything to look at, for many rounds of the loop."""
    async with asyncio.timeout(PATIENCE):
        rounds = 0
        while rounds < 20:
            before = [(hub.holder.current.number, hub.writes) for hub in hubs]
            await asyncio.sleep(0.002)
            after = [(hub.holder.current.number, hub.writes) for hub in hubs]
            rounds = rounds + 1 if before == after and all(hub.is_quiet for hub in hubs) else 0


def ids(found: Iterable[str]) -> set[str]:
    """The last part of keys."""
    return {key.rpartition("/")[2] for key in found}


def note(seen: list[set[str]], now: set[str]) -> bool:
    """Remember what is there in one round of waiting."""
    seen.append(now)
    return True


def edited(store: Store, key: str, **fields: Any) -> None:
    """Somebody edits a record by hand, whoever wrote it."""
    there = store.records[key]
    assert isinstance(there.record, Instance)
    store.keep(key, msgspec.structs.replace(there, record=msgspec.structs.replace(there.record, **fields)))
