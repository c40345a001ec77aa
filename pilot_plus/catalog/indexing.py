"""Indexing: brings both indexes of the catalog to what one source's records are now, sharing all that stays the same.

    a change of zk             index by source   index by service
    a is legacy/orders         zk: a             legacy/orders: (zk, a)
    a is shop/orders           zk: a, anew       legacy/orders: gone; shop/orders: (zk, a)

What a change costs depends on how many places it names, not on how much there is.
"""

from collections.abc import Callable, Collection, Generator, Iterable, Mapping
from typing import Final, TypeVar

import msgspec
from immutables import Map, MapMutation

from pilot_plus.catalog.catalog import MOST_TOLD, Catalog, Entry, Place, Source
from pilot_plus.model import Instance, Service

PAUSE_EVERY: Final = 500
"""Records between two pauses."""

Record = Instance | Service
R = TypeVar("R", Instance, Service)


class Folded(msgspec.Struct, frozen=True):
    """The next catalog, and the services that are not the same as before."""

    catalog: Catalog
    touched: frozenset[str]


def indexed(
    catalog: Catalog, source: Source, changes: Mapping[str, Record | None], moved: Iterable[str] = ()
) -> Generator[None, None, Folded]:
    """Bring both indexes to the new state of each key of a source, pausing now and then.

    `moved`: keys whose records are held now, or free again: they look otherwise, though they are the same.
    """
    touching = _Touching(catalog)
    with source.instances.mutate() as instances, source.services.mutate() as services:
        for index, (key, record) in enumerate(changes.items()):
            place = (source.name, key)
            touching.change(instances, place, instance_or_none(record), _instances_of)
            if source.services or isinstance(record, Service):
                touching.change(services, place, record if isinstance(record, Service) else None, _records_of)
            if index % PAUSE_EVERY == PAUSE_EVERY - 1:
                yield
        instances_now, services_now = instances.finish(), services.finish()
    for key in moved:
        if key in instances_now:
            touching.look_at(instances_now[key].service, (source.name, key))
    source = msgspec.structs.replace(source, instances=instances_now, services=services_now)
    touched, number, aliases = touching.services, catalog.number + 1, catalog.aliases
    with catalog.entries.mutate() as entries:
        for index, (service, change) in enumerate(touched.items()):
            change.finish(service, entries, number)
            aliases = change.called(service, aliases)
            if index % PAUSE_EVERY == PAUSE_EVERY - 1:
                yield
        entries_now = entries.finish()
    catalog = catalog if aliases is catalog.aliases else msgspec.structs.replace(catalog, aliases=aliases)
    return Folded(next_catalog(catalog, source, entries_now if touched else None), frozenset(touched))


def instance_or_none(record: Record | None) -> Instance | None:
    """The record, if it is an instance."""
    return record if isinstance(record, Instance) else None


class _Touching:
    """The services that a batch touches."""

    def __init__(self, catalog: Catalog) -> None:
        self._entries = catalog.entries
        self.services: dict[str, _Touched] = {}

    def change(
        self,
        index: MapMutation[str, R],
        place: Place,
        new: R | None,
        part: "Callable[[_Touched], MapMutation[Place, R]]",
    ) -> None:
        """Change one key in the index by source, and in the services that it leaves and enters."""
        old = index.get(place[1])
        if old == new:
            return
        if old is not None and (new is None or new.service != old.service):
            part(self.look_at(old.service, place)).pop(place, None)
        if new is None:
            index.pop(place[1], None)
            return
        index[place[1]] = new
        part(self.look_at(new.service, place))[place] = new

    def look_at(self, service: str, place: Place) -> "_Touched":
        """Note that a record of a service is not as it was."""
        if service not in self.services:
            self.services[service] = _Touched(self._entries.get(service))
        self.services[service].places.add(place)
        return self.services[service]


class _Touched:
    """A service's entry while a batch changes it."""

    def __init__(self, entry: Entry | None) -> None:
        self._entry = entry
        self.places: set[Place] = set()
        self.instances: MapMutation[Place, Instance] = (entry.instances if entry else Map()).mutate()
        self.records: MapMutation[Place, Service] = (entry.records if entry else Map()).mutate()
        self._before = self._after = entry.records if entry else Map()

    def finish(self, service: str, entries: MapMutation[str, Entry], number: int) -> None:
        """Put the entry back; without any record the service is gone."""
        instances, records = self.instances.finish(), self.records.finish()
        self._after = records
        if not instances and not records:
            entries.pop(service, None)
            return
        namespace, _, name = service.partition("/")
        entry = Entry(namespace=namespace, name=name, instances=instances, records=records)
        entries[service] = told(self._entry, entry, self.places, number)

    def called(self, service: str, aliases: Map[str, tuple[str, ...]]) -> Map[str, tuple[str, ...]]:
        """The further names of all services, in step with what the records of this one say now."""
        if self._before == self._after:
            return aliases
        given = {alias for record in self._after.values() for alias in record.aliases}
        taken_back = {alias for record in self._before.values() for alias in record.aliases} - given
        for alias in given:
            aliases = aliases.set(alias, tuple(sorted({*aliases.get(alias, ()), service})))
        for alias in taken_back:
            left = tuple(other for other in aliases.get(alias, ()) if other != service)
            aliases = aliases.set(alias, left) if left else aliases.delete(alias)
        return aliases


def told(before: Entry | None, entry: Entry, places: Collection[Place], number: int) -> Entry:
    """The entry, with what has changed in it since the one before, as far as that is told."""
    latest: tuple[tuple[int, tuple[Place, ...]], ...] = ()
    untold = number
    if before is not None and len(places) <= MOST_TOLD:
        latest, untold = (*before.latest, (number, tuple(places))), before.untold
        while sum(len(each) for _, each in latest) > MOST_TOLD:
            (untold, _), *rest = latest
            latest = tuple(rest)
    return msgspec.structs.replace(entry, changed=number, latest=latest, untold=untold)


def _instances_of(touched: _Touched) -> MapMutation[Place, Instance]:
    return touched.instances


def _records_of(touched: _Touched) -> MapMutation[Place, Service]:
    return touched.records


def next_catalog(catalog: Catalog, source: Source, entries: Map[str, Entry] | None = None) -> Catalog:
    """The catalog with a source's new state. That it was heard again is no new revision; anything else is."""
    before = catalog.sources[source.name]
    same = entries is None and _shown(before) == _shown(source)
    return msgspec.structs.replace(
        catalog,
        number=catalog.number if same else catalog.number + 1,
        sources=catalog.sources.set(source.name, source),
        entries=catalog.entries if entries is None else entries,
    )


def _shown(source: Source) -> tuple[object, ...]:
    return source.standing, source.error, id(source.skipped), source.skipped_beyond, id(source.held)
