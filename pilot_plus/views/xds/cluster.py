"""Clusters: how to speak to the endpoints of one port of a service.

A cluster has the name `PORTNAME.HOST`, which is also its SNI at an edge; its endpoints have the same name. Where an
address is a host name the cluster asks DNS, and holds its endpoints itself: EDS carries IP addresses only.

    http.orders.shop.mesh   EDS          plain instances, and edges by a transport socket match for each of their zones
    https.api.shop.mesh     STRICT_DNS   api.example.com:443

A failed connection takes a host out for a moment, an answer never does: what an application says is no business of
ours. The last host is never taken out.
"""

from collections.abc import Mapping
from enum import Enum
from functools import lru_cache
from typing import Any, Final

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.extensions.clusters.aggregate.v3 import cluster_pb2 as _aggregate  # noqa: F401 - named in an Any
from envoy.extensions.transport_sockets.tls.v3 import tls_pb2 as _tls  # noqa: F401 - named in an Any
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2 as _options  # noqa: F401 - named in an Any

from pilot_plus.model import UNKNOWN_PROTOCOL
from pilot_plus.views.xds.encoding import encoded, field, text_field
from pilot_plus.views.xds.endpoint import MATCHED_BY, Proof, Security
from pilot_plus.views.xds.tls import ADS, Domains, grpc_context, must_be, upstream_context


class Family(Enum):
    """What a port speaks, as far as a proxy must know."""

    HTTP1 = "http/1.1"
    HTTP2 = "http/2"
    HTTP = "whatever HTTP the caller speaks"
    """Nothing says more: gRPC arrives in HTTP/2, everything else in HTTP/1.1, and goes on so."""
    NEGOTIATED = "http/1.1, or http/2 where the other end has it: agreed on in the TLS handshake"
    TCP = "tcp"


_FAMILIES: Final = {
    **dict.fromkeys(("http", "http1", "http/1.1", "rest", "ws"), Family.HTTP1),
    **dict.fromkeys(("grpc", "http2", "h2", "h2c", "tri", "triple", "grpc-web"), Family.HTTP2),
    UNKNOWN_PROTOCOL: Family.HTTP,
}


def family_of(protocols: frozenset[str]) -> Family:
    """The family of a port whose instances say these protocols."""
    families = {_FAMILIES.get(protocol.lower(), Family.TCP) for protocol in protocols - {UNKNOWN_PROTOCOL}}
    if not families:
        return Family.HTTP
    if len(families) == 1:
        return families.pop()
    return Family.TCP if Family.TCP in families else Family.HTTP


# ------------------------------------------------------------------------------------------------ Envoy

_HTTP: Final = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_HTTP_OPTIONS: Final[Mapping[Family, dict[str, Any]]] = {
    Family.HTTP1: {"explicit_http_config": {"http_protocol_options": {}}},
    Family.HTTP2: {"explicit_http_config": {"http2_protocol_options": {}}},
    Family.NEGOTIATED: {"auto_config": {"http_protocol_options": {}, "http2_protocol_options": {}}},
    Family.HTTP: {"use_downstream_protocol_config": {"http_protocol_options": {}, "http2_protocol_options": {}}},
}
_NO_LIMIT: Final = {"max_connections": 1 << 30, "max_pending_requests": 1 << 30, "max_requests": 1 << 30}
_COMMON: Final[dict[str, Any]] = {
    "connect_timeout": "1s",
    "circuit_breakers": {"thresholds": [{**_NO_LIMIT, "max_retries": 1 << 30}]},
    "common_lb_config": {"healthy_panic_threshold": {"value": 0}, "update_merge_window": "0s"},
    "outlier_detection": {
        "split_external_local_origin_errors": True,
        "consecutive_local_origin_failure": 3,
        "enforcing_consecutive_local_origin_failure": 100,
        "enforcing_local_origin_success_rate": 0,
        "enforcing_success_rate": 0,
        "enforcing_consecutive_5xx": 0,
        "enforcing_consecutive_gateway_failure": 0,
        "interval": "0.5s",
        "base_ejection_time": "1s",
        "max_ejection_time": "5s",
        "max_ejection_percent": 99,
    },
    "upstream_connection_options": {
        "tcp_keepalive": {"keepalive_probes": 3, "keepalive_time": 30, "keepalive_interval": 5}
    },
}
_EDS: Final[dict[str, Any]] = {"type": "EDS", "eds_cluster_config": {"eds_config": ADS}}
_DNS: Final[dict[str, Any]] = {"type": "STRICT_DNS", "dns_lookup_family": "V4_PREFERRED", "respect_dns_ttl": True}


