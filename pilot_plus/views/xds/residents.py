"""Residents: the instances of a service that lie in a zone, without copies: these stand for what lies elsewhere.

Counted by kind, that is by what crossings can tell apart: 10,000 instances of one registry are one kind.
"""

from collections.abc import Iterable
from typing import Final, TypeAlias

from pilot_plus.catalog import Place
from pilot_plus.model import Instance, Pairs
from pilot_plus.quantities import matches
from pilot_plus.views.edges import EDGES
from pilot_plus.views.endpoints import is_original
from pilot_plus.views.topology import Topology

_Kind: TypeAlias = tuple[str, str, Pairs]
_NO_LABELS: Final[Pairs] = ()


class Residents:
    """Of one service in one zone."""

    def __init__(self, topology: Topology, zone: str, service: str) -> None:
        """Begin with none."""
        self._home = topology.home
        self._zone = zone
        self._has_labels = any(
            crossing.labels and any(matches(pattern, service) for pattern in crossing.services)
            for crossing in topology.crossings
        )
        self._is_open = service != EDGES
        self._kinds: dict[_Kind, tuple[Instance, int]] = {}
        self.shape: object = object()
        """A new one when a kind comes or goes."""

    def __repr__(self) -> str:
        return f"<Residents of {self._zone}: {len(self._kinds)} kinds>"

    def admits(self, place: Place, instance: Instance) -> bool:
        """Whether a record is one of them."""
        return self._is_open and instance.zone == self._zone and is_original(self._home, place[0], instance)

    def count(self, instance: Instance, by: int) -> None:
        """One more, or one less."""
        origin = instance.origin
        kind = (origin.cluster, origin.registry, instance.metadata if self._has_labels else _NO_LABELS)
        one, count = self._kinds.pop(kind, (instance, 0))
        if count + by:
            self._kinds[kind] = (one, count + by)
        if not count or not count + by:
            self.shape = object()

    def kinds(self) -> Iterable[Instance]:
        """One of each kind."""
        return (one for one, _ in self._kinds.values())
