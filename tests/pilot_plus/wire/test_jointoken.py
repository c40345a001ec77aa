import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilot_plus.wire.jointoken import JoinToken, new_token, parse_token

digests = st.binary(min_size=32, max_size=32)


@given(digests, digests)
def test_a_token_is_read_back_as_it_was_printed(fingerprint, secret):
    token = JoinToken(fingerprint, secret)
    assert parse_token(f" {token.text}\n") == token


@given(st.one_of(st.text(), st.text(alphabet="ppt1.AbC-_=", max_size=120).map("ppt1.".__add__)))
def test_anything_else_is_refused_without_being_quoted(text):
    with pytest.raises(ValueError, match="no join token") as refused:
        parse_token(text)
    assert len(text) < 20 or text not in str(refused.value)


def test_one_changed_or_missing_character_is_noticed():
    text = new_token(b"\1" * 32).text
    for broken in (text[:-1], text + "A", text.replace("ppt1", "ppt2"), text.replace(".", ",", 1)):
        with pytest.raises(ValueError, match="no join token"):
            parse_token(broken)


def test_neither_repr_nor_str_nor_id_nor_hash_hold_the_secret():
    token = new_token(b"\1" * 32)
    secret = token.text.rpartition(".")[2]
    for shown in (repr(token), str(token), f"{token}", token.id, token.hash, repr([token])):
        assert secret not in shown
        assert repr(token.secret) not in shown
