"""Preference: where several registries hold one service, whose instances count now.

    names: {conflicts: {prefer: [consul, zk]}}

    consul  10.3.0.1  critical  ─┐
    zk      10.1.0.7  passing   ─┼─▶ all three: nothing of consul's is healthy
    etcd    10.2.0.1  passing   ─┘   (not named, so behind zk: passed over as long as zk has a healthy one)

An endpoint belongs to the best of its records, and a record counts for the worse of where it was read and where it
originates: so neither a copy nor a forged origin makes a registry look healthier than it is.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from pilot_plus.catalog import Catalog, Entry, Place
from pilot_plus.catalog.admission import RESERVED_NAMESPACE
from pilot_plus.model import Health, Instance

USEFUL: Final = (Health.PASSING, Health.WARNING)
"""What a registry has that is worth preferring it for."""

PASSED_OVER: Final = "passed over: a registry that `names.conflicts.prefer` names earlier has a healthy instance"


def passed_over(
    catalog: Catalog, cluster: str, prefer: Sequence[str], entry: Entry, groups: Iterable[Sequence[Place]]
) -> frozenset[Place]:
    """The records that don't count now. `groups`: the records of each endpoint. Edges are never passed over.

    Costs as much as the service holds.
    """
    if entry.namespace == RESERVED_NAMESPACE:
        return frozenset()
    best, ranked = len(prefer), []
    for group in groups:
        rank, is_healthy = standing_of(catalog, cluster, prefer, entry, group)
        ranked.append((rank, group))
        if is_healthy:
            best = min(best, rank)
    return frozenset(place for rank, group in ranked if rank > best for place in group)


def standing_of(
    catalog: Catalog, cluster: str, prefer: Sequence[str], entry: Entry, group: Sequence[Place]
) -> tuple[int, bool]:
    """Where an endpoint stands in the order, and whether that makes all behind it be passed over."""
    ranks = {place: _rank(cluster, prefer, place, entry.instances[place]) for place in group}
    rank = min(ranks.values())
    return rank, any(ranks[place] == rank and _is_healthy(catalog, entry, place) for place in group)


def _rank(cluster: str, prefer: Sequence[str], place: Place, instance: Instance) -> int:
    origin = instance.origin
    truth = origin.registry if origin.cluster == cluster else origin.cluster
    return max(place_in(prefer, place[0]), place_in(prefer, truth))


def place_in(prefer: Sequence[str], registry: str) -> int:
    """Where a registry stands in the order; behind all that it names if it doesn't name it."""
    return prefer.index(registry) if registry in prefer else len(prefer)


def _is_healthy(catalog: Catalog, entry: Entry, place: Place) -> bool:
    """What a guard holds is gone by its registry's own word."""
    return entry.instances[place].health in USEFUL and not catalog.is_held(place)
