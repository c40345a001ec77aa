"""Admission: what becomes of a registry's record before it enters the catalog, and which records don't."""

import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from sys import intern
from typing import Final

import msgspec

from pilot_plus.catalog.naming import Naming, Step, naming_of
from pilot_plus.config import Config, RegistrySection
from pilot_plus.machine import is_unspecified, own_addresses
from pilot_plus.model import NO_ORIGIN, UNKNOWN_PROTOCOL, Instance, Origin, Port, Service, shared_ports, split_service
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
    naming: Naming = Naming()
    cidrs: tuple[str, ...] = ()
    ports: tuple[tuple[int, int], ...] = ()
    loopback_is_fine: bool = True
    own_listeners: Mapping[str, frozenset[int]] = {}
    """What the hub itself listens on: ports by host."""
    writes_reserved: bool = False

    def instance(self, found: Instance) -> Instance:
        """The instance with what the registry's place says: namespace, name, zone, origin, protocol.

        Raises:
            ValueError: it may not enter; the message is the reason.
        """
        namespace, name, native = self.named(found.namespace, found.name)
        self._check_address(found)
        return msgspec.structs.replace(
            found,
            namespace=namespace,
            name=name,
            zone=found.zone or self.zone,
            origin=found.origin if found.origin != NO_ORIGIN else Origin(self.cluster, self.registry, found.key),
            ports=_spoken(found.ports, self.protocol) if self.protocol else found.ports,
            native=native,
        )

    def service(self, found: Service) -> Service:
        """The service record under its name here, and its further names.

        Raises:
            ValueError: it may not enter; the message is the reason.
        """
        namespace, name, native = self.named(found.namespace, found.name)
        aliases = tuple("/".join(self.named(found.namespace, alias)[:2]) for alias in found.aliases)
        return msgspec.structs.replace(found, namespace=namespace, name=name, aliases=aliases, native=native)

    def again(self, known: Instance | Service) -> Instance | Service:
        """A record that was admitted once, perhaps by other rules, by the rules of now.

        Raises:
            ValueError: it may not enter any more.
        """
        namespace, name = split_service(known.native or known.service)
        if namespace == self.namespace:
            namespace = ""  # filled in, most likely
        if isinstance(known, Instance):
            return self.instance(msgspec.structs.replace(known, namespace=namespace, name=name))
        bare = msgspec.structs.replace(known, namespace=namespace, name=name, aliases=())
        return msgspec.structs.replace(self.service(bare), aliases=known.aliases)

    def named(self, namespace: str, name: str) -> tuple[str, str, str]:
        """Namespace and name in the catalog of a service that the registry calls so, and its native name if it differs.

        Raises:
            ValueError: its namespace is not granted, is reserved, or a rule makes no name of it.
        """
        if not namespace:
            namespace = self.namespace
        elif not self._is_granted(namespace):
            raise ValueError(f"namespace {namespace!r} is not granted to registry {self.registry!r} (`namespaces`)")
        here, called = self.naming.named(namespace, name)
        if here != namespace and self.naming.lets_records_choose and not self._is_granted(here):
            raise ValueError(f"`rename` makes {here!r} its namespace, which `namespaces` does not grant")
        if here == RESERVED_NAMESPACE and not self.writes_reserved:
            raise ValueError(f"namespace {RESERVED_NAMESPACE!r} is reserved for edges")
        is_native = called == name and here == namespace
        return here, called, "" if is_native else intern(f"{namespace}/{name}")

    def shown_as(self, namespace: str, name: str) -> str:
        """What the catalog calls a service of the registry; its native name where it may not enter."""
        try:
            return "/".join(self.named(namespace, name)[:2])
        except ValueError:
            return f"{namespace}/{name}"

    def why_named(self, namespace: str, name: str) -> Iterator[Step]:
        """What changes a native name on its way into the catalog."""
        return self.naming.steps(self.registry, namespace, name)

    def why_granted(self, namespace: str) -> str:
        """What lets the registry's records into a namespace that they name."""
        if namespace == self.namespace:
            return f"{namespace} is the namespace of {self.registry}"
        return f"{namespace} is granted to {self.registry} by `namespaces: [{', '.join(self.namespaces)}]`"

    def why_accepted(self, address: str) -> str:
        """What lets an address in."""
        accepted = [f"`accept.cidrs: [{', '.join(self.cidrs)}]`"] if self.cidrs else []
        if self.ports:
            ranges = ", ".join(f"{low}-{high}" if low != high else str(low) for low, high in self.ports)
            accepted.append(f"`accept.ports: [{ranges}]`")
        if accepted:
            return f"{' and '.join(accepted)} of {self.registry} let it in"
        is_here = is_loopback(address)
        return "loopback, where alone the hub listens" if is_here else "an address that nothing speaks against"

    def _is_granted(self, namespace: str) -> bool:
        return self.namespaces == ("*",) or any(
            matches(f"{pattern}/*", f"{namespace}/x") for pattern in self.namespaces
        )

    def _check_address(self, found: Instance) -> None:
        is_ordinary = not self.cidrs and _ORDINARY.fullmatch(found.address)
        if not is_ordinary and (reason := _unfit_address(found.address, self.cidrs, self.loopback_is_fine)):
            raise ValueError(reason)
        if not self.ports and found.address not in self.own_listeners:
            return
        for port in found.ports:
            if port.number in self.own_listeners.get(found.address, ()):
                raise ValueError(f"{found.address}:{port.number} is one of the hub's own listeners")
            if self.ports and not any(low <= port.number <= high for low, high in self.ports):
                raise ValueError(f"port {port.number} is not within `accept.ports`")


def admission_of(config: Config, registry: RegistrySection) -> Admission:
    """The rules of one registry in a configuration."""
    return Admission(
        cluster=config.cluster,
        registry=registry.name,
        zone=config.zone_of(registry),
        namespace=config.namespace_of(registry),
        namespaces=registry.namespaces,
        protocol=registry.protocol,
        naming=naming_of(config, registry),
        cidrs=registry.accept.cidrs,
        ports=tuple(_port_range(text) for text in registry.accept.ports),
        loopback_is_fine=listens_only_on_loopback(config),
        own_listeners=own_listeners(config),
    )


def listens_only_on_loopback(config: Config) -> bool:
    """Whether nobody outside this machine can reach anything of the hub."""
    return all(is_loopback(address.host) for address in _listeners(config))


def own_listeners(config: Config) -> Mapping[str, frozenset[int]]:
    """Everything that the hub listens on, ports by host, under each address that this has."""
    found: dict[str, frozenset[int]] = {}
    for address in _listeners(config):
        for host in {address.host, *(own_addresses() if is_unspecified(address.host) else ())}:
            found[host] = found.get(host, frozenset()) | {address.port}
    return found


def _listeners(config: Config) -> list[Address]:
    listen = config.listen
    return [address for address in (listen.http, listen.xds, listen.dns, listen.peer) if address]


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
