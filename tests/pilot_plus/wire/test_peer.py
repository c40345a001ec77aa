"""Records between hubs: what is written is read, and what can't be used says why."""

from contextlib import suppress
from typing import Any

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from pilot_plus.model import Health, Instance, Locality, Origin, Port, Service, instance
from pilot_plus.wire import peer_pb2 as pb
from pilot_plus.wire.peer import MAX_HOPS, Exported, key_of, read, written

NAMES = st.text(st.characters(categories=("L", "N", "P", "S")), min_size=1, max_size=20).filter(str.isprintable)
PLAIN = st.from_regex(r"[a-z][a-z0-9-]{0,10}", fullmatch=True)


@st.composite
def instances(draw: st.DrawFn) -> Instance:
    ports = draw(
        st.lists(st.tuples(PLAIN, st.integers(1, 65535)), min_size=1, max_size=4, unique_by=lambda one: one[0])
    )
    origin = Origin(draw(PLAIN), draw(PLAIN), draw(NAMES), tuple(draw(st.lists(PLAIN, max_size=MAX_HOPS - 1))))
    return instance(
        key=key_of(origin),
        namespace=draw(PLAIN),
        name=draw(NAMES),
        id=draw(NAMES),
        address=draw(st.sampled_from(["10.1.0.7", "fd00::1", "orders.example"])),
        ports=[Port(name, number, "http") for name, number in ports],
        health=draw(st.sampled_from(Health)),
        weight=draw(st.integers(0, 1_000_000)),
        zone=f"{origin.cluster}/{draw(PLAIN)}",
        locality=Locality(draw(PLAIN), draw(PLAIN), ""),
        metadata=draw(st.dictionaries(NAMES, NAMES, max_size=4)),
        origin=origin,
        layout=draw(st.sampled_from(["", "dubbo"])),
    )


@given(instances(), st.booleans())
def test_what_is_written_is_read(record: Instance, is_stale: bool):
    said = pb.Record.FromString(written(Exported(record, is_stale)).SerializeToString())
    assert read(said) == record
    assert said.stale is is_stale


def test_a_service_without_instances_crosses_too():
    service = Service(key="east//shop/orders", namespace="shop", name="orders", ports=(Port("http", 80, "http"),))
    assert read(written(Exported(service))) == service


def test_keys_of_different_origins_differ():
    assert key_of(Origin("a", "b/c", "d")) != key_of(Origin("a", "b", "c/d"))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"key": ""}, "no key"),
        ({"namespace": ""}, "no namespace"),
        ({"health": 9}, "health 9"),
        ({"weight": 4_000_000_000}, "weight"),
        ({"address": "10.0.0.1/../"}, "no IP address"),
        ({"name": "or\nders"}, "control"),
        ({"hops": ["x"] * MAX_HOPS}, "clusters"),
        ({"ports": [pb.Port(name="http", number=70000)]}, "70000"),
        ({"ports": [pb.Port(name=f"p{n}", number=1) for n in range(1001)]}, "1001 ports"),
    ],
)
def test_what_cannot_be_used_says_why(change: dict[str, Any], reason: str):
    good: dict[str, Any] = {
        "key": "k",
        "namespace": "shop",
        "name": "orders",
        "id": "1",
        "address": "10.0.0.1",
        "weight": 100,
    }
    with pytest.raises(ValueError, match=reason):
        read(pb.Record(**{**good, "ports": [pb.Port(name="http", number=80)], **change}))


@given(st.binary(max_size=300))
def test_no_bytes_crash_a_reader(data: bytes):
    with suppress(DecodeError, ValueError):
        read(pb.Record.FromString(data))
