"""The rolls of a service: one for each of its ports, and which of them have changed."""

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import Final, TypeAlias

from pilot_plus.catalog import Place
from pilot_plus.views.xds.roll import Ranking, Roll
from pilot_plus.views.xds.sheets import At, Entrant, Kin

Entrants: TypeAlias = tuple[tuple[str, Entrant], ...]
"""Each with the cluster whose roll it stands on."""
_NOBODY: Final = Roll()


class Rolls:
    """The rolls of a service, by the names of their clusters."""

    def __init__(self) -> None:
        self._rolls: dict[str, Roll] = {}
        self._before: dict[str, object] = {}

    def __repr__(self) -> str:
        return f"<Rolls of {', '.join(self._rolls)}>"

    def of(self, cluster: str) -> Roll:
        """The roll of a cluster; an empty one if nobody stands there."""
        return self._rolls.get(cluster, _NOBODY)

    def assignment(
        self, cluster: str, name: str, ranking: Ranking, chosen: Callable[[Kin], bool] | None
    ) -> tuple[bytes, str]:
        """The endpoints of a cluster as a load assignment, and its version."""
        return self.of(cluster).assignment(name, ranking, chosen)

    def enter(self, who: Place, before: Entrants, after: Entrants, ranking: Ranking) -> None:
        """Bring the rolls from what somebody was to what it is."""
        if not before:
            for cluster, entrant in after:
                self._touched(cluster).enter(entrant, ranking)
            return
        old, new = _by_place(before), _by_place(after)
        for (cluster, at), entrant in old.items():
            if (now := new.get((cluster, at))) is None or not now.is_like(entrant):
                self._touched(cluster).leave(who, at, ranking)
        for (cluster, at), entrant in new.items():
            if (was := old.get((cluster, at))) is None or not was.is_like(entrant):
                self._touched(cluster).enter(entrant, ranking)

    def shake(self, ranking: Ranking) -> None:
        """The ranking is not as it was."""
        for cluster, roll in self._rolls.items():
            if roll.is_ranked:
                self._touched(cluster).settle_rivals(ranking)

    def take_changes(self) -> tuple[AbstractSet[str], bool]:
        """The clusters whose endpoints have changed since it was asked last, and whether their facets may have."""
        moved = self._before.keys()
        is_reshaped = any(self._rolls[cluster].shape is not was for cluster, was in self._before.items())
        self._before = {}
        return moved, is_reshaped

    def _touched(self, cluster: str) -> Roll:
        if cluster not in self._rolls:
            self._rolls[cluster] = Roll()
        roll = self._rolls[cluster]
        self._before.setdefault(cluster, roll.shape)
        return roll


def _by_place(entrants: Entrants) -> dict[tuple[str, At], Entrant]:
    return {(cluster, entrant.target.at): entrant for cluster, entrant in entrants}
