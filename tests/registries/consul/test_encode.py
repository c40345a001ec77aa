"""What is written into Consul is what is read from it, but for what the table says."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilot_plus.model import NO_ORIGIN, NOWHERE, Health, Instance, Locality, Origin, Port, instance
from registries.consul.decode import decode, entry_of, key_of, parts_of
from registries.consul.encode import MAX_PAIRS, MAX_VALUE, PREFIX, Registration, encode, lease_service
from registries.layouts.dubbo_url import parse_url

LEASE = f"{PREFIX}lease:5f3a"


def copy(**fields: object) -> Instance:
    whole = {"name": "orders", "id": "orders-1", "address": "10.1.0.7", "ports": [Port("http", 8080, "http")]}
    return instance(key="", **{**whole, **fields})  # type: ignore[arg-type]  # the fields of one test


def in_catalog(body: Registration, *, lease_is: str = "passing") -> dict[str, object]:
    """The catalog's entry of a registration, as the agent makes it."""
    checks = [
        {
            "Node": "n1",
            "CheckID": check.check_id,
            "ServiceID": body.id,
            "Status": lease_is if check.alias_service else check.status,
        }
        for check in body.checks
    ]
    raw = msgspec.to_builtins(body)
    service = {"ID": raw["ID"], "Service": raw["Name"], **{k: raw[k] for k in ("Address", "Port", "Tags", "Meta")}}
    return {
        "Node": {"Node": "n1", "Address": "10.9.0.1", "Datacenter": "dc1"},
        "Service": {**service, "Weights": raw["Weights"]},
        "Checks": checks,
    }


def read_back(body: Registration, **options: str) -> Instance:
    made = decode(entry_of(msgspec.Raw(msgspec.json.encode(in_catalog(body, **options)))), "unknown")
    assert made is not None
    return made


def round_trip(written: Instance) -> Instance:
    return msgspec.structs.replace(read_back(encode(written, LEASE)), key="")


WHOLE = copy(
    ports=[Port("web", 8080, "http"), Port("admin", 9090, "grpc")],
    weight=150,
    lease=15.0,
    locality=Locality("eu", "eu-1", "rack|7"),
    zone="east/legacy",
    origin=Origin("east", "zk", "/dubbo/x", ("north",)),
    metadata={"team": "shop", "a.b": "dotted", "tags": "v1,blue", "long": "x" * 600, "protocol": "odd", "zone": "z"},
)


def test_a_copy_comes_back_whole():
    assert round_trip(WHOLE) == WHOLE


@pytest.mark.parametrize("health", list(Health))
def test_every_health_comes_back(health: Health):
    assert round_trip(copy(health=health)).health is health
    assert round_trip(copy(health=health, lease=5.0)).health is health


def test_a_leased_copy_whose_hub_is_gone_is_critical():
    assert read_back(encode(copy(lease=15.0), LEASE), lease_is="critical").health is Health.CRITICAL


def test_a_durable_copy_lives_by_nothing():
    assert encode(copy()).checks == []


def test_what_other_readers_see():
    body = encode(copy(ports=[Port("web", 8443, "https"), Port("b", 1, "tcp")], weight=260, metadata={"team": "shop"}))
    assert (body.name, body.address, body.port) == ("orders", "10.1.0.7", 8443)
    assert (body.weights.passing, body.weights.warning) == (3, 3)
    assert body.meta["team"] == "shop"
    assert (body.meta["protocol"], body.meta["secure"]) == ("https", "true")


def test_weight_nought_sends_nothing_and_comes_back_as_draining():
    back = round_trip(copy(weight=0))
    assert (back.weight, back.health) == (0, Health.DRAINING)


def test_metadata_that_fits_nowhere_is_left_out():
    back = round_trip(copy(metadata={"a.b=c": "1", "x|y": "2", "": "3", "pilot-plus-id": "forged", "team": "shop"}))
    assert back.metadata == (("team", "shop"),)
    assert back.id == "orders-1"


def test_more_metadata_than_meta_holds_goes_into_tags():
    written = copy(metadata={f"name-{number}": "x" for number in range(100)})
    body = encode(written)
    assert len(body.meta) == MAX_PAIRS
    assert round_trip(written) == written


@pytest.mark.parametrize(
    "fields",
    [{"id": "x" * 600}, {"ports": [Port(f"port-{number}", 1000 + number, "http") for number in range(60)]}],
)
def test_what_consul_can_not_hold_is_refused_with_a_reason(fields: dict[str, object]):
    with pytest.raises(ValueError, match=str(MAX_VALUE)):
        encode(copy(**fields))


def test_two_copies_never_share_an_id_and_one_keeps_its_own():
    origins = [NO_ORIGIN, Origin("east", "zk", "a"), Origin("east", "zk", "b"), Origin("west", "zk", "a")]
    ids = [encode(copy(origin=origin)).id for origin in origins]
    assert len(set(ids)) == 4
    assert encode(copy(origin=origins[1], weight=7, metadata={"a": "b"}, lease=5.0), LEASE).id == ids[1]
    assert encode(copy(id="a b/ü")).id.isascii()


