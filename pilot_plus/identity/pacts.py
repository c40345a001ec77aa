"""Pacts: which hubs of other clusters we believe, and the invitations by which they come to be.

    west   peer token east          an invitation for east: used once, kept by its hash
    east   peer join west TOKEN     east knows west by the fingerprint in the token, and introduces itself
    west                            keeps a pact with east, and answers with an introduction of its own
    east                            keeps a pact with west

Each side tells the other over the stream when whom to believe there changes: a root is rotated with overlap, so that
neither is ever without one that the other knows.
"""

import asyncio
import base64
import secrets
from datetime import datetime, timedelta
from typing import Final

import msgspec
from cryptography.x509.oid import ExtendedKeyUsageOID

from pilot_plus.identity.store import ABSENT, Conflict, Store
from pilot_plus.model import Role, SpiffeId
from pilot_plus.wire import edge_pb2 as pb
from pilot_plus.wire.certificates import Clock, allows, check_chain, read_pem, spiffe_of
from pilot_plus.wire.denied import Denied
from pilot_plus.wire.jointoken import JoinToken, new_token
from pilot_plus.wire.trust import Trust, trust_from_wire, trust_to_wire

KIND: Final = "peer"
INVITATION: Final = "peer-token"
LONGEST: Final = timedelta(days=7)
MAX_ROOTS: Final = 32
REFRESH_EVERY: Final = 15.0
"""Seconds. So late, at most, does a copy of the hub see what another one has learnt."""


class Pact(msgspec.Struct, frozen=True, kw_only=True):
    """What we know of another cluster's hub."""

    cluster: str
    trust_domain: str
    trust: Trust

    @property
    def revoked(self) -> frozenset[str]:
        """The identities that were taken back there. A cluster speaks of its own only."""
        own = f"spiffe://{self.trust_domain}/"
        return frozenset(identity for identity in self.trust.revoked_ids if identity.startswith(own))

    def check(self, chain_pem: bytes, now: datetime) -> None:
        """Check that a certificate is that hub's.

        Raises:
            ValueError: it isn't, and why.
        """
        chain = read_pem(chain_pem)
        check_chain(chain, self.trust.roots, now)
        identity = spiffe_of(chain[0])
        if identity != SpiffeId(trust_domain=self.trust_domain, role=Role.HUB):
            raise ValueError(f"the certificate is that of {identity}, not of the hub of {self.cluster!r}")
        if not allows(chain[0], ExtendedKeyUsageOID.CLIENT_AUTH) or self.trust.is_revoked(chain[0], identity):
            raise ValueError(f"the certificate of {identity} was revoked, or is not for clients")


class _Kept(msgspec.Struct, frozen=True):
    trust_domain: str
    trust: str


class _Invitation(msgspec.Struct, frozen=True):
    hash: str
    cluster: str
    expires: datetime


