"""From an instance to its place in Kubernetes' objects: pure, one instance at a time.

    instance  ─┬─ service    namespace, and the Service's name (a DNS label)
               ├─ group      what all endpoints of its slice have in common: ports, family of addresses, rule, lease
               └─ entry      its endpoint, and what an endpoint can't hold

A slice has one set of ports, so that copies with other ports lie in other slices. `decode` reads all of it back.
"""

from collections.abc import Mapping
from functools import lru_cache
from ipaddress import ip_address
from math import ceil
from typing import Final

import msgspec

from pilot_plus.model import NOWHERE, Health, Instance, Port
from registries.kubernetes.copies import Common, Copy, copy_of, text_of
from registries.kubernetes.decode import ServiceName, key_of, members_of
from registries.kubernetes.names import (
    COMMON,
    COPIES,
    MANAGED_BY,
    OURS,
    SERVICE_NAME,
    is_label,
    is_label_value,
    label_of,
)
from registries.kubernetes.objects import Conditions, Endpoint, Meta, SliceObject, SlicePort
from registries.kubernetes.ports import protocol_of, spoken_as

MARKED_RULE: Final = "pilot-plus-rule"
"""The metadata in which a copy says which rule wrote it: `CLUSTER/RULE`."""

_CONDITIONS: Final = {
    Health.PASSING: Conditions(ready=True, serving=True, terminating=False),
    Health.WARNING: Conditions(ready=True, serving=True, terminating=False),
    Health.DRAINING: Conditions(ready=False, serving=True, terminating=True),
    Health.CRITICAL: Conditions(ready=False, serving=False, terminating=False),
}


class Group(msgspec.Struct, frozen=True):
    """What all endpoints of a slice have in common."""

    family: str
    ports: tuple[SlicePort, ...]
    rule: str
    """Empty where no rule wrote it, or a label can't hold its name."""
    common: Common


class Entry(msgspec.Struct, frozen=True):
    """What a slice says of one copy."""

    endpoint: Endpoint
    copy: Copy


class Placed(msgspec.Struct, frozen=True):
    """A copy with its place."""

    service: ServiceName
    key: str
    group: Group
    entry: Entry


def placed(instance: Instance) -> Placed:
    """Where a copy lies, and how.

    Raises:
        ValueError: Kubernetes can't hold it; the message is for `Refused`.
    """
    if not instance.ports:
        raise ValueError("it has no port, and a Service needs one")
    family = _family(instance.address)
    namespace = instance.namespace
    if not is_label(namespace):
        raise ValueError(f"{namespace[:100]!r} is no name of a namespace in Kubernetes; set to.namespace")
    service = (namespace, label_of(instance.name))
    common = Common(
        service=instance.name if service[1] != instance.name else "",
        ports=_unsayable(instance.ports),
        lease=float(ceil(instance.lease)),
    )
    rule = instance.meta(MARKED_RULE).partition("/")[2]
    zone = instance.locality.az if instance.locality is not NOWHERE else ""
    return Placed(
        service,
        key_of(service, instance.address, instance.ports),
        Group(family, _slice_ports(instance.ports), rule if is_label_value(rule) else "", common),
        Entry(Endpoint([instance.address], _CONDITIONS[instance.health], zone=zone or None), copy_of(instance)),
    )


def annotations_of(group: Group, entries: Mapping[str, Entry]) -> dict[str, str]:
    """What a slice says beside its endpoints."""
    said = {COPIES: text_of({entry.endpoint.addresses[0]: entry.copy for entry in entries.values()})}
    if group.common != Common():
        said[COMMON] = text_of(group.common)
    return said


def foreseen(copy: Placed) -> Instance:
    """The instance as our own source will report it."""
    entries = {copy.key: copy.entry}
    labels = {SERVICE_NAME: copy.service[1], MANAGED_BY: OURS}
    meta = Meta("preview", copy.service[0], labels=labels, annotations=annotations_of(copy.group, entries))
    members = members_of(SliceObject(meta, copy.group.family, [copy.entry.endpoint], list(copy.group.ports)))
    if members is None or copy.key not in members.instances:
        raise ValueError(members.skipped[0][1] if members and members.skipped else "it can't be read back")
    return members.instances[copy.key]


def _family(address: str) -> str:
    """The address type of the slices in which an address can be, by the rules of the API server.

    Raises:
        ValueError: in none.
    """
    try:
        ip = ip_address(address)
    except ValueError:
        raise ValueError(f"{address[:100]!r} is a host name, and slices are read by their IP addresses only") from None
    kinds = ((ip.is_unspecified, "unspecified"), (ip.is_loopback, "loopback"), (ip.is_link_local, "link-local"))
    kind = next((kind for holds, kind in kinds if holds), "multicast" if ip.is_multicast else "")
    if kind:
        raise ValueError(f"the address {address} is {kind}, which Kubernetes refuses in slices")
    return "IPv6" if ip.version == 6 else "IPv4"


@lru_cache(maxsize=4096)
def _slice_ports(ports: tuple[Port, ...]) -> tuple[SlicePort, ...]:
    made = []
    for port in ports:
        transport, protocol = spoken_as(port.protocol)
        made.append(SlicePort(label_of(port.name), port.number, transport, protocol))
    return tuple(made)


@lru_cache(maxsize=4096)
def _unsayable(ports: tuple[Port, ...]) -> tuple[tuple[str, str], ...]:
    """Names and protocols, if reading the slice's ports would give others."""
    said = tuple((port.name, protocol_of(port.name, port.protocol, port.app_protocol)) for port in _slice_ports(ports))
    meant = tuple((port.name, port.protocol) for port in ports)
    return () if said == meant else meant