DUBBO = copy(
    name="com.example.OrderService:1.0.0:blue",
    ports=[Port("dubbo", 20880, "dubbo")],
    origin=Origin("east", "zk", "x"),
    metadata={"application": "orders", "methods": "find," * 300, "timestamp": "17"},
)


def test_a_dubbo_copy_has_a_url_that_its_consumers_can_read():
    body = encode(DUBBO)
    assert body.name == "com.example.OrderService"
    url = parse_url(body.meta["url"])
    assert (url.protocol, url.host, url.port) == ("dubbo", "10.1.0.7", 20880)
    assert (url.get("interface"), url.get("version"), url.get("group")) == ("com.example.OrderService", "1.0.0", "blue")
    assert "methods" not in url.parameters
    assert url.get("application") == "orders"
    assert len(body.meta["url"]) <= MAX_VALUE
    assert msgspec.structs.replace(round_trip(DUBBO), key="") == DUBBO


@pytest.mark.parametrize("tags", ["", "v1", "dubbo", "v1,dubbo"])
def test_a_dubbo_copy_has_the_tag_that_its_consumers_ask_for_once(tags: str):
    one = copy(ports=[Port("dubbo", 20880, "dubbo")], metadata={"tags": tags} if tags else {})
    body = encode(one)
    assert body.tags.count("dubbo") == 1
    assert msgspec.structs.replace(round_trip(one), key="") == one


def test_older_readers_find_in_a_tag_that_a_copy_speaks_tls():
    one = copy(ports=[Port("web", 8443, "https")])
    assert encode(one).tags == ["secure=true"]
    assert round_trip(one) == one
    said = copy(ports=[Port("web", 8443, "https")], metadata={"secure": "false"})
    assert encode(said).tags == []
    assert round_trip(said) == said


def test_a_dubbo_url_says_that_its_provider_is_not_to_be_called():
    assert parse_url(encode(msgspec.structs.replace(DUBBO, health=Health.DRAINING)).meta["url"]).get("weight") == "0"


def test_a_dubbo_name_that_is_too_long_is_refused():
    with pytest.raises(ValueError, match="URL"):
        encode(copy(name="com.example." + "X" * 480, ports=[Port("dubbo", 1, "dubbo")]))


def test_the_lease_outlives_its_copies_and_is_no_service():
    (check,) = lease_service(LEASE, 15.0).checks
    (alias,) = encode(copy(lease=15.0), LEASE).checks
    assert (check.ttl, alias.alias_service) == ("15000ms", LEASE)
    assert (alias.deregister_critical_service_after, check.deregister_critical_service_after) == ("1m", "30m")
    entry = in_catalog(lease_service(LEASE, 15.0))
    assert decode(entry_of(msgspec.Raw(msgspec.json.encode(entry))), "http") is None


@given(st.tuples(*[st.text(min_size=1)] * 3))
def test_a_key_says_its_parts(parts: tuple[str, str, str]):
    assert parts_of(key_of(*parts)) == parts


@pytest.mark.parametrize("key", ["", "a/b", "a/b/c/d", "//", "a//c"])
def test_what_is_no_key_is_a_value_error(key: str):
    with pytest.raises(ValueError, match="no key"):
        parts_of(key)


@pytest.mark.parametrize("name", ["consul", "Consul", "pilot-plus-lease"])
def test_nobody_takes_the_place_of_consuls_own_service(name: str):
    with pytest.raises(ValueError, match="a name of Consul's own"):
        encode(copy(name=name))


@pytest.mark.parametrize("name", ["..", "/orders", "a/../b", "a//b", "./a"])
def test_a_name_that_consul_can_not_be_asked_for_is_not_written(name: str):
    with pytest.raises(ValueError, match="the path of something else"):
        encode(copy(name=name))


_printable = st.text(st.characters(exclude_categories=("C", "Z")), max_size=12)
_words = _printable.filter(bool)
_ports = st.lists(
    st.builds(
        Port, _words, st.integers(1, 65535), st.sampled_from(["http", "https", "grpc", "tcp", "unknown"]) | _words
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda port: port.name,
)
_names = _words.filter(lambda name: not set(name) & {"=", "|"} and not name.startswith("pilot-plus-"))
_origins = st.just(NO_ORIGIN) | st.builds(Origin, _words, _words, _printable, st.lists(_words, max_size=2).map(tuple))
_copies = st.builds(
    copy,
    name=_words,
    id=_printable.filter(bool),
    ports=_ports,
    health=st.sampled_from(Health),
    weight=st.integers(1, 1_000_000),
    locality=st.just(NOWHERE) | st.builds(Locality, _printable, _printable, _printable),
    metadata=st.dictionaries(_names, _printable, max_size=5),
    origin=_origins,
    lease=st.just(0.0) | st.floats(1, 86400),
)


@given(_copies)
def test_whatever_is_written_is_what_is_read(written: Instance):
    assert round_trip(written) == written
