"""The gate: who asks for a certificate here gets one, or hears why not."""

import logging

from pilot_plus.identity.authority import Authority
from pilot_plus.identity.tokens import Tokens
from pilot_plus.model import Role, SpiffeId
from pilot_plus.wire import edge_pb2 as pb
from pilot_plus.wire.certificates import PublicKey, checked_key, read_request
from pilot_plus.wire.denied import Denied
from pilot_plus.wire.jointoken import parse_token
from pilot_plus.wire.proof import Purpose
from pilot_plus.wire.trust import Issued, Trust

log = logging.getLogger(__name__)


class Gate:
    """Joining and renewing, over an authority and its tokens."""

    def __init__(self, authority: Authority, tokens: Tokens) -> None:
        self._authority = authority
        self._tokens = tokens

    @property
    def trust(self) -> Trust:
        """Whom to believe."""
        return self._authority.trust

    async def next_trust(self, seen: Trust) -> Trust:
        """Whom to believe, as soon as that is not what was seen."""
        return await self._authority.next_trust(seen)

    async def join(self, token: str, csr: bytes, name: str) -> Issued:
        """A certificate for a token. Nothing of the request is believed but its key.

        Raises:
            Denied: no.
            OSError: the store can't be read or written.
        """
        key = _requested_key(csr)
        try:
            parsed = parse_token(token)
        except ValueError as error:
            raise Denied(str(error)) from error
        identity = await self._tokens.redeem(parsed, name, key)
        self._refuse_revoked(identity)
        log.info("%s joined with the token %s", identity, parsed.id)
        return self._authority.issue(key, identity)

    async def renew(self, identity: SpiffeId, csr: bytes) -> Issued:
        """A younger certificate for somebody who has proved who they are.

        Raises:
            Denied: no.
        """
        if identity.role is Role.HUB:
            raise Denied("the hub renews its own certificate")
        self._refuse_revoked(identity)
        return self._authority.issue(_requested_key(csr), identity)

    def bearer(self, chain_pem: bytes) -> SpiffeId:
        """Who shows a certificate over mutual TLS.

        Raises:
            Denied: nobody that is known here.
        """
        try:
            return self._authority.bearer_of_pem(chain_pem)
        except ValueError as error:
            raise Denied(str(error)) from error

    def prover(self, proof: pb.Proof, purpose: Purpose, body: bytes = b"") -> SpiffeId:
        """Who has made a proof, over a nonce that the caller has checked.

        Raises:
            Denied: it is no proof.
        """
        try:
            return self._authority.prover(proof, purpose, body)
        except ValueError as error:
            raise Denied(str(error)) from error

    def prove_hub(self, nonce: bytes, own: bytes) -> pb.Proof:
        """That this is the hub, over a stranger's nonce."""
        return self._authority.prove_hub(nonce, own)

    def is_revoked(self, identity: SpiffeId) -> bool:
        """Whether an identity was taken back."""
        return self._authority.is_revoked(identity)

    def _refuse_revoked(self, identity: SpiffeId) -> None:
        if self._authority.is_revoked(identity):
            raise Denied(f"{identity} was revoked; an operator can give it back")


def _requested_key(csr: bytes) -> PublicKey:
    try:
        return checked_key(read_request(csr).public_key())
    except ValueError as error:
        raise Denied(str(error)) from error
