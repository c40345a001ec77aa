"""The neighbourhood: the hubs of other clusters, as the API asks for them. The hub stands behind it."""

from typing import Protocol

from pilot_plus.catalog import Catalog
from pilot_plus.views import shapes


class Neighbourhood(Protocol):
    """Our peers."""

    def peers(self, catalog: Catalog, now: float) -> shapes.PeerList:
        """How each stands, at `now` (monotonic seconds)."""
        ...

    async def forget(self, name: str) -> int:
        """Take out what a retired peer has said; return how many instances that was.

        Raises:
            ValueError: there is no such peer, or it is in step.
        """
        ...
