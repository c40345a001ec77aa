"""What is quoted cheaply is what the library would have quoted."""

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registries.layouts.quoting import quoter, unquoted


@pytest.mark.parametrize("safe", ["", "/", ":@+=~.,[]", " !$&'()*+;=@/?#[]{}<>~.", "^-\\]"])
@given(text=st.text(max_size=20))
def test_it_is_what_the_library_says_and_comes_back(safe: str, text: str):
    assert quoter(safe)(text) == quote(text, safe=safe)
    assert unquoted(quoter(safe)(text)) == text
