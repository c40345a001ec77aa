"""Envoy's resources for tests, as small as they can be."""

from typing import Any

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.listener.v3 import listener_pb2
from google.protobuf.json_format import ParseDict

HCM = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
# the types that `Any` is made of
from envoy.extensions.filters.http.lua.v3 import lua_pb2  # noqa: E402, F401
from envoy.extensions.filters.http.router.v3 import router_pb2  # noqa: E402, F401
from envoy.extensions.filters.network.http_connection_manager.v3 import (  # noqa: E402, F401
    http_connection_manager_pb2,
)

LUA = "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua"
ENDS_ENVOY = "os.exit(7)"
"""What ends a real Envoy that loads it; in `envoy_on_request`, one that is asked."""


def answering(name: str, address: str, port: int, text: str, chain: str = "", *, script: str = "") -> Any:
    """A listener that answers with a text, after a script in Lua if there is one."""
    answer = {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": text}}}
    lua = {"name": "lua", "typed_config": {"@type": LUA, "default_source_code": {"inline_string": script}}}
    manager = {
        "@type": HCM,
        "stat_prefix": "x",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [answer]}]},
        "http_filters": [*([lua] if script else []), {"name": "router", "typed_config": {"@type": ROUTER}}],
    }
    listener = {
        "name": name,
        "address": {"socket_address": {"address": address, "port_value": port}},
        "filter_chains": [{"name": chain, "filters": [{"name": "http", "typed_config": manager}]}],
    }
    return ParseDict(listener, listener_pb2.Listener())


def cluster(name: str) -> Any:
    return ParseDict({"name": name, "type": "STATIC", "connect_timeout": "1s"}, cluster_pb2.Cluster())
