"""Plain ports: who needs one, and that a number stays what it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilot_plus.views.edges import Carrying
from pilot_plus.views.plain_ports import KEPT_FOR, PlainPorts, wanted
from tests.pilot_plus.views.world import World, copy, edge

EVERYTHING = [{"services": ["*/*"]}]


def ports_wanted(world: World, zone: str, service: str) -> set[str]:
    return set(wanted(world.catalog, world.topology, world.edges, f"east/{zone}", service))


def test_a_service_needs_a_port_where_it_may_be_seen_but_not_be_dialled():
    world = World({"own": [copy("a", namespace="mesh")]}, [edge("e", "mesh", carries="*/*")], exports=EVERYTHING)
    assert ports_wanted(world, "legacy", "mesh/orders") == {"http"}
    assert ports_wanted(world, "mesh", "mesh/orders") == set()
    assert ports_wanted(world, "legacy", "mesh/other") == set()


def test_who_can_dial_it_needs_none_and_what_is_not_exported_gets_none():
    world = World({"zk": [copy("a")]}, [edge("e", "legacy", carries="*/*")], exports=EVERYTHING)
    assert ports_wanted(world, "vm", "legacy/orders") == set()  # vm reaches legacy
    assert ports_wanted(world, "dark", "legacy/orders") == {"http"}
    closed = World({"zk": [copy("a")]}, [edge("e", "legacy", carries="*/*")])
    assert ports_wanted(closed, "dark", "legacy/orders") == set()


def test_a_service_that_no_edge_carries_yet_needs_none_yet():
    world = World({"own": [copy("a", namespace="mesh")]}, [edge("e", "mesh")], exports=EVERYTHING)
    assert ports_wanted(world, "legacy", "mesh/orders") == set()
    carried = Carrying(mesh={"east/mesh/e": frozenset({"mesh/orders"})})
    world = World({"own": [copy("a", namespace="mesh")]}, [edge("e", "mesh")], exports=EVERYTHING, carrying=carried)
    assert ports_wanted(world, "legacy", "mesh/orders") == {"http"}


def test_a_number_stays_with_its_service_for_a_day_after_nobody_wants_it():
    ports = PlainPorts(20000, 20000, {}, 0.0)
    assert ports.want("a/a", ["http"], 0.0)
    assert not ports.want("a/a", ["http"], 1.0)
    ports.want("a/a", [], 2.0)
    with pytest.raises(LookupError, match="taken"):
        ports.want("b/b", ["http"], 2.0 + KEPT_FOR)
    ports.want("a/a", ["http"], 3.0)
    ports.want("a/a", [], 10.0)
    assert ports.want("b/b", ["http"], 11.0 + KEPT_FOR)
    assert ports.numbers == {"b/b": {"http": 20000}}


def test_numbers_from_a_journal_are_kept_and_those_that_nobody_wants_leave_from_then_on():
    ports = PlainPorts(20000, 20001, {"a/a": {"http": 20000}, "b/b": {"http": 20001}}, 100.0)
    assert not ports.want("a/a", ["http"], 101.0)
    with pytest.raises(LookupError):
        ports.want("c/c", ["http"], 100.0 + KEPT_FOR)
    assert ports.want("c/c", ["http"], 101.0 + KEPT_FOR)
    assert ports.numbers == {"a/a": {"http": 20000}, "c/c": {"http": 20001}}


wishes = st.lists(
    st.tuples(
        st.sampled_from(["a/a", "b/b", "c/c", "d/d"]),
        st.sets(st.sampled_from(["http", "admin"])),
        st.floats(0, KEPT_FOR),
    )
)


@given(wishes)
def test_no_number_has_two_owners_and_none_changes_while_it_is_wanted(steps: list[tuple[str, set[str], float]]):
    ports, now = PlainPorts(20000, 20007, {}, 0.0), 0.0
    wanting: dict[str, dict[str, int]] = {}
    for service, names, later in steps:
        now += later
        ports.want(service, names, now)
        wanting.pop(service, None)
        if names:
            wanting[service] = {name: ports.numbers[service][name] for name in names}
        numbers = [number for given_ in ports.numbers.values() for number in given_.values()]
        assert len(numbers) == len(set(numbers))
        assert all(20000 <= number <= 20007 for number in numbers)
        for one, had in wanting.items():
            assert had.items() <= ports.numbers[one].items()
