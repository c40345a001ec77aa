"""The configuration: frozen settings, validated whole before anything starts; an error names the path of the key."""

import ipaddress
import os
import re
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias, get_args, get_origin, get_type_hints

import msgspec
import yaml

from pilot_plus.model import split_service, whole_zone
from pilot_plus.quantities import Address, bytes_of, seconds_of


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


def load(path: Path, environ: Mapping[str, str] = os.environ) -> Config:
    """Read a configuration file: YAML, or JSON, which is YAML.

    Raises:
        ConfigError: it can't be read or used.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: can't be read: {error}") from error
    try:
        return parse(text, environ)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def parse(text: str, environ: Mapping[str, str] = os.environ) -> Config:
    """Validate a configuration's text.

    Raises:
        ConfigError: it can't be used.
    """
    try:
        tree = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ConfigError(f"no YAML: {' '.join(str(error).split()) or type(error).__name__}") from error
    if not isinstance(tree, dict):
        raise ConfigError(f"expected a mapping with at least `cluster`, found {_kind_of(tree)}")
    tree = _with_secrets(tree, "", environ)
    try:
        config = msgspec.convert(tree, Config, dec_hook=_decode)
    except msgspec.ValidationError as error:
        raise ConfigError(_explained(str(error), tree)) from error
    check_references(config)
    _check_names(config)
    _check_identity(config.identity)
    return config


# ------------------------------------------------------------------------------------------------ values


def _decode(kind: type, value: object) -> object:
    makers: dict[type, Callable[[str], object]] = {Address: Address, Duration: _duration, Size: _size}
    maker = makers.get(kind)
    if maker is None:
        raise NotImplementedError(kind)
    return maker(value if isinstance(value, str) else str(value))


def _duration(text: str) -> Duration:
    return Duration(seconds_of(text))


def _size(text: str) -> Size:
    return Size(bytes_of(text))


_SECRET: Final = re.compile(r"\$\{(env|file):([^}]+)\}")


def _with_secrets(node: object, place: str, environ: Mapping[str, str]) -> Any:
    """The tree with `${env:NAME}` and `${file:PATH}` replaced in its strings."""
    if isinstance(node, dict):
        return {
            key: _with_secrets(value, f"{place}.{key}" if place else str(key), environ) for key, value in node.items()
        }
    if isinstance(node, list):
        return [_with_secrets(value, f"{place}[{index}]", environ) for index, value in enumerate(node)]
    if isinstance(node, str):
        return _SECRET.sub(lambda found: _secret(found[1], found[2], place, environ), node)
    return node


def _secret(source: str, name: str, place: str, environ: Mapping[str, str]) -> str:
    if source == "env":
        if name not in environ:
            raise ConfigError(f"{place}: the environment variable {name} is not set")
        return environ[name]
    try:
        return Path(name).read_text(encoding="utf-8").rstrip("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{place}: the file {name} can't be read: {error}") from error


# ------------------------------------------------------------------------------------------------ explanations


def _explained(message: str, tree: object) -> str:
    """msgspec's sentence, with the place in front and what was found or meant behind it."""
    sentence, _, path = message.partition(" - at `")
    place = path.removesuffix("`").removeprefix("$").removeprefix(".")
    place = place.replace("[...]", "")
    if unknown := re.match(r"Object contains unknown field `(.*)`", sentence):
        where = f"{place}.{unknown[1]}" if place else unknown[1]
        known = _fields_at(place)
        close = get_close_matches(unknown[1], known, 1)
        hint = f"; did you mean `{close[0]}`?" if close else f"; known here: {', '.join(known)}" if known else ""
        return f"{where}: unknown key{hint}"
    if missing := re.match(r"Object missing required field `(.*)`", sentence):
        return f"{place + '.' if place else ''}{missing[1]}: required, but not there"
    return f"{place}: {_plain(sentence)}{_found(sentence, tree, place)}"


def _plain(sentence: str) -> str:
    pattern = re.match(r"Expected `str` matching regex (.*)", sentence)
    sentence = f"expected a name that matches {pattern[1]}" if pattern else sentence
    return sentence[:1].lower() + sentence[1:]


