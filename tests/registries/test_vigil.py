"""Who stands still for too long is gone; who moves is not."""

from registries.vigil import Vigil


def test_what_is_seen_for_the_first_time_is_never_over():
    assert not Vigil(lambda: 0.0).is_over("lock", 1, 0.0)


def test_it_is_over_when_it_has_stood_still_for_so_long_and_not_before():
    now = 10.0
    vigil = Vigil(lambda: now)
    vigil.is_over("lock", 1, 5.0)
    now = 14.9
    assert not vigil.is_over("lock", 1, 5.0)
    now = 15.0
    assert vigil.is_over("lock", 1, 5.0)


def test_what_moves_in_any_direction_begins_anew():
    now = 0.0
    vigil = Vigil(lambda: now)
    vigil.is_over("lock", 8, 5.0)
    now = 6.0
    assert not vigil.is_over("lock", 3, 5.0)
    now = 10.0
    assert not vigil.is_over("lock", 3, 5.0)


def test_counters_of_other_names_are_others():
    now = 0.0
    vigil = Vigil(lambda: now)
    vigil.is_over("one", 1, 5.0)
    now = 6.0
    assert not vigil.is_over("two", 1, 5.0)
    assert vigil.is_over("one", 1, 5.0)
