"""The life of an agent's Envoys, event by event."""

from edge_sidecar.lifecycle import LONGEST_PAUSE, STABLE, Drain, End, Launch, Lifecycle, Terminate


def test_an_envoy_starts_serves_drains_and_ends_with_its_agent():
    life = Lifecycle()
    assert life.begin() == [Launch(1)]
    assert life.ready(1) == []
    assert life.is_serving
    assert life.stop() == [Drain(1)]
    assert life.drained(1) == [Terminate(1)]
    assert life.exited(1, 60.0) == [End()]


def test_the_old_one_drains_only_when_the_new_one_serves():
    life = serving()
    assert life.replace() == [Launch(2)]
    assert life.replace() == []  # one at a time
    assert life.is_serving
    assert life.ready(2) == [Drain(1)]
    assert life.drained(1) == [Terminate(1)]
    assert life.exited(1, 60.0) == []
    assert life.is_serving
    assert life.restarts == 0


def test_a_replacement_that_fails_leaves_the_old_one_alone():
    life = serving()
    life.replace()
    assert life.exited(2, 0.1) == []
    assert life.is_serving
    assert life.replace() == [Launch(3)]


def test_the_old_one_may_die_while_the_new_one_starts():
    life = serving()
    life.replace()
    assert life.exited(1, 60.0) == []
    assert life.ready(2) == []
    assert life.is_serving


def test_crashes_in_a_row_are_met_with_growing_pauses_and_a_long_life_ends_the_row():
    life = serving()
    pauses = []
    number = 1
    for _ in range(12):
        (launch,) = life.exited(number, 0.2)
        assert isinstance(launch, Launch)
        pauses.append(launch.pause)
        number = launch.number
    assert pauses == sorted(pauses)
    assert pauses[0] < 0.5
    assert pauses[-1] == LONGEST_PAUSE
    assert life.restarts == 12
    life.ready(number)
    assert life.exited(number, STABLE + 1) == [Launch(number + 1, pauses[0])]


def test_one_that_ends_while_it_drains_is_not_missed():
    life = serving()
    life.replace()
    life.ready(2)
    assert life.exited(1, 60.0) == []
    assert life.drained(1) == []


def test_an_agent_that_is_told_to_end_launches_nothing_any_more():
    life = Lifecycle()
    life.begin()
    assert life.stop() == [Terminate(1)]
    assert life.ready(1) == [Terminate(1)]
    assert life.replace() == []
    assert life.exited(1, 0.1) == [End()]


def test_an_agent_that_is_told_to_end_waits_for_all_that_drain():
    life = serving()
    life.replace()
    life.ready(2)
    assert life.stop() == [Drain(2)]
    assert life.exited(2, 1.0) == []
    assert life.exited(1, 60.0) == [End()]


def test_an_agent_without_any_envoy_ends_at_once():
    assert Lifecycle().stop() == [End()]


def serving() -> Lifecycle:
    life = Lifecycle()
    life.begin()
    life.ready(1)
    return life
