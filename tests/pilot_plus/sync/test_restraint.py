"""Restraint: what of a plan waits for an operator, and for how long."""

from pilot_plus.catalog.guard import Limits
from pilot_plus.model import NO_ORIGIN
from pilot_plus.sync.restraint import Restraint
from pilot_plus.views.actual import Actual
from pilot_plus.views.plan import Remove
from tests.pilot_plus.sync.hubs import native

LIMITS = Limits(max_removal=0.5, window=30.0, hold_for=600.0, min=5)


def copies(count: int) -> list[Actual]:
    return [Actual(rule="r", origin=NO_ORIGIN, instance=native("orders", f"k{n}")) for n in range(count)]


def removing(actual: list[Actual]) -> list[tuple[str, Remove]]:
    return [("u", Remove(actual=one, why="")) for one in actual]


def observed(count: int) -> tuple[Restraint, list[Actual]]:
    restraint, actual = Restraint(), copies(count)
    restraint.observe("u", actual, [])
    restraint.watch("r", LIMITS, 0.0)
    return restraint, actual


def test_a_few_go_at_once():
    restraint, actual = observed(10)
    assert len(restraint.let_go("r", removing(actual[:5]), LIMITS, 1.0)) == 5


def test_too_many_wait_until_they_are_approved():
    restraint, actual = observed(10)
    assert restraint.let_go("r", removing(actual[:6]), LIMITS, 1.0) == []
    assert restraint.held("r") == 6
    assert restraint.approve("r") == {"u"}
    assert len(restraint.let_go("r", removing(actual[:6]), LIMITS, 2.0)) == 6
    assert restraint.held("r") == 0


def test_what_comes_instead_counts():
    restraint, actual = observed(10)
    assert len(restraint.let_go("r", removing(actual), LIMITS, 1.0, coming=9)) == 10


def test_they_go_by_themselves_after_a_while():
    restraint, actual = observed(10)
    assert restraint.let_go("r", removing(actual), LIMITS, 1.0) == []
    assert restraint.next_release("r", LIMITS) == 601.0
    assert restraint.let_go("r", removing(actual), LIMITS, 600.0) == []
    assert len(restraint.let_go("r", removing(actual), LIMITS, 601.0)) == 10


def test_while_some_are_held_no_further_ones_slip_through():
    restraint, actual = observed(20)
    assert restraint.let_go("r", removing(actual[:11]), LIMITS, 1.0) == []
    assert restraint.let_go("r", removing(actual[10:12]), LIMITS, 2.0) == []
    assert restraint.held("r") == 12


def test_what_is_wanted_again_is_held_no_more():
    restraint, actual = observed(10)
    restraint.let_go("r", removing(actual), LIMITS, 1.0)
    restraint.observe("u", actual, [remove for _, remove in removing(actual[:3])])
    assert restraint.held("r") == 3


def test_an_approval_is_for_what_was_held_and_ends_when_it_is_wanted_again():
    restraint, actual = observed(10)
    restraint.let_go("r", removing(actual), LIMITS, 1.0)
    restraint.approve("r")
    restraint.observe("u", actual, [])
    assert restraint.let_go("r", removing(actual), LIMITS, 2.0) == []


def test_a_removal_that_was_let_go_and_has_failed_is_let_go_again():
    restraint, actual = observed(10)
    restraint.let_go("r", removing(actual), LIMITS, 1.0)
    assert len(restraint.let_go("r", removing(actual), LIMITS, 601.0)) == 10
    assert len(restraint.let_go("r", removing(actual), LIMITS, 602.0)) == 10


def test_a_first_sync_that_is_taken_back_at_once_is_held_too():
    restraint, actual = Restraint(), copies(20)
    restraint.watch("r", LIMITS, 0.0)
    restraint.observe("u", actual, [])
    assert restraint.let_go("r", removing(actual), LIMITS, 1.0) == []
