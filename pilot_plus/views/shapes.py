"""The shapes of the answers over HTTP. Fields may be added, never renamed; every answer carries `revision` besides."""

from typing import Literal

import msgspec

from pilot_plus.catalog import Standing
from pilot_plus.model import Health, Locality, Origin, Port, Speaks


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """A value that is only there to be encoded."""


class Counts(Shape, frozen=True, kw_only=True):
    """Endpoints of a service."""

    total: int
    passing: int


class Condition(Shape, frozen=True, kw_only=True):
    """Something about a service that somebody should know."""

    type: str
    reason: str
    message: str


class ServiceSummary(Shape, frozen=True, kw_only=True):
    """A service in a list."""

    namespace: str
    name: str
    host: str
    registries: tuple[str, ...]
    zones: tuple[str, ...]
    instances: Counts
    conditions: tuple[Condition, ...] = ()
    aliases: tuple[str, ...] = ()
    """What else it is called: whole names."""


class ServiceList(Shape, frozen=True, kw_only=True):
    """A page of services; `next_page_token` goes on behind it, also if services came or went meanwhile."""

    services: tuple[ServiceSummary, ...]
    next_page_token: str | None


class InstanceShape(Shape, frozen=True, kw_only=True):
    """An endpoint of a service."""

    id: str
    address: str
    ports: tuple[Port, ...]
    health: Health
    weight: int
    zone: str
    """Short for a zone of our cluster, else the whole name."""
    locality: Locality
    metadata: dict[str, str]
    stale: bool
    """Its source is not in step now, nobody has vouched for it since the hub started, or a guard holds it."""
    age_s: float
    """How old the knowledge is, where it is stale: seconds since the source was last heard, or since it is held."""
    origin: Origin
    held: bool = False
    """It stopped passing together with too many others: a guard keeps it as it was."""
    registry: str
    """Where the record that is shown was read."""
    key: str
    """That record's key there."""
    layout: str = ""
    registries: tuple[str, ...]
    """Every registry that holds a record of it, the shown one first."""
    also: tuple[Origin, ...] = ()
    """The origins of the other records."""


class ServiceShape(Shape, frozen=True, kw_only=True):
    """A service with its endpoints."""

    namespace: str
    name: str
    host: str
    conditions: tuple[Condition, ...]
    registries: tuple[str, ...]
    instances: tuple[InstanceShape, ...]
    aliases: tuple[str, ...] = ()
    """What else it is called: whole names."""


class SeenInstance(InstanceShape, frozen=True, kw_only=True):
    """An endpoint as a zone sees it: an instance at its own address, or an edge in place of those behind it."""

    priority: int
    """0 first; what has a higher one is for when nothing of a lower one passes."""
    mtls: bool
    """To be called with mutual TLS."""
    edge: bool
    """An edge: `metadata` is empty, `origin` is where the edge's own record lies."""
    sni: dict[str, str] = {}
    """For an edge's mesh port: the server name for each port of the service."""
    behind: int = 0
    """How many records an edge stands for."""


class SeenService(Shape, frozen=True, kw_only=True):
    """A service as a zone sees it."""

    namespace: str
    name: str
    host: str
    conditions: tuple[Condition, ...]
    registries: tuple[str, ...]
    instances: tuple[SeenInstance, ...]
    aliases: tuple[str, ...] = ()
    """What else it is called: whole names."""


class StepShape(Shape, frozen=True, kw_only=True):
    """A step on a record's way: `record`, `name`, `grant`, `accept`, `registry`, `guard`, `conflict` or `horizon`."""

    step: str
    says: str


class VerdictShape(Shape, frozen=True, kw_only=True):
    """What becomes of one record."""

    id: str
    registry: str
    key: str
    places: tuple[str, ...] = ()
    """Where it lies in the registry, if that is not its key; two while it is being replaced."""
    layout: str
    zone: str
    health: Health
    origin: Origin
    stale: bool
    seen: bool
    addresses: tuple[str, ...]
    """`HOST:PORT`, where it is seen."""
    why: str
    steps: tuple[StepShape, ...] = ()
    """From the record in the registry to who looks."""


class SkippedShape(Shape, frozen=True, kw_only=True):
    """A record that can't be used."""

    place: str
    reason: str


class SkippedRecord(SkippedShape, frozen=True, kw_only=True):
    """A record that can't be used, and would perhaps be an instance of the service."""

    registry: str


class ServedShape(Shape, frozen=True, kw_only=True):
    """A client that follows a service, and whether it has what the hub would send it now."""

    id: str
    zone: str
    type: str
    resource: str
    state: Literal["accepted", "sent", "rejected", "waiting"]
    reason: str | None


