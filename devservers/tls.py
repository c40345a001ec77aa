"""Throw-away certificates: an authority in a folder, and what it signs."""

import datetime as dt
import ipaddress
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_DAY = dt.timedelta(days=1)
LOOPBACK_NAMES = ("127.0.0.1", "localhost")


@dataclass(frozen=True)
class Certificate:
    """A certificate and its key as PEM files; `both` holds the two in one file."""

    cert: Path
    key: Path
    both: Path


@dataclass(frozen=True)
class Tls:
    """What one test needs: an authority's certificate, a server's for loopback, and a client's."""

    ca: Path
    server: Certificate
    client: Certificate

    def client_context(self) -> ssl.SSLContext:
        """Return a context that trusts the authority and shows the client's certificate."""
        context = ssl.create_default_context(cafile=str(self.ca))
        context.load_cert_chain(self.client.cert, self.client.key)
        return context


class Authority:
    """A certificate authority of our own; `path` is its certificate."""

    def __init__(self, folder: Path, name: str = "test authority") -> None:
        """Make its key and its certificate in the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"{name.replace(' ', '-')}.pem"
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named(name)
        builder = _builder(self._name, self._name, self._key.public_key(), _DAY)
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        builder = builder.add_extension(usage, critical=True)
        certificate = builder.sign(self._key, hashes.SHA256())
        self.path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, name: str, hosts: Sequence[str] = LOOPBACK_NAMES, *, lasts: dt.timedelta = _DAY) -> Certificate:
        """Sign a certificate for hosts (IP addresses, DNS names or URIs); a negative `lasts` makes an expired one.

        It serves both ends of a connection. The files are named after `name`.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        both_ends = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        certificate = (
            _builder(_named(name), self._name, key.public_key(), lasts)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage(both_ends), critical=False)
            .add_extension(x509.SubjectAlternativeName([_alternative(host) for host in hosts]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        text = certificate.public_bytes(serialization.Encoding.PEM)
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        issued = Certificate(*(self._folder / f"{name}{end}" for end in (".crt", ".key", ".pem")))
        issued.cert.write_bytes(text)
        issued.key.write_bytes(secret)
        issued.both.write_bytes(secret + text)
        return issued


def make_tls(folder: Path) -> Tls:
    """Make an authority, a server's certificate for loopback and a client's, in the folder."""
    authority = Authority(folder)
    return Tls(authority.path, authority.issue("server"), authority.issue("client"))


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, lasts: dt.timedelta
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + min(lasts, dt.timedelta()) - _DAY)
        .not_valid_after(now + lasts)
    )


def _alternative(host: str) -> x509.GeneralName:
    if "://" in host:
        return x509.UniformResourceIdentifier(host)
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
