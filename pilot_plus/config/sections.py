"""The sections of a configuration: frozen settings, with their defaults."""

from typing import Annotated, Any, Literal, TypeAlias

import msgspec

from pilot_plus.model import whole_zone
from pilot_plus.quantities import Address


class ConfigError(Exception):
    """The configuration can't be used. The message names the key, what was expected and what was found."""


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A part of the configuration."""


Name: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9]([A-Za-z0-9_.-]{0,62}[A-Za-z0-9])?$")]
ZoneName: TypeAlias = Annotated[
    str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*(/[A-Za-z0-9][A-Za-z0-9_.-]*)?$")
]


class Duration(float):
    """Seconds, written `500ms`, `15s`, `10m`, `24h` or `7d`."""


class Size(int):
    """Bytes, written `512KB`, `100MB` or `1GB`."""


class Listen(Section, frozen=True):
    """Where the hub's servers listen. A server that is not named here does not start."""

    http: Address = Address("127.0.0.1:7080")
    xds: Address | None = None
    dns: Address | None = None
    peer: Address | None = None
    tls: "ListenTls | None" = None


class ListenTls(Section, frozen=True):
    """The certificate that the hub shows, and the authorities that it trusts for clients' certificates."""

    cert: str
    key: str
    client_ca: str = ""


class Token(Section, frozen=True):
    """A bearer token: a secret, and what its holder may do."""

    secret: Annotated[str, msgspec.Meta(min_length=16)]
    roles: tuple[Literal["read", "register", "operate"], ...]
    name: str = ""


class Auth(Section, frozen=True):
    """Who may do what over HTTP."""

    tokens: tuple[Token, ...] = ()


class Mesh(Section, frozen=True):
    """Names in the mesh."""

    domain: str = "mesh"
    trust_domain: str = ""


class Identity(Section, frozen=True):
    """The authority that gives edges and clients their certificates. Without files it makes a root of its own."""

    root_cert: str = ""
    """A file in PEM: the certificate of `root_key`, and behind it others that are believed too."""
    root_key: str = ""
    leaf_ttl: Duration = Duration(86400)
    """How long a certificate lives. It is renewed after a third of that: two thirds are left for a hub that is gone."""
    root_ttl: Duration = Duration(3650 * 86400)
    tls: bool = False
    """Let the xDS address speak mutual TLS with a certificate of this authority on loopback too; elsewhere it does,
    unless `listen.tls` gives it another certificate."""


class ZoneSection(Section, frozen=True):
    """A zone of our cluster."""

    name: Name
    meshed: bool = False
    subnets: tuple[str, ...] = ()
    reaches: tuple[ZoneName, ...] = ()


class Guard(Section, frozen=True):
    """When a removal is a mass removal, and for how long it is held."""

    max_removal: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.5
    window: Duration = Duration(30)
    hold_for: Duration = Duration(600)
    min: Annotated[int, msgspec.Meta(ge=1)] = 5


class OnLoss(Section, frozen=True):
    """What becomes of a lost registry's instances after a while. Both unset: they are kept."""

    drain_after: Duration | None = None
    drop_after: Duration | None = None


class Accept(Section, frozen=True):
    """Which addresses a registry may bring."""

    cidrs: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()


class Rename(Section, frozen=True):
    """A service's name here, by its name in the registry: `from` is a pattern, `{1}`, `{2}` in `to` are its stars."""

    from_: str = msgspec.field(name="from")
    to: str


class RegistrySection(Section, frozen=True):
    """A registry to watch."""

    name: Name
    kind: Name
    zone: ZoneName
    namespace: Name | None = None
    namespaces: tuple[str, ...] = ("*",)
    settings: dict[str, Any] = {}
    guard: Guard = Guard()
    on_loss: Literal["keep"] | OnLoss = "keep"
    accept: Accept = Accept()
    protocol: str = ""
    rename: tuple[Rename, ...] = ()


class SyncFrom(Section, frozen=True):
    """Which instances a sync rule takes, by where they originate."""

    registries: tuple[str, ...] = ()
    services: tuple[str, ...] = ("*/*",)
    labels: dict[str, str] = {}
    health: tuple[Literal["passing", "warning", "draining", "critical"], ...] = ("passing", "warning", "draining")


class SyncTo(Section, frozen=True):
    """Where a sync rule writes."""

    registry: str
    layout: str = ""
    name: str = "{name}"
    namespace: str = ""