def eds_cluster(name: str, family: Family, sockets: bytes = b"") -> bytes:
    """A `Cluster` whose endpoints are given apart; `sockets` are `socket_match`es."""
    return text_field(1, name) + _constant(family, is_dns=False) + sockets


def dns_cluster(name: str, family: Family, assignment: bytes, sockets: bytes = b"") -> bytes:
    """A `Cluster` that holds its endpoints, and asks DNS for their addresses."""
    return text_field(1, name) + _constant(family, is_dns=True) + field(33, assignment) + sockets


@lru_cache(maxsize=4096)
def socket_match(domains: Domains, security: Security, service: str, *, is_negotiated: bool = False) -> bytes:
    """How to speak to the endpoints of a cluster that must prove something.

    Where the protocol is negotiated every socket of the cluster must be able to, also the one for endpoints that
    match nothing, of which there are none.

    Raises:
        ValueError: nobody can prove it.
    """
    alpn = ("h2", "http/1.1") if is_negotiated else ()
    trust = domains.trust(security.zone.partition("/")[0])
    socket = upstream_context(must_be(domains, security, service), trust=trust, alpn=alpn)
    match = {"name": str(security), "match": {MATCHED_BY: str(security)}, "transport_socket": socket}
    other = {"transport_socket": socket} if is_negotiated else {}
    return encoded(Cluster, {"transport_socket_matches": [match], **other})


@lru_cache(maxsize=16)
def _constant(family: Family, *, is_dns: bool) -> bytes:
    content = {**_COMMON, **(_DNS if is_dns else _EDS)}
    if family in _HTTP_OPTIONS:
        options = {"@type": f"type.googleapis.com/{_HTTP}", **_HTTP_OPTIONS[family]}
        content["typed_extension_protocol_options"] = {_HTTP: options}
    return encoded(Cluster, content)


# ------------------------------------------------------------------------------------------------ gRPC


@lru_cache(maxsize=4096)
def grpc_eds_cluster(name: str, domains: Domains, security: Security, service: str, sni: str) -> bytes:
    """A `Cluster` for gRPC, all of whose endpoints are spoken to in one way.

    Raises:
        ValueError: nobody can prove what they must.
    """
    return text_field(1, name) + _GRPC_EDS + grpc_socket(domains, security, service, sni)


def grpc_dns_cluster(name: str, assignment: bytes, socket: bytes = b"") -> bytes:
    """A `Cluster` for gRPC with exactly one endpoint, whose address is a host name."""
    return text_field(1, name) + _GRPC_DNS + field(33, assignment) + socket


def grpc_aggregate(name: str, clusters: tuple[str, ...]) -> bytes:
    """A `Cluster` for gRPC that stands for others, each used only while those before it can't be.

    Its policy is what each of them balances by: gRPC refuses the `CLUSTER_PROVIDED` that Envoy asks for.
    """
    config = {
        "@type": "type.googleapis.com/envoy.extensions.clusters.aggregate.v3.ClusterConfig",
        "clusters": list(clusters),
    }
    kind = {"name": "envoy.clusters.aggregate", "typed_config": config}
    return encoded(Cluster, {"name": name, "cluster_type": kind})


def grpc_socket(domains: Domains, security: Security, service: str, sni: str) -> bytes:
    """How to speak to the endpoints of a cluster of gRPC, as it stands there.

    Raises:
        ValueError: nobody can prove what they must.
    """
    if security.proof is Proof.NONE:
        return b""
    return encoded(Cluster, {"transport_socket": grpc_context(must_be(domains, security, service), sni)})


_GRPC_LIMIT: Final = {"circuit_breakers": {"thresholds": [{"max_requests": 1 << 30}]}}
_GRPC_EDS: Final = encoded(Cluster, {**_EDS, **_GRPC_LIMIT})
_GRPC_DNS: Final = encoded(Cluster, {"type": "LOGICAL_DNS", **_GRPC_LIMIT})
