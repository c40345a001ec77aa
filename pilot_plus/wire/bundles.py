"""Bundles: whom to believe of each trust domain, as a SPIFFE trust bundle map, which gRPC clients read (gRFC A87).

{"trust_domains": {"west.example": {"spiffe_sequence": 1, "keys": [
    {"kty": "EC", "use": "x509-svid", "crv": "P-256", "x": "…", "y": "…", "x5c": ["…"]}]}}}
"""

import base64
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec

from pilot_plus.wire.certificates import Certificate, PublicKey, checked_key, der, read_certificate

_CURVES: Final = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}


class _Key(msgspec.Struct, frozen=True):
    x5c: tuple[str, ...]


class _Bundle(msgspec.Struct, frozen=True):
    keys: tuple[_Key, ...]


class _Map(msgspec.Struct, frozen=True):
    trust_domains: dict[str, _Bundle]


def bundles_of(domains: Mapping[str, Sequence[Certificate]]) -> bytes:
    """The map, as JSON."""
    bundles = {
        name: {"spiffe_sequence": 1, "keys": [_key(root) for root in roots]} for name, roots in sorted(domains.items())
    }
    return msgspec.json.format(msgspec.json.encode({"trust_domains": bundles}), indent=2)


def read_bundles(text: bytes) -> dict[str, tuple[Certificate, ...]]:
    """The roots of each trust domain in a map.

    Raises:
        ValueError: it is none.
    """
    found = msgspec.json.decode(text, type=_Map).trust_domains
    return {
        name: tuple(read_certificate(base64.b64decode(one)) for key in bundle.keys for one in key.x5c[:1])
        for name, bundle in found.items()
    }


def _key(root: Certificate) -> dict[str, Any]:
    """A root as a JSON Web Key (RFC 7517)."""
    shared = {"use": "x509-svid", "x5c": [base64.b64encode(der(root)).decode()]}
    return {**_numbers(checked_key(root.public_key())), **shared}


def _numbers(key: PublicKey) -> dict[str, str]:
    if isinstance(key, ec.EllipticCurvePublicKey):
        point, size = key.public_numbers(), (key.curve.key_size + 7) // 8
        return {"kty": "EC", "crv": _CURVES[key.curve.name], "x": _text(point.x, size), "y": _text(point.y, size)}
    numbers = key.public_numbers()
    return {"kty": "RSA", "n": _text(numbers.n), "e": _text(numbers.e)}


def _text(number: int, size: int = 0) -> str:
    size = size or (number.bit_length() + 7) // 8
    return base64.urlsafe_b64encode(number.to_bytes(size)).rstrip(b"=").decode()
