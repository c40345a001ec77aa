import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilot_plus.model import Instance, Port, instance
from registries.layouts.kratos import Kratos
from registries.layouts.layout import Raw
from tests.registries.layouts.etcd_layouts import instances, is_canonical, one, records_of

LAYOUT = Kratos()
KEY = "/microservices/orders/a1"
RECORD = (
    '{"id":"a1","name":"orders","version":"v1","metadata":{"team":"shop","weight":"30"},'
    '"endpoints":["grpc://10.2.0.1:9000?isSecure=false","http://10.2.0.1:8000?isSecure=true"]}'
)
FIELDS = {
    "id": st.text(max_size=5),
    "name": st.just("orders"),
    "endpoints": st.lists(st.just("grpc://10.2.0.1:9000?isSecure=false") | st.text(), max_size=3),
}


def test_a_record_of_kratos_is_an_instance_with_a_port_for_each_endpoint():
    said = one(LAYOUT, KEY, RECORD)
    assert (said.key, said.name, said.id, said.address, said.weight) == (KEY, "orders", "a1", "10.2.0.1", 30)
    assert said.ports == (Port("grpc", 9000, "grpc"), Port("https", 8000, "https"))
    assert dict(said.metadata) == {"team": "shop", "version": "v1"}


def test_two_endpoints_of_one_scheme_are_two_ports():
    record = '{"name":"orders","endpoints":["http://10.2.0.1:1","http://10.2.0.1:2","http://10.9.9.9:3"]}'
    assert [port.name for port in one(LAYOUT, KEY, record).ports] == ["http", "http-2"]


def test_names_and_ids_may_hold_slashes():
    record = '{"id":"x/y","name":"shop/orders","endpoints":["grpc://10.2.0.1:9000"]}'
    said = one(LAYOUT, "/microservices/shop/orders/x/y", record)
    assert (said.name, said.id) == ("shop/orders", "x/y")


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (RECORD.replace('"orders"', '"carts"'), "not the one that its key says"),
        ('{"name":"orders"}', "no endpoints"),
        ('{"name":"orders","endpoints":["10.2.0.1:9000"]}', "no URL"),
        ('{"name":"orders","endpoints":["grpc://10.2.0.1"]}', "HOST:PORT"),
        ('{"name":"orders","endpoints":["grpc://10.2.0.1:99999"]}', "65535"),
    ],
)
def test_what_should_be_a_record_and_is_none_has_a_reason(record: str, reason: str):
    with pytest.raises(ValueError, match=reason):
        LAYOUT.decode(Raw(KEY, record.encode()))


def test_a_port_of_an_unknown_protocol_is_written_as_the_option_says():
    said = instance(key="", name="a", id="1", address="10.0.0.1", ports=[Port("main", 80)])
    assert b'"http://10.0.0.1:80?isSecure=false"' in Kratos(protocol="http").encode(said).data


def test_who_speaks_neither_grpc_nor_http_is_refused():
    said = instance(key="", name="a", id="1", address="10.0.0.1", ports=[Port("dubbo", 80, "dubbo")])
    with pytest.raises(ValueError, match="the instance speaks dubbo"):
        LAYOUT.encode(said)


def test_a_hostile_id_stays_one_part_of_the_key():
    said = instance(key="", name="a", id="../../x", address="10.0.0.1", ports=[Port("grpc", 80, "grpc")])
    raw = LAYOUT.encode(said)
    assert raw.path == "/microservices/a/..%2F..%2Fx"
    assert one(LAYOUT, raw.path, raw.data).id == "../../x"


@given(instances(protocols=("grpc", "http", "grpcs", "https"), ports=3))
def test_what_was_written_is_read_back_as_the_table_says(written: Instance):
    raw = LAYOUT.encode(written)
    assert one(LAYOUT, raw.path, raw.data) == msgspec.structs.replace(written, key=raw.path, layout="kratos")


@given(records_of(FIELDS, "/microservices/"))
def test_no_record_can_do_more_than_be_refused(raw: Raw):
    assert is_canonical(LAYOUT, raw)
