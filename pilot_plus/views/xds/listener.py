"""Listeners: where an application reaches the mesh.

pilot-plus/outbound       HTTP, by host; routes `pilot-plus/outbound`
pilot-plus/tcp/NS/NAME    one TCP service
orders.shop.mesh:9000     for proxyless gRPC: no socket, only what a channel to xds:///orders.shop.mesh:9000 does
"""

from functools import lru_cache
from typing import Any, Final

from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.extensions.filters.http.router.v3 import router_pb2 as _router  # noqa: F401 - named in an Any
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as _manager,  # noqa: F401 - named in an Any
)
from envoy.extensions.filters.network.tcp_proxy.v3 import tcp_proxy_pb2 as _tcp  # noqa: F401 - named in an Any

from pilot_plus.quantities import Address
from pilot_plus.views.xds.encoding import encoded
from pilot_plus.views.xds.tls import ADS

OUTBOUND: Final = "pilot-plus/outbound"
"""The name of the outbound listener, and of its routes."""
TCP: Final = "pilot-plus/tcp/"
"""What the names of listeners for TCP services begin with."""

_FILTERS: Final = "type.googleapis.com/envoy.extensions.filters"
MANAGER: Final = f"{_FILTERS}.network.http_connection_manager.v3.HttpConnectionManager"
_TCP_PROXY: Final = f"{_FILTERS}.network.tcp_proxy.v3.TcpProxy"
ROUTER: Final[dict[str, Any]] = {
    "name": "envoy.filters.http.router",
    "typed_config": {"@type": f"{_FILTERS}.http.router.v3.Router"},
}


@lru_cache(maxsize=1024)
def http_listener(name: str, address: str, routes: str) -> bytes:
    """A `Listener` that routes HTTP by host, at `HOST:PORT`."""
    manager = http_manager("outbound", {"rds": {"config_source": ADS, "route_config_name": routes}})
    return encoded(Listener, {"name": name, **_at(address), "filter_chains": [{"filters": [manager]}]})


def http_manager(stat: str, routes: dict[str, Any], **options: object) -> dict[str, Any]:
    """The filter that speaks HTTP, as JSON; `routes` are `rds` or a `route_config`."""
    config = {
        "@type": MANAGER,
        "stat_prefix": stat,
        **routes,
        "http_filters": [ROUTER],
        "http2_protocol_options": {"allow_connect": True},
        "upgrade_configs": [{"upgrade_type": "websocket"}, {"upgrade_type": "CONNECT"}],
        "stream_idle_timeout": "0s",
        "strip_matching_host_port": True,
        "strip_trailing_host_dot": True,
        "server_header_transformation": "PASS_THROUGH",
        **options,
    }
    return {"name": "envoy.filters.network.http_connection_manager", "typed_config": config}


@lru_cache(maxsize=1024)
def tcp_listener(name: str, address: str, cluster: str) -> bytes:
    """A `Listener` that carries connections to a cluster, at `HOST:PORT`."""
    chain = {"filters": [tcp_proxy(cluster)]}
    return encoded(Listener, {"name": name, **_at(address), "filter_chains": [chain]})


def tcp_proxy(cluster: str) -> dict[str, Any]:
    """The filter that carries bytes to a cluster, as JSON. It closes no connection for being quiet."""
    config = {
        "@type": _TCP_PROXY,
        "stat_prefix": cluster,
        "cluster": cluster,
        "max_connect_attempts": 3,
        "idle_timeout": "0s",
    }
    return {"name": "envoy.filters.network.tcp_proxy", "typed_config": config}


@lru_cache(maxsize=4096)
def api_listener(name: str, cluster: str) -> bytes:
    """A `Listener` for gRPC: everything goes to a cluster."""
    route = {"match": {"prefix": ""}, "route": {"cluster": cluster, "timeout": "0s"}}
    host = {"name": name, "domains": ["*"], "routes": [route]}
    manager = {
        "@type": MANAGER,
        "stat_prefix": "grpc",
        "route_config": {"name": name, "virtual_hosts": [host]},
        "http_filters": [ROUTER],
    }
    return encoded(Listener, {"name": name, "api_listener": {"api_listener": manager}})


def _at(address: str) -> dict[str, Any]:
    parsed = Address(address)
    return {"address": {"socket_address": {"address": parsed.host, "port_value": parsed.port}}}
