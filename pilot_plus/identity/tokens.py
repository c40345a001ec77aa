"""Join tokens, as the hub keeps them: by their hash, with what they give and how often they were used.

A use is counted by comparing revisions, so that of two joiners at two copies of the hub one gets the last use. It is
counted once for one key and name: a joiner whose answer was lost asks again.
"""

import hashlib
import re
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from pilot_plus.identity.store import ABSENT, Conflict, Store
from pilot_plus.model import Role, SpiffeId, split_service
from pilot_plus.wire.certificates import Clock, PublicKey, public_bytes
from pilot_plus.wire.denied import Denied
from pilot_plus.wire.jointoken import JoinToken, new_token

KIND: Final = "join-token"
ATTEMPTS: Final = 100
"""Times that a use is tried to be counted while others use the same token."""
REMEMBERED: Final = 64
"""Uses that are remembered, so that they can be asked for again."""
MAX_USES: Final = 1_000_000
LONGEST: Final = timedelta(days=365)

_EDGE_NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")
_CLIENT_NAME: Final = 253


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """What a token gives: an edge's identity, a service's, or (neither) a client's, in a zone.

    Raises:
        ValueError: it can't be given.
    """

    zone: str
    """The bare name."""
    edge: bool = False
    service: str = ""
    """`NAMESPACE/NAME`."""
    name: str = ""
    """The only name that may be asked for; empty: the joiner chooses."""

    def __post_init__(self) -> None:
        if self.edge and self.service:
            raise ValueError("a token is for an edge or for a service, not for both")
        if self.service and self.name:
            raise ValueError("a service's token takes no name: its identity is the service")
        if self.service:
            split_service(self.service)
        if self.name:
            self.identity("a.example", self.name)

    def identity(self, trust_domain: str, asked: str) -> SpiffeId:
        """The identity of a joiner who asks for a name.

        Raises:
            ValueError: it can't have that name.
        """
        if self.service:
            namespace, name = split_service(self.service)
            return SpiffeId(
                trust_domain=trust_domain, role=Role.SERVICE, zone=self.zone, namespace=namespace, name=name
            )
        if self.name and asked not in {"", self.name}:
            raise ValueError(f"the token is for the name {self.name!r}, not for {asked[:80]!r}")
        name = self.name or asked
        if self.edge:
            if not _EDGE_NAME.fullmatch(name):
                raise ValueError(f"{name[:80]!r} is no name for an edge: up to 64 letters, digits, `.`, `_`, `-`")
            return SpiffeId(trust_domain=trust_domain, role=Role.EDGE, zone=self.zone, name=name)
        if not 1 <= len(name) <= _CLIENT_NAME:
            raise ValueError(f"a client's id has 1 to {_CLIENT_NAME} characters, not {len(name)}")
        return SpiffeId(trust_domain=trust_domain, role=Role.CLIENT, zone=self.zone, name=name)


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A token as it is kept: nothing in it lets anybody join."""

    id: str
    hash: str
    grant: Grant
    created: datetime
    expires: datetime
    uses: int
    """How often it may be used; 0: as often as one likes until it ends."""
    used: int = 0
    users: tuple[str, ...] = ()
    """Hashes of the last keys and names that it was used for."""


class Tokens:
    """The tokens in a store."""

    def __init__(self, store: Store, trust_domain: str, now: Clock) -> None:
        self._store = store
        self._trust_domain = trust_domain
        self._now = now

    async def create(
        self, grant: Grant, fingerprint: bytes, *, ttl: timedelta, uses: int = 1
    ) -> tuple[JoinToken, Record]:
        """Make a token.

        Raises:
            ValueError: it would last too long or too short, or could be used too often.
            OSError: the store can't be written.
        """
        if not timedelta(seconds=1) <= ttl <= LONGEST:
            raise ValueError(f"ttl: expected between 1s and {LONGEST.days}d")
        if not 0 <= uses <= MAX_USES:
            raise ValueError(f"uses: expected up to {MAX_USES}, or 0 for no limit but the time")
        SpiffeId(trust_domain=self._trust_domain, role=Role.CLIENT, zone=grant.zone, name="any")  # is it a zone's name?
        token, now = new_token(fingerprint), self._now()
        record = Record(id=token.id, hash=token.hash, grant=grant, created=now, expires=now + ttl, uses=uses)
        await self._store.put(KIND, token.id, msgspec.json.encode(record), expected=ABSENT)
        return token, record

    async def redeem(self, token: JoinToken, asked: str, key: PublicKey) -> SpiffeId:
        """The identity that a token gives to somebody with this key who asks for a name; counts the use.

        Raises:
            Denied: unknown, expired, used up, or not for that name.
            OSError: the store can't be read or written.
        """
        for _ in range(ATTEMPTS):
            found = await self._store.get(KIND, token.id)
            record = _decoded(found.payload) if found else None
            if found is None or record is None or not secrets.compare_digest(record.hash, token.hash):
                raise Denied("the token is unknown: it was never made here, or has ended long ago, or was revoked")
            identity, after = self._used(record, asked, key)
            if after is record:
                return identity
            try:
                await self._store.put(KIND, token.id, msgspec.json.encode(after), expected=found.revision)
            except Conflict:
                continue
            return identity
        raise ConnectionError("the token is being used by too many at once")

    async def list(self) -> Sequence[Record]:
        """All tokens, the youngest first; those that have ended a day ago are removed.

        Raises:
            OSError: the store can't be read or written.
        """
        kept = []
        for found in await self._store.list(KIND):
            record = _decoded(found.payload)
            if record is None or record.expires + timedelta(days=1) < self._now():
                await self._store.delete(KIND, found.key)
            else:
                kept.append(record)
        return sorted(kept, key=lambda record: record.created, reverse=True)

    async def revoke(self, token_id: str) -> bool:
        """Let nobody join with a token any more; whether there was one.

        Raises:
            OSError: the store can't be read or written.
        """
        found = await self._store.get(KIND, token_id)
        await self._store.delete(KIND, token_id)
        return found is not None

    def _used(self, record: Record, asked: str, key: PublicKey) -> tuple[SpiffeId, Record]:
        """Who a joiner is, and the record after this use: the same where the use was counted before."""
        if self._now() >= record.expires:
            raise Denied(f"the token {record.id} has expired at {record.expires:%Y-%m-%d %H:%M} UTC")
        try:
            identity = record.grant.identity(self._trust_domain, asked)
        except ValueError as error:
            raise Denied(str(error)) from error
        user = hashlib.sha256(public_bytes(key) + str(identity).encode()).hexdigest()
        if user in record.users:
            return identity, record
        if record.uses and record.used >= record.uses:
            raise Denied(f"the token {record.id} was used {record.used} of {record.uses} times")
        users = (*record.users[1 - REMEMBERED :], user)
        return identity, msgspec.structs.replace(record, used=record.used + 1, users=users)


def _decoded(payload: bytes) -> Record | None:
    try:
        return msgspec.json.decode(payload, type=Record)
    except msgspec.ValidationError:
        return None
