"""What a port speaks: `appProtocol` first, then the convention `<protocol>[-suffix]` of its name, else the transport.

appProtocol: kubernetes.io/h2c   http2
appProtocol: HTTPS               https
appProtocol: example.com/thing   example.com/thing
name: grpc-internal              grpc
name: web                        tcp
protocol: UDP, name: dns         udp
"""

import re
from typing import Final

from pilot_plus.model import UNKNOWN_PROTOCOL

_OURS: Final = {
    "kubernetes.io/h2c": "http2",
    "kubernetes.io/ws": "http",
    "kubernetes.io/wss": "https",
    "h2": "http2",
    "h2c": "http2",
    "ws": "http",
    "wss": "https",
}
"""Names that the API's documentation defines, and others, for which we have a word."""

_IN_NAMES: Final = {
    *("http", "http2", "h2", "h2c", "https", "ws", "wss", "grpc", "grpcs", "dubbo", "tri", "bolt", "thrift"),
    *("tcp", "tls", "mongo", "mysql", "postgres", "redis", "amqp", "kafka"),
}
"""Protocols that people put in front of a port's name: everybody's habit, first written down by Istio."""

_THEIRS: Final = {"http2": "kubernetes.io/h2c"}
_QUALIFIED: Final = re.compile(r"([a-z0-9]([-a-z0-9.]{0,250}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")


def protocol_of(name: str | None, transport: str | None, app_protocol: str | None) -> str:
    """The protocol of a port, in our words."""
    if transport and transport != "TCP":
        return transport.lower()
    said = app_protocol.lower() if app_protocol else _protocol_in((name or "").lower())
    return _OURS.get(said, said)


def _protocol_in(name: str) -> str:
    if name == "grpc-web" or name.startswith("grpc-web-"):
        return "grpc-web"
    prefix = name.partition("-")[0]
    return prefix if prefix in _IN_NAMES else "tcp"


def spoken_as(protocol: str) -> tuple[str, str | None]:
    """Transport and appProtocol that say a protocol; what can't be said is said as TCP."""
    if protocol in ("udp", "sctp"):
        return protocol.upper(), None
    if protocol == UNKNOWN_PROTOCOL or not _QUALIFIED.fullmatch(protocol):
        return "TCP", None
    return "TCP", _THEIRS.get(protocol, protocol)
