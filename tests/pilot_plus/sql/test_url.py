"""Where a database is, as people write it."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilot_plus.sql import place_of


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///pilot-plus.db", "pilot-plus.db"),
        ("sqlite:////var/lib/pp.db", "/var/lib/pp.db"),
        ("sqlite+aiosqlite:///a%20b.db", "a b.db"),
    ],
)
def test_a_file_is_found(url: str, path: str):
    assert place_of(url).path == path


def test_what_libpq_understands_goes_through_and_a_driver_is_not_needed():
    place = place_of("postgresql+asyncpg://hub:hush@a:1,b:2/hub?sslmode=verify-full")
    assert place.dsn == "postgresql://hub:hush@a:1,b:2/hub?sslmode=verify-full"
    assert place_of("postgres://a/b").dsn == "postgresql://a/b"


def test_nothing_that_is_shown_holds_the_password():
    place = place_of("postgresql://hub:hu@sh@db.example/hub?password=hush")
    assert "sh" not in repr(place)
    assert "hu@" not in place.shown


@given(st.text() | st.text().map("sqlite://{}".format) | st.text().map("postgresql://{}".format))
def test_any_text_is_a_place_or_a_value_error(url: str):
    with suppress(ValueError):
        place = place_of(url)
        assert place.path or place.dsn
