"""Spring, Dubbo 3 and plain Curator: one tree and one JSON, three layouts."""

import json
from collections.abc import Mapping

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilot_plus.model import NO_ORIGIN, Health, Instance, Port, Service, instance
from registries.layouts.curator import Curator
from registries.layouts.curator_json import DUBBO_CLASS, SPRING_CLASS
from registries.layouts.dubbo3 import Dubbo3
from registries.layouts.dubbo_rules import Aliases
from registries.layouts.layout import Raw
from registries.layouts.spring import Spring
from registries.layouts.tree import Place, TreeLayout
from tests.registries.layouts.samples import instances

PATH = "/services/orders/orders-1"
FAMILY = (Spring(), Dubbo3(), Curator())


def entry(payload: object = None, **fields: object) -> Raw:
    known = {"name": "orders", "id": "orders-1", "address": "10.1.0.7", "port": 8080, "sslPort": None}
    known |= {"payload": payload, "registrationTimeUTC": 1, "serviceType": "DYNAMIC", "uriSpec": None}
    return Raw(PATH, json.dumps(known | fields).encode())


def spring(metadata: Mapping[str, object], **fields: object) -> Raw:
    return entry({"@class": SPRING_CLASS, "id": "orders", "name": "orders", "metadata": metadata}, **fields)


def dubbo(metadata: Mapping[str, object], **fields: object) -> Raw:
    return entry({"@class": DUBBO_CLASS, "id": "x", "name": "orders", "metadata": metadata}, **fields)


def read(layout: TreeLayout, raw: Raw) -> Instance:
    (found,) = layout.decode(raw)
    assert isinstance(found, Instance)
    return found


def test_springs_record_is_read_whole():
    assert read(Spring(), spring({"instance_status": "UP", "team": "shop"})) == instance(
        key=PATH,
        name="orders",
        id="orders-1",
        address="10.1.0.7",
        ports=[Port("http", 8080, "http")],
        metadata={"team": "shop"},
        layout="spring",
    )


@pytest.mark.parametrize("status", ["OUT_OF_SERVICE", "DOWN", "STARTING", "UNKNOWN"])
def test_any_status_of_spring_but_up_is_critical(status: str):
    assert read(Spring(), spring({"instance_status": status})).health is Health.CRITICAL


def test_a_missing_enabled_is_true_and_a_false_one_is_critical():
    assert read(Spring(), spring({})).health is Health.PASSING
    assert read(Spring(), spring({}, enabled=True)).health is Health.PASSING
    assert read(Spring(), spring({}, enabled=False)).health is Health.CRITICAL
    assert read(Curator(), entry(enabled=False)).health is Health.CRITICAL


def test_a_tls_port_of_spring_is_https():
    assert read(Spring(), spring({}, sslPort=8443)).ports == (Port("http", 8080, "http"), Port("https", 8443, "https"))
    assert read(Spring(), spring({}, port=8443, sslPort=8443)).ports == (Port("https", 8443, "https"),)


def test_dubbos_endpoints_are_its_ports():
    endpoints = '[{"port":20880,"protocol":"dubbo"},{"port":50051,"protocol":"tri"},{"port":20881,"protocol":"dubbo"}]'
    one = read(Dubbo3(), dubbo({"dubbo.endpoints": endpoints, "dubbo.metadata.revision": "f82a", "a": "b"}, port=20880))
    assert one.ports == (Port("dubbo", 20880, "dubbo"), Port("tri", 50051, "tri"))
    assert one.metadata == (("a", "b"),)


def test_dubbo_without_endpoints_has_its_port():
    assert read(Dubbo3(), dubbo({}, port=20880)).ports == (Port("dubbo", 20880, "dubbo"),)


def test_a_mapping_makes_an_interface_an_alias_of_its_applications():
    layout = Dubbo3(root="/company/services", mapping="/company/mapping")
    raw = Raw("/company/mapping/com.example.OrderService", b"orders, web,,..")
    assert layout.place(raw.path) is Place.RULE
    with pytest.raises(ValueError, match="node's name"):
        layout.rule(raw)
    aliases = layout.rule(Raw(raw.path, b"orders, web,"))
    assert aliases == Aliases("com.example.OrderService", ("/company/services/orders", "/company/services/web"))


@pytest.mark.parametrize(
    ("payload", "metadata"),
    [
        (None, {}),
        ("text", {}),
        (["java.util.ArrayList", []], {}),
        ({"@class": "com.example.Payload", "team": "shop", "shard": 7, "hot": True, "deep": {}}, "own fields"),
        ({"@class": "com.example.Payload", "metadata": {"team": "shop"}}, {"team": "shop"}),
        ({"@class": SPRING_CLASS, "metadata": {"team": "shop"}}, {"team": "shop"}),
    ],
)
def test_plain_curator_reads_any_payload(payload: object, metadata: object):
    expected = {"team": "shop", "shard": "7", "hot": "true"} if metadata == "own fields" else metadata
    assert dict(read(Curator(), entry(payload)).metadata) == expected


