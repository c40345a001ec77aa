import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilot_plus.model import Instance, Port, instance
from registries.layouts.layout import Raw
from registries.layouts.micro import Micro
from tests.registries.layouts.etcd_layouts import instances, is_canonical, one, records_of

LAYOUT = Micro()
KEY = "/micro/registry/orders/orders-1"
NODE = '{"id":"orders-1","address":"10.2.0.1:9000","metadata":{"protocol":"grpc","zone":"a"}}'
RECORD = '{"name":"orders","version":"latest","metadata":{"team":"shop"},"endpoints":[{"name":"X"}],"nodes":[%s]}'
FIELDS = {
    "name": st.just("orders"),
    "nodes": st.lists(st.fixed_dictionaries({"id": st.text(max_size=3), "address": st.just("10.2.0.1:9000")})),
}


def test_a_node_is_an_instance_under_the_key_of_its_record():
    said = one(LAYOUT, KEY, RECORD % NODE)
    assert (said.key, said.name, said.id, said.address) == (KEY, "orders", "orders-1", "10.2.0.1")
    assert said.ports == (Port("grpc", 9000, "grpc"),)
    assert dict(said.metadata) == {"team": "shop", "version": "latest", "zone": "a"}


def test_further_nodes_of_a_record_have_keys_of_their_own():
    nodes = f'{NODE},{{"id":"orders-2","address":"10.2.0.2:9000"}}'
    said = LAYOUT.decode(Raw(KEY, (RECORD % nodes).encode()))
    assert [one.key for one in said] == [KEY, f"{KEY}#orders-2"]


def test_a_service_named_with_a_slash_lies_under_a_dash():
    record = '{"name":"shop/orders","nodes":[{"id":"a/1","address":"10.2.0.1:1"}]}'
    said = one(LAYOUT, "/micro/registry/shop-orders/a-1", record)
    assert (said.name, said.id, said.key) == ("shop/orders", "a/1", "/micro/registry/shop-orders/a-1")


@pytest.mark.parametrize(("domain", "name"), [("micro", "shop/orders"), ("team", "team/shop/orders")])
def test_a_domain_is_a_part_of_the_name_unless_it_is_the_default_one(domain: str, name: str):
    record = '{"name":"shop/orders","metadata":{"domain":"x"},"nodes":[{"id":"a-1","address":"10.2.0.1:1"}]}'
    assert one(LAYOUT, f"/micro/registry/{domain}/shop-orders/a-1", record).name == name


def test_a_port_may_stand_beside_the_address():
    said = one(LAYOUT, KEY, RECORD % '{"id":"orders-1","address":"10.2.0.1","port":9000}')
    assert (said.address, said.ports[0].number) == ("10.2.0.1", 9000)


def test_a_record_without_nodes_says_nothing():
    assert not LAYOUT.decode(Raw(KEY, b'{"name":"orders","nodes":[]}'))


@pytest.mark.parametrize(
    ("key", "record", "reason"),
    [
        (KEY, RECORD % f"{NODE},{NODE}", "one id"),
        (KEY, RECORD.replace("orders", "carts", 1) % NODE, "not the one that its key says"),
        (f"{KEY}#orders-2", RECORD % NODE, "another record's node"),
        (KEY, RECORD % '{"id":"a","address":"nowhere"}', "HOST:PORT"),
    ],
)
def test_what_should_be_a_record_and_is_none_has_a_reason(key: str, record: str, reason: str):
    with pytest.raises(ValueError, match=reason):
        LAYOUT.decode(Raw(key, record.encode()))


def test_a_name_that_go_micro_would_collapse_is_not_written():
    said = instance(key="", name="shop/orders", id="1", address="10.0.0.1", ports=[Port("grpc", 1, "grpc")])
    with pytest.raises(ValueError, match="another service"):
        LAYOUT.encode(said)


@given(instances(protocols=("grpc", "http", "mucp")))
def test_what_was_written_is_read_back_as_the_table_says(written: Instance):
    raw = LAYOUT.encode(written)
    kept = msgspec.structs.replace(written, key=raw.path, weight=100, layout="micro")
    assert one(LAYOUT, raw.path, raw.data) == kept


@given(records_of(FIELDS, "/micro/registry/"))
def test_no_record_can_do_more_than_be_refused(raw: Raw):
    assert is_canonical(LAYOUT, raw)
