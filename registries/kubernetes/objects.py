"""The parts of Kubernetes' objects that we read, as the API writes them (core v1, discovery.k8s.io/v1, meta v1)."""

from typing import TypeVar

import msgspec

from registries.layouts.jsontext import decoded


class OwnerReference(msgspec.Struct, frozen=True, rename="camel"):
    """The object with which another one goes: Kubernetes' garbage collector sees to it."""

    api_version: str
    kind: str
    name: str
    uid: str


class Meta(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """`metadata` of an object."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    owner_references: list[OwnerReference] | None = None


class ServicePort(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """A port of a Service: the number that its callers use, not the one that its endpoints listen on."""

    port: int
    name: str | None = None
    protocol: str | None = None
    app_protocol: str | None = None


class ServiceSpec(msgspec.Struct, frozen=True, rename="camel"):
    """`spec` of a Service."""

    type: str = "ClusterIP"
    external_name: str | None = None
    ports: list[ServicePort] | None = None
    ip_families: list[str] | None = None


class ServiceObject(msgspec.Struct, frozen=True):
    """A `v1` Service."""

    metadata: Meta
    spec: ServiceSpec | None = None


class Conditions(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an endpoint's pod says of itself; null is what the API's documentation says it means."""

    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class ForZone(msgspec.Struct, frozen=True):
    """One of the zones whose callers should prefer an endpoint."""

    name: str


class Hints(msgspec.Struct, frozen=True, rename="camel"):
    """Who should prefer an endpoint."""

    for_zones: list[ForZone] | None = None


class TargetRef(msgspec.Struct, frozen=True):
    """The object behind an endpoint, mostly a Pod."""

    kind: str | None = None
    name: str | None = None


class Endpoint(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """One endpoint of a slice. Its addresses are interchangeable, so that the first is enough."""

    addresses: list[str]
    conditions: Conditions | None = None
    hostname: str | None = None
    node_name: str | None = None
    zone: str | None = None
    target_ref: TargetRef | None = None
    hints: Hints | None = None


class SlicePort(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """A port of all endpoints of a slice; without a number it means all ports."""

    name: str | None = None
    port: int | None = None
    protocol: str | None = None
    app_protocol: str | None = None


class SliceObject(msgspec.Struct, frozen=True, rename="camel"):
    """A `discovery.k8s.io/v1` EndpointSlice."""

    metadata: Meta
    address_type: str = ""
    endpoints: list[Endpoint] | None = None
    ports: list[SlicePort] | None = None


class Name(msgspec.Struct, frozen=True, rename="camel"):
    """`metadata`, as far as it takes to say which object it is, and when it changed."""

    name: str = ""
    namespace: str = ""
    resource_version: str = ""


class Nameable(msgspec.Struct, frozen=True):
    """Any object."""

    metadata: Name


class AnyObject(msgspec.Struct, frozen=True):
    """Any object, with all that we know of metadata."""

    metadata: Meta


class LeaseSpec(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """`spec` of a Lease."""

    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    acquire_time: str | None = None
    renew_time: str | None = None
    lease_transitions: int | None = None


class LeaseObject(msgspec.Struct, frozen=True):
    """A `coordination.k8s.io/v1` Lease."""

    metadata: Meta
    spec: LeaseSpec = LeaseSpec()


class ListMeta(msgspec.Struct, frozen=True, rename="camel"):
    """`metadata` of a list; `continue` names the next page."""

    resource_version: str = ""
    next_page: str | None = msgspec.field(default=None, name="continue")


class Page(msgspec.Struct, frozen=True):
    """A page of a list. Items stay raw, so that one that can't be read spoils no other."""

    metadata: ListMeta
    items: list[msgspec.Raw] | None = None


class Event(msgspec.Struct, frozen=True):
    """A line of a watch."""

    type: str
    object: msgspec.Raw


class Status(msgspec.Struct, frozen=True):
    """How the API says that something failed: as an answer, or as the object of an ERROR event."""

    message: str = ""
    reason: str = ""
    code: int = 0


T = TypeVar("T")


def read(data: bytes | msgspec.Raw, kind: type[T]) -> T:
    """Decode what the API server sent.

    Raises:
        ValueError: it is not of that shape, and why.
    """
    return decoded(data, kind)
