"""An element of Consul's health answer as an instance."""

from collections.abc import Mapping
from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilot_plus.model import NO_ORIGIN, Health, Instance, Locality, Origin, Port
from registries.consul.decode import decode, entry_of, key_of
from registries.consul.records import Entry


def entry(
    service: Mapping[str, object] | None = None, node: Mapping[str, object] | None = None, *checks: object
) -> Entry:
    whole = {
        "Node": {"Node": "n1", "Address": "10.9.0.1", "Datacenter": "dc1", **(node or {})},
        "Service": {"Service": "orders", "ID": "orders-1", "Address": "10.1.0.7", "Port": 8080, **(service or {})},
        "Checks": list(checks),
    }
    return entry_of(msgspec.Raw(msgspec.json.encode(whole)))


def decoded(
    service: Mapping[str, object] | None = None, node: Mapping[str, object] | None = None, *checks: object
) -> Instance:
    made = decode(entry(service, node, *checks), "unknown")
    assert made is not None
    return made


def check(status: str, check_id: str = "service:orders-1", service_id: str = "orders-1") -> dict[str, str]:
    return {"Node": "n1", "CheckID": check_id, "Status": status, "ServiceID": service_id, "ServiceName": "orders"}


def test_an_ordinary_record():
    made = decoded({"Meta": {"team": "shop"}, "Weights": {"Passing": 3, "Warning": 1}})
    assert (made.key, made.name, made.id, made.address) == ("orders/n1/orders-1", "orders", "orders-1", "10.1.0.7")
    assert made.ports == (Port("unknown", 8080, "unknown"),)
    assert (made.weight, made.health) == (300, Health.PASSING)
    assert made.metadata == (("team", "shop"),)
    assert (made.origin, made.zone, made.namespace) == (NO_ORIGIN, "", "")
    assert made.locality == Locality("dc1")


def test_an_empty_address_means_the_nodes():
    assert decoded({"Address": ""}).address == "10.9.0.1"


@pytest.mark.parametrize(
    ("statuses", "health"),
    [
        ([], Health.PASSING),
        (["passing", "passing"], Health.PASSING),
        (["passing", "warning"], Health.WARNING),
        (["critical", "warning"], Health.CRITICAL),
        (["warning", "something new"], Health.CRITICAL),
    ],
)
def test_health_is_the_worst_of_all_checks(statuses: list[str], health: Health):
    assert decoded(None, None, *(check(status) for status in statuses)).health is health


def test_a_dead_node_makes_its_instances_critical():
    assert decoded(None, None, check("critical", "serfHealth", ""), check("passing")).health is Health.CRITICAL


@pytest.mark.parametrize("check_id", ["_node_maintenance", "_service_maintenance:orders-1"])
def test_maintenance_is_draining_unless_something_is_really_broken(check_id: str):
    maintenance = check("critical", check_id)
    assert decoded(None, None, maintenance, check("warning")).health is Health.DRAINING
    assert decoded(None, None, maintenance, check("critical")).health is Health.CRITICAL


def test_a_warning_has_the_weight_for_warnings():
    weights = {"Weights": {"Passing": 10, "Warning": 2}}
    assert decoded(weights, None, check("warning")).weight == 200
    assert decoded(weights, None, check("passing")).weight == 1000


def test_a_weight_beyond_the_models_is_the_most():
    assert decoded({"Weights": {"Passing": 65_535, "Warning": 1}}).weight == 1_000_000


@pytest.mark.parametrize("kind", ["connect-proxy", "mesh-gateway", "terminating-gateway", "ingress-gateway", "new"])
def test_what_is_no_application_is_left_out(kind: str):
    assert decode(entry({"Kind": kind}), "http") is None


def test_consul_itself_is_left_out():
    assert decode(entry({"Service": "consul"}), "http") is None


def test_tags_are_metadata_and_meta_wins():
    made = decoded({"Tags": ["a=1", "b|2", "c|x=y", "d=x|y", "plain", "=odd", "team=tag"], "Meta": {"team": "meta"}})
    assert dict(made.metadata) == {"a": "1", "b": "2", "c": "x=y", "d": "x|y", "tags": "plain,=odd", "team": "meta"}


@pytest.mark.parametrize(
    ("meta", "default", "protocol"),
    [
        ({}, "unknown", "unknown"),
        ({}, "http", "http"),
        ({"protocol": "grpc"}, "http", "grpc"),
        ({"secure": "true"}, "unknown", "https"),
        ({"secure": "false"}, "http", "http"),
        ({"secure": "true", "protocol": "grpc"}, "http", "grpc"),
    ],
)
def test_the_protocol_is_what_meta_says_or_the_setting(meta: dict[str, str], default: str, protocol: str):
    made = decode(entry({"Meta": meta}), default)
    assert made is not None
    assert made.ports == (Port(protocol, 8080, protocol),)


