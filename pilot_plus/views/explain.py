"""Explain: for every record of a service, what becomes of it and why."""

from collections.abc import Iterable, Iterator

from pilot_plus.catalog import Catalog, Entry, Place
from pilot_plus.model import Instance, Viewer, short_zone
from pilot_plus.views import shapes
from pilot_plus.views.conditions import conditions
from pilot_plus.views.endpoints import Endpoint, Home, endpoints_of
from pilot_plus.views.horizon import Verdict
from pilot_plus.views.host import host_of


def verdicts(
    catalog: Catalog, home: Home, entry: Entry, viewer: Viewer, found: Iterable[Verdict]
) -> shapes.Explanation:
    """In a viewer's eyes."""
    return shapes.Explanation(
        namespace=entry.namespace,
        name=entry.name,
        host=host_of(entry.namespace, entry.name, home.domain),
        zone=short_zone(home.cluster, viewer.zone),
        speaks=viewer.speaks,
        conditions=conditions(catalog, entry),
        instances=tuple(
            _shape(catalog, home, one.place, one.instance, one.is_seen, one.addresses, one.why) for one in found
        ),
    )


def records(catalog: Catalog, home: Home, entry: Entry) -> shapes.Explanation:
    """In the catalog itself, whoever looks: each record shows an endpoint, or is another record of one."""
    return shapes.Explanation(
        namespace=entry.namespace,
        name=entry.name,
        host=host_of(entry.namespace, entry.name, home.domain),
        zone=None,
        speaks=None,
        conditions=conditions(catalog, entry),
        instances=tuple(
            shape
            for endpoint in endpoints_of(catalog, entry, home)
            for shape in _records_of(catalog, home, entry, endpoint)
        ),
    )


def _records_of(catalog: Catalog, home: Home, entry: Entry, endpoint: Endpoint) -> Iterator[shapes.VerdictShape]:
    registry, key = endpoint.place
    for place in (endpoint.place, *endpoint.others):
        instance = entry.instances[place]
        addresses = tuple(f"{_bracketed(instance.address)}:{port.number}" for port in instance.ports)
        state = _state_of(catalog, place)
        why = state if place == endpoint.place else f"{state}; the same endpoint as {key} in {registry}, which shows it"
        yield _shape(catalog, home, place, instance, True, addresses, why)


def _state_of(catalog: Catalog, place: Place) -> str:
    source = catalog.source_of(place)
    if catalog.is_held(place):
        return f"the guard of {source.name} keeps it as it was"
    if source.is_stale:
        return f"{source.name} is {source.standing}" + (f": {source.error}" if source.error else "")
    if catalog.is_stale(place):
        return "nobody has vouched for it since the hub started"
    return f"{source.name} holds it"


def _shape(
    catalog: Catalog,
    home: Home,
    place: Place,
    instance: Instance,
    is_seen: bool,
    addresses: tuple[str, ...],
    why: str,
) -> shapes.VerdictShape:
    return shapes.VerdictShape(
        id=instance.id,
        registry=place[0],
        key=place[1],
        layout=instance.layout,
        zone=short_zone(home.cluster, instance.zone),
        health=instance.health,
        origin=instance.origin,
        stale=catalog.is_stale(place) or catalog.is_held(place),
        seen=is_seen,
        addresses=addresses,
        why=why,
    )


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address
