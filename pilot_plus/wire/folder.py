"""The data folder: where somebody who joined keeps key and certificates, so that Envoy and gRPC can watch the files.

DIR/pending.pem                 the key of a join that has not been answered yet
DIR/identity -> identity.7      replaced as a whole, by renaming the link: key and certificate always fit
DIR/identity/key.pem            0600, as all of it
DIR/identity/chain.pem          the certificate, leaf first
DIR/identity/bundle.pem         the roots to believe
DIR/identity/bundles.json       the same, and the roots of other clusters, each for its own trust domain
DIR/identity/hub.pem            what the hub's own certificate descends from
DIR/identity/crl.pem            revoked certificates, if the hub says any list
DIR/identity/about.json         who one is; what was revoked
"""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from pilot_plus.model import parse_spiffe
from pilot_plus.wire.bundles import bundles_of, read_bundles
from pilot_plus.wire.certificates import (
    PrivateKey,
    checked_key,
    key_pem,
    new_key,
    pem,
    public_bytes,
    read_key,
    read_pem,
)
from pilot_plus.wire.trust import Held, Trust

KEY: Final = "key.pem"
CHAIN: Final = "chain.pem"
BUNDLE: Final = "bundle.pem"
BUNDLES: Final = "bundles.json"
HUB: Final = "hub.pem"
CRL: Final = "crl.pem"
ABOUT: Final = "about.json"
CURRENT: Final = "identity"
PENDING: Final = "pending.pem"


class _About(msgspec.Struct, frozen=True, kw_only=True):
    identity: str
    secure: bool
    hub_name: str = ""
    revoked_ids: tuple[str, ...] = ()
    revoked_serials: tuple[str, ...] = ()


class Folder:
    """A data folder. It belongs to one process at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __repr__(self) -> str:
        return f"<Folder {self.path}>"

    @property
    def current(self) -> Path:
        """Where the files of the current identity are, under names that never change."""
        return self.path / CURRENT

    def pending_key(self) -> PrivateKey:
        """The key to join with; the same until an identity is kept, so that a join can be tried again.

        Raises:
            OSError: the folder can't be written.
        """
        self._make()
        place = self.path / PENDING
        try:
            return read_key(place.read_bytes())
        except (FileNotFoundError, ValueError):
            key = new_key()
            _write(place, key_pem(key))
            return key

    def held(self) -> Held | None:
        """The identity that is kept here; None if there is none, or files that can't be read or don't fit.

        Raises:
            OSError: the folder can't be read.
        """
        try:
            return self._read()
        except (FileNotFoundError, ValueError):
            return None

    def keep(self, held: Held) -> None:
        """Make an identity the current one, in one step; the one before stays for those who are reading it.

        Raises:
            OSError: the folder can't be written; then the current identity is as before.
        """
        self._make()
        number = max(self._numbers(), default=0) + 1
        made = self.path / f"{CURRENT}.{number}"
        made.mkdir(mode=0o700)
        for name, content in _files(held).items():
            _write(made / name, content)
        link = self.path / f".{CURRENT}.{number}"
        link.symlink_to(made.name)
        link.replace(self.current)
        _flush(self.path)
        for old in self._numbers():
            if old < number - 1:
                shutil.rmtree(self.path / f"{CURRENT}.{old}", ignore_errors=True)
        (self.path / PENDING).unlink(missing_ok=True)

    def _make(self) -> None:
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _numbers(self) -> list[int]:
        found = (path.name.removeprefix(f"{CURRENT}.") for path in self.path.glob(f"{CURRENT}.*"))
        return [int(number) for number in found if number.isdecimal()]

    def _read(self) -> Held:
        place = self.current.resolve(strict=True)  # one generation, also when another is kept meanwhile
        about = msgspec.json.decode((place / ABOUT).read_bytes(), type=_About)
        crl = place / CRL
        roots, anchors = read_pem((place / BUNDLE).read_bytes()), read_pem((place / HUB).read_bytes())
        trust = Trust(
            roots=roots,
            crls=_crls(crl.read_bytes()) if crl.exists() else (),
            revoked_ids=frozenset(about.revoked_ids),
            revoked_serials=frozenset(about.revoked_serials),
            hub_anchors=() if anchors == roots else anchors,
            hub_name=about.hub_name,
        )
        key, chain = read_key((place / KEY).read_bytes()), read_pem((place / CHAIN).read_bytes())
        if public_bytes(key.public_key()) != public_bytes(checked_key(chain[0].public_key())):
            raise ValueError(f"{place}: the key is not the certificate's")
        identity = parse_spiffe(about.identity)
        bundles = place / BUNDLES
        domains = read_bundles(bundles.read_bytes()) if bundles.exists() else {}
        abroad = {name: certificates for name, certificates in domains.items() if name != identity.trust_domain}
        return Held(key=key, chain=chain, identity=identity, trust=trust, secure=about.secure, abroad=abroad)


def _files(held: Held) -> Mapping[str, bytes]:
    trust = held.trust
    about = _About(
        identity=str(held.identity),
        secure=held.secure,
        hub_name=trust.hub_name,
        revoked_ids=tuple(sorted(trust.revoked_ids)),
        revoked_serials=tuple(sorted(trust.revoked_serials)),
    )
    files = {
        KEY: key_pem(held.key),
        CHAIN: pem(held.chain),
        BUNDLE: pem(trust.roots),
        BUNDLES: bundles_of({**held.abroad, held.identity.trust_domain: trust.roots}),
        HUB: pem(trust.anchors),
        ABOUT: msgspec.json.format(msgspec.json.encode(about), indent=2),
    }
    lists = b"".join(x509.load_der_x509_crl(one).public_bytes(Encoding.PEM) for one in trust.crls)
    return files | ({CRL: lists} if lists else {})


def _crls(text: bytes) -> tuple[bytes, ...]:
    end = b"-----END X509 CRL-----"
    return tuple(
        x509.load_pem_x509_crl(part + end).public_bytes(Encoding.DER) for part in text.split(end) if part.strip()
    )


def _write(place: Path, content: bytes) -> None:
    """A whole file, readable by its owner only, on the disk before it has its name."""
    made = place.with_name(f".{place.name}.new")
    made.unlink(missing_ok=True)
    with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    made.replace(place)


def _flush(folder: Path) -> None:
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
