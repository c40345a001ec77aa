"""What a supply gives, read back with the generated classes."""

from collections.abc import Iterable, Iterator
from typing import Any

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.clusters.aggregate.v3.cluster_pb2 import ClusterConfig
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
)
from envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy_pb2 import TcpProxy
from envoy.extensions.transport_sockets.tls.v3.secret_pb2 import Secret
from envoy.extensions.transport_sockets.tls.v3.tls_pb2 import UpstreamTlsContext

from pilot_plus.views.xds.resource import Type
from pilot_plus.views.xds.supply import Supply

MESSAGES: dict[Type, Any] = {
    Type.SECRET: Secret,
    Type.CLUSTER: Cluster,
    Type.ENDPOINTS: ClusterLoadAssignment,
    Type.LISTENER: Listener,
    Type.ROUTES: RouteConfiguration,
}


def read(supply: Supply, type_: Type, name: str) -> Any:
    """A resource as a message; None if there is none."""
    resource = supply.get(type_, name)
    if resource is None:
        return None
    assert resource.name == name
    return MESSAGES[type_].FromString(resource.body)


def unpacked(packed: Any, message: Any) -> Any:
    made = message()
    assert packed.Unpack(made)
    return made


def manager_of(listener: Any) -> Any:
    if listener.HasField("api_listener"):
        return unpacked(listener.api_listener.api_listener, HttpConnectionManager)
    return unpacked(listener.filter_chains[0].filters[0].typed_config, HttpConnectionManager)


def tcp_of(listener: Any) -> Any:
    return unpacked(listener.filter_chains[0].filters[0].typed_config, TcpProxy)


def joined_by(cluster: Any) -> list[str]:
    """The clusters that an aggregate stands for."""
    return list(unpacked(cluster.cluster_type.typed_config, ClusterConfig).clusters)


def context_of(socket: Any) -> Any:
    return unpacked(socket.typed_config, UpstreamTlsContext)


def endpoints_in(assignment: Any) -> Iterator[tuple[int, str, int, int, int]]:
    """Of each endpoint: priority, address, number, health, weight."""
    for group in assignment.endpoints:
        for one in group.lb_endpoints:
            at = one.endpoint.address.socket_address
            yield group.priority, at.address, at.port_value, one.health_status, one.load_balancing_weight.value


def hostnames_in(assignment: Any) -> Iterator[str]:
    """Of each endpoint, in the same order: the server name that it is asked for."""
    for group in assignment.endpoints:
        for one in group.lb_endpoints:
            yield one.endpoint.hostname


def clusters_in(route_configuration: Any) -> Iterator[str]:
    for host in route_configuration.virtual_hosts:
        for route in host.routes:
            yield route.route.cluster


def secrets_in(contexts: Iterable[Any]) -> Iterator[str]:
    for context in contexts:
        common = context.common_tls_context
        yield from (one.name for one in common.tls_certificate_sds_secret_configs)
        yield common.combined_validation_context.validation_context_sds_secret_config.name