@pytest.mark.parametrize(("raw", "layout"), [(spring({}), Dubbo3()), (dubbo({}), Spring()), (entry(), Spring())])
def test_a_record_of_another_class_is_not_ours(raw: Raw, layout: TreeLayout):
    assert layout.decode(raw) == ()


@pytest.mark.parametrize("layout", FAMILY, ids=lambda layout: layout.name)
@pytest.mark.parametrize(
    "raw",
    [
        Raw(PATH, b""),
        Raw(PATH, b"10.1.0.7"),
        Raw(PATH, b"\xff\xfe"),
        Raw(PATH, b"[" * 100_000),
        Raw(PATH, b" " * (1 << 21)),
        entry(name="payments"),
        entry(address=None),
    ],
    ids=["empty", "address", "binary", "deep", "large", "misplaced", "no-address"],
)
def test_what_cannot_be_used_says_why(layout: TreeLayout, raw: Raw):
    with pytest.raises(ValueError, match=r"."):
        layout.decode(raw)


@pytest.mark.parametrize("fields", [{"port": 70_000}, {"port": None}, {"address": "a b"}, {"id": "a\nb"}])
def test_a_hostile_field_is_refused_by_each(fields: dict[str, object]):
    for layout, raw in (
        (Spring(), spring({}, **fields)),
        (Dubbo3(), dubbo({}, **fields)),
        (Curator(), entry(**fields)),
    ):
        with pytest.raises(ValueError, match=r"."):
            layout.decode(raw)


@pytest.mark.parametrize("layout", FAMILY, ids=lambda layout: layout.name)
def test_a_directory_is_a_service_and_deeper_nodes_are_nobodys(layout: TreeLayout):
    assert layout.decode(Raw("/services/or%2Fders")) == (Service(key="/services/or%2Fders", name="or/ders"),)
    assert layout.decode(Raw("/services")) == ()
    places = [layout.place(path) for path in ("/services", "/services/a", "/services/a/b", "/services/a/b/c")]
    assert places == [Place.DIRECTORY, Place.DIRECTORY, Place.DATA, Place.ELSEWHERE]


@pytest.mark.parametrize("layout", FAMILY, ids=lambda layout: layout.name)
@given(data=st.binary(max_size=200))
def test_any_bytes_are_a_record_or_a_value_error(layout: TreeLayout, data: bytes):
    try:
        layout.decode(Raw(PATH, data))
    except ValueError:
        return


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
fields = st.sampled_from(["name", "id", "address", "port", "sslPort", "enabled"])
payloads = st.fixed_dictionaries({"@class": st.sampled_from([SPRING_CLASS, DUBBO_CLASS]), "metadata": json_values})


@pytest.mark.parametrize("layout", FAMILY, ids=lambda layout: layout.name)
@given(changed=st.dictionaries(fields, json_values, max_size=3), payload=payloads | json_values)
def test_any_json_is_a_record_or_a_value_error(layout: TreeLayout, changed: dict[str, object], payload: object):
    try:
        layout.decode(entry(payload, **changed))
    except ValueError:
        return


def expected(one: Instance, back: Instance, **fields: object) -> Instance:
    known: dict[str, object] = {
        "key": back.key,
        "weight": 100,
        "zone": one.zone if one.origin != NO_ORIGIN else "",
        "layout": back.layout,
        "lease": 0.0,
    }
    return msgspec.structs.replace(one, **(known | fields))


def two_levels(one: Instance) -> Health:
    return Health.PASSING if one.health in (Health.PASSING, Health.WARNING) else Health.CRITICAL


@given(instances(protocol="http"))
def test_spring_reads_what_it_writes_but_for_what_the_table_says(one: Instance):
    try:
        raw = Spring().encode(one)
    except ValueError:
        return
    back = read(Spring(), raw)
    metadata = tuple(pair for pair in one.metadata if pair[0] != "instance_status")
    assert back == expected(one, back, health=two_levels(one), metadata=metadata)
    assert raw.path.count("/") == 3


@given(instances(protocol="unknown"))
def test_curator_reads_what_it_writes_but_for_what_the_table_says(one: Instance):
    try:
        raw = Curator().encode(one)
    except ValueError:
        return
    back = read(Curator(), raw)
    metadata = tuple(pair for pair in one.metadata if pair[0] != "@class")
    assert back == expected(one, back, health=two_levels(one), metadata=metadata)


