"""A crowd: the endpoints behind a group of edges, summed up, and kept so as they come and go.

The same sum as `horizon.Behind.of` makes from all of them, for what one change costs.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeAlias

from pilot_plus.catalog import Place
from pilot_plus.model import Health, Port
from pilot_plus.views.horizon import Behind, Standing, shared
from pilot_plus.views.sight import Through

Edges: TypeAlias = tuple[Place, ...]
"""A group of edges, by the places of their records."""

_USEFUL = (Health.PASSING, Health.WARNING)


class Sort(NamedTuple):
    """What endpoints have in common, as far as an edge in front of them is concerned."""

    registry: str
    is_last: bool
    distance: int
    health: Health


class Crowd:
    """Endpoints behind the edges of one way."""

    def __init__(self, through: Through) -> None:
        self.through = through
        self._counts: Counter[Sort] = Counter()
        self._weights: Counter[Sort] = Counter()
        self._ports: Counter[tuple[Port, ...]] = Counter()

    def __repr__(self) -> str:
        return f"<Crowd of {self._counts.total()} behind {', '.join(edge.name for edge in self.through.edges)}>"

    def __bool__(self) -> bool:
        return bool(self._counts)

    def add(self, sort: Sort, weight: int, ports: tuple[Port, ...], count: int = 1) -> None:
        """One more; with a count of -1, one less."""
        self._weights[sort] += count * weight
        self._counts[sort] += count
        self._ports[ports] += count
        if not self._counts[sort]:
            del self._counts[sort], self._weights[sort]
        if not self._ports[ports]:
            del self._ports[ports]

    def behind(self, ranking: Callable[[Sort], tuple[bool, int]]) -> Behind:
        """All of them together."""
        usefulness = {sort: (ranking(sort)[0], _order(sort.health)) for sort in self._counts}
        best = min(usefulness.values())
        counted = [sort for sort in self._counts if usefulness[sort] == best]
        named = {port.name: port.protocol for ports in sorted(self._ports, key=repr, reverse=True) for port in ports}
        return Behind(
            health=min((sort.health for sort in counted), key=list(Health).index),
            weight=sum(self._weights[sort] for sort in counted),
            rank=min((best[0], sort.distance) for sort in counted),
            ports=named,
            places=(),
        )


class Crowds:
    """All crowds of a service: for each group of edges, those behind it."""

    def __init__(self) -> None:
        self._crowds: dict[Edges, Crowd] = {}

    def __repr__(self) -> str:
        return f"<Crowds behind {len(self._crowds)} groups of edges>"

    def __bool__(self) -> bool:
        return any(self._crowds.values())

    def behind(self, through: Through) -> Edges:
        """The group of edges of a way, by which `add` knows its crowd."""
        edges = tuple(edge.place for edge in through.edges)
        if not self._crowds.get(edges):
            self._crowds[edges] = Crowd(through)
        return edges

    def add(self, edges: Edges, sort: Sort, weight: int, ports: tuple[Port, ...], count: int = 1) -> None:
        """One more behind these edges; with a count of -1, one less."""
        self._crowds[edges].add(sort, weight, ports, count)

    def standing(self, ranking: Callable[[Sort], tuple[bool, int]]) -> Mapping[Place, Standing]:
        """Each edge, with what it stands for; it may stand for several zones."""
        self._crowds = {edges: crowd for edges, crowd in self._crowds.items() if crowd}
        found: dict[Place, Standing] = {}
        for crowd in self._crowds.values():
            behind, through = crowd.behind(ranking), crowd.through
            for edge in through.edges:
                mine = found.setdefault(edge.place, Standing(edge, through.side))
                mine.take(behind, share=shared(behind.weight, edge, through.edges))
        return found


def _order(health: Health) -> int:
    return 0 if health in _USEFUL else list(Health).index(health)
