"""xDS as hub, edges and clients name things in it: types, methods, well-known secrets, and what an edge carries.

An edge's listeners say in their names what they carry, so that whoever acknowledges a listener knows it too:

    mesh                              the listener for mutual TLS; each of its filter chains has a name as below
    mesh|legacy/orders|http           a chain: the port `http` of the service `legacy/orders`
    http                              the shared HTTP listener, that routes by host
    plain|shop/web|http               a listener of its own: the plain port for the port `http` of `shop/web`
"""

from enum import StrEnum
from typing import Final
from urllib.parse import quote, unquote

import msgspec

_PREFIX: Final = "type.googleapis.com/envoy"


class Type(StrEnum):
    """The types of xDS that the hub serves, by their URLs; in the order in which an update is made before it breaks.

    Source: "Eventual consistency considerations" of the xDS protocol: clusters, endpoints, listeners, routes.
    """

    SECRET = f"{_PREFIX}.extensions.transport_sockets.tls.v3.Secret"
    CLUSTER = f"{_PREFIX}.config.cluster.v3.Cluster"
    ENDPOINTS = f"{_PREFIX}.config.endpoint.v3.ClusterLoadAssignment"
    LISTENER = f"{_PREFIX}.config.listener.v3.Listener"
    ROUTES = f"{_PREFIX}.config.route.v3.RouteConfiguration"


WILDCARD: Final = frozenset({Type.CLUSTER, Type.LISTENER})
"""What a client asks for as a whole; the rest it asks for by name."""
DELTA: Final = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"

MESH: Final = "mesh"
PLAIN: Final = "plain"


class Carried(msgspec.Struct, frozen=True):
    """A port of a service that an edge carries, at its mesh port or at a plain port."""

    side: str
    service: str
    port: str

    def __str__(self) -> str:
        """The name of its filter chain or listener."""
        return f"{self.side}|{_written(self.service)}|{_written(self.port)}"


def parse_carried(name: str) -> Carried | None:
    """What the name of a filter chain or listener says that it carries; None if it says nothing of the kind."""
    match name.split("|"):
        case [side, service, port] if side in (MESH, PLAIN) and "/" in service and port:
            return Carried(side, unquote(service), unquote(port))
    return None


def _written(part: str) -> str:
    return quote(part, safe="/:.-_~!$&'()*+,;=@ ")
