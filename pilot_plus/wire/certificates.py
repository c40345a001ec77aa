"""X.509 as far as joining needs it: reading what strangers send, and checking a chain up to somebody we believe."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, TypeAlias

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pilot_plus.model import SpiffeId, parse_spiffe

Certificate: TypeAlias = x509.Certificate
PrivateKey: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
PublicKey: TypeAlias = ec.EllipticCurvePublicKey | rsa.RSAPublicKey
Clock: TypeAlias = Callable[[], datetime]

MAX_CHAIN: Final = 5
MAX_CERTIFICATE: Final = 16 << 10
"""Bytes of one certificate in DER."""
SMALLEST_RSA: Final = 2048
LARGEST_RSA: Final = 8192

_UNREADABLE: Final = (
    CryptographyDeprecationWarning,
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)


def utc_now() -> datetime:
    """The wall clock, which is what certificates go by."""
    return datetime.now(UTC)


def new_key() -> ec.EllipticCurvePrivateKey:
    """Make a key of our own: EC P-256."""
    return ec.generate_private_key(ec.SECP256R1())


def new_request(key: PrivateKey) -> bytes:
    """A certificate signing request in DER. It proves the key and names nobody: who one is, the hub says."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "joiner")])
    return x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, SHA256()).public_bytes(Encoding.DER)


def read_certificate(der: bytes) -> Certificate:
    """Read a certificate, extensions and key too, so that nothing about it fails later.

    Raises:
        ValueError: it is none, or one that can't be used.
    """
    if len(der) > MAX_CERTIFICATE:
        raise ValueError(f"a certificate of {len(der)} bytes, more than {MAX_CERTIFICATE}")
    try:
        with _strictly():
            certificate = x509.load_der_x509_certificate(der)
            checked_key(certificate.public_key())
            _ = certificate.extensions, certificate.subject, certificate.issuer, certificate.signature_hash_algorithm
    except _UNREADABLE as error:
        raise ValueError(f"no certificate that can be used: {str(error)[:200]}") from error
    return certificate


def read_pem(pem: bytes) -> tuple[Certificate, ...]:
    """Read certificates in PEM, at least one.

    Raises:
        ValueError: there is none, or one that can't be used.
    """
    try:
        with _strictly():
            found = x509.load_pem_x509_certificates(pem)
    except _UNREADABLE as error:
        raise ValueError(f"no certificates in PEM: {str(error)[:200]}") from error
    return tuple(read_certificate(der(one)) for one in found)


def read_request(der_bytes: bytes) -> x509.CertificateSigningRequest:
    """Read a signing request whose signature proves its key.

    Raises:
        ValueError: it is none, or its key is not EC or RSA of a fit size, or its signature is wrong.
    """
    if len(der_bytes) > MAX_CERTIFICATE:
        raise ValueError(f"a signing request of {len(der_bytes)} bytes, more than {MAX_CERTIFICATE}")
    try:
        with _strictly():
            request = x509.load_der_x509_csr(der_bytes)
            checked_key(request.public_key())
            proved = request.is_signature_valid
    except (*_UNREADABLE, InvalidSignature) as error:
        raise ValueError(f"no signing request that can be used: {str(error)[:200]}") from error
    if not proved:
        raise ValueError("the signing request's signature is not by its key")
    return request


def read_key(text: bytes) -> PrivateKey:
    """Read a private key in PEM, not encrypted.

    Raises:
        ValueError: it is none, or neither EC nor RSA.
    """
    try:
        key = load_pem_private_key(text, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ValueError("no private key in PEM") from error
    if isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        return key
    raise ValueError("the private key is neither EC nor RSA")


def checked_key(key: object) -> PublicKey:
    """The key, if it is one that we work with.

    Raises:
        ValueError: it is another.
    """
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1 | ec.SECP521R1):
        return key
    if isinstance(key, rsa.RSAPublicKey) and SMALLEST_RSA <= key.key_size <= LARGEST_RSA:
        return key
    raise ValueError("expected a key on P-256, P-384 or P-521, or RSA of 2048 to 8192 bits")


def check_chain(chain: Sequence[Certificate], anchors: Iterable[Certificate], now: datetime) -> None:
    """Check that a leaf descends from an anchor through the rest of the chain, and that all are valid now.

    Raises:
        ValueError: it doesn't, or they aren't.
    """
    believed = [anchor for anchor in anchors if _is_valid(anchor, now)]
    if not 1 <= len(chain) <= MAX_CHAIN:
        raise ValueError(f"expected a chain of 1 to {MAX_CHAIN} certificates, found {len(chain)}")
    if _is_authority(chain[0]):
        raise ValueError("an authority's certificate is nobody's identity")
    for index, certificate in enumerate(chain):
        if index and not _is_authority(certificate):
            raise ValueError("a certificate in the chain is no authority's")
        if not _is_valid(certificate, now):
            raise ValueError(f"the certificate is valid from {_period(certificate)} only")
        if any(_is_by(certificate, anchor) for anchor in believed):
            return
        if index + 1 < len(chain) and not _is_by(certificate, chain[index + 1]):
            break
    raise ValueError("the certificate descends from no authority that is believed here")


def spiffe_of(certificate: Certificate) -> SpiffeId:
    """The identity that a certificate proves.

    Raises:
        ValueError: it holds none, several, or one that is not of our form.
    """
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound as error:
        raise ValueError("the certificate holds no SPIFFE ID") from error
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    if len(uris) != 1:
        raise ValueError(f"expected one SPIFFE ID in the certificate, found {len(uris)} URIs")
    return parse_spiffe(uris[0])


def dns_names(certificate: Certificate) -> list[str]:
    """The DNS names in a certificate."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return names.get_values_for_type(x509.DNSName)


def allows(certificate: Certificate, usage: x509.ObjectIdentifier) -> bool:
    """Whether a certificate may be used so; one that says nothing may."""
    try:
        allowed = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True
    return usage in allowed or ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in allowed


def fingerprint(certificate: Certificate) -> bytes:
    """SHA-256 of the certificate."""
    return certificate.fingerprint(SHA256())


def serial(certificate: Certificate) -> str:
    """The serial number as people and revocation lists write it: hexadecimal."""
    return f"{certificate.serial_number:x}"


def der(certificate: Certificate) -> bytes:
    """A certificate in DER."""
    return certificate.public_bytes(Encoding.DER)


def pem(certificates: Iterable[Certificate]) -> bytes:
    """Certificates in PEM, one after the other."""
    return b"".join(one.public_bytes(Encoding.PEM) for one in certificates)


def key_pem(key: PrivateKey) -> bytes:
    """A private key in PEM. Secret."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def public_bytes(key: PublicKey) -> bytes:
    """What identifies a key: its SubjectPublicKeyInfo in DER."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@contextmanager
def _strictly() -> Iterator[None]:
    """Refuse what is wrong but still read by the library, with a warning: a serial number below zero, for example."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", CryptographyDeprecationWarning)
        yield


def _is_valid(certificate: Certificate, now: datetime) -> bool:
    return certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc


def _period(certificate: Certificate) -> str:
    return f"{certificate.not_valid_before_utc:%Y-%m-%d %H:%M} to {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"


def _is_authority(certificate: Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


@lru_cache(maxsize=2048)
def _is_by(certificate: Certificate, issuer: Certificate) -> bool:
    """Whether one signed the other: what once is so stays so, and who comes back shows the same again."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (*_UNREADABLE, InvalidSignature):
        return False
    return True
