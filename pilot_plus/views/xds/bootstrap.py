"""Bootstraps: what Envoy and proxyless gRPC need to find the hub, to prove who they are, and to say what they want.

Everything else comes from the hub. A bootstrap holds no secret: it names the files of the client's data folder
(`wire.folder`), which are replaced as a whole when the certificate is renewed, and are watched.
"""

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any, Final

import msgspec

from pilot_plus.model import Role, SpiffeId
from pilot_plus.quantities import Address, is_ip
from pilot_plus.views.xds.node import metadata_of
from pilot_plus.views.xds.profile import Profile
from pilot_plus.views.xds.tls import PROVIDER
from pilot_plus.wire.folder import BUNDLE, BUNDLES, CHAIN, CURRENT, HUB, KEY

CLUSTER: Final = "pilot-plus/hub"
"""The name of the one cluster that an Envoy's bootstrap holds."""
OWN: Final = "envoy-own.json"
ANCHORS: Final = "envoy-hub.json"
"""Files in the data folder that tell Envoy its own pair, and whom to believe, towards the hub."""
MOST_CONNECTIONS: Final = 50_000
"""Connections of applications that an Envoy takes; beyond them it refuses new ones rather than to fall over."""

_TLS: Final = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3"
_HTTP: Final = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_ADS: Final[Mapping[str, Any]] = {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "15s"}


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A client that is to be."""

    hub: Address
    id: str
    profile: Profile
    admin: Address | None = None
    trust_domain: str = ""
    """Whose hub it must be; empty: the connection to it is plaintext."""
    hub_name: str = ""
    """The DNS name in the hub's certificate; empty: the one that is dialled."""


# ------------------------------------------------------------------------------------------------ Envoy


def envoy_bootstrap(wanted: Wanted) -> Mapping[str, Any]:
    """The bootstrap of an Envoy: one stream to the hub, and nothing else of its own."""
    bootstrap: dict[str, Any] = {
        "node": _node(wanted),
        "dynamic_resources": {
            "ads_config": {
                "api_type": "DELTA_GRPC",
                "transport_api_version": "V3",
                "set_node_on_first_message_only": True,
                "grpc_services": [{"envoy_grpc": {"cluster_name": CLUSTER, "retry_policy": _retry()}}],
            },
            "cds_config": _ADS,
            "lds_config": _ADS,
        },
        "static_resources": {"clusters": [_hub_cluster(wanted)]},
        "overload_manager": {"resource_monitors": [_connections()]},
    }
    if wanted.admin is not None:
        bootstrap["admin"] = {"address": _socket(wanted.admin)}
    return bootstrap


def envoy_files(wanted: Wanted) -> Mapping[str, Mapping[str, Any]]:
    """What must lie in the data folder for the connection to the hub, by name; nothing where that is plaintext."""
    if not wanted.trust_domain:
        return {}
    data, own, current = PurePath(wanted.profile.data), PurePath(OWN).stem, PurePath(wanted.profile.data) / CURRENT
    watched = {"watched_directory": {"path": str(data)}}
    identity = str(SpiffeId(trust_domain=wanted.trust_domain, role=Role.HUB))
    host = wanted.hub.host
    by_name = {"san_type": "IP_ADDRESS" if is_ip(host) else "DNS", "matcher": {"exact": host}}
    by_identity = {"san_type": "URI", "matcher": {"exact": identity}}
    pair = {"certificate_chain": _file(current, CHAIN), "private_key": _file(current, KEY), **watched}
    anchors = {
        "trusted_ca": _file(current, HUB),
        "match_typed_subject_alt_names": [by_identity if wanted.hub_name else by_name],
        **watched,
    }
    return {
        OWN: _secret(own, {"tls_certificate": pair}),
        ANCHORS: _secret(PurePath(ANCHORS).stem, {"validation_context": anchors}),
    }


def _retry() -> Mapping[str, Any]:
    """Envoy waits up to 30 s before it calls again unless told otherwise: a hub that is back should be noticed."""
    return {"retry_back_off": {"base_interval": "0.25s", "max_interval": "3s"}}


