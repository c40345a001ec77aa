"""Edges: the gateways of zones, as the horizon needs them.

An edge is an instance of `pilot-plus/edge`. Its record says what hardly changes, in the vocabulary below; it must fit
into any registry's metadata, so it can't list thousands of services. What an edge has acknowledged, and the plain
ports of each zone, are told by the servers that configure edges, as a value of their own: `Carrying`.

    instance   id edge-1, address 10.1.0.2, zone east/legacy, port mesh 15443
    metadata   pilot-plus-edge-outside = 192.0.2.7          its address for other zones, if it is another one
               pilot-plus-edge-tunnels = east/dark          zones whose edges have dialled out to it
               pilot-plus-edge-carries = legacy/*,shop/a    patterns of services that it carries for ever: for a
                                                            gateway that somebody configures by hand

An edge without a port named `mesh` can't be dialled from other zones: it dials out.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from enum import Enum
from typing import Final

import msgspec

from pilot_plus.catalog import Catalog, Entry, Place
from pilot_plus.catalog.admission import RESERVED_NAMESPACE
from pilot_plus.model import Health, Instance, Locality, Port, instance
from pilot_plus.quantities import matches
from pilot_plus.views.endpoints import Endpoint, Home, endpoints_of
from pilot_plus.wire.edge import OUTSIDE, TUNNELS

EDGES: Final = f"{RESERVED_NAMESPACE}/edge"
"""The service whose instances are the edges."""
MESH_PORT: Final = 15443
MESH: Final = "mesh"
"""The name of an edge's mesh port."""
CARRIES: Final = "pilot-plus-edge-carries"


class Side(Enum):
    """Which of an edge's listeners: for mutual TLS, or a port of its own for each port of a service."""

    MESH = "mesh"
    PLAIN = "plain"


class Edge(msgspec.Struct, frozen=True, kw_only=True):
    """An edge, decoded."""

    place: Place
    name: str
    zone: str
    address: str
    outside: str = ""
    mesh_port: int | None = MESH_PORT
    tunnels: frozenset[str] = frozenset()
    carries: tuple[str, ...] = ()
    health: Health = Health.PASSING
    weight: int = 100
    locality: Locality = Locality()
    is_stale: bool = False

    @property
    def whole_name(self) -> str:
        """`CLUSTER/ZONE/NAME`."""
        return f"{self.zone}/{self.name}"

    @property
    def is_ready(self) -> bool:
        """Whether new callers may be sent to it: a draining edge leaves the views first."""
        return self.health in (Health.PASSING, Health.WARNING)

    def address_from(self, zone: str) -> str:
        """Where somebody in a zone dials it."""
        return self.outside if self.outside and zone != self.zone else self.address


class Carrying(msgspec.Struct, frozen=True, kw_only=True):
    """What the edges of our cluster have acknowledged, by their whole names, and the plain ports of our zones."""

    mesh: Mapping[str, AbstractSet[str]] = {}
    """Services that an edge carries at its mesh port."""
    plain: Mapping[str, AbstractSet[str]] = {}
    """Services that an edge carries at their plain ports."""
    plain_ports: Mapping[tuple[str, str], Mapping[str, int]] = {}
    """By zone and service: the number of each named port, the same on every edge of the zone."""


class Edges(msgspec.Struct, frozen=True, kw_only=True):
    """All edges, by the zones whose instances they can stand for."""

    cluster: str
    of_zone: Mapping[str, tuple[Edge, ...]] = {}
    holding_tunnel: Mapping[str, tuple[Edge, ...]] = {}
    carrying: Carrying = Carrying()

    def carries(self, edge: Edge, service: str, side: Side) -> bool:
        """Whether an edge has said that it carries a service. For another cluster's edge, its hub answers."""
        if not edge.zone.startswith(f"{self.cluster}/"):
            return side is Side.MESH
        acknowledged = self.carrying.mesh if side is Side.MESH else self.carrying.plain
        if service in acknowledged.get(edge.whole_name, ()):
            return True
        return any(matches(pattern, service) for pattern in edge.carries)

    def plain_ports(self, zone: str, service: str) -> Mapping[str, int]:
        """The plain ports that a service has at the edges of a zone."""
        return self.carrying.plain_ports.get((zone, service), {})


def edges_of(catalog: Catalog, home: Home, carrying: Carrying = Carrying()) -> Edges:  # noqa: B008 - frozen
    """The edges that the catalog knows."""
    entry = catalog.entries.get(EDGES)
    found = [_edge_of(endpoint) for endpoint in _endpoints(catalog, entry, home)]
    of_zone: dict[str, list[Edge]] = {}
    holding_tunnel: dict[str, list[Edge]] = {}
    for edge in found:
        of_zone.setdefault(edge.zone, []).append(edge)
        for zone in edge.tunnels:
            holding_tunnel.setdefault(zone, []).append(edge)
    return Edges(
        cluster=home.cluster,
        of_zone={zone: tuple(edges) for zone, edges in of_zone.items()},
        holding_tunnel={zone: tuple(edges) for zone, edges in holding_tunnel.items()},
        carrying=carrying,
    )


def record_of(edge: Edge) -> Instance:
    """The record that stands for an edge in the catalog: the reverse of reading it."""
    said = {
        OUTSIDE: edge.outside,
        TUNNELS: ",".join(sorted(edge.tunnels)),
        CARRIES: ",".join(edge.carries),
    }
    return instance(
        key=edge.place[1],
        namespace=RESERVED_NAMESPACE,
        name="edge",
        id=edge.name,
        address=edge.address,
        ports=[Port(MESH, edge.mesh_port, "tls")] if edge.mesh_port else [],
        health=edge.health,
        weight=edge.weight,
        locality=edge.locality,
        zone=edge.zone,
        metadata={name: value for name, value in said.items() if value},
    )


def _endpoints(catalog: Catalog, entry: Entry | None, home: Home) -> list[Endpoint]:
    return endpoints_of(catalog, entry, home) if entry else []


def _edge_of(endpoint: Endpoint) -> Edge:
    record = endpoint.instance
    return Edge(
        place=endpoint.place,
        name=record.id,
        zone=record.zone,
        address=record.address,
        outside=record.meta(OUTSIDE),
        mesh_port=next((port.number for port in record.ports if port.name == MESH), None),
        tunnels=frozenset(_listed(record.meta(TUNNELS))),
        carries=tuple(pattern for pattern in _listed(record.meta(CARRIES)) if "/" in pattern),
        health=record.health,
        weight=record.weight,
        locality=record.locality,
        is_stale=endpoint.is_stale,
    )


def _listed(text: str) -> list[str]:
    return [part for part in text.split(",") if part]
