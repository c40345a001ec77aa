"""The authority: what the hub holds to give certificates, to recognise their bearers, and to say whom to believe."""

import asyncio
import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from cryptography.x509.oid import ExtendedKeyUsageOID

from pilot_plus.identity.revocations import Revocations
from pilot_plus.identity.roots import Root, Roots, is_spent
from pilot_plus.identity.state import Settings, State, leaf_for, make_state
from pilot_plus.model import SpiffeId
from pilot_plus.wire import edge_pb2 as pb
from pilot_plus.wire.certificates import (
    Certificate,
    Clock,
    PublicKey,
    allows,
    check_chain,
    read_pem,
    spiffe_of,
    utc_now,
)
from pilot_plus.wire.proof import Purpose, check_proof, prove
from pilot_plus.wire.serving import Serving
from pilot_plus.wire.trust import Issued, Trust

log = logging.getLogger(__name__)

REFRESH_EVERY: Final = 15.0
"""Seconds. So late, at most, does a copy of the hub see what another one has rotated or revoked."""


class Authority:
    """The authority. Open it with `Authority.open`, and let `keep` run as long as it is used."""

    def __init__(self, settings: Settings, roots: Roots, revocations: Revocations, state: State, now: Clock) -> None:
        self.settings = settings
        self.state = state
        self._roots = roots
        self._revocations = revocations
        self._now = now
        self._changed = asyncio.Event()
        self._complaint = ""

    def __repr__(self) -> str:
        return f"<Authority of {self.settings.trust_domain}>"

    @classmethod
    async def open(
        cls, settings: Settings, roots: Roots, revocations: Revocations, now: Clock = utc_now
    ) -> "Authority":
        """Load what is known; the first time ever, make a root.

        Raises:
            ValueError: files or the trust domain can't be used; the message says which.
            OSError: a file or the store can't be read.
        """
        state = make_state(settings, await roots.load(), await revocations.load(), now(), None)
        return cls(settings, roots, revocations, state, now)

    @property
    def trust(self) -> Trust:
        """Whom to believe."""
        return self.state.trust

    @property
    def trust_domain(self) -> str:
        """The part of every identity that is ours."""
        return self.settings.trust_domain

    async def next_trust(self, seen: Trust) -> Trust:
        """Whom to believe, as soon as that is not what was seen."""
        while self.trust.version == seen.version:
            await self._changed.wait()
        return self.trust

    def serving(self) -> Serving:
        """What the hub shows on the xDS address, for `wire.serving.server_credentials`."""
        return self.state.serving

    def issue(self, key: PublicKey, identity: SpiffeId) -> Issued:
        """Make a certificate. Whether somebody may have it, `Gate` has asked."""
        leaf = leaf_for(self.settings, self.state.signer, key, identity, self._now())
        return Issued(identity=identity, chain=(leaf,))

    def bearer(self, chain: Sequence[Certificate]) -> SpiffeId:
        """Who bears a certificate, if it descends from an authority that proves identities here.

        Raises:
            ValueError: it doesn't, or is not valid now, or was revoked, or is of another trust domain.
        """
        check_chain(chain, self.state.anchors, self._now())
        return self._checked(chain[0])

    def prover(self, proof: pb.Proof, purpose: Purpose, body: bytes = b"") -> SpiffeId:
        """Who has made a proof. That its nonce is fresh is the caller's business.

        Raises:
            ValueError: it is no proof, or `bearer` would refuse its certificate.
        """
        audience, now = self.trust_domain, self._now()
        chain = check_proof(proof, self.state.anchors, purpose, audience=audience, body=body, now=now)
        return self._checked(chain[0])

    def bearer_of_pem(self, text: bytes) -> SpiffeId:
        """As `bearer`, of a chain in PEM: the bearer's own first.

        Raises:
            ValueError: as `bearer`.
        """
        return self.bearer(read_pem(text))

    def prove_hub(self, nonce: bytes, own: bytes) -> pb.Proof:
        """That this is the hub, over a stranger's nonce."""
        hub = self.state.hub
        return prove(hub.key, hub.chain, Purpose.HUB, audience=self.trust_domain, nonce=nonce, body=own)

    def is_revoked(self, identity: SpiffeId) -> bool:
        """Whether an identity was taken back."""
        return str(identity) in self.trust.revoked_ids

    def last_end(self) -> datetime:
        """When every certificate that was made until now will have ended."""
        return self._now() + self.settings.leaf_ttl

    async def refresh(self) -> None:
        """Take in what this or another copy of the hub, or somebody with the files, has changed.

        Raises:
            ValueError: files can't be used; what was known stays.
            OSError: a file or the store can't be read; what was known stays.
        """
        roots = await self._roots.load()
        if is_spent(roots, self._now()):
            roots = await self._replaced(roots)
        state = make_state(self.settings, roots, await self._revocations.load(), self._now(), self.state)
        changed = state.trust.version != self.trust.version
        self.state = state
        if changed:
            done, self._changed = self._changed, asyncio.Event()
            done.set()

    async def rotate(self) -> None:
        """Begin to replace the root: see `roots`.

        Raises:
            ValueError: it is being replaced already, or was given as a file.
            OSError: the store can't be written.
        """
        await self._roots.rotate()
        await self.refresh()

    async def keep(self, every: float = REFRESH_EVERY) -> None:
        """Refresh for ever; a failure is logged once, and what was known stays."""
        while True:
            await asyncio.sleep(every)
            try:
                await self.refresh()
                self._complaint = ""
            except (ValueError, OSError) as error:
                if str(error) != self._complaint:
                    self._complaint = str(error)
                    log.warning("identity: can't be refreshed, what was known stays: %s", error)

    async def _replaced(self, roots: Sequence[Root]) -> Sequence[Root]:
        try:
            await self._roots.rotate()
        except ValueError as error:
            if str(error) != self._complaint:
                self._complaint = str(error)
                log.warning("identity: the root ends soon, and is not replaced: %s", error)
            return roots
        log.info("identity: the root ends soon: a new one is being introduced")
        return await self._roots.load()

    def _checked(self, leaf: Certificate) -> SpiffeId:
        identity = spiffe_of(leaf)
        if identity.trust_domain != self.trust_domain:
            raise ValueError(f"{identity} is not of the trust domain {self.trust_domain}")
        if not allows(leaf, ExtendedKeyUsageOID.CLIENT_AUTH):
            raise ValueError(f"the certificate of {identity} is not for clients")
        if self.trust.is_revoked(leaf, identity):
            raise ValueError(f"{identity} was revoked")
        return identity
