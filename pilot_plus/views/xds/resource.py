"""A resource: a named piece of configuration, serialised once and shared among the streams that get it."""

from enum import StrEnum
from hashlib import blake2b
from typing import Final

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


class Resource(msgspec.Struct, frozen=True):
    """A resource as it goes out."""

    name: str
    version: str
    """A hash of the content: equal on every copy of the hub, and after a restart."""
    body: bytes
    """The serialised message, as in the `value` of an `Any`."""


def resource(name: str, body: bytes) -> Resource:
    """A resource, with the version that its content has."""
    return Resource(name, blake2b(body, digest_size=12).hexdigest(), body)
