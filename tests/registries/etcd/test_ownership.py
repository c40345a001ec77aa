import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilot_plus.model import Origin, Port, instance
from registries.etcd.ownership import CENTURY, Owner, ttl_of
from registries.layouts.naming import Naming

LAYOUT = Naming(prefix="services")
EAST, WEST = Owner("east"), Owner("west")
ORIGIN = Origin("east", "zk", "/a")


class Kept(msgspec.Struct, frozen=True):
    key: bytes = b"services/a/10.0.0.1:1"
    value: bytes = b'{"Addr":"10.0.0.1:1"}'
    create_revision: int = 7
    lease: int = 0


def marked(origin: Origin) -> Kept:
    ports = [Port("grpc", 1, "grpc")]
    made = instance(key="", name="a", id="1", address="10.0.0.1", ports=ports, origin=origin, zone="z/z")
    return Kept(value=LAYOUT.encode(made).data)


@given(st.text(), st.floats(min_value=0, max_value=86400))
def test_a_lease_is_its_owners_and_nobody_elses_and_knows_how_long_it_lasts(cluster: str, seconds: float):
    owner = Owner(cluster)
    lease = owner.lease_of(seconds)
    assert 0 < lease < 1 << 63
    assert owner.holds(lease)
    assert not Owner(f"{cluster}.").holds(lease)
    assert not owner.holds(0)
    assert ttl_of(lease) == (CENTURY if not seconds else max(1, -int(-seconds // 1)))


def test_our_lease_is_a_proof_and_another_lease_of_the_contrary():
    assert EAST.is_its(Kept(lease=EAST.lease_of(15)), LAYOUT, {})
    assert EAST.is_its(Kept(lease=EAST.lease_of(0)), LAYOUT, {})
    foreign = msgspec.structs.replace(marked(ORIGIN), lease=WEST.lease_of(15))
    assert not EAST.is_its(foreign, LAYOUT, {foreign.key: 7}, ORIGIN)


def test_without_a_lease_it_is_ours_if_it_is_our_creation():
    assert EAST.is_its(Kept(), LAYOUT, {Kept().key: 7})
    assert not EAST.is_its(Kept(), LAYOUT, {Kept().key: 6})
    assert not EAST.is_its(Kept(), LAYOUT, {})


@pytest.mark.parametrize(
    ("owner", "origin", "is_its"),
    [(EAST, Origin(), True), (WEST, ORIGIN, True), (WEST, Origin(), False), (Owner(""), Origin(), False)],
)
def test_without_a_lease_it_is_ours_if_it_carries_our_mark(owner: Owner, origin: Origin, is_its: bool):
    assert owner.is_its(marked(ORIGIN), LAYOUT, {}, origin) == is_its


def test_garbage_proves_nothing():
    assert not EAST.is_its(Kept(value=b"\xff"), LAYOUT, {}, ORIGIN)
    assert not EAST.is_its(Kept(key=b"\xff"), LAYOUT, {}, ORIGIN)
