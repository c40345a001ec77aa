"""Endpoints: load assignments, joined from the bytes of their endpoints.

    ClusterLoadAssignment http.orders.legacy.mesh
      priority 0, locality eu/a   10.1.0.7:8080 weight 100 healthy
                                  10.1.0.8:8080 weight 100 draining
      priority 1, locality        192.0.2.7:15443 weight 150 healthy, must prove to be an edge of east/legacy

An endpoint's bytes are the same for Envoy and for gRPC, which knows nothing of transport socket matches.
"""

from enum import StrEnum
from functools import lru_cache
from typing import Final

import msgspec
from envoy.config.core.v3.base_pb2 import Metadata
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment

from pilot_plus.model import NOWHERE, Health, Locality
from pilot_plus.quantities import is_ip
from pilot_plus.views.xds.encoding import boxed, encoded, field, number_field, text_field

MATCHED: Final = "envoy.transport_socket_match"
"""The namespace of metadata by which Envoy chooses an endpoint's transport socket."""
MATCHED_BY: Final = "pilot-plus"
MOST: Final = (1 << 32) - 1
"""The most that the weights of a locality, and those of the localities of a priority, may be together."""

_HEALTH: Final = {Health.PASSING: 1, Health.WARNING: 1, Health.CRITICAL: 2, Health.DRAINING: 3}
"""HEALTHY, UNHEALTHY and DRAINING of `HealthStatus`."""


class Proof(StrEnum):
    """What the other end of a connection must prove, the nearer ones first."""

    NONE = "plain"
    SERVICE = "service"
    """That it is the service itself, in a zone."""
    EDGE = "edge"
    """That it is an edge of a zone."""


class Security(msgspec.Struct, frozen=True, gc=False):
    """How an endpoint is spoken to."""

    proof: Proof = Proof.NONE
    zone: str = ""
    """The whole name of the zone that the proof must name."""

    @property
    def order(self) -> tuple[int, str]:
        """Among several, the nearer one first."""
        return list(Proof).index(self.proof), self.zone

    def __str__(self) -> str:
        return f"{self.proof}/{self.zone}" if self.zone else self.proof


PLAIN: Final = Security()


class Target(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One endpoint of one port of a service."""

    address: str
    number: int
    health: Health
    weight: int
    security: Security = PLAIN
    sni: str = ""

    @property
    def at(self) -> tuple[str, int]:
        """Address and port number."""
        return self.address, self.number

    @property
    def is_useful(self) -> bool:
        """Whether it may get new work."""
        return self.weight > 0 and self.health in (Health.PASSING, Health.WARNING)

    @property
    def is_named(self) -> bool:
        """Whether its address is a host name, which only a cluster that asks DNS can hold."""
        return not is_ip(self.address)


def endpoint(target: Target, shift: int = 0) -> bytes:
    """An `LbEndpoint`, its weight divided by a power of two where those of all are too much together.

    Weight 0 gets no new work, which both Envoy and gRPC can only be told as draining.
    """
    where = field(1, field(1, text_field(2, target.address) + _port(target.number)))
    tail = _tail(target.health, target.weight, shift)
    if not target.sni:
        return field(1, where) + tail
    return field(1, where + text_field(3, target.sni)) + _matched(str(target.security)) + tail


@lru_cache(maxsize=4096)
def _port(number: int) -> bytes:
    return number_field(3, number)


@lru_cache(maxsize=65536)
def _tail(health: Health, weight: int, shift: int) -> bytes:
    """Health and weight, which many endpoints share."""
    shown = Health.DRAINING if not weight and health is not Health.CRITICAL else health
    return number_field(2, _HEALTH[shown]) + field(4, boxed(max(1, weight >> shift)))


def group_head(locality: Locality, priority: int, weight: int) -> bytes:
    """A `LocalityLbEndpoints` but for its endpoints; `weight` is what those that can be used have together.

    gRPC refuses a group without a locality, and leaves one without a weight out.
    """
    head = field(1, _locality(locality)) + field(3, boxed(min(MOST, max(1, weight))))
    return head + (number_field(5, priority) if priority else b"")


def listed(endpoint: bytes) -> bytes:
    """An endpoint as it stands in a group."""
    return field(2, endpoint)


def lone_assignment(name: str, target: Target) -> bytes:
    """A `ClusterLoadAssignment` of one endpoint."""
    group = group_head(NOWHERE, 0, target.weight) + listed(endpoint(target))
    return text_field(1, name) + field(2, group) + ASSIGNMENT_POLICY


ASSIGNMENT_POLICY: Final = encoded(ClusterLoadAssignment, {"policy": {"overprovisioning_factor": 100_000}})
"""A priority is used as long as any of it is healthy: the next one is another network, or what may not be true."""


@lru_cache(maxsize=4096)
def _locality(locality: Locality) -> bytes:
    parts = (locality.region, locality.az, locality.subzone)
    return b"".join(text_field(number, part) for number, part in enumerate(parts, 1) if part)


@lru_cache(maxsize=4096)
def _matched(security: str) -> bytes:
    return field(3, encoded(Metadata, {"filter_metadata": {MATCHED: {MATCHED_BY: security}}}))