@given(instances(protocol="tri"))
def test_dubbo3_reads_what_it_writes_but_for_what_the_table_says(one: Instance):
    try:
        raw = Dubbo3().encode(one)
    except ValueError:
        return
    back = read(Dubbo3(), raw)
    taken = {"dubbo.endpoints", "dubbo.metadata.storage-type", "dubbo.metadata.revision"}
    metadata = tuple(pair for pair in one.metadata if pair[0] not in taken)
    place = f"{one.address}:{one.ports[0].number}"
    assert back == expected(one, back, id=place, health=two_levels(one), metadata=metadata)


@pytest.mark.parametrize("layout", FAMILY, ids=lambda layout: layout.name)
@pytest.mark.parametrize("name", [".", "..", "a\ufffe"])
def test_a_name_that_would_leave_its_directory_is_refused(layout: TreeLayout, name: str):
    protocol = "dubbo" if layout.name == "dubbo3" else "http"
    one = instance(key="k", name="orders", id="i", address="h", ports=[Port(protocol, 1, protocol)])
    with pytest.raises(ValueError, match=r"node's name|no name for Dubbo"):
        layout.encode(msgspec.structs.replace(one, name=name))


def test_slashes_and_percents_in_names_collapse_into_nothing_else():
    one = instance(key="k", name="a/b", id="../../etc", address="h", ports=[Port("http", 1, "http")])
    paths = {Spring().encode(msgspec.structs.replace(one, name=name)).path for name in ("a/b", "a%2Fb", "a%252Fb")}
    assert paths == {
        "/services/a%2Fb/..%2F..%2Fetc",
        "/services/a%252Fb/..%2F..%2Fetc",
        "/services/a%25252Fb/..%2F..%2Fetc",
    }


def test_springs_record_has_what_its_readers_need():
    one = instance(key="k", name="orders", id="i", address="h", ports=[Port("http", 8080, "http")], lease=15)
    fields = json.loads(Spring().encode(one).data)
    assert fields["payload"]["@class"] == SPRING_CLASS
    assert [part["value"] for part in fields["uriSpec"]["parts"]] == ["scheme", "://", "address", ":", "port"]
    assert fields["serviceType"] == "DYNAMIC"
    assert "enabled" not in fields


def test_curators_payload_is_none_where_there_is_nothing_to_say():
    one = instance(key="k", name="orders", id="i", address="h", ports=[Port("http", 8080, "http")])
    assert json.loads(Curator().encode(one).data)["payload"] is None
    marked = msgspec.structs.replace(one, metadata=(("team", "shop"),))
    payload = {"@class": "java.util.LinkedHashMap", "team": "shop"}
    assert json.loads(Curator().encode(marked).data)["payload"] == payload
    assert json.loads(Curator(payload_class="").encode(marked).data)["payload"] is None


def test_an_instance_that_speaks_neither_http_nor_https_is_no_springs():
    with pytest.raises(ValueError, match="it speaks dubbo"):
        Spring().encode(instance(key="k", name="a", id="i", address="h", ports=[Port("dubbo", 1, "dubbo")]))


def test_a_consumer_of_dubbo_3_finds_what_an_application_serves():
    one = instance(
        key="k",
        name="orders",
        id="i",
        address="10.1.0.7",
        ports=[Port("dubbo", 20880, "dubbo"), Port("http", 80, "http")],
        weight=50,
        metadata={"dubbo.interfaces": "com.example.OrderService:1.0.0:blue, com.example.Carts"},
    )
    revision = json.loads(Dubbo3().encode(one).data)["payload"]["metadata"]["dubbo.metadata.revision"]
    metadata, *mappings = Dubbo3().companions(one)
    assert [(node.path, node.data, node.joins) for node in mappings] == [
        ("/dubbo/mapping/com.example.Carts", b"orders", True),
        ("/dubbo/mapping/com.example.OrderService", b"orders", True),
    ]
    assert metadata.path == f"/dubbo/metadata/orders/{revision}"
    info = json.loads(metadata.data)
    assert (info["app"], info["revision"]) == ("orders", revision)
    assert set(info["services"]) == {"blue/com.example.OrderService:1.0.0:dubbo", "com.example.Carts:dubbo"}
    served = info["services"]["blue/com.example.OrderService:1.0.0:dubbo"]
    assert (served["name"], served["version"], served["group"]) == ("com.example.OrderService", "1.0.0", "blue")
    assert (served["protocol"], served["port"], served["params"]["weight"]) == ("dubbo", 20880, "50")
