import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilot_plus.model import Role, SpiffeId, parse_spiffe

parts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40).filter(str.isprintable)


@st.composite
def identities(draw: st.DrawFn) -> SpiffeId:
    role = draw(st.sampled_from(Role))
    has_zone = role is not Role.HUB
    return SpiffeId(
        trust_domain=draw(st.sampled_from(["east.example", "a", "x-1.y_2"])),
        role=role,
        zone=draw(parts) if has_zone else "",
        namespace=draw(parts) if role is Role.SERVICE else "",
        name=draw(parts) if has_zone else "",
    )


@given(identities())
def test_every_identity_is_read_back_as_it_was_written(identity):
    assert parse_spiffe(str(identity)) == identity


@given(st.one_of(st.text(), st.text().map(lambda text: f"spiffe://east.example/{text}"), identities().map(str)))
def test_whatever_is_read_is_written_in_the_same_way(text):
    try:
        identity = parse_spiffe(text)
    except ValueError:
        return
    assert str(identity) == text


def test_the_forms_are_those_of_the_design():
    assert str(SpiffeId(trust_domain="east.example", role=Role.HUB)) == "spiffe://east.example/hub"
    edge = SpiffeId(trust_domain="east.example", role=Role.EDGE, zone="vm", name="edge-1")
    assert str(edge) == "spiffe://east.example/zone/vm/edge/edge-1"
    client = SpiffeId(trust_domain="east.example", role=Role.CLIENT, zone="mesh", name="web-7")
    assert str(client) == "spiffe://east.example/zone/mesh/client/web-7"
    orders = SpiffeId(trust_domain="e", role=Role.SERVICE, zone="mesh", namespace="shop", name="orders")
    assert str(orders) == "spiffe://e/zone/mesh/ns/shop/svc/orders"


def test_a_name_that_spiffe_does_not_allow_is_escaped_and_stays_readable():
    dubbo = SpiffeId(trust_domain="e", role=Role.SERVICE, zone="z", namespace="legacy", name="com.example.Orders:1.0.0")
    assert str(dubbo) == "spiffe://e/zone/z/ns/legacy/svc/x_com.example.Orders_3a1.0.0"


@pytest.mark.parametrize(
    "text",
    [
        "spiffe://East.example/hub",
        "spiffe://east.example/hub/",
        "spiffe://east.example//hub",
        "spiffe://east.example/zone/vm/edge/",
        "spiffe://east.example/zone/vm/edge/..",
        "spiffe://east.example/zone/vm/edge/a%2Fb",
        "spiffe://east.example/zone/vm/edge/x_a",  # `a` is written without
        "spiffe://east.example/zone/vm/edge/x__41",  # A is written as itself
        "spiffe://east.example/zone/vm/edge/x__ff",  # no UTF-8
        "spiffe://east.example/zone/vm/edge/e?x=1",
        "spiffe://east.example/zone/vm/hub/e",
        "spiffe://east.example:443/hub",
        "http://east.example/hub",
        "spiffe:///hub",
        "spiffe://east.example/zone/vm/client/" + "a" * 2048,
    ],
)
def test_anything_else_is_no_identity(text):
    with pytest.raises(ValueError, match=r"spiffe|SPIFFE|trust domain|written|parts"):
        parse_spiffe(text)


def test_an_identity_has_just_the_parts_of_its_role():
    with pytest.raises(ValueError, match="parts of an identity"):
        SpiffeId(trust_domain="e", role=Role.HUB, zone="z")
    with pytest.raises(ValueError, match="parts of an identity"):
        SpiffeId(trust_domain="e", role=Role.EDGE, zone="z")
    with pytest.raises(ValueError, match="no identity can hold"):
        SpiffeId(trust_domain="e", role=Role.EDGE, zone="z", name="a\nb")
