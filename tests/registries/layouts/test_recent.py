"""What was foreseen is taken once, and never for another instance."""

from itertools import count

from pilot_plus.model import Instance, Port, instance
from registries.layouts.recent import MOST, Recent


def orders(number: int = 1) -> Instance:
    return instance(key="", name="orders", id=str(number), address="h", ports=[Port("", number + 1)])


def test_what_was_foreseen_is_not_made_again_and_then_forgotten():
    numbers = count(1)
    recent = Recent(lambda _: next(numbers))
    one = orders()
    assert recent.foresee(one) == 1
    assert recent.take(one) == 1
    assert recent.take(one) == 2


def test_an_equal_instance_is_another():
    recent = Recent(lambda one: one)
    first, second = orders(), orders()
    recent.foresee(first)
    assert recent.take(second) is second


def test_it_keeps_no_more_than_it_may():
    recent = Recent(lambda one: one.id)
    kept = [orders(number) for number in range(MOST + 10)]
    for one in kept:
        recent.foresee(one)
    assert [recent.take(one) for one in kept] == [one.id for one in kept]