def _found(sentence: str, tree: object, place: str) -> str:
    value = _at(tree, place)
    secret = re.search(r"secret|password|token|credential", place)
    if value is None or secret or isinstance(value, dict | list) or ", found " in sentence:
        return ""
    return f", found {str(value)[:80]!r}"


def _at(tree: object, place: str) -> object:
    for step in re.findall(r"[^.\[\]]+", place):
        if isinstance(tree, list) and step.isdecimal() and int(step) < len(tree):
            tree = tree[int(step)]
        elif isinstance(tree, dict) and step in tree:
            tree = tree[step]
        else:
            return None
    return tree


def _fields_at(place: str) -> list[str]:
    """The keys that are known at a place, found by walking the types."""
    kind: Any = Config
    for step in re.findall(r"[^.\[\]]+", place):
        kind = _section_in(kind) if step.isdecimal() else _field_of(kind, step)
    section = _section_in(kind)
    return [field.encode_name for field in msgspec.structs.fields(section)] if section else []


def _field_of(kind: Any, step: str) -> Any:
    section = _section_in(kind)
    if section is None:
        return None
    hints = get_type_hints(section)
    return next((hints[f.name] for f in msgspec.structs.fields(section) if f.encode_name == step), None)


def _section_in(kind: Any) -> type[Section] | None:
    if isinstance(kind, type) and issubclass(kind, Section):
        return kind
    if get_origin(kind) is None:
        return None
    return next((found for part in get_args(kind) if (found := _section_in(part))), None)


def _kind_of(value: object) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"


# ------------------------------------------------------------------------------------------------ references


def check_references(config: Config) -> None:
    """Check that every name that a section uses is another section's.

    Raises:
        ConfigError: one isn't.
    """
    zones = _unique("zones", [zone.name for zone in config.zones])
    registries = _unique("registries", [registry.name for registry in config.registries])
    peers = _unique("peers", [peer.name for peer in config.peers])
    _unique("sync", [rule.name for rule in config.sync])
    if config.cluster in peers:
        raise ConfigError(f"peers: {config.cluster!r} is our own cluster")
    if both := registries & peers:
        raise ConfigError(f"peers: {sorted(both)[0]!r} is a registry's name too; peers are shown among the registries")
    for index, registry in enumerate(config.registries):
        _check_registry(config, zones, f"registries[{index}]", registry)
    for index, rule in enumerate(config.sync):
        known = registries | peers
        _check_known(f"sync[{index}].to", rule.target.registry, registries, "registries")
        for name in rule.from_.registries:
            _check_known(f"sync[{index}].from.registries", name, known, "registries")
        _check_patterns(f"sync[{index}].from.services", rule.from_.services)
    for index, export in enumerate(config.exports):
        _check_patterns(f"exports[{index}].services", export.services)
        for zone in (*export.from_, *export.to):
            _check_zone(config, zones, f"exports[{index}]", zone)
    for index, zone_section in enumerate(config.zones):
        for subnet in zone_section.subnets:
            _check_network(f"zones[{index}].subnets", subnet)
    for place, patterns in _selections(config):
        _check_counting(config, place, patterns)


