"""Members: the hub's authority with all that stands behind it, as the API and the xDS address ask for it."""

from pilot_plus.config import Config, ConfigError
from pilot_plus.identity import (
    Authority,
    Gate,
    JournalStore,
    Pacts,
    Revocations,
    Store,
    Tokens,
    requests,
    roots_of,
    settings_of,
)
from pilot_plus.views import overview
from pilot_plus.views.membership import (
    RevocationRequest,
    RevocationShape,
    RotationShape,
    TokenList,
    TokenMade,
    TokenRequest,
)
from pilot_plus.wire.certificates import utc_now
from pilot_plus.wire.trust import Roots


class Members:
    """Who belongs to the cluster. Open it with `Members.open`, and let `authority.keep` run as long as it is used."""

    def __init__(
        self, config: Config, authority: Authority, tokens: Tokens, revocations: Revocations, pacts: Pacts
    ) -> None:
        self.authority = authority
        self.gate = Gate(authority, tokens)
        self.pacts = pacts
        self._tokens = tokens
        self._revocations = revocations
        self._peers = frozenset(peer.name for peer in config.peers)
        self._zones = frozenset(zone.name for zone in overview.zones(config).zones)

    @classmethod
    async def open(cls, config: Config, documents: Store, conflict: type[Exception]) -> "Members":
        """Load what is known; the first time ever, make a root.

        Raises:
            ConfigError: files or the trust domain can't be used, or the journal can't be read.
        """
        store = JournalStore(documents, conflict)
        revocations = Revocations(store, utc_now)
        try:
            authority = await Authority.open(settings_of(config), roots_of(config, store), revocations)
            pacts = await Pacts.open(store, config.trust_domain, utc_now)
        except (ValueError, OSError) as error:
            raise ConfigError(f"identity: {error}") from error
        return cls(config, authority, Tokens(store, config.trust_domain, utc_now), revocations, pacts)

    def abroad(self) -> Roots:
        """Whom to believe in other clusters."""
        return {pact.trust_domain: pact.trust.roots for pact in self.pacts.all() if pact.cluster in self._peers}

    async def create_token(self, asked: TokenRequest) -> TokenMade:
        """As `requests.create_token`."""
        return await requests.create_token(asked, self._tokens, self.authority, self._zones.__contains__)

    async def list_tokens(self) -> TokenList:
        """As `requests.list_tokens`."""
        return await requests.list_tokens(self._tokens)

    async def revoke_token(self, token_id: str) -> bool:
        """As `requests.revoke_token`."""
        return await requests.revoke_token(token_id, self._tokens)

    async def revoke(self, asked: RevocationRequest) -> RevocationShape:
        """As `requests.revoke`."""
        return await requests.revoke(asked, self._revocations, self.authority)

    async def lift(self, what: str) -> None:
        """As `requests.lift`."""
        await requests.lift(what, self._revocations, self.authority)

    async def rotate(self) -> RotationShape:
        """As `requests.rotate`."""
        return await requests.rotate(self.authority)
