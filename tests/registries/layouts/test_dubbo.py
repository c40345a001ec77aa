from urllib.parse import quote

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilot_plus.model import NO_ORIGIN, Health, Instance, Origin, Port, Service, instance
from registries.layouts.dubbo import BOOKING, TRANSLATED, Dubbo
from registries.layouts.dubbo_url import can_hold
from registries.layouts.layout import Raw
from registries.layouts.tree import Place
from tests.registries.layouts.samples import instances, words

LAYOUT = Dubbo()
FOLDER = "/dubbo/com.example.OrderService/providers"


def read(url: str, folder: str = FOLDER, layout: Dubbo = LAYOUT) -> Instance:
    (found,) = layout.decode(Raw(f"{folder}/{quote(url, safe='')}"))
    assert isinstance(found, Instance)
    return found


def test_a_provider_is_read_whole():
    one = read(
        "dubbo://10.1.0.7:20880/com.example.OrderService?anyhost=true&application=orders&methods=find,place"
        "&interface=com.example.OrderService&version=1.0.0&group=blue&weight=50&side=provider&dynamic=true&timestamp=17"
    )
    assert one == instance(
        key="/dubbo/com.example.OrderService:1.0.0:blue@dubbo://10.1.0.7:20880",
        name="com.example.OrderService:1.0.0:blue",
        id="10.1.0.7:20880",
        address="10.1.0.7",
        ports=[Port("dubbo", 20880, "dubbo")],
        weight=50,
        metadata={"anyhost": "true", "application": "orders", "methods": "find,place", "timestamp": "17"},
        layout="dubbo",
    )


@pytest.mark.parametrize("host", ["[fd00::9]", "fd00:0:0:0:0:0:0:9", "[FD00:0::0:9]"])
def test_an_ipv6_address_has_one_form_however_it_was_written(host: str):
    assert read(f"dubbo://{host}:20880/com.example.OrderService").address == "fd00::9"


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("", "com.example.OrderService"),
        ("version=1.0.0", "com.example.OrderService:1.0.0"),
        ("group=blue", "com.example.OrderService::blue"),
        ("version=2.0.0&group=blue", "com.example.OrderService:2.0.0:blue"),
    ],
)
def test_empty_parts_at_the_end_of_a_name_are_left_out(query: str, name: str):
    assert read(f"tri://10.1.0.7:50051/com.example.OrderService?{query}").name == name


@pytest.mark.parametrize(
    ("query", "health"),
    [
        ("enabled=false", Health.CRITICAL),
        ("disabled=true", Health.CRITICAL),
        ("disabled=false&enabled=false", Health.PASSING),
        ("weight=0", Health.DRAINING),
        ("weight=0&disabled=true", Health.CRITICAL),
        ("weight=", Health.PASSING),
    ],
)
def test_health_is_read_from_weight_and_switches(query: str, health: Health):
    assert read(f"dubbo://10.1.0.7:20880/com.example.OrderService?{query}").health is health


def test_weight_and_metadata_are_no_part_of_the_key():
    one = read("dubbo://10.1.0.7:20880/com.example.OrderService?weight=1&a=b")
    assert one.key == read("dubbo://10.1.0.7:20880/com.example.OrderService?weight=2").key


def test_an_empty_url_is_nobody_and_a_directory_is_a_service():
    assert LAYOUT.decode(Raw(f"{FOLDER}/{quote('empty://0.0.0.0/com.example.OrderService', safe='')}")) == ()
    assert LAYOUT.decode(Raw(FOLDER)) == (Service(key=FOLDER, name="com.example.OrderService"),)
    assert LAYOUT.decode(Raw("/dubbo/com.example.OrderService")) == ()


