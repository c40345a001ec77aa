"""A first look at a hub: which certificates it shows to anybody, and whether it is the one that a token is for.

A stranger looks without believing anything, says nothing, and goes on only if one of the certificates is the one whose
fingerprint its token holds, and the hub's own descends from it.
"""

import asyncio
import ipaddress
import ssl
from collections.abc import Sequence
from typing import Final

from pilot_plus.model import Role
from pilot_plus.quantities import Address
from pilot_plus.wire.certificates import (
    Certificate,
    Clock,
    check_chain,
    dns_names,
    fingerprint,
    read_certificate,
    spiffe_of,
)
from pilot_plus.wire.denied import Denied

LOOK_TIMEOUT: Final = 5.0
"""Seconds."""
_DER: Final = 2
"""`_ssl.ENCODING_DER`."""


async def look(hub: Address) -> Sequence[Certificate] | None:
    """The certificates that the hub shows to anybody; None if it doesn't speak TLS, and is on this machine.

    Raises:
        Denied: it doesn't speak TLS, and is elsewhere; or shows what is no certificate.
        ConnectionError: it can't be reached.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # nothing is said on this connection
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["h2"])
    try:
        async with asyncio.timeout(LOOK_TIMEOUT):
            _, writer = await asyncio.open_connection(hub.host, hub.port, ssl=context, server_hostname=hub.host)
    except ssl.SSLError as error:
        if is_loopback(hub.host):
            return None
        raise Denied(f"{hub} speaks no TLS 1.3 ({error.reason or 'no reason given'}), and is elsewhere") from error
    except (OSError, TimeoutError) as error:
        raise ConnectionError(f"{hub} can't be reached: {error or 'no answer in time'}") from error
    try:
        return _shown(writer.get_extra_info("ssl_object"))
    finally:
        writer.transport.abort()


def recognised(hub: Address, shown: Sequence[Certificate], expected: bytes, now: Clock) -> tuple[Certificate, str]:
    """The certificate with the expected fingerprint among those shown, and the name to expect in the hub's own.

    Raises:
        Denied: it is not there, or the hub's own certificate doesn't descend from it.
    """
    anchor = next((one for one in shown if fingerprint(one) == expected), None)
    if anchor is None:
        raise Denied(f"{hub} is not the hub that the token is for: it shows none of the certificates that it should")
    try:
        if anchor is not shown[0]:
            check_chain(shown, [anchor], now())
    except ValueError as error:
        raise Denied(f"{hub} is not the hub that the token is for: {error}") from error
    return anchor, _name_of_hub(shown[0])


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, without asking anybody."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _shown(connection: ssl.SSLObject) -> Sequence[Certificate]:
    """The whole chain as it was shown: a public method since Python 3.13, and there since 3.10."""
    inner = connection if hasattr(connection, "get_unverified_chain") else getattr(connection, "_sslobj", None)
    chain = inner.get_unverified_chain() if inner is not None else None
    try:
        return [read_certificate(one if isinstance(one, bytes) else one.public_bytes(_DER)) for one in (chain or ())]
    except ValueError as error:
        raise Denied(f"the hub shows a certificate that can't be used: {error}") from error


def _name_of_hub(leaf: Certificate) -> str:
    """The DNS name beside the hub's SPIFFE ID, which no other certificate of its authority has; empty without one."""
    try:
        identity = spiffe_of(leaf)
    except ValueError:
        return ""
    name = hub_name(identity.trust_domain)
    return name if identity.role is Role.HUB and name in dns_names(leaf) else ""


def hub_name(trust_domain: str) -> str:
    """The DNS name in the hub's own certificate."""
    return f"hub.{trust_domain}"
