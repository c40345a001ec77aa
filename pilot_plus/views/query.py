"""Query: what the catalog answers to people and programs that ask over HTTP."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
from immutables import Map

from pilot_plus.catalog import Catalog, Entry
from pilot_plus.model import Health, Instance, Origin, short_zone, whole_zone
from pilot_plus.views import shapes
from pilot_plus.views.conditions import conditions
from pilot_plus.views.edges import EDGES
from pilot_plus.views.endpoints import Endpoint, Home, endpoints_of, registries_of
from pilot_plus.views.horizon import Seen
from pilot_plus.views.host import host_of
from pilot_plus.views.names import further_names
from pilot_plus.views.overview import age, seconds_between

BREATH: Final = 200
"""Services that are looked at between two pauses of `matching`."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which services are asked for; what is empty does not matter."""

    namespace: str = ""
    name: str = ""
    registry: str = ""
    zone: str = ""
    """Bare for a zone of our cluster, or whole."""
    q: str = ""
    """A part of one of its names, in any case."""
    health: Health | None = None
    """At least one endpoint is so."""


def service(catalog: Catalog, home: Home, entry: Entry, now: float) -> shapes.ServiceShape:
    """One service, at `now` (monotonic seconds)."""
    return shapes.ServiceShape(
        namespace=entry.namespace,
        name=entry.name,
        host=host_of(entry.namespace, entry.name, home.domain),
        conditions=conditions(catalog, home, entry),
        registries=registries_of(entry),
        instances=tuple(
            _instance(catalog, home, entry, endpoint, now) for endpoint in endpoints_of(catalog, entry, home)
        ),
        aliases=further_names(home, entry),
    )


def summary(catalog: Catalog, home: Home, entry: Entry) -> shapes.ServiceSummary:
    """One service in a list."""
    endpoints = endpoints_of(catalog, entry, home)
    zones = {endpoint.instance.zone for endpoint in endpoints}
    return shapes.ServiceSummary(
        namespace=entry.namespace,
        name=entry.name,
        host=host_of(entry.namespace, entry.name, home.domain),
        registries=registries_of(entry),
        zones=tuple(sorted(short_zone(home.cluster, zone) for zone in zones)),
        instances=shapes.Counts(
            total=len(endpoints),
            passing=sum(endpoint.instance.health is Health.PASSING for endpoint in endpoints),
        ),
        conditions=conditions(catalog, home, entry),
        aliases=further_names(home, entry),
    )


def seen_service(catalog: Catalog, home: Home, entry: Entry, seen: Sequence[Seen], now: float) -> shapes.SeenService:
    """One service as a viewer sees it."""
    return shapes.SeenService(
        namespace=entry.namespace,
        name=entry.name,
        host=host_of(entry.namespace, entry.name, home.domain),
        conditions=conditions(catalog, home, entry),
        registries=registries_of(entry),
        instances=tuple(_seen(catalog, home, entry, one, now) for one in seen),
        aliases=further_names(home, entry),
    )


def seen_summary(catalog: Catalog, home: Home, entry: Entry, seen: Sequence[Seen]) -> shapes.ServiceSummary:
    """One service in a list, with what a viewer sees of it counted."""
    return msgspec.structs.replace(
        summary(catalog, home, entry),
        zones=tuple(sorted({short_zone(home.cluster, one.zone) for one in seen})),
        instances=shapes.Counts(total=len(seen), passing=sum(one.health is Health.PASSING for one in seen)),
    )


def listed(catalog: Catalog, home: Home, entry: Entry, wanted: Wanted, now: float) -> list[shapes.ListedInstance]:
    """The endpoints of a service in a list over services, those that are wanted."""
    found = []
    for endpoint in endpoints_of(catalog, entry, home):
        if not _is_wanted_endpoint(endpoint, home, wanted):
            continue
        shape = _instance(catalog, home, entry, endpoint, now)
        found.append(
            shapes.ListedInstance(namespace=entry.namespace, service=entry.name, **msgspec.structs.asdict(shape))
        )
    return found


def matching(catalog: Catalog, home: Home, wanted: Wanted, after: str = "") -> Iterator[Entry | None]:
    """The wanted services behind `after`, in order; a None now and then is the moment to let others run."""
    names = _sorted_names(catalog.entries)
    start = f"{wanted.namespace}/" if wanted.namespace else ""
    first = bisect_right(names, max(after, start))
    for index in range(first, len(names)):
        if start and not names[index].startswith(start):
            return
        if (index - first) % BREATH == BREATH - 1:
            yield None
        entry = catalog.entries[names[index]]
        if is_wanted(catalog, home, entry, wanted):
            yield entry


