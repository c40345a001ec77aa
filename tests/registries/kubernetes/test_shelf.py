"""Slices of a service: what is written where, and in which order."""

from collections.abc import Iterable, Mapping

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from pilot_plus.model import Instance, Port, instance
from registries.kubernetes.encode import Placed, placed
from registries.kubernetes.shelf import SLICE_SIZE, Shelf, Slice, arranged, front_for, with_slice

SHOP = ("shop", "orders")


def copy(number: int, *ports: Port, lease: float = 0.0, weight: int = 100) -> Placed:
    return placed(made(number, *ports, lease=lease, weight=weight))


def made(number: int, *ports: Port, lease: float = 0.0, weight: int = 100) -> Instance:
    return instance(
        key="",
        namespace="shop",
        name="orders",
        id=f"o-{number}",
        address=f"10.1.{number // 250}.{number % 250}",
        ports=ports or (Port("http", 8080, "http"),),
        weight=weight,
        lease=lease,
    )


def carried_out(shelf: Shelf, steps: Iterable[Slice]) -> Shelf:
    slices: Mapping[str, Slice] = shelf.slices
    for step in steps:
        assert len(step.entries) <= SLICE_SIZE + 1, "one may stand in its old place until the new one is written"
        slices = with_slice(slices, step)
    return msgspec.structs.replace(shelf, slices=slices)


def put(shelf: Shelf, *copies: Placed) -> Shelf:
    return carried_out(shelf, arranged(shelf, copies, (), "east"))


def keys(shelf: Shelf) -> list[str]:
    return sorted(key for one in shelf.slices.values() for key in one.entries)


def test_the_same_again_is_nothing_to_write():
    shelf = put(Shelf(SHOP), copy(1), copy(2))
    assert arranged(shelf, [copy(1), copy(2)], (), "east") == []


def test_a_change_is_one_write_of_one_slice():
    shelf = put(Shelf(SHOP), *(copy(n) for n in range(150)))
    (step,) = arranged(shelf, [copy(7, weight=5)], (), "east")
    assert step.entries[copy(7).key].copy.weight == 5


def test_a_copy_with_other_ports_is_in_its_new_slice_before_it_leaves_the_old():
    shelf = put(Shelf(SHOP), copy(1), copy(2))
    both = (Port("http", 8080, "http"), Port("admin", 9090, "http"))
    first, second = arranged(shelf, [copy(1, *both)], (), "east")
    assert list(first.entries) == [copy(1).key]
    assert list(second.entries) == [copy(2).key]
    assert second.name in shelf.slices


def test_durable_and_leased_copies_are_apart():
    shelf = put(Shelf(SHOP), copy(1), copy(2, lease=15.0))
    assert [one.group.common.lease for one in shelf.slices.values() if one.group] == [0.0, 15.0]
    assert not front_for(SHOP, shelf.slices.values()).is_leased
    leased = put(Shelf(SHOP), copy(2, lease=15.0))
    assert front_for(SHOP, leased.slices.values()).is_leased


def test_a_slice_that_cannot_be_read_goes_with_the_next_write_and_after_it():
    broken = Slice("orders-broken", None, {})
    shelf = Shelf(SHOP, slices={broken.name: broken})
    first, second = arranged(shelf, [copy(1)], (), "east")
    assert first.entries
    assert (second.name, second.entries) == (broken.name, {})


def test_names_of_slices_differ_by_cluster_and_by_what_they_have_in_common():
    names = {step.name for cluster in ("east", "west") for step in arranged(Shelf(SHOP), [copy(1)], (), cluster)}
    names |= set(put(Shelf(SHOP), copy(1), copy(2, Port("a", 1, "tcp"))).slices)
    assert len(names) == 3


def test_the_service_has_each_port_at_the_number_of_most_copies():
    odd = Port("http", 8081, "http")
    shelf = put(Shelf(SHOP), copy(1), copy(2), copy(3, odd), copy(4, Port("grpc", 9000, "grpc")))
    ports = front_for(SHOP, shelf.slices.values()).ports
    assert [(port.name, port.port) for port in ports] == [("grpc", 9000), ("http", 8080)]


def test_two_names_at_one_number_are_one_port_of_the_service():
    shelf = put(Shelf(SHOP), copy(1, Port("a", 80, "tcp")), copy(2, Port("b", 80, "tcp")))
    assert [port.name for port in front_for(SHOP, shelf.slices.values()).ports] == ["a"]


_ACTS = st.lists(st.tuples(st.booleans(), st.integers(0, 250), st.sampled_from([100, 7])), max_size=120)


@given(_ACTS)
def test_whatever_comes_and_goes_each_copy_stands_once_and_no_slice_is_too_large(acts: list[tuple[bool, int, int]]):
    shelf, held = put(Shelf(SHOP), *(copy(n) for n in range(150))), {copy(n).key for n in range(150)}
    for is_put, number, weight in acts:
        one = copy(number, weight=weight)
        steps = arranged(shelf, [one], (), "east") if is_put else arranged(shelf, (), [one.key], "east")
        shelf = carried_out(shelf, steps)
        held = held | {one.key} if is_put else held - {one.key}
    assert keys(shelf) == sorted(held)
    assert all(0 < len(one.entries) <= SLICE_SIZE for one in shelf.slices.values())
