"""Identity: the authority that gives certificates, join tokens, and who somebody is.

- `authority`: what the hub holds; it issues, recognises and publishes whom to believe (`Trust`);
- `roots`: the roots, and how one takes over from another; `leaves`: the certificates that they sign;
- `tokens`, `revocations`: what is kept in the journal; `requests`: what operators ask for over HTTP;
- `pacts`: the hubs of other clusters that we believe;
- `gate`: joining and renewing, for `pilot_plus.servers.join`.
"""

from pilot_plus.identity.authority import Authority
from pilot_plus.identity.gate import Gate
from pilot_plus.identity.pacts import Pact, Pacts
from pilot_plus.identity.revocations import Revocations
from pilot_plus.identity.roots import FileRoots, JournalRoots
from pilot_plus.identity.state import Settings, roots_of, settings_of
from pilot_plus.identity.store import Conflict, JournalStore, MemoryStore, Store
from pilot_plus.identity.tokens import Grant, Tokens

__all__ = [
    "Authority",
    "Conflict",
    "FileRoots",
    "Gate",
    "Grant",
    "JournalRoots",
    "JournalStore",
    "MemoryStore",
    "Pact",
    "Pacts",
    "Revocations",
    "Settings",
    "Store",
    "Tokens",
    "roots_of",
    "settings_of",
]