def is_wanted(catalog: Catalog, home: Home, entry: Entry, wanted: Wanted) -> bool:
    """Whether a service is asked for."""
    if wanted.namespace and entry.namespace != wanted.namespace:
        return False
    if wanted.name and entry.name != wanted.name:
        return False
    if wanted.q and not _is_called(home, entry, wanted.q.casefold()):
        return False
    if wanted.registry and wanted.registry not in registries_of(entry):
        return False
    if not (wanted.zone or wanted.health):
        return True
    endpoints = endpoints_of(catalog, entry, home)
    return any(_is_wanted_endpoint(endpoint, home, wanted) for endpoint in endpoints)


def _is_called(home: Home, entry: Entry, part: str) -> bool:
    return part in entry.service.casefold() or any(part in name.casefold() for name in further_names(home, entry))


def _is_wanted_endpoint(endpoint: Endpoint, home: Home, wanted: Wanted) -> bool:
    if wanted.zone and endpoint.instance.zone != whole_zone(home.cluster, wanted.zone):
        return False
    if wanted.registry and wanted.registry not in (endpoint.place[0], *(place[0] for place in endpoint.others)):
        return False
    return wanted.health is None or endpoint.instance.health is wanted.health


# ------------------------------------------------------------------------------------------------ parts


def _instance(catalog: Catalog, home: Home, entry: Entry, endpoint: Endpoint, now: float) -> shapes.InstanceShape:
    instance = endpoint.instance
    return shapes.InstanceShape(
        id=instance.id,
        address=instance.address,
        ports=instance.ports,
        health=instance.health,
        weight=instance.weight,
        zone=short_zone(home.cluster, instance.zone),
        locality=instance.locality,
        metadata=dict(instance.metadata),
        stale=endpoint.is_stale,
        age_s=_endpoint_age(catalog, home, endpoint, now) if endpoint.is_stale else 0.0,
        origin=instance.origin,
        held=endpoint.is_held,
        registry=endpoint.place[0],
        key=endpoint.place[1],
        layout=instance.layout,
        registries=tuple(dict.fromkeys((endpoint.place[0], *(place[0] for place in endpoint.others)))),
        also=_other_origins(entry, endpoint, instance) if endpoint.others else (),
    )


def _seen(catalog: Catalog, home: Home, entry: Entry, seen: Seen, now: float) -> shapes.SeenInstance:
    """An endpoint in a viewer's eyes; for an edge, the record of the edge stands in for an instance's."""
    records = entry if seen.instance else catalog.entries[EDGES]
    record = records.instances[seen.place]
    endpoint = Endpoint(seen.place, record, seen.is_stale, seen.is_held, seen.others)
    shape = _instance(catalog, home, records, endpoint, now)
    as_seen: dict[str, object] = {
        **msgspec.structs.asdict(shape),
        "address": seen.address,
        "ports": seen.ports,
        "health": seen.health,
        "weight": seen.weight,
        "priority": seen.priority,
        "mtls": seen.is_mtls,
        "edge": seen.instance is None,
        "sni": {port.name: seen.sni(port.name) for port in seen.ports} if seen.sni_host else {},
        "behind": len(seen.behind),
    }
    if seen.instance is None:
        as_seen["metadata"] = {}
    return shapes.SeenInstance(**as_seen)  # type: ignore[arg-type] # the fields of the shape above


def _other_origins(entry: Entry, endpoint: Endpoint, shown: Instance) -> tuple[Origin, ...]:
    origins = dict.fromkeys(entry.instances[place].origin for place in endpoint.others)
    return tuple(origin for origin in origins if origin != shown.origin)


def _endpoint_age(catalog: Catalog, home: Home, endpoint: Endpoint, now: float) -> float:
    registry, key = endpoint.place
    source = catalog.sources[registry]
    if source.is_stale:
        return age(source, now)
    if key in source.held:
        return seconds_between(source.held[key].until - home.hold_for.get(registry, 0.0), now)
    return seconds_between(source.since, now)


class _SortedNames:
    """The names of the services of one state of the catalog, in order: sorted once, and used by whoever asks."""

    def __init__(self) -> None:
        self._entries: Map[str, Entry] | None = None
        self._names: Sequence[str] = ()

    def __call__(self, entries: Map[str, Entry]) -> Sequence[str]:
        if entries is not self._entries:
            self._entries, self._names = entries, sorted(entries)
        return self._names


_sorted_names: Final = _SortedNames()
