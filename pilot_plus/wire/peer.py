"""What hubs say to each other: instances and services as records of `pilot_plus.peer.v1`, and back.

What comes from a peer is checked like any registry's record: by the model's own limits, and by whose it may be.
"""

from typing import Final, Protocol, TypeAlias
from urllib.parse import quote

import msgspec

from pilot_plus.model import Health, Instance, Locality, Origin, Port, Service, instance, pairs
from pilot_plus.wire import edge_pb2
from pilot_plus.wire import peer_pb2 as pb

READ: Final = "/pilot_plus.peer.v1.Peer/Read"
MAX_WORD: Final = 8 << 20
"""Bytes of one word of a hub, at most."""
BATCH: Final = 250
"""Records in one batch, at most."""
BATCH_BYTES: Final = 64 << 10
"""Bytes after which a batch ends. Over a slow line, too, it must have come before the silence is taken for a loss."""
MAX_RECORD: Final = 256 << 10
"""Bytes of one record."""
MAX_RECORDS: Final = 1_000_000
"""Of one peer; a record of many kilobytes counts for as many."""
MAX_HOPS: Final = 8
MARK_EVERY: Final = 1.0
"""Seconds between two marks of a hub that has nothing else to say."""

Record: TypeAlias = Instance | Service
_HEALTH: Final = tuple(Health)


class Exported(msgspec.Struct, frozen=True):
    """A record as it crosses: under the name that it has there, with a key that is unique among all exports."""

    record: Record
    is_stale: bool = False


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """PEM, for mutual TLS: whom to believe, who we are, and the name in the peer's certificate."""

    roots: bytes
    key: bytes
    chain: bytes
    name: str

    def __repr__(self) -> str:
        """Never the key."""
        return f"<Credentials for {self.name}>"


class Exchange(Protocol):
    """Where both sides of a link say whom to believe."""

    def trust(self) -> edge_pb2.Trust:
        """Whom to believe in our cluster."""
        ...

    async def learn(self, cluster: str, trust: edge_pb2.Trust) -> None:
        """The other hub, which has proved who it is, says whom to believe there. Raises nothing of the domain."""
        ...


def key_of(origin: Origin) -> str:
    """The key of an exported instance: where its truth lies."""
    return "/".join(quote(part, safe="") for part in (origin.cluster, origin.registry, origin.id))


def written(exported: Exported) -> pb.Record:
    """A record for the wire."""
    record = exported.record
    said = pb.Record(
        key=record.key,
        namespace=record.namespace,
        name=record.name,
        ports=[pb.Port(name=port.name, number=port.number, protocol=port.protocol) for port in record.ports],
        metadata=dict(record.metadata),
        stale=exported.is_stale,
    )
    if isinstance(record, Service):
        said.is_service = True
        return said
    said.id, said.address, said.layout = record.id, record.address, record.layout
    said.health, said.weight, said.zone = _HEALTH.index(record.health), record.weight, record.zone
    said.region, said.az, said.subzone = record.locality.region, record.locality.az, record.locality.subzone
    origin = record.origin
    said.origin_cluster, said.origin_registry, said.origin_id = origin.cluster, origin.registry, origin.id
    said.hops.extend(origin.hops)
    said.host = record.host
    return said


def read(said: pb.Record) -> Record:
    """A record from the wire.

    Raises:
        ValueError: it can't be used, and why.
    """
    if not said.key:
        raise ValueError("the record has no key")
    if said.ByteSize() > MAX_RECORD:
        raise ValueError(f"the record has {said.ByteSize()} bytes, more than {MAX_RECORD}")
    if said.is_service:
        # What an instance may not hold, a service may not either; the address says nothing.
        alike = instance(
            key=said.key, name=said.name, namespace=said.namespace, id="x", address="x", ports=_ports(said),
            metadata=dict(said.metadata),
        )  # fmt: skip
        return Service(
            key=said.key, name=alike.name, namespace=alike.namespace, ports=alike.ports, metadata=alike.metadata
        )
    if said.health >= len(_HEALTH):
        raise ValueError(f"health {said.health} is unknown")
    if not said.namespace:
        raise ValueError("the record has no namespace")
    if len(said.hops) >= MAX_HOPS:
        raise ValueError(f"it has come through {len(said.hops)} clusters: at most {MAX_HOPS - 1} are believed")
    return instance(
        key=said.key,
        namespace=said.namespace,
        name=said.name,
        id=said.id,
        address=said.address,
        ports=_ports(said),
        health=_HEALTH[said.health],
        weight=said.weight,
        zone=said.zone,
        locality=Locality(said.region, said.az, said.subzone),
        metadata=pairs(dict(said.metadata)),
        origin=Origin(said.origin_cluster, said.origin_registry, said.origin_id, tuple(said.hops)),
        layout=said.layout,
        host=said.host,
    )


def _ports(said: pb.Record) -> list[Port]:
    if len(said.ports) > 1000:
        raise ValueError(f"it has {len(said.ports)} ports, more than 1000")
    return [Port(port.name, port.number, port.protocol) for port in said.ports]
