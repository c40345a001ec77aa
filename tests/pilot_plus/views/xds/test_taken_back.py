"""Who may call, without those whose identity was taken back: as the expressions that Envoy reads."""

import re
from collections.abc import Mapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pilot_plus.views.xds.callers import Caller
from pilot_plus.views.xds.taken_back import LONGEST, NOBODY, matchers

PREFIX = "spiffe://east.example/zone/vm/"
NAMES = st.text("ab.-_/1", max_size=6)


def lets_in(matchers: list[Mapping[str, Any]], identity: str) -> bool:
    for matcher in matchers:
        match matcher:
            case {"exact": str(text)} if identity == text:
                return True
            case {"prefix": str(text)} if identity.startswith(text):
                return True
            case {"safe_regex": {"regex": str(text)}} if re.fullmatch(text, identity):
                return True
    return False


@given(st.frozensets(NAMES, max_size=5), st.lists(NAMES, min_size=1, max_size=5))
def test_everybody_below_a_prefix_may_call_but_for_those_that_were_taken_back(revoked, asking):
    made = matchers([Caller(PREFIX, is_prefix=True)], frozenset(PREFIX + name for name in revoked))
    for name in (*asking, *revoked):
        assert lets_in(made, PREFIX + name) is (name not in revoked)
    assert not lets_in(made, "spiffe://west.example/zone/vm/a")


def test_a_name_that_is_too_long_to_be_told_from_others_is_refused_with_all_that_begin_so():
    long = "x" * 2 * LONGEST
    made = matchers([Caller(PREFIX, is_prefix=True)], frozenset({PREFIX + long}))
    assert not lets_in(made, PREFIX + long)
    assert not lets_in(made, PREFIX + long + "y")
    assert lets_in(made, f"{PREFIX}{'x' * (LONGEST - 1)}y")


def test_where_all_were_taken_back_nobody_may_call():
    alone = f"{PREFIX}client/a"
    assert matchers([Caller(alone)], frozenset({alone})) == [NOBODY]
    assert matchers([Caller(alone)], frozenset()) == [{"exact": alone}]
