"""A hub in memory, as the API sees it: a holder that a test publishes into, and a desk that writes into it."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager

import msgspec
from immutables import Map

from pilot_plus.catalog import Catalog, Holder
from pilot_plus.catalog import Source as Standing
from pilot_plus.catalog.admission import admission_of
from pilot_plus.catalog.fold import Folded, Rules, fold, lose, release
from pilot_plus.catalog.guard import Limits
from pilot_plus.config import Config, parse
from pilot_plus.model import Drop, Health, Instance, Port, Put, Update, instance
from pilot_plus.ports import Done, Failed, Refused, Source
from pilot_plus.servers.api import Api, Conflict, Context, Outcome, Placed, Unknown, api_of
from pilot_plus.sync import Sync
from tests.pilot_plus.sync.hubs import Documents

CONFIG = """
cluster: east
listen: {http: "127.0.0.1:0"}
zones: [{name: legacy}, {name: mesh, meshed: true, reaches: [legacy]}, {name: far}]
registries:
  - {name: own, kind: database, zone: mesh}
  - {name: zk, kind: zookeeper, zone: legacy}
exports: [{services: ["legacy/orders"], from: [legacy], to: [mesh]}]
"""


class Hub:
    """A catalog that changes when the test says so, with a clock that stands until it is moved."""

    def __init__(self, text: str = CONFIG, *, clock: Callable[[], float] | None = None, insecure: bool = False) -> None:
        self.config: Config = parse(text, {})
        self.time = 0.0
        sources = {
            registry.name: Standing(name=registry.name, kind=registry.kind, zone=self.config.zone_of(registry))
            for registry in self.config.registries
        }
        self.holder = Holder(Catalog(epoch="e", sources=Map(sources)))
        self.desk = BookDesk(self)
        self.context = Context(self.config, self.holder, self.desk, clock=clock or (lambda: self.time))
        self.api: Api = api_of(self.config, self.context, insecure=insecure)

    @property
    def catalog(self) -> Catalog:
        return self.holder.current

    def rules(self, name: str) -> Rules:
        section = next(registry for registry in self.config.registries if registry.name == name)
        guard = None if section.kind == "database" else Limits(max_removal=0.5, window=30, hold_for=600, min=5)
        return Rules(admission_of(self.config, section), guard)

    def say(self, name: str, *updates: Update) -> None:
        self.publish(fold(self.catalog, name, updates, self.rules(name), self.time))

    def lose(self, name: str, error: str = "connection refused") -> None:
        self.publish(lose(self.catalog, name, error, self.time))

    def publish(self, folded: Folded) -> None:
        self.holder.publish(folded.catalog, folded.touched)


def copy(key: str, service: str = "orders", **fields: object) -> Instance:
    made = instance(key=key, name=service, id=key, address="10.1.0.7", ports=[Port("http", 8080, "http")])
    return msgspec.structs.replace(made, **{"address": f"10.1.{sum(key.encode()) % 200}.7", **fields})


def never_open() -> AbstractAsyncContextManager[Source]:
    raise AssertionError("nothing is run here")


class BookDesk:
    """A desk over the registry `own`, whose database is the catalog itself. `down`: why it can't be written."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self.down = ""
        self.documents = Documents()
        self.sync = Sync(
            hub.config, hub.holder, dict.fromkeys(hub.catalog.sources, never_open), self.documents, owner="hub-1"
        )
        self.renewed: list[str] = []
        self.places: dict[tuple[str, str], Sequence[str]] = {}

    async def put(self, instance: Instance, registry: str | None, layout: str) -> Placed | Outcome:
        name = registry or "own"
        if self.down:
            return Failed(self.down)
        if name != "own":
            return Refused(f"registry {name!r} can't be written")
        if layout:
            return Refused("our own registry has no layouts")
        there = self._there(instance.namespace, instance.name, instance.id)
        if there and there.meta("foreign"):
            return Conflict(f"{there.key} is somebody else's record")
        self._hub.say("own", Put(instance))
        return Placed(name, instance.key)

    async def drop(self, namespace: str, name: str, id_: str, registry: str | None) -> Outcome:
        del registry
        if (outcome := self._not_ours(namespace, name, id_)) is not None:
            return outcome
        self._hub.say("own", Drop(f"{namespace}/{name}/{id_}", explicit=True))
        return Done(f"{namespace}/{name}/{id_}")

    async def renew(self, namespace: str, name: str, id_: str) -> Outcome:
        if (outcome := self._not_ours(namespace, name, id_)) is not None:
            return outcome
        self.renewed.append(id_)
        return Done(f"{namespace}/{name}/{id_}")

    async def change(self, namespace: str, name: str, id_: str, health: Health | None, weight: int | None) -> Outcome:
        if (outcome := self._not_ours(namespace, name, id_)) is not None:
            return outcome
        there = self._there(namespace, name, id_)
        assert there is not None
        changed = msgspec.structs.replace(
            there, health=health or there.health, weight=there.weight if weight is None else weight
        )
        self._hub.say("own", Put(changed))
        return Done(there.key)

    async def locate(self, registry: str, keys: Sequence[str]) -> Mapping[str, Sequence[str]]:
        return {key: place for key in keys if (place := self.places.get((registry, key)))}

    async def release(self, registry: str) -> int:
        held = len(self._hub.catalog.sources[registry].held)
        self._hub.publish(release(self._hub.catalog, registry))
        return held

    def _not_ours(self, namespace: str, name: str, id_: str) -> Outcome | None:
        if self.down:
            return Failed(self.down)
        if self._there(namespace, name, id_) is None:
            return Unknown(f"{namespace}/{name} {id_} is not registered here")
        return None

    def _there(self, namespace: str, name: str, id_: str) -> Instance | None:
        return self._hub.catalog.sources["own"].instances.get(f"{namespace}/{name}/{id_}")
