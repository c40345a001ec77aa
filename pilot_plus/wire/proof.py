"""A proof that somebody holds a certificate's key now, for where the connection itself proves nothing (plaintext).

What is signed, each part with its length in front: who signs for what (`purpose`), for whom (`audience`, the trust
domain), the other side's `nonce`, and the `body` that the proof is for. The other side takes each nonce once, so a
recorded proof is worth nothing; and a proof for one purpose is none for another.

    edge ── Hello(nonce a) ──▶ hub          the hub signs  hub    · east.example · a · b
    edge ◀── nonce b, proof ── hub
    edge ── Renew(csr, proof) ▶ hub         the edge signs renew  · east.example · b · csr
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.hashes import SHA256

from pilot_plus.wire import edge_pb2 as pb
from pilot_plus.wire.certificates import (
    Certificate,
    PrivateKey,
    PublicKey,
    check_chain,
    checked_key,
    der,
    read_certificate,
)

NONCE_BYTES: Final = 32
MAX_SIGNATURE: Final = 1024


class Purpose(StrEnum):
    """What a proof is for."""

    HUB = "hub"
    RENEW = "renew"
    SESSION = "session"


def prove(
    key: PrivateKey, chain: Sequence[Certificate], purpose: Purpose, *, audience: str, nonce: bytes, body: bytes = b""
) -> pb.Proof:
    """Sign."""
    statement = _statement(purpose, audience, nonce, body)
    return pb.Proof(chain=[der(one) for one in chain], nonce=nonce, signature=_signature(key, statement))


def check_proof(
    proof: pb.Proof,
    anchors: Iterable[Certificate],
    purpose: Purpose,
    *,
    audience: str,
    body: bytes = b"",
    now: datetime,
) -> Sequence[Certificate]:
    """The prover's chain. That the nonce is fresh, and one's own, is the caller's business.

    Raises:
        ValueError: the proof is none.
    """
    if len(proof.signature) > MAX_SIGNATURE or len(proof.nonce) > MAX_SIGNATURE:
        raise ValueError("the proof is larger than any proof")
    chain = [read_certificate(one) for one in proof.chain[:8]]
    check_chain(chain, anchors, now)
    statement = _statement(purpose, audience, proof.nonce, body)
    if not _is_signed(checked_key(chain[0].public_key()), proof.signature, statement):
        raise ValueError("the proof's signature is not by the certificate's key, or for something else")
    return chain


def _statement(purpose: Purpose, audience: str, nonce: bytes, body: bytes) -> bytes:
    parts = (b"pilot-plus/proof/v1", purpose.encode(), audience.encode(), nonce, body)
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def _signature(key: PrivateKey, statement: bytes) -> bytes:
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(statement, ec.ECDSA(SHA256()))
    return key.sign(statement, padding.PKCS1v15(), SHA256())


def _is_signed(key: PublicKey, signature: bytes, statement: bytes) -> bool:
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, statement, ec.ECDSA(SHA256()))
        else:
            key.verify(signature, statement, padding.PKCS1v15(), SHA256())
    except InvalidSignature:
        return False
    return True
