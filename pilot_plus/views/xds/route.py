"""Routes: virtual hosts of an outbound listener, one for each port of a service.

    http.orders.shop.mesh     orders.shop.mesh, orders.shop.mesh:8080     -> cluster http.orders.shop.mesh
    admin.orders.shop.mesh    orders.shop.mesh:9090                       -> cluster admin.orders.shop.mesh

Without a policy a request is tried on two other hosts where it can't have been received. There is no time-out but the
application's own. CONNECT opens a plain connection, for applications that use an HTTP proxy so.
"""

from collections.abc import Iterable
from typing import Any, Final

from envoy.config.route.v3.route_components_pb2 import Route, RouteAction, VirtualHost
from envoy.extensions.retry.host.previous_hosts.v3 import previous_hosts_pb2 as _hosts  # noqa: F401 - named in an Any
from envoy.extensions.retry.priority.previous_priorities.v3 import (
    previous_priorities_config_pb2 as _priorities,  # noqa: F401 - named in an Any
)

from pilot_plus.views.xds.encoding import encoded, field, text_field

RETRIES: Final[dict[str, Any]] = {
    "retry_on": "connect-failure,refused-stream,reset-before-request",
    "num_retries": 2,
    "retry_host_predicate": [
        {
            "name": "envoy.retry_host_predicates.previous_hosts",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
            },
        }
    ],
    "host_selection_retry_max_attempts": 5,
    "retry_priority": {
        "name": "envoy.retry_priorities.previous_priorities",
        "typed_config": {
            "@type": "type.googleapis.com/"
            "envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig",
            "update_frequency": 2,
        },
    },
}
"""The default policy (a `RetryPolicy`), as JSON."""

_RETRIES: Final = encoded(VirtualHost, {"retry_policy": RETRIES})
_EVERYTHING: Final = encoded(Route, {"match": {"prefix": "/"}})
_CONNECT: Final = encoded(Route, {"match": {"connect_matcher": {}}})
_ENDLESS: Final = encoded(RouteAction, {"timeout": "0s"})
_TUNNEL: Final = encoded(
    RouteAction, {"timeout": "0s", "upgrade_configs": [{"upgrade_type": "CONNECT", "connect_config": {}}]}
)


def virtual_host(name: str, domains: Iterable[str], cluster: str, *, tunnels: bool = True) -> bytes:
    """A `VirtualHost` that sends everything to a cluster; CONNECT only where it `tunnels`."""
    target = text_field(1, cluster)
    everything = _EVERYTHING + field(2, target + _ENDLESS)
    routes = (_CONNECT + field(2, target + _TUNNEL), everything) if tunnels else (everything,)
    return (
        text_field(1, name)
        + b"".join(text_field(2, domain) for domain in domains)
        + b"".join(field(3, route) for route in routes)
        + _RETRIES
    )


def listed(host: bytes) -> bytes:
    """A virtual host as it stands in a route configuration."""
    return field(2, host)


def configuration(name: str, hosts: Iterable[bytes]) -> bytes:
    """A `RouteConfiguration` of virtual hosts that are `listed`."""
    return text_field(1, name) + b"".join(hosts)
