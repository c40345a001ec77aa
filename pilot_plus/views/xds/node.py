"""A node: how a client says its profile in xDS, and how the hub reads it.

The bootstrap writes `node.metadata`, an object named `pilot-plus`:

    {"kind": "envoy", "zone": "vm", "outbound": "127.0.0.1:15001", "tcp": ["legacy/redis=127.0.0.1:6379"], "data": "/d"}
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from pilot_plus.model import Role, Speaks, SpiffeId, Viewer, short_zone, whole_zone
from pilot_plus.views.xds.profile import Kind, Profile

METADATA: Final = "pilot-plus"
"""The name of our part of a node's metadata."""
MAX_ID: Final = 253


class _Said(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    kind: Kind = Kind.ENVOY
    zone: str
    outbound: str = ""
    tcp: tuple[str, ...] = ()
    data: str = ""
    edge: str = ""
    address: str = ""
    service: str = ""


class Client(msgspec.Struct, frozen=True):
    """Who a client says it is: its id, and what it should get."""

    id: str
    profile: Profile


def metadata_of(profile: Profile, cluster: str = "") -> Mapping[str, Any]:
    """What a client puts into `node.metadata`. A zone of `cluster` is written by its bare name."""
    said = _Said(
        kind=profile.kind,
        zone=short_zone(cluster, profile.viewer.zone),
        outbound=profile.outbound,
        tcp=tuple(f"{service}={address}" for service, address in profile.tcp),
        data=profile.data,
        edge=profile.edge.rpartition("/")[2],
        address=profile.address,
        service=profile.service,
    )
    return {METADATA: msgspec.to_builtins(said)}


def client_of(node_id: str, metadata: Mapping[str, Any], cluster: str) -> Client:
    """Read a client's node; `cluster` is ours.

    Raises:
        ValueError: it says nothing that can be used; the message is for whoever wrote the bootstrap.
    """
    said = metadata.get(METADATA)
    if said is None:
        raise ValueError(f"node.metadata has no {METADATA!r}: make the bootstrap with `pilot-plus bootstrap`")
    try:
        read = msgspec.convert(said, _Said)
    except msgspec.ValidationError as error:
        raise ValueError(f"node.metadata.{METADATA}: {error}"[:500]) from error
    if not (1 <= len(node_id) <= MAX_ID and node_id.isprintable()):
        raise ValueError(f"node.id: expected 1 to {MAX_ID} printable characters")
    zone = whole_zone(cluster, read.zone)
    speaks = Speaks.GRPC if read.kind is Kind.GRPC else Speaks.MESH
    is_edge = read.kind is Kind.EDGE
    if is_edge and not (read.edge and read.address):
        raise ValueError(f"node.metadata.{METADATA}: an edge says `edge` and `address`")
    profile = Profile(
        kind=read.kind,
        viewer=Viewer(zone, speaks, certified=is_edge or bool(read.data)),
        outbound=read.outbound,
        tcp=tuple(sorted(_listener(one) for one in read.tcp)),
        data=read.data,
        edge=f"{zone}/{read.edge}" if is_edge else "",
        address=read.address if is_edge else "",
        service=read.service if is_edge else "",
    )
    return Client(node_id, profile)


def check_claims(client: Client, identity: SpiffeId, cluster: str) -> None:
    """Hold what a client says against what its certificate proves.

    Raises:
        ValueError: it says that it is somebody else.
    """
    profile = client.profile
    if identity.role is Role.HUB:
        raise ValueError("the hub's own certificate is no client's")
    if profile.viewer.zone != whole_zone(cluster, identity.zone):
        raise ValueError(f"{identity} is not in the zone {profile.viewer.zone!r}")
    if (profile.kind is Kind.EDGE) != (identity.role is Role.EDGE):
        raise ValueError(f"{identity} can't have the configuration of an {profile.kind}")
    if identity.role is Role.CLIENT and client.id != identity.name:
        raise ValueError(f"{identity} can't have the id {client.id!r}")
    if identity.role is Role.EDGE and profile.edge != f"{whole_zone(cluster, identity.zone)}/{identity.name}":
        raise ValueError(f"{identity} is not the edge {profile.edge!r}")


def _listener(text: str) -> tuple[str, str]:
    service, equals, address = text.rpartition("=")
    if not (equals and "/" in service):
        raise ValueError(f"tcp: expected NAMESPACE/NAME=HOST:PORT, found {text[:200]!r}")
    return service, address
