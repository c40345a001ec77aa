from hypothesis import given
from hypothesis import strategies as st

from registries.etcd.ranges import KeyRange, prefix_range, union


def test_a_prefix_ends_before_the_next_key_of_its_length():
    assert prefix_range("svc/") == KeyRange(b"svc/", b"svc0")
    assert b"svc2/a" not in prefix_range("svc/")


def test_no_prefix_is_every_key():
    everything = prefix_range("")
    assert everything == KeyRange(b"\0", b"\0")
    assert b"\xff\xff" in everything


def test_a_root_inside_another_is_read_once():
    assert union(["a/b/", "a/", "c/", "a/"]) == (prefix_range("a/"), prefix_range("c/"))
    assert union(["a/", ""]) == (prefix_range(""),)


@given(st.text(max_size=4), st.binary(max_size=8))
def test_a_range_holds_exactly_what_begins_with_its_prefix(prefix: str, key: bytes):
    if key:
        assert (key in prefix_range(prefix)) == key.startswith(prefix.encode())
        assert prefix.encode() + key in prefix_range(prefix)


@given(st.lists(st.text("ab/", max_size=4), min_size=1), st.text("ab/c", max_size=6))
def test_a_key_below_a_root_lies_in_exactly_one_range(roots: list[str], key: str):
    if key and any(key.startswith(root) for root in roots):
        assert sum(key.encode() in keys for keys in union(roots)) == 1
