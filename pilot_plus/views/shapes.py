"""The shapes of the answers over HTTP. Fields may be added, never renamed; every answer carries `revision` besides."""

from typing import Literal

import msgspec

from pilot_plus.catalog import Standing
from pilot_plus.model import Health, Locality, Origin, Port


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


class SkippedShape(Shape, frozen=True, kw_only=True):
    """A record that can't be used."""

    place: str
    reason: str


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


class CarriesShape(Shape, frozen=True, kw_only=True):
    """The services that an edge has acknowledged."""

    mesh: tuple[str, ...]
    """At its mesh port, for callers of other zones."""
    plain: tuple[str, ...]
    """At plain ports, for callers of its own."""


class EdgeShape(Shape, frozen=True, kw_only=True):
    """An edge sidecar."""

    name: str
    zone: str
    address: str
    state: Literal["ready", "draining", "lost"]
    carries: CarriesShape


class EdgeList(Shape, frozen=True, kw_only=True):
    """All edges that the catalog knows."""

    edges: tuple[EdgeShape, ...]


class WaitingShape(Shape, frozen=True, kw_only=True):
    """A registry that is not in step."""

    name: str
    state: Standing
    error: str | None


class Readiness(Shape, frozen=True, kw_only=True):
    """Whether the hub can be asked, and what it waits for or does without."""

    ready: bool
    waiting: tuple[WaitingShape, ...]
