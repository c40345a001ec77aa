"""What a hub shows to those who connect, and whom it lets through: replaced while it serves, for new connections."""

from collections.abc import Callable

import grpc
import msgspec


class Serving(msgspec.Struct, frozen=True, kw_only=True):
    """PEM: the hub's key and chain, and the authorities of those who may connect (strangers among them)."""

    key: bytes
    chain: bytes
    clients: bytes

    def __repr__(self) -> str:
        """Never the key."""
        return "<Serving>"


def server_credentials(current: Callable[[], Serving]) -> grpc.ServerCredentials:
    """Credentials that ask every client for a certificate, and follow what `current` says from handshake to handshake.

    A connection that lives is not touched. `current` is called from gRPC's threads.
    """
    last = first = current()

    def fetch() -> grpc.ServerCertificateConfiguration | None:
        nonlocal last
        now = current()
        if now is last:
            return None
        last = now
        return _configuration(now)

    return grpc.dynamic_ssl_server_credentials(_configuration(first), fetch, require_client_authentication=True)


def _configuration(serving: Serving) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(serving.key, serving.chain)], serving.clients)
