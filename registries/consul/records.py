"""Consul's JSON, as far as it says something to us. Source: developer.hashicorp.com/consul/api-docs/health."""

import msgspec


class Locality(msgspec.Struct, frozen=True, gc=False):
    """A place, in Consul 1.17 and later."""

    region: str = msgspec.field(name="Region", default="")
    zone: str = msgspec.field(name="Zone", default="")


class Weights(msgspec.Struct, frozen=True, gc=False):
    """Load-balancing weights; 1 is one ordinary instance."""

    passing: int = msgspec.field(name="Passing", default=1)
    warning: int = msgspec.field(name="Warning", default=1)


class Node(msgspec.Struct, frozen=True, rename="pascal"):
    """The machine that an instance is registered on."""

    node: str
    address: str = ""
    datacenter: str = ""
    meta: dict[str, str] | None = None
    locality: Locality | None = None


class Service(msgspec.Struct, frozen=True, rename="pascal"):
    """One instance of a service."""

    service: str
    id: str = msgspec.field(name="ID")
    kind: str = ""
    address: str = ""
    port: int = 0
    tags: list[str] | None = None
    meta: dict[str, str] | None = None
    weights: Weights | None = None
    locality: Locality | None = None


class Check(msgspec.Struct, frozen=True, gc=False, rename="pascal"):
    """One check of a node (`service_id` is empty) or of an instance."""

    node: str = ""
    status: str = ""
    check_id: str = msgspec.field(name="CheckID", default="")
    service_id: str = msgspec.field(name="ServiceID", default="")
    service_name: str = ""


class Entry(msgspec.Struct, frozen=True, rename="pascal"):
    """An element of `/v1/health/service/NAME`: node, service and checks together."""

    node: Node
    service: Service
    checks: list[Check] | None = None


class Held(msgspec.Struct, frozen=True, rename="pascal"):
    """A service as an agent or a node holds it; only the catalog has indexes."""

    id: str = msgspec.field(name="ID")
    meta: dict[str, str] | None = None
    modify_index: int = 0


class CatalogNode(msgspec.Struct, frozen=True, rename="pascal"):
    """`/v1/catalog/node/NAME`."""

    node: Node
    services: dict[str, Held] | None = None


class CatalogService(msgspec.Struct, frozen=True, rename="pascal"):
    """An element of `/v1/catalog/service/NAME`."""

    service_id: str = msgspec.field(name="ServiceID")
    service_meta: dict[str, str] | None = None
    modify_index: int = 0


class Member(msgspec.Struct, frozen=True, rename="pascal"):
    """An agent: the `Config` of `/v1/agent/self`."""

    node_name: str
    datacenter: str = ""


class Self(msgspec.Struct, frozen=True, rename="pascal"):
    """`/v1/agent/self`."""

    config: Member
