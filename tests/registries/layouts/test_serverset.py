import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilot_plus.model import Health, Instance, Port, Service, instance
from registries.layouts.layout import Raw
from registries.layouts.serverset import Serverset
from registries.layouts.tree import Place

LAYOUT = Serverset(root="/discovery")
PATH = "/discovery/shop/prod/orders/member_0000000007"


def member(**fields: object) -> Raw:
    known = {"status": "ALIVE", "serviceEndpoint": {"host": "10.1.0.9", "port": 8080}, "shard": 0}
    return Raw(PATH, json.dumps(known | fields).encode())


def read(raw: Raw) -> Instance:
    (found,) = LAYOUT.decode(raw)
    assert isinstance(found, Instance)
    return found


def test_a_member_is_read_whole():
    further = {"admin": {"host": "10.1.0.9", "port": 9990}, "http": {"host": "10.1.0.9", "port": 80}}
    assert read(member(additionalEndpoints=further)) == instance(
        key=PATH,
        name="shop/prod/orders",
        id="member_0000000007",
        address="10.1.0.9",
        ports=[Port("service", 8080, "unknown"), Port("admin", 9990, "unknown"), Port("http", 80, "http")],
        metadata={"shard": "0"},
        layout="serverset",
    )


def test_an_endpoint_on_another_host_is_no_port_of_this_instance():
    assert len(read(member(additionalEndpoints={"admin": {"host": "10.1.0.8", "port": 1}})).ports) == 1


@pytest.mark.parametrize(
    ("status", "health"),
    [
        ("ALIVE", Health.PASSING),
        ("WARNING", Health.WARNING),
        ("STOPPING", Health.DRAINING),
        ("DEAD", Health.CRITICAL),
        ("STARTING", Health.CRITICAL),
        ("STOPPED", Health.CRITICAL),
    ],
)
def test_every_status_is_a_health(status: str, health: Health):
    assert read(member(status=status)).health is health


def test_directories_have_any_depth():
    assert LAYOUT.decode(Raw("/discovery/shop/prod")) == (Service(key="/discovery/shop/prod", name="shop/prod"),)
    assert LAYOUT.place("/discovery/shop/prod") is Place.DIRECTORY
    assert LAYOUT.place(PATH) is Place.DATA
    assert LAYOUT.place("/discovery/shop/vector_0000000001") is Place.ELSEWHERE
    with pytest.raises(ValueError, match="no server set"):
        LAYOUT.decode(Raw("/discovery/member_0000000001", member().data))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_member_or_a_value_error(data: bytes):
    with pytest.raises(ValueError, match=r"."):
        LAYOUT.decode(Raw(PATH, data))


def test_members_are_not_written():
    with pytest.raises(ValueError, match="only read"):
        LAYOUT.encode(read(member()))
