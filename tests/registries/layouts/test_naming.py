import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilot_plus.model import Health, Instance, Origin, Port, instance
from registries.layouts.layout import Raw
from registries.layouts.mark import marked
from registries.layouts.naming import Naming
from tests.registries.layouts.etcd_layouts import instances, is_canonical, one, records_of

LAYOUT = Naming(prefix="services", protocol="grpc")
KEY = "services/orders/10.2.0.1:9000"
FIELDS = {"Op": st.integers(0, 2), "Addr": st.just("10.2.0.1:9000"), "Metadata": st.dictionaries(st.text(), st.text())}


def test_a_record_of_grpc_go_is_an_instance():
    said = one(LAYOUT, KEY, '{"Op":0,"Addr":"10.2.0.1:9000","Metadata":null}')
    assert (said.key, said.name, said.id, said.address) == (KEY, "orders", "10.2.0.1:9000", "10.2.0.1")
    assert said.ports == (Port("grpc", 9000, "grpc"),)
    assert (said.health, said.weight, said.metadata) == (Health.PASSING, 100, ())


def test_without_an_option_the_protocol_is_unknown():
    assert one(Naming(prefix="services"), KEY, '{"Addr":"10.2.0.1:9000"}').ports[0].protocol == "unknown"


def test_a_service_may_hold_slashes():
    assert one(LAYOUT, "services/shop/eu/orders/a", '{"Addr":"[fd00::1]:1"}').name == "shop/eu/orders"


def test_the_last_part_of_the_key_need_not_be_the_address():
    said = one(LAYOUT, "services/orders/e1", '{"Addr":"10.2.0.1:9000"}')
    assert (said.id, said.address) == ("e1", "10.2.0.1")


def test_metadata_of_any_shape_is_kept_as_text():
    said = one(LAYOUT, KEY, '{"Addr":"10.2.0.1:9000","Metadata":{"a":1,"b":true,"c":[1],"d":"x"}}')
    assert dict(said.metadata) == {"a": "1", "b": "true", "c": "[1]", "d": "x"}
    assert one(LAYOUT, KEY, '{"Addr":"10.2.0.1:9000","Metadata":"blue"}').metadata == (("metadata", "blue"),)


@pytest.mark.parametrize(("written", "weight"), [("50", 50), ('"50"', 50), ('"many"', 100), ("-1", 100), ("1e9", 100)])
def test_a_weight_in_metadata_is_the_weight_if_it_is_one(written: str, weight: int):
    assert one(LAYOUT, KEY, '{"Addr":"10.2.0.1:9000","Metadata":{"weight":%s}}' % written).weight == weight  # noqa: UP031


def test_the_scale_of_weights_is_an_option():
    layout = Naming(prefix="services", ordinary_weight=1)
    said = one(layout, KEY, '{"Addr":"10.2.0.1:9000","Metadata":{"weight":3}}')
    assert said.weight == 300
    assert one(layout, KEY, layout.encode(said).data) == said


def test_a_deletion_that_was_written_down_is_no_instance():
    assert LAYOUT.decode(Raw(KEY, b'{"Op":1,"Addr":"10.2.0.1:9000"}')) == ()


@pytest.mark.parametrize("data", ["", "10.2.0.1:9000", "{}", '{"Addr":"10.2.0.1"}', '{"Addr":"10.2.0.1:70000"}'])
def test_what_should_be_a_record_and_is_none_has_a_reason(data: str):
    with pytest.raises(ValueError, match=r"\w"):
        LAYOUT.decode(Raw(KEY, data.encode()))


def test_in_a_shared_key_space_only_what_looks_like_a_record_is_one():
    shared = Naming()
    assert shared.root == ""
    assert shared.decode(Raw("/registry/pods/a", b"\x00k8s")) == ()
    assert shared.decode(Raw("user.rpc/7587862094", b"10.2.0.1:9000")) == ()
    assert one(shared, "orders/10.2.0.1:9000", '{"Addr":"10.2.0.1:9000"}').name == "orders"
    with pytest.raises(ValueError, match="JSON"):
        shared.decode(Raw("orders/10.2.0.1:9000", b"garbage"))


def test_readers_speak_grpc_unless_the_option_says_otherwise():
    web = instance(key="", name="web", id="1", address="10.0.0.1", ports=[Port("http", 80, "http")])
    with pytest.raises(ValueError, match="speak grpc"):
        Naming(prefix="services").encode(web)
    assert Naming(prefix="services", protocol="http").encode(web).path == "services/web/10.0.0.1:80"


def test_a_port_that_fits_is_chosen_before_one_that_may_fit():
    ports = [Port("a", 1, "unknown"), Port("b", 2, "http"), Port("c", 3, "grpc")]
    many = instance(key="", name="web", id="1", address="10.0.0.1", ports=ports)
    assert LAYOUT.encode(many).path == "services/web/10.0.0.1:3"


@pytest.mark.parametrize("name", ["..", "../other", "a/../b", "a//b", "/a", "a/", "."])
def test_a_hostile_name_cannot_leave_the_root(name: str):
    hostile = instance(key="", name=name, id="1", address="10.0.0.1", ports=[Port("grpc", 1, "grpc")])
    with pytest.raises(ValueError, match="part of a key"):
        LAYOUT.encode(hostile)
    with pytest.raises(ValueError, match=r"\w"):
        Naming(protocol="grpc").encode(hostile)


@pytest.mark.parametrize("health", [Health.CRITICAL, Health.DRAINING])
def test_what_must_not_be_called_is_not_written(health: Health):
    sick = instance(key="", name="a", id="1", address="10.0.0.1", ports=[Port("grpc", 1, "grpc")], health=health)
    with pytest.raises(ValueError, match=str(health)):
        LAYOUT.encode(sick)


def test_a_damaged_mark_is_no_original():
    with pytest.raises(ValueError, match="damaged"):
        one(LAYOUT, KEY, '{"Addr":"10.2.0.1:9000","Metadata":{"pilot-plus-origin":"x"}}')


@given(instances(protocols=("grpc",)))
def test_what_was_written_is_read_back_as_the_table_says(written: Instance):
    raw = LAYOUT.encode(written)
    address = raw.path.rpartition("/")[2]
    assert one(LAYOUT, raw.path, raw.data) == msgspec.structs.replace(
        written, key=raw.path, id=address, layout="naming"
    )


@given(instances(protocols=("grpc",)))
def test_writing_twice_writes_the_same(written: Instance):
    assert LAYOUT.encode(written) == LAYOUT.encode(written)


@given(records_of(FIELDS, "services/"))
def test_no_record_can_do_more_than_be_refused(raw: Raw):
    assert is_canonical(LAYOUT, raw)
    assert is_canonical(Naming(), raw)


def test_a_copy_carries_its_mark():
    copy = instance(
        key="",
        name="orders",
        id="1",
        address="10.0.0.1",
        ports=[Port("grpc", 1, "grpc")],
        origin=Origin("east", "zk", "/dubbo/x", ("north",)),
        zone="east/legacy",
    )
    data = msgspec.json.decode(LAYOUT.encode(copy).data)
    assert data["Metadata"] == marked(copy)
