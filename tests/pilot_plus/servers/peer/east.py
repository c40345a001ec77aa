"""The hub of cluster east without its network: a catalog that changes, and what its peers may read."""

from collections.abc import Sequence

import msgspec

from pilot_plus.catalog import Holder
from pilot_plus.catalog.admission import Admission
from pilot_plus.catalog.fold import Rules, fold, lose
from pilot_plus.model import Drop, Instance, Put
from pilot_plus.servers.peer.feed import Feed
from pilot_plus.views.export import Terms, edges, exported
from pilot_plus.wire.peer import Exported
from pilot_plus.wire.selections import Selection
from tests.pilot_plus.views.world import World

EVERYTHING = (Selection(services=("*/*",)),)
PEERS = [{"name": name, "address": "h:1"} for name in ("west", "north")]


class East:
    """A catalog, and a feed for west."""

    def __init__(self, **terms: object) -> None:
        self.world = World({}, peers=PEERS)
        self.holder = Holder(self.world.catalog)
        made = Terms(
            home=self.world.topology.home, reader="west", peers=frozenset({"west", "north"}), selections=EVERYTHING
        )
        self.feed = Feed(self.holder, msgspec.structs.replace(made, **terms))

    def put(self, source: str, *records: Instance) -> None:
        self._fold(source, [Put(record) for record in records])

    def drop(self, source: str, *keys: str) -> None:
        self._fold(source, [Drop(key) for key in keys])

    def lose(self, source: str) -> None:
        step = lose(self.holder.current, source, "down", 0.0)
        self.holder.publish(step.catalog, frozenset(step.catalog.entries))

    def _fold(self, source: str, updates: Sequence[Put | Drop]) -> None:
        reserved = source == "pilot-plus"
        zone = {"zk": "east/legacy", "own": "east/mesh"}.get(source, "")
        admission = Admission(cluster="east", registry=source, zone=zone, namespace="n", writes_reserved=reserved)
        step = fold(self.holder.current, source, updates, Rules(admission), 0.0)
        self.holder.publish(step.catalog, step.touched)
        for service in step.touched:
            self.feed.update(service)

    def expected(self) -> dict[str, Exported]:
        catalog, terms = self.holder.current, self.feed.terms
        found: dict[str, Exported] = {}
        for entry in catalog.entries.values():
            found |= exported(catalog, entry, terms)
        zones = {one.record.zone for one in found.values() if isinstance(one.record, Instance)}
        return {**found, **edges(catalog, terms, frozenset(zones))}
