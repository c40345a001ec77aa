import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilot_plus.model import Health, Instance, Port, Service, instance
from registries.layouts.apisix import Apisix
from registries.layouts.layout import Decoded, Raw
from tests.registries.layouts.etcd_layouts import is_canonical, records_of

LAYOUT = Apisix()
KEY = "/apisix/upstreams/7"
FIELDS = {
    "name": st.text(max_size=5),
    "nodes": st.dictionaries(st.just("10.2.0.1:9000") | st.text(max_size=5), st.integers())
    | st.lists(st.fixed_dictionaries({"host": st.text(max_size=5), "port": st.integers(0, 70000)})),
}


def decode(data: str) -> Decoded:
    return LAYOUT.decode(Raw(KEY, data.encode()))


def test_every_node_of_an_upstream_is_an_instance():
    said = decode('{"name":"orders","labels":{"team":"shop"},"nodes":{"10.2.0.1:9000":1,"10.2.0.2:9000":0}}')
    first, second = (one for one in said if isinstance(one, Instance))
    assert (first.key, first.name, first.id) == (f"{KEY}#10.2.0.1:9000", "orders", "10.2.0.1:9000")
    assert (first.ports, first.weight, first.metadata) == ((Port("http", 9000, "http"),), 100, (("team", "shop"),))
    assert (second.weight, second.health) == (0, Health.DRAINING)


def test_nodes_may_be_a_list_and_the_service_named_by_its_id():
    (said,) = decode('{"scheme":"grpc","nodes":[{"host":"10.2.0.1","port":9000,"weight":5,"priority":1}]}')
    assert isinstance(said, Instance)
    assert (said.name, said.weight, said.ports) == ("7", 500, (Port("grpc", 9000, "grpc"),))


@pytest.mark.parametrize("node", ['{"10.2.0.1":1}', '[{"host":"10.2.0.1","weight":1}]'])
def test_a_node_without_a_port_has_the_one_of_its_scheme(node: str):
    (said,) = decode('{"scheme":"https","nodes":%s}' % node)  # noqa: UP031
    assert isinstance(said, Instance)
    assert said.ports[0].number == 443


@pytest.mark.parametrize("nodes", ["{}", "[]", "null"])
def test_an_upstream_without_nodes_is_a_service_without_instances(nodes: str):
    assert decode('{"name":"orders","nodes":%s}' % nodes) == (Service(key=KEY, name="orders"),)  # noqa: UP031


def test_an_upstream_with_discovery_and_a_folder_say_nothing():
    assert decode('{"service_name":"orders","discovery_type":"dns"}') == ()
    assert LAYOUT.decode(Raw("/apisix/upstreams/", b"init_dir")) == ()


def test_the_prefix_is_apisix_own():
    assert Apisix(prefix="/gate").root == Apisix(prefix="/gate/upstreams/").root == "/gate/upstreams/"


def test_upstreams_are_only_read():
    with pytest.raises(ValueError, match="only read"):
        LAYOUT.encode(instance(key="", name="a", id="1", address="10.0.0.1", ports=[Port("http", 1, "http")]))


@given(records_of(FIELDS, "/apisix/upstreams/"))
def test_no_record_can_do_more_than_be_refused(raw: Raw):
    assert is_canonical(LAYOUT, raw)
