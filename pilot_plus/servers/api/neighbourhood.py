"""The neighbourhood: the hubs of other clusters, as the API asks for them. The hub stands behind it."""

from typing import Protocol

from pilot_plus.catalog import Catalog
from pilot_plus.views.peers import PeerList


class Neighbourhood(Protocol):
    """Our peers."""

    def peers(self, catalog: Catalog, now: float) -> PeerList:
        """How each stands, at `now` (monotonic seconds)."""
        ...

    async def invite(self, name: str, ttl: str) -> str:
        """A token with which the hub of a peer introduces itself. Secret.

        Raises:
            ValueError: it can't be given.
            OSError: the journal can't be written.
        """
        ...

    async def join(self, name: str, token: str) -> None:
        """Introduce ourselves to a peer's hub, with its token.

        Raises:
            ValueError: no token, or what it says of itself can't be.
            Denied: it says no, or is another hub.
            OSError: it can't be reached, or the journal can't be written.
        """
        ...

    async def forget(self, name: str) -> int:
        """Take out what a retired peer has said; return how many instances that was.

        Raises:
            ValueError: there is no such peer, or it is in step.
        """
        ...
