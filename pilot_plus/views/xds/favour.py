"""Favour: which endpoints of a service are passed over for those of a registry that is preferred, kept up.

The same answer as `preference.passed_over`, for what one change costs; only when the registry that counts is another
one than before, every endpoint must be looked at again.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from pilot_plus.catalog import Catalog, Entry, Place
from pilot_plus.views.endpoints import Home, Where
from pilot_plus.views.preference import standing_of


class Favour:
    """Of one service, in the eyes of one viewer."""

    def __init__(self, home: Home) -> None:
        """Begin with no endpoints."""
        self._home = home
        self._best = len(home.prefer)
        self._healthy: Counter[int] = Counter()
        self._ranks: dict[Where, dict[Place, tuple[int, bool]]] = {}

    def __repr__(self) -> str:
        return f"<Favour of {self._best} of {len(self._home.prefer)}>"

    def weigh(self, catalog: Catalog, entry: Entry | None, groups: Mapping[Where, Sequence[Sequence[Place]]]) -> bool:
        """At these addresses there are now these endpoints; whether another registry counts than before."""
        prefer = self._home.prefer
        if not prefer:
            return False
        for where, parts in groups.items():
            ranks = self._ranks.pop(where, {})
            self._healthy.subtract(rank for rank, is_healthy in ranks.values() if is_healthy)
            if entry and parts:
                now = {one[0]: standing_of(catalog, self._home.cluster, prefer, entry, one) for one in parts}
                self._ranks[where] = now
                self._healthy.update(rank for rank, is_healthy in now.values() if is_healthy)
        before = self._best
        self._best = min((rank for rank, count in self._healthy.items() if count), default=len(prefer))
        return self._best != before

    def passes_over(self, where: Where, first: Place) -> bool:
        """Whether the endpoint with this first record doesn't count now."""
        return bool(self._ranks) and self._ranks[where][first][0] > self._best
