"""The carriage: what the edges of our cluster carry, as the views need to know it.

    edge ─ acknowledges `mesh|legacy/orders|http` ─▶ carriage ─▶ Carrying ─▶ horizons show the edge for legacy/orders
    catalog ─ vm may see legacy/orders, but can't dial it ─▶ a plain port ─▶ journal ─▶ Carrying ─▶ edges open it

Both are in the journal: a hub that starts must not take an edge out of a view, or move a port, because it is new.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from itertools import islice
from time import monotonic
from typing import Final, Protocol

import msgspec

from pilot_plus.catalog import Holder
from pilot_plus.config import Config
from pilot_plus.journal import Conflict
from pilot_plus.journal.documents import ABSENT, Document
from pilot_plus.model import Zone, whole_zone
from pilot_plus.servers.join.ports import Edges as Roll
from pilot_plus.views.edges import EDGES, Carrying, edges_of
from pilot_plus.views.plain_ports import Numbers, PlainPorts, wanted
from pilot_plus.views.topology import topology_of
from pilot_plus.wire.discovery import MESH, parse_carried
from pilot_plus.wire.edge import Edge, Kind

log = logging.getLogger(__name__)

CARRIED: Final = "edge-carries"
PORTS: Final = "plain-ports"
"""Kinds of documents in the journal: by `ZONE/NAME` what an edge carries, by zone the numbers."""
SAVED_WITHIN: Final = 0.5
"""Seconds."""
AT_ONCE: Final = 64
"""Services that are looked at again before anything else has its turn."""
RETRY: Final = 1.0
"""Seconds before the journal is tried again."""

Touch = Callable[[frozenset[str]], Awaitable[None]]
Changed = Callable[[frozenset[str]], object]
"""Told which services are not carried as they were."""


class Documents(Protocol):
    """The journal's documents."""

    async def list(self, kind: str) -> Iterable[Document]:
        """All documents of a kind."""
        ...

    async def put(self, kind: str, key: str, payload: bytes, *, expected: int | None = None) -> Document:
        """Write one; `Conflict` if `expected` is not its revision."""
        ...

    async def get(self, kind: str, key: str) -> Document | None:
        """One document."""
        ...

    async def write(self, kind: str, puts: Mapping[str, bytes], deletes: Sequence[str]) -> None:
        """Write and remove many."""
        ...


class _Carries(msgspec.Struct, frozen=True):
    """What one edge has acknowledged."""

    mesh: frozenset[str] = frozenset()
    plain: frozenset[str] = frozenset()


_NOTHING: Final = _Carries()


