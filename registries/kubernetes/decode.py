"""From Kubernetes' objects to services and instances: pure, one object at a time.

What several objects say together (the slices of a service, a service and its slices) is `join`'s subject.
"""

from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from typing import Final

import msgspec

from pilot_plus.model import NOWHERE, Health, Instance, Locality, Port, Service, instance, pairs
from registries.kubernetes.copies import Common, Copy, common_in, copies_in
from registries.kubernetes.names import (
    CLUSTER,
    COMMON,
    COPIES,
    MANAGED_BY,
    NAME,
    OURS,
    SERVICE_NAME,
    slice_place,
    told_labels,
)
from registries.kubernetes.objects import Conditions, Endpoint, Meta, ServiceObject, SliceObject, SlicePort
from registries.kubernetes.ports import protocol_of
from registries.layouts.mark import unmarked

ServiceName = tuple[str, str]
"""Namespace and name."""

EXTERNAL_NAME: Final = "ExternalName"


class KnownService(msgspec.Struct, frozen=True):
    """What a Service object says."""

    record: Service
    family: str = ""
    """The address type of the only slices that count; empty for any. A dual-stack service has each pod in two slices,
    of which those of its first family are taken: one pod is one instance."""
    external: Instance | None = None
    """The instance that an ExternalName is; its slices count for nothing."""


class Members(msgspec.Struct, frozen=True):
    """What one slice says: which service it is of, its endpoints by key, and what is wrong with others."""

    service: ServiceName
    family: str = ""
    instances: Mapping[str, Instance] = {}
    skipped: tuple[tuple[str, str], ...] = ()
    """Place and reason."""


def service_of(found: ServiceObject) -> KnownService:
    """Read a Service.

    Raises:
        ValueError: it can't be used; the message is for `Skipped`.
    """
    spec = found.spec
    if spec is None:
        raise ValueError("it has no spec")
    namespace, name = _identity(found.metadata)
    ports = tuple(
        Port(port.name or "", port.port, protocol_of(port.name, port.protocol, port.app_protocol))
        for port in spec.ports or ()
    )
    labels = told_labels(found.metadata.labels)
    record = Service(
        key=f"{namespace}/{name}",
        namespace=namespace,
        name=_told_name(found.metadata) or name,
        ports=_named(ports),
        metadata=pairs(labels),
    )
    if spec.type == EXTERNAL_NAME:
        return KnownService(record, external=_external(record, spec.external_name or "", ports))
    families = spec.ip_families or ()
    return KnownService(record, family=families[0] if len(families) > 1 else "")


def members_of(found: SliceObject) -> Members | None:
    """Read a slice; None where it belongs to no service of this cluster.

    Raises:
        ValueError: none of it can be used; the message is for `Skipped`.
    """
    labels = found.metadata.labels or {}
    if SERVICE_NAME not in labels:
        return None
    namespace, name = _identity(found.metadata)
    service = (namespace, _name(labels[SERVICE_NAME]))
    ports = ports_of(found.ports)
    written = _written(found.metadata, ports)
    told = told_labels(labels)
    instances: dict[str, Instance] = {}
    skipped: list[tuple[str, str]] = []
    for number, endpoint in enumerate(found.endpoints or ()):
        try:
            member = written.member(endpoint, service) if written else _member(endpoint, service, ports, told)
        except ValueError as error:
            skipped.append((f"{slice_place(namespace, name)}[{number}]", str(error)))
        else:
            instances[member.key] = joined(instances.get(member.key), member)
    return Members(service, found.address_type, instances, tuple(skipped))


def joined(one: Instance | None, other: Instance) -> Instance:
    """Two records of one endpoint as one: the ports of both, the better health, and otherwise what the first says."""
    if one is None or one == other:
        return other
    names = {port.name for port in one.ports}
    ports = one.ports + tuple(port for port in other.ports if port.name not in names)
    return msgspec.structs.replace(one, ports=ports, health=min(one.health, other.health, key=_FALLING.index))


_FALLING: Final = tuple(Health)


def health_of(conditions: Conditions | None) -> Health:
    """Readiness in our words, by the meaning that the API's documentation gives to what is left out."""
    said = conditions or Conditions()
    ready = said.ready is not False
    serving = ready if said.serving is None else said.serving
    if said.terminating:
        return Health.DRAINING if serving else Health.CRITICAL
    return Health.PASSING if ready else Health.CRITICAL


def key_of(service: ServiceName, address: str, ports: tuple[Port, ...]) -> str:
    """An endpoint's key: it doesn't name the slice, for endpoints move between slices."""
    return "/".join((*service, endpoint_text(address, ports)))


def endpoint_text(address: str, ports: tuple[Port, ...]) -> str:
    """Address and first port, as people write them."""
    if not ports:
        return address
    return f"[{address}]:{ports[0].number}" if ":" in address else f"{address}:{ports[0].number}"