class Explanation(Shape, frozen=True, kw_only=True):
    """For every record of a service: seen or not, at which addresses, and why."""

    namespace: str
    name: str
    host: str
    zone: str | None = msgspec.field(name="from")
    speaks: Speaks | None = msgspec.field(name="as")
    conditions: tuple[Condition, ...]
    instances: tuple[VerdictShape, ...]
    aliases: tuple[str, ...] = ()
    """What else the service is called."""
    skipped: tuple[SkippedRecord, ...] = ()
    """Records that the registries hold under this name, and that can't be used."""
    proxies: tuple[ServedShape, ...] = ()
    """Clients of xDS that look as the viewer does and follow the service, and whether they have what is said here."""


class ListedInstance(InstanceShape, frozen=True, kw_only=True):
    """An endpoint in a list over services."""

    namespace: str
    service: str
    """The service's name, without its namespace."""


class InstanceList(Shape, frozen=True, kw_only=True):
    """A page of instances: those of whole services, as many as it takes to fill it."""

    instances: tuple[ListedInstance, ...]
    next_page_token: str | None


class RegistryShape(Shape, frozen=True, kw_only=True):
    """A registry, as the hub hears it."""

    name: str
    kind: str
    zone: str
    state: Standing
    age_s: float
    """Seconds since it said anything."""
    instances: int
    skipped: int
    held: int
    error: str | None


class HeldShape(Shape, frozen=True, kw_only=True):
    """A change that a guard holds."""

    key: str
    namespace: str
    name: str
    id: str
    becomes: str
    """`gone`, or the health that waits."""
    for_s: float
    """Seconds until it happens by itself."""


class RegistryDetail(RegistryShape, frozen=True, kw_only=True):
    """A registry with what its guard holds."""

    services: int
    removals: tuple[HeldShape, ...]


class RegistryList(Shape, frozen=True, kw_only=True):
    """All registries."""

    registries: tuple[RegistryShape, ...]


class SkippedList(Shape, frozen=True, kw_only=True):
    """The skipped records of a registry; `beyond` counts those whose place is not remembered."""

    skipped: tuple[SkippedShape, ...]
    beyond: int


class ZoneShape(Shape, frozen=True, kw_only=True):
    """A zone of our cluster."""

    name: str
    meshed: bool
    subnets: tuple[str, ...]
    reaches: tuple[str, ...]
    registries: tuple[str, ...]


class ZoneList(Shape, frozen=True, kw_only=True):
    """All zones of our cluster."""

    zones: tuple[ZoneShape, ...]


class EdgeShape(Shape, frozen=True, kw_only=True):
    """An edge sidecar."""

    name: str
    zone: str
    address: str
    state: Literal["ready", "draining", "lost"]


class EdgeList(Shape, frozen=True, kw_only=True):
    """All edges that the catalog knows."""

    edges: tuple[EdgeShape, ...]


class ReaderShape(Shape, frozen=True, kw_only=True):
    """A peer's hub that reads from ours now."""

    since_s: float
    revision: int
    lag: int
    lag_s: float
    bytes: int
    records: int


class PeerShape(Shape, frozen=True, kw_only=True):
    """Another cluster's hub: what we read from it, and what it reads from us (`reader`; null: nothing now)."""

    name: str
    address: str
    detail: Literal["instances", "summary"]
    state: Standing
    age_s: float
    instances: int
    skipped: int
    held: int
    error: str | None
    alarm: str | None
    """What it tells us has multiplied."""
    received_bytes: int
    reader: ReaderShape | None


class PeerList(Shape, frozen=True, kw_only=True):
    """All peers of our cluster."""

    peers: tuple[PeerShape, ...]


class PeerTokenRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An invitation that somebody asks for."""

    ttl: str = "1h"


class PeerToken(Shape, frozen=True, kw_only=True):
    """An invitation for the hub of another cluster. Secret."""

    peer: str
    token: str


class PeerJoinRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A token of the other side."""

    token: str


class PeerJoined(Shape, frozen=True, kw_only=True):
    """A peer whose hub we know now."""

    peer: str


class Forgotten(Shape, frozen=True, kw_only=True):
    """What a retired peer had said."""

    peer: str
    instances: int


class WaitingShape(Shape, frozen=True, kw_only=True):
    """A registry that is not in step."""

    name: str
    state: Standing
    error: str | None


class Readiness(Shape, frozen=True, kw_only=True):
    """Whether the hub can be asked, and what it waits for or does without."""

    ready: bool
    waiting: tuple[WaitingShape, ...]