class Carriage:
    """What the edges carry; in the way of reports to the roll (`servers.join.ports.Edges`)."""

    def __init__(self, config: Config, holder: Holder, documents: Documents, roll: Roll) -> None:
        """Open it with `load`, and let `run` run as long as it is used."""
        self.carrying = Carrying()
        """The same object as long as nothing has changed."""
        self._cluster = config.cluster
        self._holder = holder
        self._documents = documents
        self._roll = roll
        self._topology = topology_of(config)
        first, last = config.edges.plain_ports.split("-")
        self._range = int(first), int(last)
        self._listeners: list[Changed] = []
        self._by_edge: dict[str, _Carries] = {}
        self._read: dict[str, object] = {}
        """The reports from which that was read."""
        self._unsaved: set[str] = set()
        self._to_save = asyncio.Event()
        self._untouched: set[str] = set()
        self._to_touch = asyncio.Event()
        self._ports: dict[str, PlainPorts] = {}
        self._revisions: dict[str, int] = {}
        self._resurvey = asyncio.Event()

    def __repr__(self) -> str:
        return f"<Carriage of {len(self._by_edge)} edges and {len(self._ports)} zones>"

    def current(self) -> Carrying:
        """What the edges carry now."""
        return self.carrying

    async def load(self) -> None:
        """Begin with what the journal last knew.

        Raises:
            OSError: the journal can't be read.
        """
        for document in await self._documents.list(CARRIED):
            self._by_edge[document.key] = msgspec.json.decode(document.payload, type=_Carries)
        for document in await self._documents.list(PORTS):
            self._take(document.key, document)
        self._recount()

    def listen(self, listener: Changed) -> None:
        """Tell somebody of every change, a part at a time where it is large."""
        self._listeners.append(listener)

    def reload(self, config: Config) -> None:
        """Go on with other zones and exports."""
        self._topology = topology_of(config)
        self._resurvey.set()

    async def run(self, touch: Touch) -> None:
        """Run until cancelled; `touch` lets everybody who follows the catalog look at services again."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._save())
            tasks.create_task(self._survey())
            while True:
                await self._to_touch.wait()
                some = frozenset(islice(self._untouched, AT_ONCE))
                self._untouched -= some
                if not self._untouched:
                    self._to_touch.clear()
                for listener in self._listeners:
                    listener(some)
                await touch(some)
                await asyncio.sleep(0)

    # ------------------------------------------------------------------------------------------ what is acknowledged

    async def put(self, edge: Edge) -> None:
        """An edge is there, or has reported something new."""
        if not edge.has_reported:
            return  # it carries what it did, and is where it was, until it says otherwise
        before = self._by_edge.get(edge.key, _NOTHING)
        if self._read.get(edge.key) is not edge.acknowledged:
            self._read[edge.key] = edge.acknowledged
            self._by_edge[edge.key] = _carries(edge)
        after = self._by_edge.setdefault(edge.key, _NOTHING)
        await self._roll.put(edge)
        self._tell(edge.key, (before.mesh ^ after.mesh) | (before.plain ^ after.plain))

    async def drop(self, key: str) -> None:
        """An edge is gone."""
        before = self._by_edge.pop(key, _NOTHING)
        self._read.pop(key, None)
        await self._roll.drop(key)
        self._tell(key, before.mesh | before.plain)

    async def lose(self, key: str) -> None:
        """Nothing was heard of an edge for too long. What it carries it carries again when it comes back."""
        await self._roll.lose(key)

    def _tell(self, key: str, services: frozenset[str]) -> None:
        if services:
            self._unsaved.add(key)
            self._to_save.set()
            self._publish(services)

    def _publish(self, services: frozenset[str]) -> None:
        self._recount()
        self._untouched |= services
        self._to_touch.set()

    def _recount(self) -> None:
        whole = {key: whole_zone(self._cluster, f"{self._cluster}/{key}") for key in self._by_edge}
        self.carrying = Carrying(
            mesh={whole[key]: carries.mesh for key, carries in self._by_edge.items()},
            plain={whole[key]: carries.plain for key, carries in self._by_edge.items()},
            plain_ports={
                (zone, service): ports
                for zone, plain_ports in self._ports.items()
                for service, ports in plain_ports.numbers.items()
            },
        )

    async def _save(self) -> None:
        while True:
            await self._to_save.wait()
            self._to_save.clear()
            keys, self._unsaved = self._unsaved, set()
            puts = {key: msgspec.json.encode(self._by_edge[key]) for key in keys if key in self._by_edge}
            try:
                await self._documents.write(CARRIED, puts, [key for key in keys if key not in puts])
            except OSError as error:
                log.warning("what edges carry can't be kept in the journal: %s", error)
                self._unsaved |= keys
                self._to_save.set()
                await asyncio.sleep(RETRY)
            await asyncio.sleep(SAVED_WITHIN)

    # ------------------------------------------------------------------------------------------ plain ports

    async def _survey(self) -> None:
        """Give plain ports to what needs them, as the catalog and what other edges carry change."""
        with self._holder.following() as follower:
            touched = frozenset(self._holder.current.entries)
            while True:
                if EDGES in touched or self._resurvey.is_set():
                    self._resurvey.clear()
                    touched = frozenset(self._holder.current.entries)
                waiting = iter(touched)
                while some := list(islice(waiting, AT_ONCE)):
                    await self._give(some)
                    await asyncio.sleep(0)
                touched = await follower.changes()

    async def _give(self, services: Sequence[str]) -> None:
        catalog, topology = self._holder.current, self._topology
        edges = edges_of(catalog, topology.home, self.carrying)
        for zone in edges.of_zone:
            if zone not in topology.zones:
                continue
            needs = {service: wanted(catalog, topology, edges, zone, service) for service in services}
            while new := self._allot(topology.zones[zone], needs):
                if await self._keep(zone):
                    self._publish(new)
                    break

    def _allot(self, zone: Zone, needs: Mapping[str, frozenset[str]]) -> frozenset[str]:
        """The services that have got a number just now."""
        ports = self._ports.setdefault(zone.name, PlainPorts(*self._range, {}, monotonic()))
        new = set()
        for service, names in needs.items():
            try:
                if ports.want(service, names, monotonic()):
                    new.add(service)
            except LookupError as error:
                log.error("%s has no plain port in %s: %s", service, zone.name, error)
        return frozenset(new)

    async def _keep(self, zone: str) -> bool:
        """Write a zone's numbers before anybody is told; False: another copy of the hub was first, begin with its."""
        payload = msgspec.json.encode(self._ports[zone].numbers)
        while True:
            try:
                document = await self._documents.put(PORTS, zone, payload, expected=self._revisions.get(zone, ABSENT))
            except Conflict:
                self._take(zone, await self._documents.get(PORTS, zone))
                self._publish(frozenset(self._ports[zone].numbers))
                return False
            except OSError as error:
                log.warning("plain ports can't be kept in the journal: %s", error)
                await asyncio.sleep(RETRY)
            else:
                self._revisions[zone] = document.revision
                return True

    def _take(self, zone: str, document: Document | None) -> None:
        numbers = msgspec.json.decode(document.payload, type=dict[str, dict[str, int]]) if document else _NONE
        self._ports[zone] = PlainPorts(*self._range, numbers, monotonic())
        self._revisions[zone] = document.revision if document else ABSENT


_NONE: Final[Numbers] = {}


def _carries(edge: Edge) -> _Carries:
    mesh: set[str] = set()
    plain: set[str] = set()
    for kind, name in edge.acknowledged:
        if kind is Kind.LISTENER and (carried := parse_carried(name)) is not None:
            (mesh if carried.side == MESH else plain).add(carried.service)
    return _Carries(frozenset(mesh), frozenset(plain))
