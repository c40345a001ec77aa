from pilot_plus.servers.join.limits import (
    FAILURES,
    FORGIVEN_EVERY,
    HOSTS,
    NONCE_LIVES,
    NONCES,
    Bucket,
    Failures,
    Nonces,
)


class Clock:
    def __init__(self) -> None:
        self.at = 100.0

    def __call__(self) -> float:
        return self.at


def test_a_nonce_is_good_once_and_for_a_while() -> None:
    clock = Clock()
    nonces = Nonces(clock)
    nonce, late = nonces.draw(), nonces.draw()
    assert nonces.spend(nonce)
    assert not nonces.spend(nonce)
    assert not nonces.spend(b"")
    clock.at += NONCE_LIVES
    assert not nonces.spend(late)


def test_who_draws_nonces_without_end_fills_no_memory() -> None:
    nonces = Nonces(Clock())
    first = nonces.draw()
    last = [nonces.draw() for _ in range(NONCES)][-1]
    assert not nonces.spend(first)
    assert nonces.spend(last)


def test_reports_beyond_the_burst_wait_for_their_turn() -> None:
    clock = Clock()
    bucket = Bucket(rate=10, burst=2, monotonic=clock)
    assert [bucket.take(), bucket.take()] == [0, 0]
    assert bucket.take() == 0.1
    clock.at += 1
    assert bucket.take() == 0


def test_a_host_that_fails_too_often_waits_and_is_forgiven_one_failure_at_a_time() -> None:
    clock = Clock()
    failures = Failures(clock)
    for _ in range(FAILURES):
        assert not failures.must_wait("a")
        failures.note("a")
    assert failures.must_wait("a")
    assert not failures.must_wait("b")
    clock.at += FORGIVEN_EVERY
    assert not failures.must_wait("a")
    failures.note("a")
    assert failures.must_wait("a")


def test_failures_of_many_hosts_fill_no_memory() -> None:
    failures = Failures(Clock())
    for index in range(HOSTS + 10):
        failures.note(str(index))
    assert len(failures._of) == HOSTS
