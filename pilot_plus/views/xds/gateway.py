"""Gateway: the messages that only edges get, from plain values.

    mesh     15443   a chain for each port of a service, chosen by SNI; mutual TLS, a list of callers for each service
    http     15080   plain HTTP, by host
    plain    20000   a listener for each port of a service that plain callers of the zone can't reach otherwise

Lists of callers are secrets of their own, so that changing one drains no connection. They are part of the handshake:
a filter would decide on the caller's first byte, and a server that speaks first would be heard by somebody denied.

At the gateway a path is made canonical, what can be read in two ways is refused, and headers that mean something to
us are taken from the connection, never from the caller.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final

from envoy.config.core.v3.config_source_pb2 import ConfigSource
from envoy.config.listener.v3.listener_components_pb2 import FilterChain
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_components_pb2 import Route
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.access_loggers.file.v3.file_pb2 import FileAccessLog
from envoy.extensions.filters.listener.tls_inspector.v3 import (
    tls_inspector_pb2 as _inspector,  # noqa: F401 - named in an Any
)
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
)
from envoy.extensions.http.early_header_mutation.header_mutation.v3 import (
    header_mutation_pb2 as _early,  # noqa: F401 - named in an Any
)
from envoy.extensions.transport_sockets.tls.v3.secret_pb2 import Secret
from envoy.extensions.transport_sockets.tls.v3.tls_pb2 import CommonTlsContext, DownstreamTlsContext

from pilot_plus.views.xds.callers import Caller
from pilot_plus.views.xds.cluster import Family
from pilot_plus.views.xds.encoding import encoded, field, text_field
from pilot_plus.views.xds.listener import MANAGER, http_manager, tcp_proxy
from pilot_plus.views.xds.route import RETRIES, virtual_host
from pilot_plus.views.xds.taken_back import matchers
from pilot_plus.views.xds.tls import ADS, OWN, Anchors, guests_context, trust_context

HTTP: Final = "http"
"""The name of the shared HTTP listener."""
HTTP_PORT: Final = 15080
MESH_PORT: Final = 15443
ALLOW: Final = "pilot-plus/allow/"
"""What the names of lists of callers begin with; the service's host follows."""
CALLER: Final = "x-pilot-plus-caller"
"""The header in which a service is shown who calls it: the identity in the certificate at its zone's edge."""

ACCESS_LOG: Final = "run/access.log"
"""Where an edge's Envoy writes what it has carried, below the agent's data folder; in batches, beside its work."""

_FILE_LOG: Final = f"type.googleapis.com/{FileAccessLog.DESCRIPTOR.full_name}"
_CONNECTION: Final = {
    "time": "%START_TIME%",
    "duration_ms": "%DURATION%",
    "from": "%DOWNSTREAM_REMOTE_ADDRESS%",
    "caller": "%DOWNSTREAM_PEER_URI_SAN%",
    "sni": "%REQUESTED_SERVER_NAME%",
    "to": "%UPSTREAM_HOST%",
    "received": "%BYTES_RECEIVED%",
    "sent": "%BYTES_SENT%",
    "flags": "%RESPONSE_FLAGS%",
}
_REQUEST: Final = {
    **_CONNECTION,
    "method": "%REQ(:METHOD)%",
    "host": "%REQ(:AUTHORITY)%",
    "path": "%REQ(:PATH)%",
    "protocol": "%PROTOCOL%",
    "status": "%RESPONSE_CODE%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "id": "%REQ(X-REQUEST-ID)%",
}


def _logged(fields: dict[str, str]) -> list[dict[str, Any]]:
    config = {"@type": _FILE_LOG, "path": ACCESS_LOG, "log_format": {"json_format": fields}}
    return [{"name": "envoy.access_loggers.file", "typed_config": config}]


