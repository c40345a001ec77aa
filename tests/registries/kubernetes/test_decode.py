"""What objects say, one at a time."""

from typing import Any

import msgspec
import pytest

from pilot_plus.model import Health, Instance, Origin, Port
from registries.kubernetes.decode import Members, health_of, members_of, service_of
from registries.kubernetes.objects import Conditions, ServiceObject, SliceObject, read
from registries.kubernetes.ports import protocol_of, spoken_as

SERVICE_NAME = "kubernetes.io/service-name"


def a_slice(**more: Any) -> SliceObject:
    whole = {
        "metadata": {
            "name": "orders-x",
            "namespace": "shop",
            "labels": {SERVICE_NAME: "orders", **more.pop("labels", {})},
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.4.0.1"]}],
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
    } | more
    whole["metadata"]["annotations"] = whole.pop("annotations", None)
    return read(msgspec.json.encode(whole), SliceObject)


def members(**more: Any) -> Members:
    found = members_of(a_slice(**more))
    assert found is not None
    return found


def only(**more: Any) -> Instance:
    (one,) = members(**more).instances.values()
    return one


def a_service(**spec: Any) -> ServiceObject:
    meta = {"name": "orders", "namespace": "shop", "labels": {"team": "shop", "pilot-plus/cluster": "east"}}
    return read(msgspec.json.encode({"metadata": meta, "spec": spec}), ServiceObject)


@pytest.mark.parametrize(
    ("name", "transport", "said", "protocol"),
    [
        ("grpc-api", "TCP", None, "grpc"),
        ("grpc-web-1", "TCP", None, "grpc-web"),
        ("http", "TCP", "kubernetes.io/h2c", "http2"),
        ("grpc", "TCP", "HTTPS", "https"),
        ("web", "TCP", None, "tcp"),
        ("http2-x", None, None, "http2"),
        ("", "TCP", None, "tcp"),
        (None, None, None, "tcp"),
        ("dns", "UDP", None, "udp"),
        ("http", "SCTP", "http", "sctp"),
        ("x", "TCP", "example.com/thing", "example.com/thing"),
    ],
)
def test_a_ports_protocol_is_what_it_says_then_what_its_name_says(
    name: str | None, transport: str | None, said: str | None, protocol: str
):
    assert protocol_of(name, transport, said) == protocol


@pytest.mark.parametrize("protocol", ["http", "http2", "grpc", "https", "dubbo", "tcp", "udp", "sctp", "a.b/c"])
def test_what_can_be_said_of_a_protocol_is_read_again(protocol: str):
    transport, said = spoken_as(protocol)
    assert protocol_of("any", transport, said) == protocol


@pytest.mark.parametrize(
    ("ready", "serving", "terminating", "health"),
    [
        (None, None, None, Health.PASSING),
        (True, None, None, Health.PASSING),
        (False, None, None, Health.CRITICAL),
        (False, True, False, Health.CRITICAL),
        (False, True, True, Health.DRAINING),
        (True, None, True, Health.DRAINING),
        (False, None, True, Health.CRITICAL),
        (False, False, True, Health.CRITICAL),
    ],
)
def test_conditions_are_health(ready: bool | None, serving: bool | None, terminating: bool | None, health: Health):
    assert health_of(Conditions(ready, serving, terminating)) is health


def test_an_endpoint_brings_its_pod_its_place_and_who_should_prefer_it():
    endpoint = {
        "addresses": ["10.4.0.1", "10.4.0.2"],
        "zone": "a",
        "nodeName": "n1",
        "targetRef": {"kind": "Pod", "name": "orders-abc"},
        "hints": {"forZones": [{"name": "a"}, {"name": "b"}]},
    }
    one = only(endpoints=[endpoint], labels={"team": "shop", "endpointslice.kubernetes.io/managed-by": "x"})
    assert (one.id, one.address, one.locality.az) == ("orders-abc", "10.4.0.1", "a")
    assert dict(one.metadata) == {"team": "shop", "node": "n1", "zone-hints": "a,b"}
    assert one.key == "shop/orders/10.4.0.1:8080"


def test_a_slice_of_no_service_says_nothing():
    assert members_of(read(b'{"metadata":{"name":"x","namespace":"shop"}}', SliceObject)) is None


def test_what_is_null_or_left_out_is_nothing():
    assert members(endpoints=None).instances == members(endpoints=[]).instances == {}
    one = only(ports=[{"name": "", "port": None}, {"port": 53, "protocol": "UDP"}])
    assert one.ports == (Port("udp", 53, "udp"),)


def test_an_endpoint_that_cannot_be_read_is_skipped_with_its_number_and_spoils_no_other():
    found = members(endpoints=[{"addresses": []}, {"addresses": ["10.4.0.2"]}, {"addresses": ["a b"]}])
    assert list(found.instances) == ["shop/orders/10.4.0.2:8080"]
    assert [place for place, _ in found.skipped] == [
        "endpointslices/shop/orders-x[0]",
        "endpointslices/shop/orders-x[2]",
    ]


def test_an_endpoint_that_stands_twice_is_one_with_the_better_health():
    twice = [{"addresses": ["10.4.0.1"], "conditions": {"ready": ready}} for ready in (False, True)]
    assert only(endpoints=twice).health is Health.PASSING


OURS = {"endpointslice.kubernetes.io/managed-by": "pilot-plus"}


def test_a_copy_brings_its_origin_and_what_a_slice_cannot_hold():
    copy = {
        "id": "o-1",
        "weight": 7,
        "health": "warning",
        "metadata": {"pilot-plus-origin": "east|zk|/x|east", "pilot-plus-zone": "east/legacy", "team": "shop"},
    }
    common = {"service": "com.example.Orders", "ports": [["Dubbo", "dubbo"]], "lease": 15}
    texts = {
        "pilot-plus/copies": msgspec.json.encode({"10.4.0.1": copy}).decode(),
        "pilot-plus/common": msgspec.json.encode(common).decode(),
    }
    one = only(labels=OURS, annotations=texts)
    assert one.origin == Origin("east", "zk", "/x", ("east",))
    assert (one.name, one.id, one.weight, one.health, one.zone) == (
        "com.example.Orders",
        "o-1",
        7,
        "warning",
        "east/legacy",
    )
    assert (one.ports, one.lease) == ((Port("Dubbo", 8080, "dubbo"),), 15.0)
    assert one.metadata == (("team", "shop"),)
    without_label = only(annotations=texts)
    assert without_label == one, "an edited label makes no original of it: that could be a loop"


@pytest.mark.parametrize(
    "annotations",
    [
        {"pilot-plus/copies": "{no JSON"},
        {"pilot-plus/copies": '{"10.4.0.1":{"weight":"x"}}'},
        {"pilot-plus/common": "[]"},
        {"pilot-plus/common": '{"ports":[["a","b"],["c","d"]]}'},
    ],
)
def test_a_slice_of_ours_with_a_damaged_annotation_is_not_taken_for_an_original(annotations: dict[str, str]):
    with pytest.raises(ValueError, match="annotation pilot-plus/"):
        members(labels=OURS, annotations=annotations)


def test_an_endpoint_that_somebody_adds_to_a_slice_of_ours_is_skipped():
    found = members(labels=OURS, annotations={"pilot-plus/copies": "{}"})
    assert not found.instances
    assert "does not know '10.4.0.1'" in found.skipped[0][1]


def test_a_service_is_there_without_anything_and_its_plumbing_is_not_told():
    record = service_of(a_service(clusterIP="None")).record
    assert (record.service, record.ports, record.metadata) == ("shop/orders", (), (("team", "shop"),))


def test_a_service_of_two_families_names_the_first():
    assert service_of(a_service(ipFamilies=["IPv6", "IPv4"])).family == "IPv6"
    assert service_of(a_service(ipFamilies=["IPv4"])).family == ""


def test_an_external_name_is_an_instance_and_one_that_looks_like_an_address_is_none():
    external = service_of(
        a_service(type="ExternalName", externalName="pay.example.com.", ports=[{"port": 443}])
    ).external
    assert external is not None
    assert external.address == "pay.example.com"
    with pytest.raises(ValueError, match="looks like an IP address"):
        service_of(a_service(type="ExternalName", externalName="10.1.1.1"))


@pytest.mark.parametrize(("namespace", "name"), [("", "orders"), ("shop", "a/b"), ("a/b", "orders"), ("shop", "")])
def test_a_name_that_could_not_be_a_part_of_a_key_is_refused(namespace: str, name: str):
    text = msgspec.json.encode({"metadata": {"name": name, "namespace": namespace}, "spec": {}})
    with pytest.raises(ValueError, match="no name of an object"):
        service_of(read(text, ServiceObject))


@pytest.mark.parametrize("text", [b"[" * 100_000, b"\xff", b'{"metadata": 7}', b"null"])
def test_json_that_is_none_is_a_reason_on_one_line(text: bytes):
    with pytest.raises(ValueError, match=r"^the JSON|^no usable JSON") as refused:
        read(text, SliceObject)
    assert "\n" not in str(refused.value)
