"""The host: readable where that loses nothing, and never shared by two services."""

import re
from string import ascii_lowercase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilot_plus.views.host import host_of

NAMES = st.one_of(
    st.text(min_size=1, max_size=80),
    st.text("ab-.2", min_size=1, max_size=12),
    st.text(ascii_lowercase + "234567-.", min_size=20, max_size=40),
)


@pytest.mark.parametrize(
    ("service", "host"),
    [
        ("shop/orders", "orders.shop.mesh"),
        ("vm/user.rpc", "user.rpc.vm.mesh"),
        ("a1/0", "0.a1.mesh"),
        ("shop/" + "x" * 63, "x" * 63 + ".shop.mesh"),
    ],
)
def test_a_name_that_dns_holds_stays_as_it_is(service, host):
    assert host_of(*service.split("/")) == host


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("com.example.OrderService:1.0.0", "com-example-orderservice-1-0-0"),
        ("Orders", "orders"),
        ("-orders", "orders"),
        ("a..b", "a-b"),
        ("a_b", "a-b"),
        ("x" * 64, "x" * 36),
        ("b" + "." + "a" * 26, "b-" + "a" * 26),
    ],
)
def test_another_name_becomes_what_can_be_read_and_a_hash(name, head):
    label, _, rest = host_of("shop", name).partition(".")
    assert rest == "shop.mesh"
    assert re.fullmatch(re.escape(head) + "-[a-z2-7]{26}", label)


def test_a_name_of_nothing_readable_is_its_hash():
    assert re.fullmatch("[a-z2-7]{26}.shop.mesh", host_of("shop", "订单"))


def test_a_name_cannot_pretend_to_be_another_ones_hash():
    hashed = host_of("shop", "Orders").partition(".")[0]
    assert host_of("shop", hashed) != host_of("shop", "Orders")


def test_a_dot_in_a_namespace_does_not_move_the_border_to_the_name():
    assert host_of("b.shop", "a") != host_of("shop", "a.b")


def test_the_domain_is_the_configured_one():
    assert host_of("shop", "orders", "east.example") == "orders.shop.east.example"


@given(NAMES, NAMES, NAMES, NAMES)
def test_two_services_never_share_a_host(namespace, name, other_namespace, other_name):
    same = (namespace, name) == (other_namespace, other_name)
    assert (host_of(namespace, name) == host_of(other_namespace, other_name)) is same


@given(NAMES, NAMES)
def test_every_host_is_one_that_dns_holds(namespace, name):
    host = host_of(namespace, name)
    assert len(host) <= 253
    assert all(re.fullmatch("[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", label) for label in host.split("."))
