"""Overview: what the catalog answers about registries, zones and edges, and whether the hub is ready."""

import msgspec

from pilot_plus.catalog import Catalog, Source
from pilot_plus.config import Config
from pilot_plus.model import Health, short_zone
from pilot_plus.views import shapes
from pilot_plus.views.edges import EDGES, Carrying
from pilot_plus.views.endpoints import Home, endpoints_of


def registries(catalog: Catalog, home: Home, now: float) -> shapes.RegistryList:
    """Every registry, in the order of the configuration."""
    shown = (source for source in catalog.sources.values() if not source.is_built_in)
    sources = sorted(shown, key=lambda source: (home.order.get(source.name, 1 << 30), source.name))
    return shapes.RegistryList(registries=tuple(registry(source, home, now) for source in sources))


def registry(source: Source, home: Home, now: float) -> shapes.RegistryShape:
    """One registry."""
    return shapes.RegistryShape(
        name=source.name,
        kind=source.kind,
        zone=short_zone(home.cluster, source.zone),
        state=source.standing,
        age_s=age(source, now),
        instances=len(source.instances),
        skipped=len(source.skipped) + source.skipped_beyond,
        held=len(source.held),
        error=source.error or None,
    )


def registry_detail(source: Source, home: Home, now: float) -> shapes.RegistryDetail:
    """One registry with what its guard holds."""
    services = {record.service for record in source.services.values()}
    services.update(instance.service for instance in source.instances.values())
    return shapes.RegistryDetail(
        **msgspec.structs.asdict(registry(source, home, now)),
        services=len(services),
        removals=tuple(
            shapes.HeldShape(
                key=key,
                namespace=source.instances[key].namespace,
                name=source.instances[key].name,
                id=source.instances[key].id,
                becomes=held.pending.health if held.pending else "gone",
                for_s=round(max(0.0, held.until - now), 3),
            )
            for key, held in sorted(source.held.items())
            if key in source.instances
        ),
    )


def skipped(source: Source) -> shapes.SkippedList:
    """What a registry holds that can't be used."""
    return shapes.SkippedList(
        skipped=tuple(
            shapes.SkippedShape(place=place, reason=reason) for place, reason in sorted(source.skipped.items())
        ),
        beyond=source.skipped_beyond,
    )


def zones(config: Config) -> shapes.ZoneList:
    """Every zone of our cluster: those declared, and those that a registry lies in."""
    places = {registry.name: short_zone(config.cluster, config.zone_of(registry)) for registry in config.registries}
    declared = {zone.name: zone for zone in config.zones}
    names = [*declared, *(zone for zone in dict.fromkeys(places.values()) if zone not in declared)]
    return shapes.ZoneList(
        zones=tuple(
            shapes.ZoneShape(
                name=name,
                meshed=name in declared and declared[name].meshed,
                subnets=declared[name].subnets if name in declared else (),
                reaches=declared[name].reaches if name in declared else (),
                registries=tuple(registry for registry, zone in places.items() if zone == name),
            )
            for name in names
        )
    )


def edges(catalog: Catalog, home: Home, carrying: Carrying) -> shapes.EdgeList:
    """Every edge: the instances of the service that edges are, and what they carry."""
    entry = catalog.entries.get(EDGES)
    endpoints = endpoints_of(catalog, entry, home) if entry else []
    return shapes.EdgeList(
        edges=tuple(
            shapes.EdgeShape(
                name=endpoint.instance.id,
                zone=short_zone(home.cluster, endpoint.instance.zone),
                address=endpoint.instance.address,
                state="lost"
                if endpoint.is_stale or endpoint.instance.health is Health.CRITICAL
                else "draining"
                if endpoint.instance.health is Health.DRAINING
                else "ready",
                carries=_carries(carrying, f"{endpoint.instance.zone}/{endpoint.instance.id}"),
            )
            for endpoint in endpoints
        )
    )


def _carries(carrying: Carrying, edge: str) -> shapes.CarriesShape:
    """Of an edge by its whole name."""
    return shapes.CarriesShape(
        mesh=tuple(sorted(carrying.mesh.get(edge, ()))), plain=tuple(sorted(carrying.plain.get(edge, ())))
    )


def readiness(catalog: Catalog, waited: float, patience: float) -> shapes.Readiness:
    """Ready when every source is synced, or has been waited for long enough (seconds)."""
    waiting = tuple(
        shapes.WaitingShape(name=source.name, state=source.standing, error=source.error or None)
        for source in sorted(catalog.sources.values(), key=lambda source: source.name)
        if source.is_stale
    )
    return shapes.Readiness(ready=not waiting or waited >= patience, waiting=waiting)


def age(source: Source, now: float) -> float:
    """Seconds since a source was heard; for one that never was, since it is waited for."""
    return seconds_between(source.since if source.heard is None else source.heard, now)


def seconds_between(then: float, now: float) -> float:
    """As people read it: to the millisecond, and never below 0."""
    return round(max(0.0, now - then), 3)
