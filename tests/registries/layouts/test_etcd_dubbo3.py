import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilot_plus.model import Health, Port, instance
from registries.layouts.etcd_dubbo3 import EtcdDubbo3
from registries.layouts.layout import Raw
from tests.registries.layouts.etcd_layouts import is_canonical, one, records_of

LAYOUT = EtcdDubbo3()
KEY = "/services/orders/10.1.0.7:20880"
RECORD = (
    '{"serviceName":"orders","host":"10.1.0.7","port":20880,"enabled":true,"healthy":true,"metadata":'
    '{"dubbo.endpoints":"[{\\"port\\":20880,\\"protocol\\":\\"dubbo\\"},{\\"port\\":50051,\\"protocol\\":\\"tri\\"}]",'
    '"team":"shop"}}'
)
FIELDS = {"host": st.just("10.1.0.7"), "port": st.integers(), "metadata": st.dictionaries(st.text(), st.text())}


def test_an_application_has_a_port_for_each_endpoint():
    said = one(LAYOUT, KEY, RECORD)
    assert (said.key, said.name, said.id, said.address) == (KEY, "orders", "10.1.0.7:20880", "10.1.0.7")
    assert said.ports == (Port("dubbo", 20880, "dubbo"), Port("tri", 50051, "tri"))
    assert said.metadata == (("team", "shop"),)


def test_dubbo_in_go_writes_it_with_names_of_its_own():
    record = (
        '{"ID":"x","ServiceName":"orders","Host":"10.1.0.7","Port":20880,"Weight":50,"Enable":false,"Healthy":true,'
        '"Metadata":{"dubbo.metadata.revision":"1","team":"shop"},"ServiceMetadata":null,"Tag":""}'
    )
    said = one(LAYOUT, KEY, record)
    assert (said.address, said.ports, said.weight) == ("10.1.0.7", (Port("dubbo", 20880, "dubbo"),), 50)
    assert (said.health, said.metadata) == (Health.CRITICAL, (("team", "shop"),))
    assert one(LAYOUT, KEY, record.replace("false", "true")).health is Health.PASSING


def test_without_endpoints_the_port_is_the_one():
    assert one(LAYOUT, KEY, '{"host":"10.1.0.7","port":1}').ports == (Port("dubbo", 1, "dubbo"),)


@pytest.mark.parametrize("field", ["enabled", "healthy"])
def test_what_is_disabled_or_unhealthy_is_critical(field: str):
    assert one(LAYOUT, KEY, RECORD.replace(f'"{field}":true', f'"{field}":false')).health is Health.CRITICAL


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ('{"host":"10.1.0.7"}', "no port"),
        ('{"port":20880}', "no host"),
        (RECORD.replace('"orders"', '"carts"'), "not the one that its key says"),
        ('{"host":"a","metadata":{"dubbo.endpoints":"x"}}', "JSON"),
    ],
)
def test_what_should_be_a_record_and_is_none_has_a_reason(record: str, reason: str):
    with pytest.raises(ValueError, match=reason):
        LAYOUT.decode(Raw(KEY, record.encode()))


def test_applications_are_only_read():
    with pytest.raises(ValueError, match="only read"):
        LAYOUT.encode(instance(key="", name="a", id="1", address="10.0.0.1", ports=[Port("tri", 1, "tri")]))


@given(records_of(FIELDS, "/services/"))
def test_no_record_can_do_more_than_be_refused(raw: Raw):
    assert is_canonical(LAYOUT, raw)
