"""The bootstrap of an Envoy: its agent's relay for everything else.

Envoy is started in the data folder and names its own files relative to it: the path of a socket may not be longer
than 107 bytes, that of a data folder may.
"""

from collections.abc import Mapping
from typing import Any, Final

RELAY: Final = "run/xds.sock"
_CLUSTER: Final = "pilot-plus/relay"
_TYPE: Final = "type.googleapis.com/envoy"
MAX_CONNECTIONS: Final = 50_000
"""Connections that all listeners take together, before Envoy closes new ones."""


def admin_socket(number: int) -> str:
    """The admin socket of an Envoy, relative to the data folder."""
    return f"run/admin-{number}.sock"


def bootstrap(*, node: str, zone: str, number: int) -> Mapping[str, Any]:
    """What the Envoy of that number is started with."""
    return {
        "node": {"id": node, "cluster": zone, "metadata": {"number": number}},
        "admin": {"address": {"pipe": {"path": admin_socket(number), "mode": 0o600}}},
        "dynamic_resources": {
            "ads_config": {
                "api_type": "DELTA_GRPC",
                "transport_api_version": "V3",
                "grpc_services": [{"envoy_grpc": {"cluster_name": _CLUSTER}}],
            },
            "cds_config": _ADS,
            "lds_config": _ADS,
        },
        "static_resources": {"clusters": [_relay()]},
        "stats_config": {"stats_matcher": {"exclusion_list": {"patterns": _UNCOUNTED}}},
        "layered_runtime": {"layers": [{"name": "pilot-plus", "static_layer": _RUNTIME}]},
        "overload_manager": {
            "resource_monitors": [
                {
                    "name": "envoy.resource_monitors.global_downstream_max_connections",
                    "typed_config": {
                        "@type": f"{_TYPE}.extensions.resource_monitors.downstream_connections.v3"
                        ".DownstreamConnectionsConfig",
                        "max_active_downstream_connections": MAX_CONNECTIONS,
                    },
                }
            ]
        },
    }


_ADS: Final = {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"}  # the relay answers when it can

_UNCOUNTED: Final = [
    {"prefix": "sds.pilot-plus/allow/"},
    {"suffix": ".update_duration"},
]
"""What there is of each list of callers, and how long each resource took: two thirds of all, and of no use."""

_RUNTIME: Final = {
    "re2.max_program_size.error_level": 1_000_000,
}


def _relay() -> Mapping[str, Any]:
    http2 = {
        "explicit_http_config": {
            "http2_protocol_options": {"connection_keepalive": {"interval": "10s", "timeout": "5s"}}
        }
    }
    return {
        "name": _CLUSTER,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {
            "cluster_name": _CLUSTER,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"pipe": {"path": RELAY}}}}]}],
        },
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": f"{_TYPE}.extensions.upstreams.http.v3.HttpProtocolOptions",
                **http2,
            }
        },
    }
