"""A SPIFFE ID: the name that a certificate proves.

    spiffe://east.example/hub
    spiffe://east.example/zone/vm/edge/edge-1
    spiffe://east.example/zone/mesh/ns/shop/svc/orders
    spiffe://east.example/zone/mesh/client/web-7

SPIFFE allows few characters in a path. A part that holds others (the service `com.example.Orders:1.0.0`) is written
with `x_` in front, and each byte that is not allowed, and each `_`, as `_` and two hexadecimal digits:
`x_com.example.Orders_3a1.0.0`. Every ID is written in exactly one way, and only that one is read.
"""

import re
from enum import StrEnum
from typing import Final

import msgspec

MAX_LENGTH: Final = 2048
"""Bytes of an ID, from the SPIFFE specification."""

_TRUST_DOMAIN: Final = re.compile(r"[a-z0-9]([a-z0-9._-]{0,253}[a-z0-9])?")
_PLAIN: Final = re.compile(r"[A-Za-z0-9._-]+")
_ESCAPED: Final = re.compile(r"x_(?:[A-Za-z0-9.-]|_[0-9a-f]{2})+")


class Role(StrEnum):
    """What the bearer of an identity is."""

    HUB = "hub"
    EDGE = "edge"
    SERVICE = "svc"
    CLIENT = "client"


class SpiffeId(msgspec.Struct, frozen=True, kw_only=True):
    """Who somebody is: a role, a zone of the trust domain, and a name in it.

    Raises:
        ValueError: a part is missing, is one too many, or can't be written.
    """

    trust_domain: str
    role: Role
    zone: str = ""
    """The bare name: a trust domain is one cluster's."""
    namespace: str = ""
    """Of a service only."""
    name: str = ""

    def __post_init__(self) -> None:
        if not _TRUST_DOMAIN.fullmatch(self.trust_domain):
            raise ValueError(f"{self.trust_domain[:80]!r} is no trust domain: lower-case letters, digits, `._-`")
        needed = (self.role is not Role.HUB, self.role is Role.SERVICE, self.role is not Role.HUB)
        if needed != (bool(self.zone), bool(self.namespace), bool(self.name)):
            parts = f"{self.zone}/{self.namespace}/{self.name}"
            raise ValueError(f"{parts[:80]!r} are not the parts of an identity with the role {self.role}")
        for part in (self.zone, self.namespace, self.name):
            if not part.isprintable():
                raise ValueError(f"{part[:80]!r} holds a character that no identity can hold")
        if len(str(self)) > MAX_LENGTH:
            raise ValueError(f"the identity of {self.name[:80]!r} is longer than {MAX_LENGTH} bytes")

    def __str__(self) -> str:
        """The ID as a URI."""
        zone, namespace, name = _written(self.zone), _written(self.namespace), _written(self.name)
        match self.role:
            case Role.HUB:
                path = "hub"
            case Role.SERVICE:
                path = f"zone/{zone}/ns/{namespace}/svc/{name}"
            case Role.EDGE | Role.CLIENT:
                path = f"zone/{zone}/{self.role}/{name}"
        return f"spiffe://{self.trust_domain}/{path}"


def parse_spiffe(text: str) -> SpiffeId:
    """Read an ID of ours.

    Raises:
        ValueError: it is none, or not in its one canonical form.
    """
    if len(text) > MAX_LENGTH or not text.startswith("spiffe://"):
        raise ValueError(f"{text[:80]!r} is no SPIFFE ID")
    match text.removeprefix("spiffe://").split("/"):
        case [domain, "hub"]:
            return SpiffeId(trust_domain=domain, role=Role.HUB)
        case [domain, "zone", zone, "ns", namespace, "svc", name]:
            namespace = _read(namespace)
            return SpiffeId(
                trust_domain=domain, role=Role.SERVICE, zone=_read(zone), namespace=namespace, name=_read(name)
            )
        case [domain, "zone", zone, "edge" | "client" as role, name]:
            return SpiffeId(trust_domain=domain, role=Role(role), zone=_read(zone), name=_read(name))
    raise ValueError(f"{text[:80]!r} is no SPIFFE ID of an edge, a service, a client or the hub")


def _is_plain(part: str) -> bool:
    return bool(_PLAIN.fullmatch(part)) and part not in {".", ".."} and not part.startswith("x_")


def _written(part: str) -> str:
    if not part or _is_plain(part):
        return part
    dots_only = part in {".", ".."}
    return "x_" + "".join(
        chr(byte) if byte < 128 and (chr(byte).isalnum() or chr(byte) in ".-") and not dots_only else f"_{byte:02x}"
        for byte in part.encode()
    )


def _read(written: str) -> str:
    if _is_plain(written):
        return written
    if not _ESCAPED.fullmatch(written):
        raise ValueError(f"{written[:80]!r} is no part of a SPIFFE ID")
    raw = re.sub(rb"_([0-9a-f]{2})", lambda found: bytes([int(found[1], 16)]), written.removeprefix("x_").encode())
    try:
        part = raw.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"{written[:80]!r} is no part of a SPIFFE ID: no UTF-8") from error
    if _written(part) != written:
        raise ValueError(f"{written[:80]!r} should be written {_written(part)[:80]!r}")
    return part
