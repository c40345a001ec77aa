import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilot_plus.model import Instance, Port, instance
from registries.layouts.layout import Raw
from registries.layouts.skydns import SkyDns
from tests.registries.layouts.etcd_layouts import instances, is_canonical, one, records_of

LAYOUT = SkyDns(domain="cluster.local", protocol="http")
KEY = "/skydns/local/cluster/orders/x1"
RECORD = '{"host":"10.2.0.1","port":9000,"priority":10,"weight":70,"ttl":60}'
FIELDS = {"host": st.just("10.2.0.1"), "port": st.integers(), "weight": st.integers()}


def test_the_labels_reversed_are_the_key():
    said = one(SkyDns(), KEY, RECORD)
    assert (said.name, said.id, said.address, said.weight) == ("orders.cluster.local", "x1", "10.2.0.1", 70)
    assert said.ports == (Port("unknown", 9000),)


def test_with_a_domain_names_are_short_and_others_are_not_read():
    assert LAYOUT.root == "/skydns/local/cluster/"
    assert one(LAYOUT, KEY, RECORD).name == "orders"
    assert one(LAYOUT, "/skydns/local/cluster/shop/orders/x1", RECORD).name == "orders.shop"


def test_a_record_without_a_weight_has_an_ordinary_one():
    assert one(LAYOUT, KEY, '{"host":"a.example","port":1}').weight == 100


@pytest.mark.parametrize(
    ("key", "record"),
    [
        (KEY, '{"host":"mx.example","mail":true}'),
        (KEY, '{"text":"v=spf1","ttl":60}'),
        ("/skydns/arpa/in-addr/10/2/0/9", '{"host":"orders.cluster.local"}'),
    ],
)
def test_what_answers_other_questions_than_for_a_service_is_no_instance(key: str, record: str):
    assert SkyDns().decode(Raw(key, record.encode())) == ()


def test_a_record_without_a_port_is_no_endpoint():
    with pytest.raises(ValueError, match="no port"):
        LAYOUT.decode(Raw(KEY, b'{"host":"10.2.0.1"}'))


@pytest.mark.parametrize("name", ["Orders", "a b", "a/b", "..", "a..b", "ä", "x" * 64, "-a"])
def test_a_name_that_dns_cannot_ask_for_is_not_written(name: str):
    said = instance(key="", name=name, id="1", address="10.0.0.1", ports=[Port("http", 1, "http")])
    with pytest.raises(ValueError, match="DNS question"):
        LAYOUT.encode(said)


def test_a_domain_that_is_none_is_refused():
    with pytest.raises(ValueError, match="no DNS name"):
        SkyDns(domain="a/b")


@given(instances(protocols=("http",)))
def test_what_was_written_is_read_back_as_the_table_says(written: Instance):
    raw = LAYOUT.encode(written)
    last = raw.path.rpartition("/")[2]
    assert one(LAYOUT, raw.path, raw.data) == msgspec.structs.replace(written, key=raw.path, id=last, layout="skydns")


@given(records_of(FIELDS, "/skydns/local/cluster/"))
def test_no_record_can_do_more_than_be_refused(raw: Raw):
    assert is_canonical(LAYOUT, raw)
