"""An instance: one reachable copy of a service, whole and canonical."""

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from functools import lru_cache
from ipaddress import IPv6Address
from itertools import chain
from sys import intern
from typing import Final, TypeAlias

import msgspec

Pairs: TypeAlias = tuple[tuple[str, str], ...]
"""Metadata: name and value, sorted by name, each name once."""

ORDINARY_WEIGHT: Final = 100
"""The weight of one ordinary instance. Every adapter states how its registry's scale maps to this one."""

UNKNOWN_PROTOCOL: Final = "unknown"
"""What a port speaks where neither record nor configuration says it: carried as TCP, refused by no layout."""


class Health(StrEnum):
    """What an instance's registry says about it, in falling order of usefulness."""

    PASSING = "passing"
    WARNING = "warning"
    DRAINING = "draining"
    CRITICAL = "critical"


class Port(msgspec.Struct, frozen=True, gc=False):
    """A port of an instance. Its identity is its name."""

    name: str
    number: int
    protocol: str = UNKNOWN_PROTOCOL


class Locality(msgspec.Struct, frozen=True, gc=False):
    """A place in the data-centre sense; an empty part is unknown."""

    region: str = ""
    az: str = ""
    subzone: str = ""


class Origin(msgspec.Struct, frozen=True, gc=False):
    """Where an instance's truth lives: cluster, registry, the record's key there, and the hops it has come through.

    A source leaves it `NO_ORIGIN` for an ordinary record, and fills it for a copy that carries a hub's mark.
    """

    cluster: str = ""
    registry: str = ""
    id: str = ""
    hops: tuple[str, ...] = ()


NOWHERE: Final = Locality()
NO_ORIGIN: Final = Origin()


