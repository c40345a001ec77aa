"""Explain: for every record of a service, the way that it came, what becomes of it, and why."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final
from urllib.parse import unquote

import msgspec

from pilot_plus.catalog import Catalog, Entry, Place
from pilot_plus.catalog.admission import Admission
from pilot_plus.model import Instance, Viewer, short_zone, split_service
from pilot_plus.views.conditions import conditions
from pilot_plus.views.endpoints import Endpoint, Home, endpoints_of, registries_of
from pilot_plus.views.explanation import Explanation, SkippedRecord, StepShape, VerdictShape
from pilot_plus.views.horizon import Verdict
from pilot_plus.views.host import host_of
from pilot_plus.views.names import further_names
from pilot_plus.views.passage import passage
from pilot_plus.views.preference import PASSED_OVER

MOST_SKIPPED: Final = 50
"""Skipped records that are shown with a service."""


class Ground(msgspec.Struct, frozen=True, kw_only=True):
    """What is explained from, at `now` (monotonic seconds)."""

    catalog: Catalog
    home: Home
    admissions: Mapping[str, Admission]
    """By registry; a peer's records need none."""
    now: float
    places: Mapping[Place, Sequence[str]] = {}
    """Where records lie whose keys don't say it, as far as their registries were asked."""


def in_eyes(ground: Ground, entry: Entry, found: Iterable[Verdict]) -> Iterator[VerdictShape]:
    """Each record in a viewer's eyes."""
    telling = _Telling(ground, entry)
    for one in found:
        conflict = PASSED_OVER if one.why.endswith(PASSED_OVER) else ""
        shape = telling.shape(one.place, one.addresses, one.why, conflict)
        horizon = StepShape(step="horizon", says=one.why)
        yield msgspec.structs.replace(shape, seen=one.is_seen, steps=(*shape.steps, horizon))


def in_catalog(ground: Ground, entry: Entry) -> Iterator[VerdictShape]:
    """Each record in the catalog itself: it shows an endpoint, is another record of one, or is passed over."""
    telling, left = _Telling(ground, entry), set(entry.instances)
    for endpoint in endpoints_of(ground.catalog, entry, ground.home):
        for place in (endpoint.place, *endpoint.others):
            left.discard(place)
            yield _counted(telling, ground, endpoint, place)
    for place in sorted(left):
        yield telling.shape(place, (), f"{_state_of(ground.catalog, place)}; {PASSED_OVER}", conflict=PASSED_OVER)


def skipped_only(ground: Ground, service: str) -> Explanation | None:
    """Of a service that nothing usable is known of: records that would perhaps be it; None if there are none either."""
    namespace, name = split_service(service)
    skipped = _skipped_like(ground.catalog, [service])
    if not skipped:
        return None
    return Explanation(
        namespace=namespace,
        name=name,
        host=host_of(namespace, name, ground.home.domain),
        zone=None,
        speaks=None,
        conditions=(),
        instances=(),
        skipped=skipped,
    )


def explanation(
    ground: Ground, entry: Entry, found: Iterable[VerdictShape], viewer: Viewer | None = None
) -> Explanation:
    """What is said of a service's records, with what else is to be said of the service."""
    aliases = further_names(ground.home, entry)
    natives = {one.native for one in (*entry.instances.values(), *entry.records.values()) if one.native}
    return Explanation(
        namespace=entry.namespace,
        name=entry.name,
        host=host_of(entry.namespace, entry.name, ground.home.domain),
        zone=short_zone(ground.home.cluster, viewer.zone) if viewer else None,
        speaks=viewer.speaks if viewer else None,
        conditions=conditions(ground.catalog, ground.home, entry),
        instances=tuple(found),
        aliases=aliases,
        skipped=_skipped_like(ground.catalog, [entry.service, *natives, *aliases]),
    )


# ------------------------------------------------------------------------------------------------ records


class _Telling:
    """Tells of a service's records; what is alike for many of them is worked out once."""

    def __init__(self, ground: Ground, entry: Entry) -> None:
        self._ground = ground
        self._entry = entry
        self._registries = registries_of(entry)

    def shape(self, place: Place, addresses: tuple[str, ...], why: str, conflict: str = "") -> VerdictShape:
        ground, instance = self._ground, self._entry.instances[place]
        return VerdictShape(
            id=instance.id,
            registry=place[0],
            key=place[1],
            places=tuple(ground.places.get(place, ())),
            layout=instance.layout,
            zone=short_zone(ground.home.cluster, instance.zone),
            health=instance.health,
            origin=instance.origin,
            stale=ground.catalog.is_stale(place) or ground.catalog.is_held(place),
            seen=bool(addresses),
            addresses=addresses,
            why=why,
            steps=(*self._passage(place, instance), *self._conflict(conflict)),
        )

    def _passage(self, place: Place, instance: Instance) -> Iterator[StepShape]:
        ground = self._ground
        admission, lies = ground.admissions.get(place[0]), ground.places.get(place, ())
        return passage(ground.catalog, ground.home, admission, place, instance, ground.now, lies)

    def _conflict(self, conflict: str) -> Iterator[StepShape]:
        if not conflict and len(self._registries) < 2:
            return
        prefer = self._ground.home.prefer
        policy = f"prefer {', '.join(prefer)}" if prefer else "merge"
        said = conflict or ("it counts" if prefer else "its instances are those of one service")
        yield StepShape(step="conflict", says=f"in {', '.join(self._registries)}: {policy}; {said}")


def _counted(telling: _Telling, ground: Ground, endpoint: Endpoint, place: Place) -> VerdictShape:
    state = _state_of(ground.catalog, place)
    addresses = tuple(f"{_bracketed(endpoint.instance.address)}:{port.number}" for port in endpoint.instance.ports)
    if place == endpoint.place:
        return telling.shape(place, addresses, state)
    same = f"the same endpoint as {endpoint.place[1]} in {endpoint.place[0]}, which shows it"
    return telling.shape(place, addresses, f"{state}; {same}", conflict=same)


def _state_of(catalog: Catalog, place: Place) -> str:
    source = catalog.source_of(place)
    if catalog.is_held(place):
        return f"the guard of {source.name} keeps it as it was"
    if source.is_stale:
        return f"{source.name} is {source.standing}" + (f": {source.error}" if source.error else "")
    if catalog.is_stale(place):
        return "nobody has vouched for it since the hub started"
    return f"{source.name} holds it"


# ------------------------------------------------------------------------------------------------ skipped


def _skipped_like(catalog: Catalog, services: Iterable[str]) -> tuple[SkippedRecord, ...]:
    """Skipped records whose place or reason names one of the services, whole or without its namespace."""
    names = {part for service in services for part in _said_as(service)}
    said = re.compile("|".join(rf"(?<![\w.-]){re.escape(name)}(?![\w.-])" for name in sorted(names)))
    found = (
        SkippedRecord(registry=source.name, place=place, reason=reason)
        for source in sorted(catalog.sources.values(), key=lambda source: source.name)
        for place, reason in sorted(source.skipped.items())
        if said.search(unquote(place)) or said.search(reason)
    )
    return tuple(one for one, _ in zip(found, range(MOST_SKIPPED), strict=False))


def _said_as(service: str) -> Iterator[str]:
    """How a place may name a service: Dubbo's has interface, version and group apart."""
    bare = service.partition("/")[2]
    yield bare
    if interface := bare.partition(":")[0]:
        yield interface


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address