class SyncRule(Section, frozen=True):
    """Services of some registries, written into another."""

    name: Name
    from_: SyncFrom = msgspec.field(name="from")
    to: str | SyncTo
    lease: Duration = Duration(15)
    lifetime: Literal["leased", "durable"] | None = None
    mode: Literal["apply", "plan"] = "apply"
    guard: Guard = Guard()

    @property
    def target(self) -> SyncTo:
        """`to`, whichever way it is written."""
        return SyncTo(registry=self.to) if isinstance(self.to, str) else self.to


class Export(Section, frozen=True):
    """What crosses the border of a zone. Left out, `from` and `to` are all zones, `allow` everybody in `to`."""

    services: tuple[str, ...]
    from_: tuple[ZoneName, ...] = msgspec.field(name="from", default=())
    to: tuple[ZoneName, ...] = ()
    allow: tuple[str, ...] = ()


class Selection(Section, frozen=True):
    """Services that cross to or from a peer."""

    services: tuple[str, ...]
    labels: dict[str, str] = {}
    deny: bool = False
    rename: str = ""


class Peer(Section, frozen=True):
    """Another cluster's hub."""

    name: Name
    address: Address
    export: tuple[Selection, ...] = ()
    import_: tuple[Selection, ...] = msgspec.field(name="import", default=())
    detail: Literal["instances", "summary"] = "instances"
    insecure: bool = False
    relay: tuple[Name, ...] = ()
    priority: int = 0


class Edges(Section, frozen=True):
    """What edges of this cluster share."""

    plain_ports: Annotated[str, msgspec.Meta(pattern=r"^\d{1,5}-\d{1,5}$")] = "20000-29999"


class History(Section, frozen=True):
    """How much of the past is kept."""

    keep: Duration = Duration(86400)
    max: Size = Size(1 << 30)


class Alias(Section, frozen=True):
    """One service under several names: what is called like one of `services` is an instance of `name`."""

    name: str
    services: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]


class Conflicts(Section, frozen=True):
    """Where several registries use one name. Both empty: their instances are those of one service."""

    prefer: tuple[str, ...] = ()
    """Registries or peers: the later ones only while no earlier one has a healthy instance."""
    separate: tuple[str, ...] = ()
    """Registries whose services carry a suffix, `NAME-REGISTRY`."""


class Names(Section, frozen=True):
    """How names of several registries meet."""

    aliases: tuple[Alias, ...] = ()
    conflicts: Literal["merge", "separate"] | Conflicts = "merge"
    """`separate` alone: the first registry of each namespace keeps its names, the others' carry the suffix."""


class Config(Section, frozen=True):
    """The whole configuration."""

    cluster: Name
    journal: str = "sqlite:///pilot-plus.db"
    listen: Listen = Listen()
    auth: Auth = Auth()
    mesh: Mesh = Mesh()
    identity: Identity = Identity()
    zones: tuple[ZoneSection, ...] = ()
    registries: tuple[RegistrySection, ...] = ()
    sync: tuple[SyncRule, ...] = ()
    exports: tuple[Export, ...] = ()
    peers: tuple[Peer, ...] = ()
    edges: Edges = Edges()
    history: History = History()
    names: Names = Names()
    ready_after: Duration = Duration(30)
    """`/readyz` says yes when every source is synced, or this long after the start."""

    @property
    def trust_domain(self) -> str:
        """The mesh's trust domain."""
        return self.mesh.trust_domain or f"{self.cluster}.example"

    @property
    def preferred(self) -> tuple[str, ...]:
        """Registries in the order in which they are preferred; empty where they are all alike."""
        return self.names.conflicts.prefer if isinstance(self.names.conflicts, Conflicts) else ()

    @property
    def separated(self) -> frozenset[str]:
        """Registries whose services carry their name as a suffix."""
        if isinstance(self.names.conflicts, Conflicts):
            return frozenset(self.names.conflicts.separate)
        if self.names.conflicts == "merge":
            return frozenset()
        first: dict[str, str] = {}
        for registry in self.registries:
            first.setdefault(self.namespace_of(registry), registry.name)
        return frozenset(registry.name for registry in self.registries) - frozenset(first.values())

    def zone_of(self, registry: RegistrySection) -> str:
        """The whole name of a registry's zone."""
        return whole_zone(self.cluster, registry.zone)

    def namespace_of(self, registry: RegistrySection) -> str:
        """The namespace that a registry's records enter, for registries that have none of their own."""
        return registry.namespace or registry.zone.rpartition("/")[2]
