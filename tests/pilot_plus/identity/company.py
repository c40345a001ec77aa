"""A hub's identity for tests: an authority over a store in memory, with a clock that a test turns."""

from datetime import UTC, datetime, timedelta

from pilot_plus.identity import Authority, Gate, Grant, JournalRoots, MemoryStore, Revocations, Settings, Store, Tokens
from pilot_plus.model import Role, SpiffeId
from pilot_plus.wire.certificates import checked_key, new_key, new_request
from pilot_plus.wire.jointoken import JoinToken
from pilot_plus.wire.trust import Held

DOMAIN = "east.example"
DAY = timedelta(days=1)


class Clock:
    """A wall clock that stands until it is turned."""

    def __init__(self) -> None:
        self.at = datetime.now(UTC).replace(microsecond=0)

    def __call__(self) -> datetime:
        return self.at

    def turn(self, by: timedelta) -> None:
        self.at += by


class Company:
    """One copy of the hub, as far as identity goes."""

    authority: Authority

    def __init__(self, store: Store | None = None, clock: Clock | None = None, leaf_ttl: timedelta = DAY) -> None:
        self.store = store or MemoryStore()
        self.clock = clock or Clock()
        self.settings = Settings(trust_domain=DOMAIN, leaf_ttl=leaf_ttl)
        self.roots = JournalRoots(self.store, DOMAIN, ttl=3650 * DAY, life=self.settings.leaf_ttl, now=self.clock)
        self.revocations = Revocations(self.store, self.clock)
        self.tokens = Tokens(self.store, DOMAIN, self.clock)

    async def open(self) -> "Company":
        self.authority = await Authority.open(self.settings, self.roots, self.revocations, self.clock)
        self.gate = Gate(self.authority, self.tokens)
        return self

    async def token(
        self,
        *,
        ttl: timedelta = timedelta(hours=1),
        uses: int = 1,
        edge: bool = False,
        service: str = "",
        name: str = "",
    ) -> JoinToken:
        made = Grant(zone="vm", edge=edge, service=service, name=name)
        return (await self.tokens.create(made, self.authority.state.fingerprint, ttl=ttl, uses=uses))[0]

    def held(self, role: Role = Role.EDGE, name: str = "edge-1", zone: str = "vm", secure: bool = True) -> Held:
        identity = SpiffeId(trust_domain=DOMAIN, role=role, zone=zone, name=name)
        key = new_key()
        issued = self.authority.issue(checked_key(key.public_key()), identity)
        return Held(key=key, chain=issued.chain, identity=identity, trust=self.authority.trust, secure=secure)


def request() -> bytes:
    return new_request(new_key())
