from urllib.parse import quote

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilot_plus.model import NO_ORIGIN, Health, Instance, Port, Service, instance
from registries.layouts.dubbo_url import can_hold
from registries.layouts.layout import Raw
from registries.layouts.sofarpc import TRANSLATED, Sofarpc
from registries.layouts.tree import Place
from tests.registries.layouts.samples import instances, words

LAYOUT = Sofarpc()
FOLDER = "/sofa-rpc/com.example.OrderService/providers"


def read(url: str) -> Instance:
    (found,) = LAYOUT.decode(Raw(f"{FOLDER}/{quote(url, safe='')}"))
    assert isinstance(found, Instance)
    return found


def test_a_provider_is_read_whole():
    one = read("bolt://10.1.0.8:12200?version=1.0&uniqueId=&weight=50&appName=orders&dynamic=true")
    assert one == instance(
        key="/sofa-rpc/com.example.OrderService@bolt://10.1.0.8:12200",
        name="com.example.OrderService",
        id="10.1.0.8:12200",
        address="10.1.0.8",
        ports=[Port("bolt", 12200, "bolt")],
        weight=50,
        metadata={"appName": "orders"},
        layout="sofarpc",
    )


def test_a_unique_id_is_part_of_the_name_and_a_special_version_is_kept():
    one = read("bolt://10.1.0.8:12200?version=2.0&uniqueId=blue")
    assert one.name == "com.example.OrderService:blue"
    assert one.meta("version") == "2.0"


def test_only_providers_are_of_interest():
    places = [
        LAYOUT.place(f"/sofa-rpc/a.B{path}") for path in ("", "/providers", "/providers/x", "/configs", "/consumers/x")
    ]
    assert places == [Place.DIRECTORY, Place.DIRECTORY, Place.NAME, Place.ELSEWHERE, Place.ELSEWHERE]
    assert LAYOUT.decode(Raw(FOLDER)) == (Service(key=FOLDER, name="com.example.OrderService"),)


@given(st.text())
def test_any_name_is_a_record_or_a_value_error(text: str):
    for name in (text, quote(f"bolt://{text}", safe="", errors="replace")):
        try:
            LAYOUT.decode(Raw(f"{FOLDER}/{name}"))
        except ValueError:
            continue


def test_a_critical_instance_is_refused():
    one = instance(key="k", name="a", id="i", address="h", ports=[Port("bolt", 1, "bolt")], health=Health.CRITICAL)
    with pytest.raises(ValueError, match="critical"):
        LAYOUT.encode(one)


sofa_names = st.tuples(words, words | st.just("")).map(lambda parts: ":".join(parts).rstrip(":"))


@given(instances(sofa_names, "bolt").filter(lambda one: one.health is not Health.CRITICAL))
def test_what_is_written_is_read_back_but_for_what_the_table_says(one: Instance):
    (back,) = LAYOUT.decode(LAYOUT.encode(one))
    assert isinstance(back, Instance)
    weight = 0 if one.health is Health.DRAINING else one.weight
    metadata = tuple(
        pair for pair in one.metadata if can_hold(*pair) and pair[0] not in TRANSLATED and pair != ("version", "1.0")
    )
    assert back == msgspec.structs.replace(
        one,
        key=back.key,
        id=back.id,
        weight=weight,
        health=Health.PASSING if weight else Health.DRAINING,
        metadata=metadata,
        zone=one.zone if one.origin != NO_ORIGIN else "",
        layout="sofarpc",
        lease=0.0,
    )


@given(instances(protocol="bolt"))
def test_no_name_leaves_the_root(one: Instance):
    try:
        raw = LAYOUT.encode(one)
    except ValueError:
        return
    assert raw.path.startswith("/sofa-rpc/")
    assert len(raw.path.split("/")) == 5
    assert not {".", ".."} & set(raw.path.split("/"))
