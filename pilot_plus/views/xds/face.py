"""A face: what clusters, routes and listeners must know of a service. It changes seldom."""

from collections.abc import Iterable, Mapping

import msgspec

from pilot_plus.catalog import Entry
from pilot_plus.model import Instance, Port, Viewer
from pilot_plus.views.host import sni_of
from pilot_plus.views.sight import Sight
from pilot_plus.views.xds.cluster import Family, family_of
from pilot_plus.views.xds.endpoint import Security, Target
from pilot_plus.views.xds.roll import Ranking
from pilot_plus.views.xds.rolls import Rolls
from pilot_plus.views.xds.world import World


class Facet(msgspec.Struct, frozen=True, kw_only=True):
    """What a cluster must know of a port of a service, beside its endpoints."""

    port: str
    family: Family
    numbers: tuple[int, ...] = ()
    """Those that its instances have, in order."""
    securities: tuple[Security, ...] = ()
    """Those of endpoints that have an IP address, the ones of the best priority first."""
    named: tuple[Target, ...] = ()
    """The endpoints that have a host name, those of the best priority first."""


class Face(msgspec.Struct, frozen=True, kw_only=True):
    """A service, to everything but its endpoints."""

    service: str
    host: str
    facets: Mapping[str, Facet] = {}
    """By the name of the cluster; without any, the service is not visible."""


def facets_of(host: str, ports: Iterable[tuple[Port, ...]], rolls: Rolls, ranking: Ranking) -> dict[str, Facet]:
    """The facets of a service whose instances have these ports."""
    numbers: dict[str, set[int]] = {}
    protocols: dict[str, set[str]] = {}
    for port in (port for together in ports for port in together):
        numbers.setdefault(port.name, set()).add(port.number)
        protocols.setdefault(port.name, set()).add(port.protocol)
    facets = {}
    for name in sorted(numbers):
        cluster = sni_of(name, host)
        facets[cluster] = Facet(
            port=name,
            family=family_of(frozenset(protocols[name])),
            numbers=tuple(sorted(numbers[name])),
            securities=rolls.of(cluster).securities(ranking),
            named=rolls.of(cluster).named(ranking),
        )
    return facets


def told_ports(world: World, viewer: Viewer, entry: Entry) -> tuple[Port, ...]:
    """The ports of a service without instances, by its records, where the viewer may see them."""
    sight = Sight(world.topology, world.edges, viewer, entry.service)
    found: dict[str, Port] = {}
    for place, record in sorted(entry.records.items()):
        zone = world.topology.lies_in.get(place[0], "")
        as_instance = Instance(
            key=place[1], name=entry.name, id="", address="", ports=(), zone=zone, metadata=record.metadata
        )
        if sight.lets_in(place[0], as_instance):
            found.update({port.name: port for port in record.ports if port.name not in found})
    return tuple(found.values())
