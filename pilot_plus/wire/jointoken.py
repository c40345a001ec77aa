"""A join token: `ppt1.FINGERPRINT.SECRET`, both in base64url without padding.

The fingerprint is the SHA-256 of a certificate that the hub's own certificate descends from: so the joiner knows the
hub before it says the secret, which is 256 random bits.
"""

import base64
import binascii
import hashlib
import secrets
from typing import Final

import msgspec

PREFIX: Final = "ppt1"
SECRET_BYTES: Final = 32
FINGERPRINT_BYTES: Final = 32
MAX_LENGTH: Final = 128


class JoinToken(msgspec.Struct, frozen=True):
    """A token, as its holder knows it."""

    fingerprint: bytes
    secret: bytes

    def __repr__(self) -> str:
        """Never the secret."""
        return f"<JoinToken {self.id}>"

    def __str__(self) -> str:
        """The same as `repr`: only `text` holds the secret."""
        return repr(self)

    @property
    def text(self) -> str:
        """What `token create` prints. Secret."""
        return f"{PREFIX}.{_encoded(self.fingerprint)}.{_encoded(self.secret)}"

    @property
    def hash(self) -> str:
        """What the hub keeps of it. A fast hash is enough for 256 random bits: there is nothing to guess."""
        return hashlib.sha256(self.secret).hexdigest()

    @property
    def id(self) -> str:
        """What people call it: the beginning of the hash, not secret."""
        return self.hash[:16]


def new_token(fingerprint: bytes) -> JoinToken:
    """Draw a token for a hub whose certificate descends from the one with this fingerprint."""
    return JoinToken(fingerprint, secrets.token_bytes(SECRET_BYTES))


def parse_token(text: str) -> JoinToken:
    """Read a token.

    Raises:
        ValueError: it is none. The message doesn't quote it.
    """
    text = text.strip()
    if len(text) > MAX_LENGTH or not text.isascii():
        raise ValueError("no join token: expected what `pilot-plus token create` printed")
    match text.split("."):
        case [prefix, fingerprint, secret] if prefix == PREFIX:
            token = JoinToken(_decoded(fingerprint, FINGERPRINT_BYTES), _decoded(secret, SECRET_BYTES))
            if token.text == text:
                return token
    raise ValueError(
        f"no join token: expected {PREFIX}.FINGERPRINT.SECRET, as `token create` and `peer token` print it"
    )


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decoded(text: str, length: int) -> bytes:
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != length:
        raise ValueError("no join token: a part of it is missing or was changed")
    return raw
