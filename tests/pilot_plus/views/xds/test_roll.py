"""The roll: the same bytes and versions whatever way has led there, and nothing twice."""

from collections.abc import Iterable

from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from hypothesis import given
from hypothesis import strategies as st

from pilot_plus.catalog import Place
from pilot_plus.model import NOWHERE, Health
from pilot_plus.views.xds.endpoint import MOST, PLAIN, Target
from pilot_plus.views.xds.roll import Rank, Roll
from pilot_plus.views.xds.sheets import FEW, Entrant, Kin
from tests.pilot_plus.views.xds.reading import endpoints_in

NEAR = Kin("zk", False, -1, NOWHERE, PLAIN, False)
FAR = NEAR._replace(registry="consul", distance=1)


def entrant(number: int, weight: int = 100, kin: Kin = NEAR, who: Place | None = None) -> Entrant:
    target = Target(address=f"10.0.{number >> 8}.{number & 255}", number=80, health=Health.PASSING, weight=weight)
    return Entrant(kin, f"i{number}", who or (kin.registry, str(number)), target)


def ranking(kin: Kin) -> Rank:
    return kin.is_last, kin.distance


def roll_of(entrants: Iterable[Entrant]) -> Roll:
    roll = Roll()
    for one in entrants:
        roll.enter(one, ranking)
    return roll


def weights_in(roll: Roll) -> list[int]:
    body, _ = roll.assignment("x", ranking)
    return [one[4] for one in endpoints_in(ClusterLoadAssignment.FromString(body))]


@given(st.lists(st.integers(0, FEW + 10), min_size=FEW, max_size=3 * FEW), st.integers(FEW - 5, FEW + 5))
def test_bytes_and_version_depend_on_who_stands_there_and_on_nothing_else(toggled: list[int], begin: int):
    standing = set(range(begin))
    roll = roll_of(entrant(number) for number in standing)
    for number in toggled:
        if number in standing:
            roll.leave(("zk", str(number)), entrant(number).target.at, ranking)
        else:
            roll.enter(entrant(number), ranking)
        standing ^= {number}
    fresh = roll_of(entrant(number) for number in sorted(standing, reverse=True))
    assert roll.assignment("x", ranking) == fresh.assignment("x", ranking)
    body, _ = roll.assignment("x", ranking)
    assert len(list(endpoints_in(ClusterLoadAssignment.FromString(body)))) == len(standing)


def test_every_change_of_an_endpoint_is_another_version():
    roll = roll_of(entrant(number) for number in range(2 * FEW))
    versions = {roll.assignment("x", ranking)[1]}
    for weight in range(1, 20):
        roll.leave(("zk", "7"), entrant(7).target.at, ranking)
        roll.enter(entrant(7, weight), ranking)
        versions.add(roll.assignment("x", ranking)[1])
    assert len(versions) == 20


def test_an_address_stands_once_at_its_best_place_and_the_next_one_takes_over():
    roll = roll_of([entrant(1, 5, FAR), entrant(1, 7), entrant(1, 9, FAR, ("another", "1"))])
    assert weights_in(roll) == [7]
    roll.leave(("zk", "1"), entrant(1).target.at, ranking)
    assert weights_in(roll) == [9]
    roll.leave(("another", "1"), entrant(1).target.at, ranking)
    assert weights_in(roll) == [5]
    roll.leave(("consul", "1"), entrant(1).target.at, ranking)
    assert weights_in(roll) == []


def test_weights_that_are_too_much_together_are_divided():
    heavy = [entrant(number, 1_000_000) for number in range(MOST // 1_000_000 + 1)]
    roll = roll_of([*heavy, entrant(60_000, 1)])
    weights = weights_in(roll)
    assert sum(weights) <= MOST
    assert min(weights) == 1
    roll.leave(heavy[0].who, heavy[0].target.at, ranking)
    roll.leave(heavy[1].who, heavy[1].target.at, ranking)
    assert max(weights_in(roll)) == 1_000_000
