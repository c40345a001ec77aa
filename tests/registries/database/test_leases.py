"""Whose time has passed, by a clock that the test holds in its hand."""

from hypothesis import given
from hypothesis import strategies as st

from registries.database.leases import AGAIN_S, GRACE_S, Leases


def test_an_instance_is_due_when_its_time_has_passed_and_not_before():
    leases = Leases()
    leases.seen("a", 15, 1, 0, heard=True)
    assert leases.due(14.9, 10) == []
    assert leases.due(15, 10) == [("a", 1)]


def test_a_heartbeat_begins_the_time_anew():
    leases = Leases()
    leases.seen("a", 15, 1, 0, heard=True)
    assert leases.heard("a", 10)
    assert leases.due(24.9, 10) == []
    assert leases.due(25, 10) == [("a", 1)]


def test_a_heartbeat_of_a_stranger_is_none():
    assert not Leases().heard("a", 0)


def test_an_instance_that_could_not_be_removed_is_due_again_a_moment_later():
    leases = Leases()
    leases.seen("a", 1, 1, 0, heard=True)
    assert leases.due(1, 10) == [("a", 1)]
    assert leases.due(1, 10) == []
    assert leases.due(1 + AGAIN_S, 10) == [("a", 1)]
    leases.forget("a")
    assert leases.due(99, 10) == []


def test_a_heartbeat_through_another_copy_gives_a_little_longer():
    leases = Leases()
    leases.seen("a", 1, 1, 0, heard=True)
    leases.moved("a", 2, 0.5)
    assert leases.due(1.5, 10) == []
    assert leases.due(1.5 + GRACE_S, 10) == [("a", 2)]


def test_a_counter_that_has_not_moved_is_no_heartbeat():
    leases = Leases()
    leases.seen("a", 1, 5, 0, heard=True)
    leases.moved("a", 5, 0.9)
    leases.moved("a", 4, 0.9)
    assert leases.due(1, 10) == [("a", 5)]


def test_a_durable_instance_is_known_and_never_due():
    leases = Leases()
    leases.seen("a", 0, 1, 0, heard=False)
    assert "a" in leases
    assert leases.due(10**9, 10) == []
    assert leases.unheard == frozenset()


def test_what_was_there_before_us_is_unheard_until_somebody_vouches_for_it():
    leases = Leases()
    for key in "abc":
        leases.seen(key, 15, 1, 0, heard=False)
    assert leases.unheard == {"a", "b", "c"}
    leases.heard("a", 1)
    leases.moved("b", 2, 1)
    leases.forget("c")
    assert leases.unheard == frozenset()


def test_our_own_registration_read_back_from_the_log_begins_no_new_time():
    leases = Leases()
    leases.seen("a", 1, 7, 0, heard=True)
    leases.seen("a", 1, 7, 0.2, heard=True)
    assert leases.due(1, 10) == [("a", 7)]


def test_a_registration_with_another_time_to_live_counts_from_then():
    leases = Leases()
    leases.seen("a", 60, 1, 0, heard=True)
    leases.seen("a", 1, 2, 5, heard=True)
    assert leases.due(6, 10) == [("a", 2)]


def test_registering_again_and_again_costs_no_memory():
    leases = Leases()
    for n in range(10_000):
        leases.seen("a", 15, n, n, heard=True)
    assert len(leases._queue) < 100


operations = st.lists(
    st.tuples(st.sampled_from(["seen", "heard", "moved", "forget"]), st.sampled_from("abc"), st.floats(0, 3)),
    max_size=60,
)


@given(operations)
def test_due_is_exactly_who_was_silent_for_longer_than_its_lease(done: list[tuple[str, str, float]]):
    leases, model, now = Leases(), dict[str, float](), 0.0
    for tick, (what, key, passed) in enumerate(done, 1):
        now += passed
        for gone, _ in leases.due(now, 10):
            assert model[gone] <= now
            leases.forget(gone)
            del model[gone]
        assert all(until > now for until in model.values())
        match what:
            case "seen":
                leases.seen(key, 2, tick, now, heard=True)
                model[key] = now + 2
            case "heard" if leases.heard(key, now):
                model[key] = now + 2
            case "moved" if key in model:
                leases.moved(key, tick, now)
                model[key] = now + 2 + GRACE_S
            case "forget":
                leases.forget(key)
                model.pop(key, None)