class Pacts:
    """The pacts in a store. Open them with `Pacts.open`, and let `keep` run as long as they are used."""

    def __init__(self, store: Store, trust_domain: str, now: Clock) -> None:
        self._store = store
        self._trust_domain = trust_domain
        self._now = now
        self._pacts: dict[str, Pact] = {}

    @classmethod
    async def open(cls, store: Store, trust_domain: str, now: Clock) -> "Pacts":
        """Load what is known.

        Raises:
            OSError: the store can't be read.
        """
        pacts = cls(store, trust_domain, now)
        await pacts.refresh()
        return pacts

    def of(self, cluster: str) -> Pact | None:
        """The pact with a cluster's hub; None: we haven't met."""
        return self._pacts.get(cluster)

    def all(self) -> list[Pact]:
        """Every pact."""
        return list(self._pacts.values())

    async def invite(self, cluster: str, fingerprint: bytes, ttl: timedelta) -> JoinToken:
        """Make a token with which the hub of a cluster introduces itself, once.

        Raises:
            ValueError: it would last too long or too short.
            OSError: the store can't be written.
        """
        if not timedelta(seconds=1) <= ttl <= LONGEST:
            raise ValueError(f"ttl: expected between 1s and {LONGEST.days}d")
        token = new_token(fingerprint)
        kept = _Invitation(token.hash, cluster, self._now() + ttl)
        await self._store.put(INVITATION, token.id, msgspec.json.encode(kept), expected=ABSENT)
        return token

    async def accept(self, token: JoinToken, cluster: str, trust_domain: str, trust: pb.Trust) -> None:
        """Keep a pact with a hub that has a token for it.

        Raises:
            Denied: unknown, expired, or for another cluster.
            ValueError: what it says of itself can't be.
            OSError: the store can't be written.
        """
        found = await self._store.get(INVITATION, token.id)
        kept = msgspec.json.decode(found.payload, type=_Invitation) if found else None
        if found is None or kept is None or not secrets.compare_digest(kept.hash, token.hash):
            raise Denied("the token is unknown: it was never made here, or was used already")
        if self._now() >= kept.expires:
            await self._store.delete(INVITATION, token.id)
            raise Denied("the token has expired")
        if kept.cluster != cluster:
            raise Denied(f"the token is for cluster {kept.cluster!r}, not for {cluster[:80]!r}")
        self._checked(cluster, trust_domain, trust)
        try:
            await self._store.delete(INVITATION, token.id, expected=found.revision)
        except Conflict as error:
            raise Denied("the token was used already") from error
        await self.keep_pact(cluster, trust_domain, trust)

    async def keep_pact(self, cluster: str, trust_domain: str, trust: pb.Trust) -> None:
        """Believe what the hub of a cluster says of itself.

        Raises:
            ValueError: it can't be.
            OSError: the store can't be written.
        """
        pact = self._checked(cluster, trust_domain, trust)
        known = self._pacts.get(cluster)
        if known is not None and known.trust_domain == trust_domain and known.trust.version == pact.trust.version:
            return
        kept = _Kept(trust_domain, base64.b64encode(trust_to_wire(pact.trust).SerializeToString()).decode())
        await self._store.put(KIND, cluster, msgspec.json.encode(kept))
        self._pacts[cluster] = pact

    async def learn(self, cluster: str, trust: pb.Trust) -> None:
        """The hub of a cluster that we know says whom to believe there from now on.

        Raises:
            ValueError: we don't know it, or it can't be.
            OSError: the store can't be written.
        """
        known = self._pacts.get(cluster)
        if known is None:
            raise ValueError(f"there is no pact with {cluster!r}")
        await self.keep_pact(cluster, known.trust_domain, trust)

    async def refresh(self) -> None:
        """Take in what other copies of the hub have learnt.

        Raises:
            OSError: the store can't be read.
        """
        found = {}
        for document in await self._store.list(KIND):
            kept = msgspec.json.decode(document.payload, type=_Kept)
            trust = trust_from_wire(pb.Trust.FromString(base64.b64decode(kept.trust)))
            known = self._pacts.get(document.key)
            is_same = known is not None and known.trust.version == trust.version
            pact = Pact(cluster=document.key, trust_domain=kept.trust_domain, trust=trust)
            found[document.key] = known if is_same and known is not None else pact
        self._pacts = found

    async def keep(self, every: float = REFRESH_EVERY) -> None:
        """Refresh for ever; what was known stays where that fails."""
        while True:
            await asyncio.sleep(every)
            try:
                await self.refresh()
            except OSError:
                continue  # whoever writes next to the journal says so

    def _checked(self, cluster: str, trust_domain: str, trust: pb.Trust) -> Pact:
        SpiffeId(trust_domain=trust_domain, role=Role.HUB)
        if trust_domain == self._trust_domain:
            raise ValueError(f"{cluster!r} has our own trust domain {trust_domain!r}: set `mesh.trust_domain` apart")
        if len(trust.roots) + len(trust.hub_anchors) > MAX_ROOTS or trust.ByteSize() > 1 << 20:
            raise ValueError(f"{cluster!r} wants more believed than we keep")
        others = [pact.cluster for pact in self._pacts.values() if pact.trust_domain == trust_domain]
        if others not in ([], [cluster]):
            raise ValueError(f"trust domain {trust_domain!r} is that of {others[0]!r} already")
        return Pact(cluster=cluster, trust_domain=trust_domain, trust=trust_from_wire(trust))
