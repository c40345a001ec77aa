"""How often a source asks."""

import pytest

from registries.consul.pace import Bucket, next_index


def test_the_first_turns_are_at_once_and_the_rest_at_the_rate():
    bucket = Bucket(rate=10, burst=2, clock=lambda: 0.0)
    assert [bucket.take() for _ in range(4)] == pytest.approx([0, 0, 0.1, 0.2])


def test_tokens_come_back_with_time_up_to_the_burst():
    now = [0.0]
    bucket = Bucket(rate=10, burst=2, clock=lambda: now[0])
    for _ in range(2):
        bucket.take()
    now[0] = 1000.0
    assert [bucket.take() for _ in range(3)] == pytest.approx([0, 0, 0.1])


@pytest.mark.parametrize(
    ("asked", "answered", "following"),
    [(0, 7, 7), (7, 7, 7), (7, 9, 9), (9, 7, 0), (7, 0, 0), (0, 0, 1)],
)
def test_an_index_that_falls_begins_anew_and_zero_is_never_sent_back(asked: int, answered: int, following: int):
    assert next_index(asked, answered) == following
