"""The stranger's certificate: how somebody without a certificate gets through a door that asks everybody for one.

gRPC in Python can ask every client for a certificate or none, and a hub has one address for both those who have an
identity and those who come for one. So the hub also believes an authority of strangers, whose key everybody can
derive from the fingerprint in a token. It is no secret, and it gives nothing: its certificate is constrained to URIs
of `stranger.invalid`, so that TLS itself refuses whoever writes another identity under it, and the hub's own check of
identities (`check_chain`) doesn't know it at all.
"""

import datetime as dt
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.x509.oid import NameOID

from pilot_plus.wire.certificates import Certificate

DOMAIN: Final = "stranger.invalid"
_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Of P-256 (SP 800-186)."""
_SINCE: Final = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
_UNTIL: Final = dt.datetime(2120, 1, 1, tzinfo=dt.UTC)


def strangers_authority(fingerprint: bytes) -> Certificate:
    """The authority's certificate, for the hub whose tokens hold the fingerprint."""
    key = _authority_key(fingerprint)
    uris = x509.NameConstraints([x509.UniformResourceIdentifier(DOMAIN)], None)
    builder = _builder(_name(fingerprint), key.public_key()).subject_name(_name(fingerprint))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    return builder.add_extension(uris, critical=True).sign(key, SHA256())


def strangers_certificate(fingerprint: bytes, key: ec.EllipticCurvePrivateKey) -> Certificate:
    """A certificate for a stranger's own key."""
    builder = _builder(_name(fingerprint), key.public_key())
    builder = builder.subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "stranger")]))
    uri = x509.UniformResourceIdentifier(f"spiffe://{DOMAIN}/stranger")
    builder = builder.add_extension(x509.SubjectAlternativeName([uri]), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    return builder.sign(_authority_key(fingerprint), SHA256())


def _builder(issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().issuer_name(issuer).public_key(key)
    return builder.serial_number(x509.random_serial_number()).not_valid_before(_SINCE).not_valid_after(_UNTIL)


def _name(fingerprint: bytes) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"strangers to {fingerprint.hex()[:16]}")])


def _authority_key(fingerprint: bytes) -> ec.EllipticCurvePrivateKey:
    """48 bytes, so that taking them modulo the order leaves no bias worth a word."""
    stretched = HKDF(algorithm=SHA256(), length=48, salt=None, info=b"pilot-plus/strangers/v1").derive(fingerprint)
    return ec.derive_private_key(int.from_bytes(stretched, "big") % (_ORDER - 1) + 1, ec.SECP256R1())
