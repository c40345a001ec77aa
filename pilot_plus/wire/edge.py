"""An edge as the hub knows it: what it registered, and what it has reported since."""

import ipaddress
from collections.abc import Iterable
from enum import StrEnum
from typing import Final

import immutables
import msgspec

from pilot_plus.model import Health, Instance, Locality, Port, Role, SpiffeId, instance, whole_zone
from pilot_plus.wire import edge_pb2 as pb

NAMESPACE: Final = "pilot-plus"
SERVICE: Final = "edge"
MESH_PORT: Final = "mesh"
HTTP_PORT: Final = "http"

IDENTITY: Final = "pilot-plus-identity"
"""The metadata name of an edge's SPIFFE ID: what callers expect in its certificate."""
OUTSIDE: Final = "pilot-plus-edge-outside"
"""The metadata name of the address that callers from outside the zone dial."""
VERSION: Final = "pilot-plus-version"
TUNNELS: Final = "pilot-plus-edge-tunnels"
"""The metadata name of the zones (whole names) whose tunnels this one holds, with commas between."""

MAX_RESOURCES: Final = 100_000
"""Acknowledged resources of one edge that the hub remembers."""
MAX_NAME: Final = 1024
MAX_SERVES: Final = 100_000


class Kind(StrEnum):
    """What an edge acknowledges."""

    LISTENER = "listener"
    CLUSTER = "cluster"


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of the last report."""

    connections: int = 0
    certificate_expires: int = 0
    """Seconds since 1970; 0: not said."""
    envoy_version: str = ""
    envoy_restarts: int = 0
    error: str = ""


_NOTHING: Final[immutables.Map[tuple[Kind, str], str]] = immutables.Map()


class Edge(msgspec.Struct, frozen=True, kw_only=True):
    """An edge with a live session."""

    identity: SpiffeId
    address: str
    outside: str
    mesh_port: int
    http_port: int
    version: str = ""
    locality: Locality = Locality()
    draining: bool = False
    acknowledged: immutables.Map[tuple[Kind, str], str] = _NOTHING
    """The version of each resource that its Envoy works with."""
    serves: frozenset[str] = frozenset()
    tunnels: tuple[str, ...] = ()
    stats: Stats = Stats()
    has_reported: bool = False
    """Whether it has said all that is to be known: before, what isn't there may only not have been said yet."""

    @property
    def key(self) -> str:
        """Its identity among edges: `ZONE/NAME`."""
        return f"{self.identity.zone}/{self.identity.name}"

    def as_instance(self, cluster: str) -> Instance:
        """As an instance of `pilot-plus/edge`."""
        metadata = {IDENTITY: str(self.identity), OUTSIDE: self.outside, VERSION: self.version}
        return instance(
            key=self.key,
            namespace=NAMESPACE,
            name=SERVICE,
            id=self.identity.name,
            address=self.address,
            ports=(Port(MESH_PORT, self.mesh_port, "tls"), Port(HTTP_PORT, self.http_port, "http")),
            health=Health.DRAINING if self.draining else Health.PASSING,
            zone=whole_zone(cluster, self.identity.zone),
            locality=self.locality,
            metadata=metadata | ({TUNNELS: ",".join(self.tunnels)} if self.tunnels else {}),
        )


def edge_from_wire(identity: SpiffeId, said: pb.Registration) -> Edge:
    """What an edge registers.

    Raises:
        ValueError: it is no edge, or says what can't be.
    """
    if identity.role is not Role.EDGE:
        raise ValueError(f"{identity} is no edge")
    edge = Edge(
        identity=identity,
        address=_address("address", said.address),
        outside=_address("outside", said.outside or said.address),
        mesh_port=said.mesh_port,
        http_port=said.http_port,
        version=_text(said.version),
        locality=Locality(_text(said.region), _text(said.az), _text(said.subzone)),
    )
    edge.as_instance("any")  # checks what every instance must be
    return edge


def with_status(edge: Edge, said: pb.Status) -> Edge:
    """The edge after a report.

    Raises:
        ValueError: the report says what can't be.
    """
    acknowledged = _acknowledged(edge, said) if said.removed or said.acknowledged else edge.acknowledged
    stats = Stats(
        connections=said.connections,
        certificate_expires=said.certificate_expires,
        envoy_version=_text(said.envoy_version),
        envoy_restarts=said.envoy_restarts,
        error=_text(said.error),
    )
    return msgspec.structs.replace(
        edge,
        draining=said.draining,
        acknowledged=acknowledged,
        serves=frozenset(_texts(said.serves)) if said.serves_changed else edge.serves,
        tunnels=tuple(sorted(set(_texts(said.tunnels)))) if said.tunnels_changed else edge.tunnels,
        stats=stats,
        has_reported=edge.has_reported or not said.more,
    )


def _acknowledged(edge: Edge, said: pb.Status) -> immutables.Map[tuple[Kind, str], str]:
    acknowledged = edge.acknowledged.mutate()
    for gone in said.removed:
        acknowledged.pop(_resource(gone), None)
    for one in said.acknowledged:
        acknowledged[_resource(one.resource)] = _text(one.version)
    if len(acknowledged) > MAX_RESOURCES:
        raise ValueError(f"more than {MAX_RESOURCES} acknowledged resources")
    return acknowledged.finish()


_KINDS: Final = {pb.Resource.LISTENER: Kind.LISTENER, pb.Resource.CLUSTER: Kind.CLUSTER}


def _resource(said: pb.Resource) -> tuple[Kind, str]:
    kind = _KINDS.get(said.kind)
    if kind is None:
        raise ValueError(f"a resource of the unknown kind {said.kind}")
    return kind, _text(said.name)


def _address(what: str, text: str) -> str:
    try:
        found = ipaddress.ip_address(text)
    except ValueError as error:
        raise ValueError(f"{what}: expected an IP address, found {text[:80]!r}") from error
    if found.is_multicast or found.is_unspecified:
        raise ValueError(f"{what}: nobody can be reached at {found}")
    return str(found)


def _texts(texts: Iterable[str]) -> list[str]:
    found = [_text(text) for text in texts]
    if len(found) > MAX_SERVES:
        raise ValueError(f"a list of more than {MAX_SERVES} names")
    return found


def _text(text: str) -> str:
    if len(text) > MAX_NAME or not text.isprintable():
        raise ValueError(f"{text[:80]!r} is too long, or holds a control character")
    return text
