"""A row of our own registry: what it holds, and what it refuses."""

from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilot_plus.model import Health, Instance, Locality, Origin, Port, instance
from registries.database.record import MAX_KEY, Row, decode, encode, key_of, row_of

anything = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.lists(st.text())
names = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Zl", "Zp"]), min_size=1, max_size=40)


def one(**fields: object) -> Instance:
    given: dict[str, object] = {
        "key": "", "namespace": "shop", "name": "orders", "id": "orders-1", "address": "10.3.0.4",
        "ports": (Port("http", 8080, "http"),), "lease": 15.0,
    }  # fmt: skip
    return instance(**{**given, **fields})  # type: ignore[arg-type]


def test_a_row_says_everything_that_the_instance_says():
    original = one(
        health=Health.DRAINING,
        weight=30,
        locality=Locality("eu", "a", ""),
        metadata={"team": "shop", "": "ü\n"},
        zone="west/vm",
        origin=Origin("west", "consul", "node/web-1", ("north",)),
    )
    assert decode(encode(original)) == msgspec.structs.replace(original, key="shop/orders/orders-1")


def test_an_original_keeps_no_zone_for_that_is_the_configurations_to_say():
    assert decode(encode(one(zone="east/legacy"))).zone == ""


@given(st.tuples(names, names, names), st.tuples(names, names, names))
def test_two_instances_never_share_a_key(first: tuple[str, str, str], second: tuple[str, str, str]):
    assert (key_of(*first) == key_of(*second)) == (first == second)


def test_a_slash_in_a_name_is_no_separator():
    assert key_of("shop", "a/b", "c") == "shop/a%2Fb/c"
    assert key_of("shop", "com.example.Order:1.0:g", "10.0.0.1:80") == "shop/com.example.Order:1.0:g/10.0.0.1:80"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"namespace": ""}, "no namespace"),
        ({"id": ""}, "no id"),
        ({"lease": 0.5}, "between 1 s and 24 h"),
        ({"lease": 86401}, "between 1 s and 24 h"),
        ({"lease": float("nan")}, "between 1 s and 24 h"),
        ({"id": "ü" * 600}, f"more than {MAX_KEY}"),
        ({"metadata": {str(n): "" for n in range(129)}}, "more than 128"),
        ({"metadata": {"big": "x" * 70_000}}, "more than 65536"),
        ({"metadata": {"half": "\ud800"}}, "surrogate"),
        ({"ports": [Port(f"p{n}", n + 1) for n in range(65)]}, "more than 64"),
    ],
)
def test_what_is_out_of_bounds_is_refused_with_its_reason(fields: dict[str, object], reason: str):
    with pytest.raises(ValueError, match=reason):
        encode(one(**fields))


@given(st.lists(anything, min_size=7, max_size=7))
def test_any_row_is_an_instance_or_a_value_error(values: list[object]):
    with suppress(ValueError):
        decode(row_of(values))


@given(st.text() | st.recursive(anything, lambda inner: st.dictionaries(st.text(), inner)).map(repr))
def test_any_record_text_is_an_instance_or_a_value_error(record: str):
    with suppress(ValueError):
        decode(Row("shop/orders/1", "shop", "orders", "1", 0.0, 0, record))


@pytest.mark.parametrize(
    "record",
    [
        "[" * 100_000,
        '{"address":"10.0.0.1","ports":[{"name":"http","number":70000}]}',
        '{"address":"10.0.0.1 ","ports":[]}',
        '{"address":"10.0.0.1","ports":[],"metadata":{"a":1}}',
        '{"address":"10.0.0.1","ports":[],"weight":-1}',
        "\udcff",
    ],
)
def test_a_hostile_record_is_a_value_error(record: str):
    with pytest.raises(ValueError, match=r"."):
        decode(Row("shop/orders/1", "shop", "orders", "1", 0.0, 0, record))


def test_a_key_that_is_another_instances_is_no_instance():
    row = encode(one())
    with pytest.raises(ValueError, match="its key is not"):
        decode(msgspec.structs.replace(row, key="shop/carts/1"))


def test_fields_of_a_newer_version_are_left_unread():
    row = encode(one())
    newer = msgspec.structs.replace(row, record=row.record.replace("{", '{"later":1,', 1))
    assert decode(newer) == decode(row)