class Instance(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One reachable copy of a service. No vendor word passes the border: adapters translate into exactly this.

    Adapters make it with `instance()`, which shares what many instances have in common.
    """

    key: str
    """Identity of the record in the registry that it is read from: unique there, stable over reconnects."""
    name: str
    """The service's name; with `namespace` it is the service's identity."""
    id: str
    """What people call this copy; unique in its service as far as the registry makes it so."""
    address: str
    """An IP address, or a host name to be resolved."""
    ports: tuple[Port, ...]
    namespace: str = ""
    """Empty as long as the registry knows none: admission fills it in."""
    health: Health = Health.PASSING
    weight: int = ORDINARY_WEIGHT
    zone: str = ""
    """The whole name, `cluster/zone`. Admission fills it in where the record (a copy, a peer's) doesn't bring it."""
    locality: Locality = NOWHERE
    metadata: Pairs = ()
    origin: Origin = NO_ORIGIN
    layout: str = ""
    """The layout that the record was read in; empty for a registry that has one of its own."""
    lease: float = 0.0
    """Seconds that the record lives unless it is renewed; 0 where it is durable or the registry does not say."""
    native: str = ""
    """What its registry calls the service, `namespace/name`, where the catalog calls it otherwise."""
    host: str = ""
    """Of another cluster's instance: the host by which the edges there know it."""

    @property
    def service(self) -> str:
        """The service's whole name, `namespace/name`."""
        return f"{self.namespace}/{self.name}"

    def meta(self, name: str, default: str = "") -> str:
        """One metadata value."""
        for key, value in self.metadata:
            if key == name:
                return value
        return default


def instance(
    *,
    key: str,
    name: str,
    id: str,  # noqa: A002 - the field's name
    address: str,
    ports: Iterable[Port],
    namespace: str = "",
    health: Health = Health.PASSING,
    weight: float = ORDINARY_WEIGHT,
    locality: Locality = NOWHERE,
    zone: str = "",
    metadata: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    origin: Origin = NO_ORIGIN,
    layout: str = "",
    lease: float = 0.0,
    native: str = "",
    host: str = "",
) -> Instance:
    """Make an instance from what an adapter has decoded, sharing names, ports and metadata that are equal.

    Raises:
        ValueError: a name is empty or holds a control character, a port is outside 1..65535, a weight outside
            0..1,000,000, an address is empty or holds white space. The message is for `Skipped`.
    """
    return Instance(
        key=key,
        name=_checked_name(name),
        id=_clean("id", id),
        address=_checked_address(address),
        ports=shared_ports(tuple(ports)),
        namespace=_checked_namespace(namespace) if namespace else "",
        health=health,
        weight=_checked_weight(weight),
        zone=intern(zone) if zone else "",
        locality=NOWHERE if locality is NOWHERE else _shared_locality(locality),
        metadata=pairs(metadata),
        origin=origin,
        layout=intern(layout),
        lease=lease,
        native=intern(native) if native else "",
        host=intern(_clean("host", host)) if host else "",
    )


def pairs(metadata: Mapping[str, str] | Iterable[tuple[str, str]]) -> Pairs:
    """Metadata in its canonical form: sorted by name, the last value of a name wins, equal pairs are one object."""
    if not metadata:
        return ()
    items = tuple(sorted(metadata.items() if isinstance(metadata, dict) else dict(metadata).items()))
    return _known_pairs.get(items) or _share_pairs(items)


@lru_cache(maxsize=8192)
def shared_ports(ports: tuple[Port, ...]) -> tuple[Port, ...]:
    """Equal ports as one object; a port without a name takes its protocol's.

    Raises:
        ValueError: no port, a number outside 1..65535, or one name twice.
    """
    named = tuple(port if port.name else Port(port.protocol, port.number, port.protocol) for port in ports)
    for port in named:
        if not 1 <= port.number <= 65535:
            raise ValueError(f"port {port.number} is outside 1..65535")
        _clean("port name", port.name)
        _clean("protocol", port.protocol)
    if len({port.name for port in named}) != len(named):
        raise ValueError(f"two ports have one name: {', '.join(port.name for port in named)}")
    return named


MAX_NAME: Final = 512
MAX_TEXT: Final = 4096
_NO_ADDRESS: Final = re.compile(r"[\s/\\@?#]")


@lru_cache(maxsize=65536)
def _checked_name(name: str) -> str:
    if not name:
        raise ValueError("the service has no name")
    if len(name) > MAX_NAME:
        raise ValueError(f"the service's name has {len(name)} characters, more than {MAX_NAME}")
    return intern(_clean("service name", name))


@lru_cache(maxsize=4096)
def _checked_namespace(namespace: str) -> str:
    if "/" in namespace:
        raise ValueError(f"namespace {namespace!r} holds a slash")
    return intern(_clean("namespace", namespace))


def _checked_address(address: str) -> str:
    if not address or len(address) > 255 or _NO_ADDRESS.search(address):
        raise ValueError(f"address {address[:100]!r} is no IP address or host name")
    return _canonical_ipv6(address) if ":" in address else _clean("address", address)


@lru_cache(maxsize=4096)
def _canonical_ipv6(address: str) -> str:
    """The one short form: Java writes all eight groups, others brackets, and equal addresses are one endpoint."""
    try:
        return str(IPv6Address(address.removeprefix("[").removesuffix("]")))
    except ValueError as error:
        raise ValueError(f"address {address[:100]!r} is no IP address or host name") from error


def _checked_weight(weight: float) -> int:
    if not 0 <= weight <= 1_000_000:  # also refuses NaN
        raise ValueError(f"weight {weight} is outside 0..1000000")
    return round(weight)


def _clean(what: str, text: str) -> str:
    """The text, if people and protocols can hold it: bounded, printable, encodable."""
    if len(text) > MAX_TEXT:
        raise ValueError(f"{what} has {len(text)} characters, more than {MAX_TEXT}")
    if not text.isprintable():
        raise ValueError(f"{what} {text[:100]!r} holds a control or an unassigned character")
    return text


_known_pairs: Final[dict[Pairs, Pairs]] = {}
"""Copies of a service mostly have the same metadata: then they have the same object."""


def _share_pairs(items: Pairs) -> Pairs:
    """Remember metadata that others may have too; large ones are not kept, for strangers could fill memory so."""
    if len(items) > 32 or max(map(len, chain.from_iterable(items))) > MAX_NAME:
        return items
    if len(_known_pairs) >= 16384:
        _known_pairs.clear()
    return _known_pairs.setdefault(items, tuple(_shared_pair(item) for item in items))


@lru_cache(maxsize=65536)
def _shared_pair(pair: tuple[str, str]) -> tuple[str, str]:
    return (intern(pair[0]), intern(pair[1]))


@lru_cache(maxsize=4096)
def _shared_locality(locality: Locality) -> Locality:
    return locality