def _hub_cluster(wanted: Wanted) -> Mapping[str, Any]:
    keepalive = {"interval": "10s", "timeout": "5s"}
    http2 = {"explicit_http_config": {"http2_protocol_options": {"connection_keepalive": keepalive}}}
    endpoint = {"endpoint": {"address": _socket(wanted.hub)}}
    cluster: dict[str, Any] = {
        "name": CLUSTER,
        "type": "STATIC" if is_ip(wanted.hub.host) else "STRICT_DNS",
        "connect_timeout": "2s",
        "typed_extension_protocol_options": {_HTTP: {"@type": f"type.googleapis.com/{_HTTP}", **http2}},
        "load_assignment": {"cluster_name": CLUSTER, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }
    if wanted.trust_domain:
        data = PurePath(wanted.profile.data)
        context = {
            "@type": f"{_TLS}.UpstreamTlsContext",
            "sni": wanted.hub_name or wanted.hub.host,
            "common_tls_context": {
                "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
                "alpn_protocols": ["h2"],
                "tls_certificate_sds_secret_configs": [_from_file(data, OWN)],
                "validation_context_sds_secret_config": _from_file(data, ANCHORS),
            },
        }
        cluster["transport_socket"] = {"name": "envoy.transport_sockets.tls", "typed_config": context}
    return cluster


def _from_file(data: PurePath, name: str) -> Mapping[str, Any]:
    source = {"path_config_source": {"path": str(data / name)}, "resource_api_version": "V3"}
    return {"name": PurePath(name).stem, "sds_config": source}


def _secret(name: str, content: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"resources": [{"@type": f"{_TLS}.Secret", "name": name, **content}]}


def _connections() -> Mapping[str, Any]:
    kind = "envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig"
    config = {"@type": f"type.googleapis.com/{kind}", "max_active_downstream_connections": MOST_CONNECTIONS}
    return {"name": "envoy.resource_monitors.global_downstream_max_connections", "typed_config": config}


def _socket(address: Address) -> Mapping[str, Any]:
    return {"socket_address": {"address": address.host, "port_value": address.port}}


def _file(folder: PurePath, name: str) -> Mapping[str, str]:
    return {"filename": str(folder / name)}


# ------------------------------------------------------------------------------------------------ gRPC


def grpc_bootstrap(wanted: Wanted) -> Mapping[str, Any]:
    """The bootstrap of a proxyless gRPC client, for `GRPC_XDS_BOOTSTRAP`."""
    server: dict[str, Any] = {
        "server_uri": str(wanted.hub),
        "channel_creds": [{"type": "insecure"}],
        # gRPC drops at once what is missing from a state, and with it every call, unless it is told not to.
        "server_features": ["xds_v3", "ignore_resource_deletion"],
    }
    bootstrap: dict[str, Any] = {"xds_servers": [server], "node": _node(wanted)}
    if wanted.profile.data:
        current = PurePath(wanted.profile.data) / CURRENT
        files = {"certificate_file": str(current / CHAIN), "private_key_file": str(current / KEY)}
        watched = {
            **files,
            "ca_certificate_file": str(current / BUNDLE),
            # Instead of it, for who knows it: gRFC A87 in Go and Java, and by its other name in gRPC's core.
            "spiffe_trust_bundle_map_file": str(current / BUNDLES),
            "spiffe_bundle_map_file": str(current / BUNDLES),
            "refresh_interval": "10s",
        }
        bootstrap["certificate_providers"] = {PROVIDER: {"plugin_name": "file_watcher", "config": watched}}
        if wanted.trust_domain:
            server["channel_creds"] = [
                {"type": "tls", "config": {**files, "ca_certificate_file": str(current / HUB)}},
            ]
    return bootstrap


def _node(wanted: Wanted) -> Mapping[str, Any]:
    zone = wanted.profile.viewer.zone
    return {"id": wanted.id, "cluster": zone, "metadata": metadata_of(wanted.profile)}
