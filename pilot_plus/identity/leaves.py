"""The certificates that an authority makes: its roots, the leaves that they sign, and lists of revoked ones."""

import ipaddress
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pilot_plus.model import SpiffeId
from pilot_plus.wire.certificates import Certificate, PrivateKey, PublicKey

BACKDATED: Final = timedelta(minutes=5)
"""How far clocks may be apart."""


def new_root(key: PrivateKey, trust_domain: str, now: datetime, ttl: timedelta) -> Certificate:
    """A root, signed by itself. Each has a name of its own, so that none is mistaken for another."""
    serial = x509.random_serial_number()
    name = _name(f"{trust_domain[:40]} root {serial:040x}"[:64])
    public = key.public_key()
    builder = _builder(name, name, public, serial).not_valid_before(now - BACKDATED).not_valid_after(now + ttl)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(signs_certificates=True), critical=True)
    uri = x509.UniformResourceIdentifier(f"spiffe://{trust_domain}")
    builder = builder.add_extension(x509.SubjectAlternativeName([uri]), critical=False)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    return builder.sign(key, SHA256())


def new_leaf(
    issuer: Certificate,
    issuer_key: PrivateKey,
    key: PublicKey,
    identity: SpiffeId,
    *,
    now: datetime,
    until: datetime,
    names: Sequence[str] = (),
) -> Certificate:
    """A leaf that proves an identity, as server and as client; `names` are DNS names and IP addresses beside it."""
    subject = _name((identity.name or str(identity.role))[:64])
    builder = _builder(subject, issuer.subject, key, x509.random_serial_number())
    builder = builder.not_valid_before(now - BACKDATED).not_valid_after(min(until, issuer.not_valid_after_utc))
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(enciphers=isinstance(key, rsa.RSAPublicKey)), critical=True)
    purposes = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    uri = x509.UniformResourceIdentifier(str(identity))
    builder = builder.add_extension(x509.SubjectAlternativeName([uri, *map(_general, names)]), critical=False)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    return builder.add_extension(_issuer_id(issuer), critical=False).sign(issuer_key, SHA256())


def new_list(issuer: Certificate, issuer_key: PrivateKey, serials: Iterable[str], now: datetime) -> bytes:
    """A list of revoked certificates in DER. It lasts as long as its root: a hub that is gone must not close doors."""
    builder = x509.CertificateRevocationListBuilder().issuer_name(issuer.subject)
    builder = builder.last_update(now - BACKDATED).next_update(issuer.not_valid_after_utc)
    for serial in sorted(serials):
        revoked = x509.RevokedCertificateBuilder().serial_number(int(serial, 16)).revocation_date(now - BACKDATED)
        builder = builder.add_revoked_certificate(revoked.build())
    builder = builder.add_extension(x509.CRLNumber(int(now.timestamp())), critical=False)
    signed = builder.add_extension(_issuer_id(issuer), critical=False).sign(issuer_key, SHA256())
    return signed.public_bytes(Encoding.DER)


def _builder(subject: x509.Name, issuer: x509.Name, key: PublicKey, serial: int) -> x509.CertificateBuilder:
    return x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key).serial_number(serial)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _issuer_id(issuer: Certificate) -> x509.AuthorityKeyIdentifier:
    try:
        known = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        return x509.AuthorityKeyIdentifier(
            x509.SubjectKeyIdentifier.from_public_key(issuer.public_key()).digest, None, None
        )
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(known)


def _usage(*, signs_certificates: bool = False, enciphers: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=enciphers,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
