"""TLS: how Envoy and gRPC prove who they are, whom they believe, and the secrets that they are given for that.

Contexts name two secrets that the hub gives, so that rotation changes no cluster and drains no connection:

- `pilot-plus/own`: the client's own pair. It names files in the client's data folder, for the key never leaves it;
- `pilot-plus/trust`: the roots to believe, and what was revoked;
- `pilot-plus/trust/DOMAIN`: the roots of another cluster's trust domain, for what is dialled there. They are never
  among ours: another cluster's authority could else prove to be anybody here.

Who exactly must be at the other end is part of the context itself. gRPC knows no secrets: its bootstrap names a
certificate provider, `PROVIDER`, over the same files.
"""

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from envoy.extensions.transport_sockets.tls.v3.secret_pb2 import Secret
from envoy.extensions.transport_sockets.tls.v3.tls_spiffe_validator_config_pb2 import SPIFFECertValidatorConfig

from pilot_plus.model import Role, SpiffeId, split_service
from pilot_plus.views.xds.encoding import encoded
from pilot_plus.views.xds.endpoint import Proof, Security
from pilot_plus.wire.certificates import pem
from pilot_plus.wire.trust import Trust

OWN: Final = "pilot-plus/own"
TRUST: Final = "pilot-plus/trust"
PROVIDER: Final = "pilot-plus"
"""The certificate provider in a gRPC client's bootstrap."""
ADS: Final[dict[str, Any]] = {"ads": {}, "resource_api_version": "V3"}

_TLS: Final = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3"
_SOCKET: Final = "envoy.transport_sockets.tls"


class Domains(msgspec.Struct, frozen=True):
    """The trust domain of each cluster, where it is not `CLUSTER.example`."""

    named: tuple[tuple[str, str], ...] = ()

    home: str = ""
    """Our own cluster."""

    def of(self, cluster: str) -> str:
        """The trust domain of a cluster."""
        return dict(self.named).get(cluster) or f"{cluster.lower()}.example"

    def trust(self, cluster: str) -> str:
        """The secret that says whom to believe of a cluster."""
        return TRUST if cluster == self.home or not self.home else f"{TRUST}/{self.of(cluster)}"


class Anchors(msgspec.Struct, frozen=True):
    """Whom the clients of our cluster believe; without roots there is no authority yet."""

    roots: str = ""
    """PEM."""
    crls: str = ""
    """PEM: lists of all roots, or none, for Envoy refuses what a root without a list has signed."""
    domain: str = ""
    """Our trust domain."""
    others: tuple[tuple[str, str], ...] = ()
    """The trust domains of other clusters, with their roots in PEM. Sorted."""
    revoked: frozenset[str] = frozenset()
    """Identities that were taken back, here or there."""

    def of(self, domain: str) -> "Anchors":
        """Whom to believe of another trust domain; without roots, nobody."""
        return Anchors(dict(self.others).get(domain, ""))

    @property
    def secrets(self) -> set[str]:
        """The names of the secrets that say this."""
        return {TRUST, *(f"{TRUST}/{domain}" for domain, _ in self.others)}


def anchors_of(
    trust: Trust,
    domain: str = "",
    others: Mapping[str, str] = MappingProxyType({}),
    revoked: frozenset[str] = frozenset(),
) -> Anchors:
    """What a `Trust` says, as Envoy reads it; and the roots of other trust domains, and who was revoked there."""
    crls = [x509.load_der_x509_crl(crl).public_bytes(Encoding.PEM).decode() for crl in trust.crls]
    roots = "".join(pem([root]).decode() for root in trust.roots)
    lists = "".join(crls) if len(crls) == len(trust.roots) else ""
    return Anchors(roots, lists, domain, tuple(sorted(others.items())), trust.revoked_ids | revoked)


def is_trust(name: str) -> bool:
    """Whether a secret says whom to believe."""
    return name == TRUST or name.startswith(f"{TRUST}/")


