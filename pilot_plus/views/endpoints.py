"""Endpoints: the instances of a service as callers may count them, where several records mean the same one.

Records of one service with equal address and port are one endpoint. It is shown by the record that can be trusted
most: one of a source that is in step before a stale or held one, an original before a copy, and then in the order in
which registries are preferred, and in which the configuration names them. Clusters need not share a network, so
addresses of different clusters are never the same.

    zk      10.1.0.7:20880   stale       ─┐
    consul  10.1.0.7:20880   copy of zk  ─┴─▶ one endpoint, shown by consul's record, recorded in consul and zk
    consul  10.1.0.8:20880               ───▶ another one
    zk      10.1.0.9:20880, 50051        ─┐
    zk      10.1.0.9:20880               ─┴─▶ one endpoint with both ports: Dubbo 3 registers in two layouts
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TypeAlias

import msgspec

from pilot_plus.catalog import Catalog, Entry, Place
from pilot_plus.catalog.naming import aliases_of
from pilot_plus.config import Config
from pilot_plus.model import Instance, shared_ports
from pilot_plus.views.preference import passed_over, place_in


class Home(msgspec.Struct, frozen=True, kw_only=True):
    """What the views need to know of our cluster's configuration."""

    cluster: str
    domain: str = "mesh"
    order: Mapping[str, int] = {}
    """The place of each registry in the configuration."""
    hold_for: Mapping[str, float] = {}
    """For how long each registry's guard holds (seconds)."""
    prefer: tuple[str, ...] = ()
    """Registries and peers in the order in which they are preferred; empty: all alike."""
    keeps_apart: bool = False
    """No two registries should hold one service (`conflicts: separate`)."""
    aliases: Mapping[str, str] = {}
    """Other names that the configuration gives to services, and the names that count."""
    called: Mapping[str, tuple[str, ...]] = {}
    """The same the other way round."""


def home_of(config: Config) -> Home:
    """Our cluster, as configured."""
    return Home(
        cluster=config.cluster,
        domain=config.mesh.domain,
        order={registry.name: index for index, registry in enumerate(config.registries)},
        hold_for={registry.name: registry.guard.hold_for for registry in config.registries},
        prefer=config.preferred,
        keeps_apart=config.names.conflicts == "separate",
        aliases=aliases_of(config),
        called={alias.name: alias.services for alias in config.names.aliases},
    )


class Endpoint(msgspec.Struct, frozen=True):
    """One endpoint: the record that shows it, and the other records of it."""

    place: Place
    instance: Instance
    """The record's, with every port that any of the records names."""
    is_stale: bool
    """Its source is not in step, nobody has vouched for it yet, or a guard holds it."""
    is_held: bool
    others: tuple[Place, ...] = ()
    """In falling order of trust."""
    is_last: bool = False
    """It is to be used after all others: its source is not in step, a guard holds it, or its cluster says it is stale.

    That nobody has vouched for it since we started is no reason: after a restart the first one to be heard would get
    the traffic of all.
    """


Where: TypeAlias = tuple[str, str]
"""Cluster and address."""


def endpoints_of(catalog: Catalog, entry: Entry, home: Home) -> list[Endpoint]:
    """The endpoints of a service that count now, in an order that stays."""
    groups = grouped(entry)
    if home.prefer:
        over = passed_over(catalog, home.cluster, home.prefer, entry, groups)
        groups = [places for places in groups if places[0] not in over]
    found = [endpoint_of(catalog, entry, home, places) for places in groups]
    found.sort(key=lambda endpoint: (endpoint.instance.id, endpoint.place))
    return found


def grouped(entry: Entry) -> list[list[Place]]:
    """The records of a service, those of one endpoint together."""
    at: dict[Where, list[Place]] = {}
    for place, instance in entry.instances.items():
        at.setdefault(where_of(instance), []).append(place)
    return [group for places in at.values() for group in apart(entry.instances, places)]


def where_of(instance: Instance) -> Where:
    """What records have in common that may mean one endpoint."""
    return _cluster_of(instance.zone), instance.address


@lru_cache(maxsize=4096)
def _cluster_of(zone: str) -> str:
    """One text for all who keep it."""
    return zone.partition("/")[0]


def apart(instances: Mapping[Place, Instance], places: list[Place]) -> Iterable[list[Place]]:
    """Records of one address by their ports: one that names only some of another's ports is the same endpoint."""
    if len(places) < 2:
        return (places,) if places else ()
    alike: dict[frozenset[int], list[Place]] = {}
    for place in places:
        alike.setdefault(frozenset(port.number for port in instances[place].ports), []).append(place)
    wide = sorted((numbers for numbers in alike if len(numbers) > 1), key=lambda each: (-len(each), sorted(each)))
    having: dict[int, list[frozenset[int]]] = {}
    for numbers in (*wide, *(numbers for numbers in alike if len(numbers) == 1)):
        known = having.get(min(numbers, default=0), ())
        if holder := next((each for each in known if numbers <= each), None):
            alike[holder] += alike.pop(numbers)
        elif len(numbers) > 1:
            for number in numbers:
                having.setdefault(number, []).append(numbers)
    return alike.values()


def endpoint_of(catalog: Catalog, entry: Entry, home: Home, places: list[Place]) -> Endpoint:
    """The endpoint that these records mean; sorts them by falling trust."""
    if len(places) > 1:
        places.sort(key=lambda place: _distrust(catalog, home, place, entry.instances[place]))
    first = places[0]
    is_held = catalog.is_held(first)
    is_stale = is_held or catalog.is_stale(first)
    is_lost = catalog.sources[first[0]].is_stale
    is_last = is_held or is_lost or (is_stale and entry.instances[first].origin.cluster != home.cluster)
    return Endpoint(first, _with_all_ports(entry, places), is_stale, is_held, tuple(places[1:]), is_last)


def _with_all_ports(entry: Entry, places: Sequence[Place]) -> Instance:
    """The first record's instance, with the ports that only the others name."""
    first = entry.instances[places[0]]
    if len(places) == 1:
        return first
    ports = {port.name: port for port in first.ports}
    numbers = {port.number for port in first.ports}
    for place in places[1:]:
        other = entry.instances[place].ports
        if other is not first.ports:
            ports = {port.name: port for port in other if port.number not in numbers} | ports
    if len(ports) == len(first.ports):
        return first
    return msgspec.structs.replace(first, ports=shared_ports(tuple(ports.values())))


def _distrust(
    catalog: Catalog, home: Home, place: Place, instance: Instance
) -> tuple[bool, bool, bool, int, int, int, Place]:
    """What makes a record worse than another of the same endpoint."""
    registry = place[0]
    is_stale = catalog.is_stale(place)
    return (
        is_stale or catalog.is_held(place),
        is_stale,
        not is_original(home, registry, instance),
        place_in(home.prefer, registry),
        len(instance.origin.hops),
        home.order.get(registry, len(home.order)),
        place,
    )


def is_original(home: Home, registry: str, instance: Instance) -> bool:
    """Whether a record that was read from `registry` is the truth itself, and no copy. A peer owns its cluster's."""
    origin = instance.origin
    return origin.registry == registry if origin.cluster == home.cluster else origin.cluster == registry


def registries_of(entry: Entry) -> tuple[str, ...]:
    """The registries that hold any record of a service."""
    return tuple(sorted({place[0] for records in (entry.instances, entry.records) for place in records}))
