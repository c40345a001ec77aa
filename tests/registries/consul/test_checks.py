"""Which services and nodes have changed between two lists of all checks."""

from registries.consul.checks import Checks
from registries.consul.records import Check

A = Check(node="n1", status="passing", check_id="c", service_id="a-1", service_name="a")
B = Check(node="n2", status="passing", check_id="c", service_id="b-1", service_name="b")
NODE = Check(node="n1", status="passing", check_id="serfHealth")


def after(first: list[Check], second: list[Check]) -> tuple[set[str], set[str]]:
    checks = Checks()
    checks.add(first)
    checks.changed()
    checks.add(second)
    return checks.changed()


def test_the_same_checks_in_another_order_are_no_change():
    assert after([A, B, NODE], [NODE, B, A]) == (set(), set())


def test_another_status_is_a_change_of_its_service_only():
    sick = Check(node="n1", status="critical", check_id="c", service_id="a-1", service_name="a")
    assert after([A, B, NODE], [sick, B, NODE]) == ({"a"}, set())


def test_a_check_that_comes_or_goes_is_a_change():
    assert after([A], [A, B]) == ({"b"}, set())
    assert after([A, B], [A]) == ({"b"}, set())


def test_a_nodes_check_is_a_change_of_the_node():
    dead = Check(node="n1", status="critical", check_id="serfHealth")
    assert after([A, NODE], [A, dead]) == (set(), {"n1"})
