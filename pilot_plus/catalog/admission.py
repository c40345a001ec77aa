"""Admission: what becomes of a registry's record before it enters the catalog, and which records don't."""

import ipaddress
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

import msgspec

from pilot_plus.config import Config, RegistrySection
from pilot_plus.model import NO_ORIGIN, UNKNOWN_PROTOCOL, Instance, Origin, Port, Service, shared_ports
from pilot_plus.quantities import Address, matches

RESERVED_NAMESPACE: Final = "pilot-plus"
"""Edges live here; only authenticated edges and peers write it."""


_ORDINARY: Final = re.compile(
    r"(?!127\.|169\.254\.)([1-9]\d?|1\d\d|2[01]\d|22[0-3])(\.(0|[1-9]\d?|1\d\d|2[0-4]\d|25[0-5])){3}"
)
"""IPv4 unicast addresses that are in no special range: nearly all there are, told without parsing them."""


class Admission(msgspec.Struct, frozen=True, kw_only=True):
    """One registry's rules."""

    cluster: str
    registry: str
    zone: str
    namespace: str
    """For records that come without one."""
    namespaces: tuple[str, ...] = ("*",)
    """Patterns of namespaces that records may bring."""
    protocol: str = ""
    renames: tuple[tuple[str, str], ...] = ()
    cidrs: tuple[str, ...] = ()
    ports: tuple[tuple[int, int], ...] = ()
    loopback_is_fine: bool = True
    own_hosts: frozenset[str] = frozenset()
    own_listeners: frozenset[tuple[str, int]] = frozenset()
    writes_reserved: bool = False

    def instance(self, found: Instance) -> Instance:
        """The instance with what the registry's place says: namespace, name, zone, origin, protocol.

        Raises:
            ValueError: it may not enter; the message is the reason.
        """
        namespace, name = self._named(found.namespace, found.name)
        self._check_address(found)
        return msgspec.structs.replace(
            found,
            namespace=namespace,
            name=name,
            zone=found.zone or self.zone,
            origin=found.origin if found.origin != NO_ORIGIN else Origin(self.cluster, self.registry, found.key),
            ports=_spoken(found.ports, self.protocol) if self.protocol else found.ports,
        )

    def service(self, found: Service) -> Service:
        """The service record under its name here.

        Raises:
            ValueError: it may not enter; the message is the reason.
        """
        namespace, name = self._named(found.namespace, found.name)
        return msgspec.structs.replace(found, namespace=namespace, name=name)

    def _named(self, namespace: str, name: str) -> tuple[str, str]:
        if not namespace:
            namespace = self.namespace
        elif not any(matches(f"{pattern}/*", f"{namespace}/{name}") for pattern in self.namespaces):
            raise ValueError(f"namespace {namespace!r} is not granted to registry {self.registry!r} (`namespaces`)")
        if self.renames:
            namespace, name = _renamed(self.renames, namespace, name)
        if namespace == RESERVED_NAMESPACE and not self.writes_reserved:
            raise ValueError(f"namespace {RESERVED_NAMESPACE!r} is reserved for edges")
        return namespace, name

    def _check_address(self, found: Instance) -> None:
        is_ordinary = not self.cidrs and _ORDINARY.fullmatch(found.address)
        if not is_ordinary and (reason := _unfit_address(found.address, self.cidrs, self.loopback_is_fine)):
            raise ValueError(reason)
        if not self.ports and found.address not in self.own_hosts:
            return
        for port in found.ports:
            if (found.address, port.number) in self.own_listeners:
                raise ValueError(f"{found.address}:{port.number} is one of the hub's own listeners")
            if self.ports and not any(low <= port.number <= high for low, high in self.ports):
                raise ValueError(f"port {port.number} is not within `accept.ports`")


def admission_of(config: Config, registry: RegistrySection) -> Admission:
    """The rules of one registry in a configuration."""
    listeners = [a for a in (config.listen.http, config.listen.xds, config.listen.dns, config.listen.peer) if a]
    return Admission(
        cluster=config.cluster,
        registry=registry.name,
        zone=config.zone_of(registry),
        namespace=config.namespace_of(registry),
        namespaces=registry.namespaces,
        protocol=registry.protocol,
        renames=tuple((rename.from_, rename.to) for rename in registry.rename),
        cidrs=registry.accept.cidrs,
        ports=tuple(_port_range(text) for text in registry.accept.ports),
        loopback_is_fine=listens_only_on_loopback(listeners),
        own_hosts=frozenset(address.host for address in listeners),
        own_listeners=frozenset((address.host, address.port) for address in listeners),
    )


def listens_only_on_loopback(listeners: Iterable[Address]) -> bool:
    """Whether nobody outside this machine can reach any of the addresses."""
    return all(is_loopback(address.host) for address in listeners)


def is_loopback(host: str) -> bool:
    """Whether a host, by name or number, is this machine seen from itself."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _port_range(text: str) -> tuple[int, int]:
    low, _, high = text.partition("-")
    return int(low), int(high or low)


@lru_cache(maxsize=65536)
def _unfit_address(address: str, cidrs: Sequence[str], loopback_is_fine: bool) -> str:
    """Why an address may not enter; empty if it may."""
    if is_loopback(address) and loopback_is_fine and not cidrs:
        return ""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return f"address {address!r} is this machine's own" if is_loopback(address) else ""
    ip = getattr(ip, "ipv4_mapped", None) or ip
    if cidrs:
        allowed = any(ip in ipaddress.ip_network(cidr, strict=False) for cidr in cidrs)
        return "" if allowed else f"address {address} is not within `accept.cidrs`"
    kinds = (
        (ip.is_loopback and not loopback_is_fine, "loopback"),
        (ip.is_link_local, "link-local"),
        (ip.is_multicast, "multicast"),
        (ip.is_unspecified, "unspecified"),
    )
    kind = next((kind for holds, kind in kinds if holds), "")
    return f"address {address} is {kind}; `accept.cidrs` can allow it" if kind else ""


@lru_cache(maxsize=16384)
def _spoken(ports: tuple[Port, ...], protocol: str) -> tuple[Port, ...]:
    """The ports, with what the configuration says of the protocol where the record says nothing."""
    return shared_ports(
        tuple(
            Port("" if port.name == UNKNOWN_PROTOCOL else port.name, port.number, protocol)
            if port.protocol == UNKNOWN_PROTOCOL
            else port
            for port in ports
        )
    )


@lru_cache(maxsize=65536)
def _renamed(renames: tuple[tuple[str, str], ...], namespace: str, name: str) -> tuple[str, str]:
    """The name that the first fitting rule gives; `{1}`, `{2}` in it are what the stars stand for."""
    for pattern, to in renames:
        if found := matches(pattern, f"{namespace}/{name}") or matches(pattern, name):
            for index, star in enumerate(found.groups(), 1):
                to = to.replace(f"{{{index}}}", star)  # noqa: PLW2901 - the same target, filled in step by step
            head, slash, tail = to.partition("/")
            return (head, tail) if slash else (namespace, to)
    return namespace, name