def _selections(config: Config) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Where services are selected by the names that the catalog has for them."""
    for index, rule in enumerate(config.sync):
        yield f"sync[{index}].from.services", rule.from_.services
    for index, export in enumerate(config.exports):
        yield f"exports[{index}].services", export.services
    for index, peer in enumerate(config.peers):
        for number, selection in enumerate(peer.export):
            yield f"peers[{index}].export[{number}].services", selection.services


def _check_counting(config: Config, place: str, patterns: tuple[str, ...]) -> None:
    """Refuse a name that no service has, for `names.aliases` gives it another one."""
    counting = {name: alias.name for alias in config.names.aliases for name in alias.services if name != alias.name}
    for pattern in patterns:
        if pattern in counting:
            raise ConfigError(
                f"{place}: `names.aliases` makes {pattern!r} {counting[pattern]!r}; select it by that name"
            )


def _check_names(config: Config) -> None:
    registries = {registry.name for registry in config.registries}
    for name in config.preferred:
        known = registries | {peer.name for peer in config.peers}
        _check_known("names.conflicts.prefer", name, known, "registries")
    for name in config.separated:
        _check_known("names.conflicts.separate", name, registries, "registries")
    called: dict[str, str] = {}
    for index, alias in enumerate(config.names.aliases):
        for key, name in (("name", alias.name), *(("services", name) for name in alias.services)):
            _check_service(f"names.aliases[{index}].{key}", name)
            if called.setdefault(name, alias.name) != alias.name:
                raise ConfigError(f"names.aliases[{index}].{key}: {name!r} is a name of {called[name]!r} already")
    for index, registry in enumerate(config.registries):
        for number, rename in enumerate(registry.rename):
            _check_rename(f"registries[{index}].rename[{number}]", rename)


def _check_service(place: str, name: str) -> None:
    try:
        namespace, _ = split_service(name)
    except ValueError as error:
        raise ConfigError(f"{place}: {error}") from error
    if "*" in name or namespace == "pilot-plus":
        raise ConfigError(f"{place}: expected a service's whole name without `*`, not among the hub's own: {name!r}")


def _check_rename(place: str, rename: Rename) -> None:
    stars = rename.from_.count("*")
    if not rename.from_ or not rename.to or rename.to.startswith("/") or rename.to.endswith("/"):
        raise ConfigError(f"{place}: expected a pattern in `from`, and NAME or NAMESPACE/NAME in `to`")
    for number in re.findall(r"\{(\d+)\}", rename.to):
        if not 1 <= int(number) <= stars:
            raise ConfigError(f"{place}.to: {{{number}}} stands for no `*`; {rename.from_!r} has {stars}")


def _check_identity(identity: Identity) -> None:
    if bool(identity.root_cert) != bool(identity.root_key):
        raise ConfigError("identity: `root_cert` and `root_key` belong together; leave out both for a root of our own")
    if not 600 <= identity.leaf_ttl <= identity.root_ttl / 4:
        raise ConfigError("identity.leaf_ttl: expected at least 10m, and at most a quarter of `root_ttl`")
    if identity.root_ttl > 36500 * 86400:
        raise ConfigError("identity.root_ttl: expected at most 36500d")


def _check_registry(config: Config, zones: set[str], place: str, registry: RegistrySection) -> None:
    _check_zone(config, zones, f"{place}.zone", registry.zone)
    if "/" in registry.zone and not registry.zone.startswith(f"{config.cluster}/"):
        raise ConfigError(f"{place}.zone: {registry.zone!r} is another cluster's; a registry lies in a zone of ours")
    for cidr in registry.accept.cidrs:
        _check_network(f"{place}.accept.cidrs", cidr)
    for ports in registry.accept.ports:
        if not re.fullmatch(r"\d{1,5}(-\d{1,5})?", ports):
            raise ConfigError(f"{place}.accept.ports: expected a port or a range like 8000-8999, found {ports!r}")


def _unique(place: str, names: list[str]) -> set[str]:
    for index, name in enumerate(names):
        if name in names[:index]:
            raise ConfigError(f"{place}[{index}].name: {name!r} is there twice")
    return set(names)


def _check_known(place: str, name: str, known: set[str], where: str) -> None:
    if name not in known:
        close = get_close_matches(name, sorted(known), 1)
        raise ConfigError(
            f"{place}: {name!r} is not among `{where}`" + (f"; did you mean {close[0]!r}?" if close else "")
        )


def _check_zone(config: Config, zones: set[str], place: str, zone: str) -> None:
    """A zone of ours must be declared, if any are; without `zones` a registry's zone declares itself, not meshed."""
    cluster, _, name = whole_zone(config.cluster, zone).partition("/")
    if cluster == config.cluster and config.zones:
        _check_known(place, name, zones, "zones")


def _check_network(place: str, text: str) -> None:
    try:
        ipaddress.ip_network(text)
    except ValueError as error:
        raise ConfigError(f"{place}: expected a network like 10.1.0.0/16, found {text!r} ({error})") from error


def _check_patterns(place: str, patterns: tuple[str, ...]) -> None:
    for pattern in patterns:
        namespace, slash, name = pattern.partition("/")
        if not (namespace and slash and name):
            raise ConfigError(f"{place}: expected NAMESPACE/NAME, each with `*` where anything goes, found {pattern!r}")
