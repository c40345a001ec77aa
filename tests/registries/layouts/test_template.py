import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilot_plus.model import Health, Port, instance
from registries.layouts.layout import Raw
from registries.layouts.template import Template
from tests.registries.layouts.etcd_layouts import is_canonical, one, records_of

LAYOUT = Template(
    pattern="/reg/{service}/{id}",
    address="node.ip",
    port="node.port",
    weight="w",
    ordinary_weight=10,
    metadata="labels",
    health="status",
    protocol_field="proto",
)
RECORD = '{"node":{"ip":"10.2.0.1","port":9000},"w":5,"labels":{"team":"shop"},"status":"UP","proto":"http"}'
FIELDS = {
    "node": st.fixed_dictionaries({"ip": st.just("10.2.0.1"), "port": st.integers() | st.text(max_size=3)}),
    "w": st.floats(),
    "status": st.text(max_size=5),
}


def test_everything_stands_where_the_options_say():
    said = one(LAYOUT, "/reg/orders/1", RECORD)
    assert (said.name, said.id, said.address, said.weight) == ("orders", "1", "10.2.0.1", 50)
    assert said.ports == (Port("http", 9000, "http"),)
    assert (said.health, said.metadata) == (Health.PASSING, (("team", "shop"),))


def test_what_is_not_passing_is_critical_and_what_is_not_said_is_passing():
    assert one(LAYOUT, "/reg/orders/1", RECORD.replace("UP", "DOWN")).health is Health.CRITICAL
    assert one(LAYOUT, "/reg/orders/1", '{"node":{"ip":"a","port":"80"}}').health is Health.PASSING


def test_the_value_may_be_the_address():
    said = one(Template(pattern="svc/{service+}/at/{*}", address=""), "svc/shop/orders/at/7", "10.2.0.1:9000\n")
    assert (said.name, said.id, said.ports[0].number) == ("shop/orders", "10.2.0.1:9000", 9000)


def test_a_field_may_hold_address_and_port():
    assert one(Template(pattern="{service}/{id}", address="at"), "a/b", '{"at":"[fd00::1]:9"}').address == "fd00::1"


def test_a_key_of_another_shape_is_somebody_elses():
    assert LAYOUT.root == "/reg/"
    assert LAYOUT.decode(Raw("/reg/orders", b"")) == ()
    assert LAYOUT.decode(Raw("/reg/orders/1/lock", b"")) == ()


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ("{}", "HOST:PORT"),
        ('{"node":{"ip":"a","port":true}}', "no port number"),
        ('{"node":{"ip":"a","port":70000}}', "65535"),
        ('{"node":{"ip":"a","port":1},"w":"much"}', "no weight"),
    ],
)
def test_what_should_be_a_record_and_is_none_has_a_reason(record: str, reason: str):
    with pytest.raises(ValueError, match=reason):
        LAYOUT.decode(Raw("/reg/orders/1", record.encode()))


@pytest.mark.parametrize(
    "pattern", ["", "/reg/{id}", "/{service}/{service+}", "/{service}/{name}", "/{service}/{id}/{id}"]
)
def test_a_pattern_that_says_too_little_is_refused(pattern: str):
    with pytest.raises(ValueError, match="is expected to hold"):
        Template(pattern=pattern)


def test_records_of_strangers_are_only_read():
    with pytest.raises(ValueError, match="only read"):
        LAYOUT.encode(instance(key="", name="a", id="1", address="10.0.0.1", ports=[Port("http", 1, "http")]))


@given(records_of(FIELDS, "/reg/"))
def test_no_record_can_do_more_than_be_refused(raw: Raw):
    assert is_canonical(LAYOUT, raw)
    assert is_canonical(Template(pattern="/reg/{service+}/{id}", metadata="."), raw)