@pytest.mark.parametrize(
    "url",
    [
        "dubbo://10.1.0.7:70000/com.example.OrderService",
        "dubbo://10.1.0.7/com.example.OrderService",
        "dubbo://:20880/com.example.OrderService",
        "dubbo://10.1.0.7:20880/com.example.Other",
        "dubbo://10.1.0.7:20880/com.example.OrderService?weight=heavy",
        "dubbo://10.1.0.7:20880/com.example.OrderService?version=1:2",
        "dubbo://10.1.0.7:20880/com.example.OrderService?version=1\n2",
        "dubbo://10.1.0.7:20880/com.example.OrderService?pilot-plus-origin=damaged",
        "dubbo://10.1.0.7\0:20880/com.example.OrderService",
        "no url at all",
    ],
)
def test_what_cannot_be_used_says_why(url: str):
    with pytest.raises(ValueError, match=r"."):
        read(url)


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("/dubbo", Place.DIRECTORY),
        ("/dubbo/a.B", Place.DIRECTORY),
        ("/dubbo/a.B/providers", Place.DIRECTORY),
        ("/dubbo/a.B/providers/x", Place.NAME),
        ("/dubbo/a.B/configurators/x", Place.RULE),
        ("/dubbo/a.B/consumers", Place.ELSEWHERE),
        ("/dubbo/a.B/consumers/x", Place.ELSEWHERE),
        ("/dubbo/metadata", Place.ELSEWHERE),
        ("/dubbo2/a.B", Place.ELSEWHERE),
        ("/", Place.ELSEWHERE),
    ],
)
def test_only_providers_and_configurators_are_of_interest(path: str, place: Place):
    assert LAYOUT.place(path) is place


@pytest.mark.parametrize("root", ["company/dubbo", "/company/dubbo", "/company/dubbo/"])
def test_any_root_is_a_root(root: str):
    layout = Dubbo(root=root)
    assert layout.roots == ("/company/dubbo",)
    one = read("dubbo://h:1/a.B", "/company/dubbo/a.B/providers", layout)
    assert one.key == "/company/dubbo/a.B@dubbo://h:1"


@pytest.mark.parametrize("root", ["/a/../b", "/a//b", "/a/\n"])
def test_a_root_that_is_no_path_is_refused(root: str):
    with pytest.raises(ValueError, match="root"):
        Dubbo(root=root)


@pytest.mark.parametrize("name", ["..", ".:1.0", "a:b:c:d", "a&b", "a:1#2"])
def test_a_name_that_dubbo_cannot_hold_is_refused(name: str):
    with pytest.raises(ValueError, match="no name for Dubbo"):
        LAYOUT.encode(instance(key="k", name=name, id="i", address="h", ports=[Port("dubbo", 1, "dubbo")]))


def test_an_instance_that_speaks_nothing_that_dubbo_speaks_is_refused():
    with pytest.raises(ValueError, match="it speaks http"):
        LAYOUT.encode(instance(key="k", name="a", id="i", address="h", ports=[Port("http", 1, "http")]))


def test_an_unknown_protocol_is_written_as_the_layouts_own():
    raw = Dubbo(protocol="tri").encode(instance(key="k", name="a", id="i", address="h", ports=[Port("", 1)]))
    assert raw.path.startswith("/dubbo/a/providers/tri%3A%2F%2Fh%3A1%2Fa%3F")


def test_an_origin_survives_whatever_its_id_holds():
    origin = Origin("east", "consul", "a&b#c=d/e?f|g,h", ("north",))
    one = instance(key="k", name="a", id="i", address="h", ports=[Port("dubbo", 1, "dubbo")], origin=origin)
    (back,) = LAYOUT.decode(LAYOUT.encode(one))
    assert isinstance(back, Instance)
    assert back.origin == origin


dubbo_names = st.tuples(words, words | st.just(""), words | st.just("")).map(lambda p: ":".join(p).rstrip(":"))


@given(instances(dubbo_names, "dubbo"))
def test_what_is_written_is_read_back_but_for_what_the_table_says(one: Instance):
    (back,) = LAYOUT.decode(LAYOUT.encode(one))
    assert isinstance(back, Instance)
    weight = 0 if one.health is Health.DRAINING else one.weight
    health = Health.CRITICAL if one.health is Health.CRITICAL else Health.PASSING if weight else Health.DRAINING
    taken = TRANSLATED | BOOKING
    expected = msgspec.structs.replace(
        one,
        key=back.key,
        id=back.id,
        weight=weight,
        health=health,
        metadata=tuple(pair for pair in one.metadata if can_hold(*pair) and pair[0] not in taken),
        zone=one.zone if one.origin != NO_ORIGIN else "",
        layout="dubbo",
        lease=0.0,
    )
    assert back == expected


@given(instances(protocol="dubbo"))
def test_no_name_leaves_the_root(one: Instance):
    try:
        raw = LAYOUT.encode(one)
    except ValueError:
        return
    assert raw.path.count("/") == 4
    assert raw.path.startswith("/dubbo/")
    assert not {"", ".", ".."} & set(raw.path[1:].split("/"))