def must_be(domains: Domains, security: Security, service: str) -> dict[str, str]:
    """What the URI in the certificate at the other end must match, as a `StringMatcher`.

    Raises:
        ValueError: no such identity can exist.
    """
    cluster, _, zone = security.zone.partition("/")
    domain = domains.of(cluster)
    if security.proof is Proof.EDGE:
        whole = str(SpiffeId(trust_domain=domain, role=Role.EDGE, zone=zone, name="x"))
        return {"prefix": whole.removesuffix("x")}
    namespace, name = split_service(service)
    return {"exact": str(SpiffeId(trust_domain=domain, role=Role.SERVICE, zone=zone, namespace=namespace, name=name))}


def upstream_context(matcher: dict[str, str], *, trust: str = TRUST, alpn: tuple[str, ...] = ()) -> dict[str, Any]:
    """The transport socket of an Envoy that dials, as JSON; the SNI is the endpoint's hostname."""
    matched = {"san_type": "URI", "matcher": matcher}
    common = {
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
        "tls_certificate_sds_secret_configs": [{"name": OWN, "sds_config": ADS}],
        "combined_validation_context": {
            "default_validation_context": {"match_typed_subject_alt_names": [matched]},
            "validation_context_sds_secret_config": {"name": trust, "sds_config": ADS},
        },
    }
    if alpn:
        common["alpn_protocols"] = list(alpn)
    context = {"@type": f"{_TLS}.UpstreamTlsContext", "common_tls_context": common, "auto_host_sni": True}
    return {"name": _SOCKET, "typed_config": context}


def grpc_context(matcher: dict[str, str], sni: str) -> dict[str, Any]:
    """The transport socket of a gRPC client that dials, as JSON.

    gRPC's cores since 1.77 or so send the SNI that they are told (gRFC A101); older ones send none.
    """
    common = {
        "tls_certificate_provider_instance": {"instance_name": PROVIDER},
        "combined_validation_context": {
            "default_validation_context": {
                "ca_certificate_provider_instance": {"instance_name": PROVIDER},
                "match_subject_alt_names": [matcher],
            }
        },
    }
    return {
        "name": _SOCKET,
        "typed_config": {"@type": f"{_TLS}.UpstreamTlsContext", "common_tls_context": common, "sni": sni},
    }


@lru_cache(maxsize=4096)
def own_secret(data: str) -> bytes:
    """The secret that names a client's own pair in its data folder (see `wire.folder`)."""
    pair = {
        "certificate_chain": {"filename": f"{data}/identity/chain.pem"},
        "private_key": {"filename": f"{data}/identity/key.pem"},
        "watched_directory": {"path": data},
    }
    return encoded(Secret, {"name": OWN, "tls_certificate": pair})


@lru_cache(maxsize=64)
def trust_secret(anchors: Anchors, name: str = TRUST) -> bytes | None:
    """The secret that says whom to believe, of our cluster or (`pilot-plus/trust/DOMAIN`) of another; None: nobody."""
    meant = anchors if name == TRUST else anchors.of(name.removeprefix(f"{TRUST}/"))
    if not meant.roots:
        return None
    return encoded(Secret, {"name": name, "validation_context": trust_context(meant)})


def guests_context(anchors: Anchors, domains: frozenset[str]) -> dict[str, Any]:
    """Whom to believe where callers of these trust domains come too, each proved by its own roots only.

    Envoy's validator of SPIFFE IDs reads no lists of what was revoked.
    """
    bundles = {anchors.domain: anchors.roots, **{name: roots for name, roots in anchors.others if name in domains}}
    config = {
        "@type": f"type.googleapis.com/{SPIFFECertValidatorConfig.DESCRIPTOR.full_name}",
        "trust_domains": [
            {"name": name, "trust_bundle": {"inline_string": roots}} for name, roots in sorted(bundles.items())
        ],
    }
    return {"custom_validator_config": {"name": "envoy.tls.cert_validator.spiffe", "typed_config": config}}


def trust_context(anchors: Anchors) -> dict[str, Any]:
    """Whom to believe, as a `CertificateValidationContext` in JSON."""
    context: dict[str, Any] = {"trusted_ca": {"inline_string": anchors.roots}}
    if anchors.crls:
        context |= {"crl": {"inline_string": anchors.crls}, "only_verify_leaf_cert_crl": True}
    return context