_OURS: Final = ("x-envoy-", "x-pilot-plus-", "x-forwarded-client", "x_", "x-pilot_", "x-pilot-plus_", "x-forwarded_")
"""What headers begin with that nobody outside may say: Envoy's and ours, also with `_` for `-`, between which many
applications make no difference (RFC 3875)."""
_EARLY: Final = "type.googleapis.com/envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation"
_TLS: Final = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3"
_INSPECTOR: Final = "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector"
_CAREFUL: Final[dict[str, Any]] = {
    "use_remote_address": True,
    "internal_address_config": {"unix_sockets": False},  # nobody is internal: no header of Envoy's is believed
    "normalize_path": True,
    "merge_slashes": True,
    "path_with_escaped_slashes_action": "REJECT_REQUEST",
    "early_header_mutation_extensions": [
        {
            "name": "envoy.http.early_header_mutation.header_mutation",
            "typed_config": {
                "@type": _EARLY,
                "mutations": [{"remove_on_match": {"key_matcher": {"prefix": begin}}} for begin in _OURS],
            },
        }
    ],
    "preserve_external_request_id": True,
    "strip_matching_host_port": False,
    "upgrade_configs": [{"upgrade_type": "websocket"}],
    "http2_protocol_options": {"max_concurrent_streams": 1024, "allow_connect": True},  # by it websockets come
    "access_log": _logged(_REQUEST),
}
_REFUSED_TOO: Final = _logged({**_CONNECTION, "failure": "%DOWNSTREAM_TRANSPORT_FAILURE_REASON%"})
"""Of a listener: each connection, also one that was refused in its handshake."""


# ------------------------------------------------------------------------------------------------ listeners


def mesh_listener(name: str, address: str, chains: Iterable[bytes]) -> bytes:
    """A `Listener` for mutual TLS, of `mesh_chain`s."""
    return _mesh_head(name, address) + b"".join(field(3, chain) for chain in chains)


@lru_cache(maxsize=1 << 16)
def mesh_chain(name: str, servers: tuple[str, ...], host: str, cluster: str, family: Family) -> bytes:
    """A `FilterChain` for callers that ask for one of `servers`, and may call what has that host."""
    match = b"".join(text_field(11, server) for server in servers) + text_field(9, "tls")
    if family in (Family.HTTP1, Family.HTTP2):
        filters = _manager(_MESH_MANAGER, name, _inbound_routes(host, cluster))
        socket = _downstream(ALLOW + host, ("h2", "http/1.1"))
    else:
        filters = _encoded_filter(cluster)
        socket = _downstream(ALLOW + host, ())
    return text_field(7, name) + field(1, match) + filters + socket


@lru_cache(maxsize=1 << 16)
def plain_listener(name: str, address: str, number: int, host: str, cluster: str, family: Family) -> bytes:
    """A `Listener` of one port of one service, for callers that say any host, or none."""
    is_http = family in (Family.HTTP1, Family.HTTP2)
    filters = _manager(_PLAIN_MANAGER, name, _plain_routes(host, cluster)) if is_http else _encoded_filter(cluster)
    logged = {} if is_http else {"access_log": _REFUSED_TOO}
    return encoded(Listener, {"name": name, **_at(address, number), **logged}) + field(3, filters)


@lru_cache(maxsize=64)
def shared_listener(address: str, routes: str) -> bytes:
    """The `Listener` that routes plain HTTP by host."""
    rds = {"rds": {"config_source": ADS, "route_config_name": routes}}
    manager = http_manager(HTTP, rds, **_CAREFUL, forward_client_cert_details="SANITIZE")
    content = {"name": HTTP, **_at(address, HTTP_PORT), "filter_chains": [{"filters": [manager]}]}
    return encoded(Listener, content)


@lru_cache(maxsize=64)
def _mesh_head(name: str, address: str) -> bytes:
    content = {
        "name": name,
        **_at(address, MESH_PORT),
        "listener_filters": [{"name": "tls_inspector", "typed_config": {"@type": _INSPECTOR}}],
        "listener_filters_timeout": "5s",
        "access_log": _REFUSED_TOO,
    }
    return encoded(Listener, content)


def _at(address: str, number: int) -> dict[str, Any]:
    return {"address": {"socket_address": {"address": address, "port_value": number}}}


# ------------------------------------------------------------------------------------------------ filters


def _bare_manager(**options: object) -> bytes:
    config = {**_CAREFUL, **options}
    made = dict(http_manager("", {}, **config)["typed_config"])
    del made["@type"], made["stat_prefix"]
    return encoded(HttpConnectionManager, made)


_MESH_MANAGER: Final = _bare_manager(
    forward_client_cert_details="SANITIZE_SET", set_current_client_cert_details={"uri": True, "subject": True}
)
_PLAIN_MANAGER: Final = _bare_manager(forward_client_cert_details="SANITIZE")