@pytest.mark.parametrize(
    ("service", "node", "locality"),
    [
        ({"Meta": {"zone": "a"}}, {}, Locality("dc1", "a")),
        ({}, {"Meta": {"zone": "b", "region": "eu"}}, Locality("eu", "b")),
        ({"Meta": {"zone": "a"}, "Locality": {"Region": "us", "Zone": "us-1"}}, {}, Locality("us", "us-1")),
        ({}, {"Locality": {"Region": "us", "Zone": "us-2"}}, Locality("us", "us-2")),
    ],
)
def test_the_place_comes_from_the_nearest_that_says_it(
    service: dict[str, object], node: dict[str, object], locality: Locality
):
    assert decoded(service, node).locality == locality


def test_a_copy_brings_its_origin_and_zone_and_shows_no_mark():
    meta = {"pilot-plus-origin": "east|zk|a/b|", "pilot-plus-zone": "east/vm", "team": "shop"}
    made = decoded({"Meta": meta})
    assert (made.origin, made.zone) == (Origin("east", "zk", "a/b"), "east/vm")
    assert made.metadata == (("team", "shop"),)


def test_keys_never_collide_whatever_the_names():
    assert (
        len({key_of("a/b", "c", "d"), key_of("a", "b/c", "d"), key_of("a", "b", "c/d"), key_of("a%2Fb", "c", "d")}) == 4
    )


URL = "dubbo://10.1.0.7:20880/com.example.OrderService?interface=com.example.OrderService&version=1.0.0&weight=50"


def test_a_dubbo_url_says_everything_but_the_health():
    service = {"Service": "com.example.OrderService", "Meta": {"url": URL}, "Address": "10.1.0.1", "Port": 1}
    made = decoded(service, None, check("warning"))
    assert made.name == "com.example.OrderService:1.0.0"
    assert (made.address, made.ports, made.weight) == ("10.1.0.7", (Port("dubbo", 20880, "dubbo"),), 50)
    assert (made.health, made.layout) == (Health.WARNING, "")
    assert made.key == "com.example.OrderService/n1/orders-1"


def test_a_dubbo_url_that_disables_its_provider_makes_it_critical():
    service = {"Service": "com.example.OrderService", "Meta": {"url": URL + "&enabled=false"}}
    assert decoded(service, None, check("passing")).health is Health.CRITICAL


def test_another_url_in_meta_is_metadata():
    made = decoded({"Meta": {"url": "https://wiki.example/orders"}})
    assert made.metadata == (("url", "https://wiki.example/orders"),)


@pytest.mark.parametrize(
    "service",
    [
        {"Port": 70_000},
        {"Port": 0},
        {"Port": -1},
        {"Address": "not an address"},
        {"Service": ""},
        {"Service": "a\nb"},
        {"ID": "a\x00b"},
        {"Meta": {"pilot-plus-origin": "damaged"}},
        {"Meta": {"pilot-plus-id": "x", "pilot-plus-ports": "http:x"}},
        {"Meta": {"pilot-plus-id": "x", "pilot-plus-lease": "nan"}},
        {"Meta": {"url": "dubbo://10.1.0.7:99999/orders"}},
        {"Meta": {"url": "dubbo://10.1.0.7:20880/other?interface=other"}},
    ],
)
def test_a_record_that_can_not_be_used_says_why(service: dict[str, object]):
    with pytest.raises(ValueError, match=r"\S"):
        decode(entry(service), "http")


@pytest.mark.parametrize("raw", [b"1", b"[]", b"{}", b'{"Node":{"Node":1},"Service":{}}', b"{" * 5000, b'"\xff"'])
def test_what_is_no_entry_is_a_value_error(raw: bytes):
    with pytest.raises(ValueError, match=r"\S"):
        entry_of(msgspec.Raw(raw))


_texts = st.text(max_size=30) | st.sampled_from(["consul", "../x", "true", "dubbo://h:1/x", "a=b", "c|d", "east|zk|x|"])
_meta = st.dictionaries(
    _texts | st.sampled_from(["url", "protocol", "pilot-plus-id", "pilot-plus-ports", "pilot-plus-origin"]), _texts
)


@given(
    service=st.fixed_dictionaries(
        {"Service": _texts, "ID": _texts, "Address": _texts, "Port": st.integers(-(2**63), 2**64)},
        optional={
            "Meta": _meta | st.none(),
            "Tags": st.lists(_texts) | st.none(),
            "Weights": st.fixed_dictionaries({"Passing": st.integers(-(2**40), 2**40)}),
        },
    ),
    node=st.fixed_dictionaries({"Node": _texts, "Address": _texts, "Meta": _meta | st.none()}),
    statuses=st.lists(_texts),
)
def test_a_hostile_record_is_an_instance_or_a_value_error(
    service: dict[str, object], node: dict[str, object], statuses: list[str]
):
    checks = [{"Status": status, "CheckID": status} for status in statuses]
    with suppress(ValueError):
        made = decode(entry(service, node, *checks), "http")
        assert made is None or made.key


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_an_entry_or_a_value_error(data: bytes):
    with suppress(ValueError):
        entry_of(msgspec.Raw(data))