def _member(endpoint: Endpoint, service: ServiceName, ports: tuple[Port, ...], labels: Mapping[str, str]) -> Instance:
    address = _address(endpoint)
    text = endpoint_text(address, ports)
    named = endpoint.target_ref.name if endpoint.target_ref else None
    return instance(
        key=f"{service[0]}/{service[1]}/{text}",
        namespace=service[0],
        name=service[1],
        id=named or endpoint.hostname or text,
        address=address,
        ports=ports,
        health=health_of(endpoint.conditions),
        locality=Locality(az=endpoint.zone) if endpoint.zone else NOWHERE,
        metadata={**labels, **dict(_told(endpoint))},
    )


def _told(endpoint: Endpoint) -> Iterator[tuple[str, str]]:
    """What an endpoint says that has no field of ours."""
    if endpoint.node_name:
        yield "node", endpoint.node_name
    if endpoint.hints and endpoint.hints.for_zones:
        yield "zone-hints", ",".join(zone.name for zone in endpoint.hints.for_zones)


class _Written(msgspec.Struct, frozen=True):
    """A slice that a hub wrote."""

    copies: Mapping[str, Copy]
    common: Common
    ports: tuple[Port, ...]

    def member(self, endpoint: Endpoint, service: ServiceName) -> Instance:
        """One of its endpoints."""
        address = _address(endpoint)
        if address not in self.copies:
            raise ValueError(f"a hub wrote this slice, but its annotation {COPIES} does not know {address[:100]!r}")
        copy = self.copies[address]
        metadata, origin, zone = unmarked(copy.metadata)
        text = endpoint_text(address, self.ports)
        return instance(
            key=f"{service[0]}/{service[1]}/{text}",
            namespace=service[0],
            name=self.common.service or service[1],
            id=copy.id or text,
            address=address,
            ports=self.ports,
            health=copy.health or health_of(endpoint.conditions),
            weight=copy.weight,
            zone=zone,
            locality=Locality(az=endpoint.zone) if endpoint.zone else NOWHERE,
            metadata=metadata,
            origin=origin,
            lease=self.common.lease,
        )


def _written(meta: Meta, ports: tuple[Port, ...]) -> _Written | None:
    """What a hub's slice says beside its endpoints; None for a slice that no hub wrote."""
    annotations = meta.annotations or {}
    if (meta.labels or {}).get(MANAGED_BY) != OURS and COPIES not in annotations:
        return None
    try:
        copies = copies_in(annotations.get(COPIES, "{}"))
    except ValueError as error:
        raise ValueError(f"annotation {COPIES}: {error}") from error
    try:
        common = common_in(annotations.get(COMMON, "{}"))
    except ValueError as error:
        raise ValueError(f"annotation {COMMON}: {error}") from error
    if common.ports and len(common.ports) != len(ports):
        raise ValueError(f"annotation {COMMON} names {len(common.ports)} ports, and the slice has {len(ports)}")
    told = common.ports or tuple((port.name, port.protocol) for port in ports)
    named = tuple(Port(name, port.number, protocol) for (name, protocol), port in zip(told, ports, strict=True))
    return _Written(copies, common, named)


def _told_name(meta: Meta) -> str:
    """The name that a hub's Service says it has; empty for others."""
    return (meta.annotations or {}).get(NAME, "") if CLUSTER in (meta.labels or {}) else ""


def _address(endpoint: Endpoint) -> str:
    if not endpoint.addresses:
        raise ValueError("the endpoint has no address")
    return endpoint.addresses[0]


def ports_of(found: list[SlicePort] | None) -> tuple[Port, ...]:
    """The ports of a slice in our words; one without a number is none."""
    return _named(
        tuple(
            Port(port.name or "", port.port, protocol_of(port.name, port.protocol, port.app_protocol))
            for port in found or ()
            if port.port is not None
        )
    )


def _named(ports: tuple[Port, ...]) -> tuple[Port, ...]:
    """Ports with a name each, as `instance` makes them, so that services and instances name theirs alike."""
    return tuple(port if port.name else Port(port.protocol, port.number, port.protocol) for port in ports)


def _external(record: Service, external_name: str, ports: tuple[Port, ...]) -> Instance:
    """The one instance of an ExternalName: a host name outside the cluster."""
    address = external_name.rstrip(".")
    try:
        ip_address(address)
    except ValueError:
        return instance(
            key=key_of((record.namespace, record.name), address, ports),
            namespace=record.namespace,
            name=record.name,
            id=address,
            address=address,
            ports=ports,
            metadata=record.metadata,
        )
    raise ValueError(f"externalName {address!r} looks like an IP address, which cluster DNS does not follow")


def _identity(meta: Meta) -> ServiceName:
    return _name(meta.namespace), _name(meta.name)


def _name(text: str) -> str:
    """A name that can be a part of a key."""
    if not text or "/" in text:
        raise ValueError(f"{text[:100]!r} is no name of an object")
    return text