def _manager(manager: bytes, stat: str, routes: bytes) -> bytes:
    """A filter of a chain, as it stands there."""
    config = manager + text_field(2, stat) + field(4, routes)
    boxed = text_field(1, MANAGER) + field(2, config)
    return field(3, text_field(1, "http") + field(4, boxed))


def _encoded_filter(cluster: str) -> bytes:
    return encoded(FilterChain, {"filters": [tcp_proxy(cluster)]})


def _inbound_routes(host: str, cluster: str) -> bytes:
    """What a caller says must be what it dialled: another host may lie behind another list of callers."""
    known = field(3, _NO_PORT) + virtual_host(host, [host, f"{host}:*"], cluster, tunnels=False)
    return text_field(1, host) + field(2, known) + _STRANGER


_BODY: Final = {"inline_string": "the host is not the one that was asked for in the TLS handshake\n"}
_IS_HOST: Final = {
    "name": ":authority",
    "string_match": {"safe_regex": {"regex": "[^:]+(:[0-9]{1,5})?"}},
    "invert_match": True,
}
_NO_PORT: Final = encoded(Route, {"match": {"prefix": "/", "headers": [_IS_HOST]}, "direct_response": {"status": 421}})
"""Where what follows the host's colon is no port: to somebody else it may be the host."""
_STRANGER: Final = encoded(
    RouteConfiguration,
    {
        "virtual_hosts": [
            {
                "name": "other",
                "domains": ["*"],
                "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 421, "body": _BODY}}],
            }
        ],
        "request_headers_to_add": [
            {
                "header": {"key": CALLER, "value": "%DOWNSTREAM_PEER_URI_SAN%"},
                "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
            }
        ],
    },
)


def _plain_routes(host: str, cluster: str) -> bytes:
    """The next edge knows the service by its host."""
    target = {"cluster": cluster, "host_rewrite_literal": host, "append_x_forwarded_host": True}
    content = {"name": host, "virtual_hosts": [_route_host(host, ["*"], target)]}
    return encoded(RouteConfiguration, content)


def _route_host(name: str, domains: list[str], target: dict[str, Any]) -> dict[str, Any]:
    route = {"match": {"prefix": "/"}, "route": {**target, "timeout": "0s"}}
    return {"name": name, "domains": domains, "routes": [route], "retry_policy": RETRIES}


# ------------------------------------------------------------------------------------------------ TLS


def _downstream(allow: str, alpn: tuple[str, ...]) -> bytes:
    """The transport socket of a chain, as it stands there."""
    validation = field(7, text_field(1, allow) + field(2, _ADS))
    context = field(1, _common(alpn) + validation) + _WITH_CERTIFICATE
    boxed = text_field(1, f"{_TLS}.DownstreamTlsContext") + field(2, context)
    return field(6, text_field(1, "envoy.transport_sockets.tls") + field(3, boxed))


_ADS: Final = encoded(ConfigSource, ADS)
_WITH_CERTIFICATE: Final = encoded(DownstreamTlsContext, {"require_client_certificate": True})


@lru_cache(maxsize=8)
def _common(alpn: tuple[str, ...]) -> bytes:
    content: dict[str, Any] = {
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
        "tls_certificate_sds_secret_configs": [{"name": OWN, "sds_config": ADS}],
        "alpn_protocols": list(alpn),
    }
    return encoded(CommonTlsContext, content)


@lru_cache(maxsize=1 << 12)
def allow_secret(name: str, anchors: Anchors, callers: tuple[Caller, ...]) -> bytes:
    """The secret that says whom to believe, and which of them may call.

    Raises:
        ValueError: the list is empty, which Envoy takes for everybody.
    """
    if not callers:
        raise ValueError(f"{name}: a list of callers without any lets everybody in")
    named = [{"san_type": "URI", "matcher": matcher} for matcher in matchers(callers, anchors.revoked)]
    theirs = frozenset(domain for domain, _ in anchors.others if any(caller.is_of(domain) for caller in callers))
    believed = guests_context(anchors, theirs) if theirs else trust_context(anchors)
    context = {**believed, "match_typed_subject_alt_names": named}
    return encoded(Secret, {"name": name, "validation_context": context})
