"""What is written is what is read: the same, but for what the page says."""

import string
from ipaddress import ip_address
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilot_plus.model import Health, Instance, Locality, Origin, Port, instance
from registries.kubernetes.encode import annotations_of, foreseen, placed
from registries.kubernetes.names import label_of
from tests.kube.rules import MAX_ANNOTATIONS


def made(**fields: Any) -> Instance:
    common: dict[str, Any] = {
        "key": "",
        "namespace": "shop",
        "name": "orders",
        "id": "o-1",
        "address": "10.1.0.1",
        "ports": (Port("http", 8080, "http"),),
        "origin": Origin("east", "zk", "/orders/1", ("east",)),
        "zone": "east/legacy",
    }
    return instance(**(common | fields))


def read_again(one: Instance) -> Instance:
    return msgspec.structs.replace(foreseen(placed(one)), key="")


_NAMES = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=80)
_TEXTS = st.text(st.characters(exclude_categories=["C", "Z"]), max_size=40)
_PORTS = st.lists(
    st.builds(Port, _NAMES, st.integers(1, 65535), st.sampled_from(["http", "http2", "unknown", "udp", "dubbo", "Ω"])),
    min_size=1,
    max_size=3,
    unique_by=lambda port: port.name,
)


@given(
    name=_NAMES,
    id_=_NAMES,
    ports=_PORTS,
    weight=st.integers(0, 1_000_000),
    health=st.sampled_from(Health),
    metadata=st.dictionaries(_TEXTS.filter(lambda name: not name.startswith("pilot-plus-")), _TEXTS, max_size=3),
    lease=st.sampled_from([0.0, 15.0]),
    address=st.ip_addresses().map(str),
)
def test_an_instance_is_read_as_it_was_or_refused_for_its_address(
    name: str,
    id_: str,
    ports: list[Port],
    weight: int,
    health: Health,
    metadata: dict[str, str],
    lease: float,
    address: str,
):
    one = made(
        name=name, id=id_, ports=ports, weight=weight, health=health, metadata=metadata, lease=lease, address=address
    )
    ip = ip_address(address)
    if ip.is_unspecified or ip.is_loopback or ip.is_link_local or ip.is_multicast:
        with pytest.raises(ValueError, match="refuses in slices"):
            placed(one)
        return
    place = placed(one)
    assert msgspec.structs.replace(foreseen(place), key="") == one
    assert place.service[1] == label_of(name)


def test_what_the_page_says_is_not_held_is_not():
    one = made(locality=Locality("eu", "eu-1", "rack"), metadata={"pilot-plus-rule": "east/all", "note": "x" * 3000})
    assert read_again(one) == msgspec.structs.replace(
        one, locality=Locality(az="eu-1"), metadata=(("pilot-plus-rule", "east/all"),)
    )


def test_a_name_that_is_a_label_is_itself_and_others_get_one_of_their_own():
    assert label_of("orders") == "orders"
    names = ["Orders", "orders!", "com.example.Orders:1.0", "9orders", "-orders", "orders-", "o" * 64, "ö", ""]
    labels = {label_of(name) for name in names}
    assert len(labels) == len(names)
    letters = set(string.ascii_lowercase + string.digits + "-")
    for label in labels:
        assert set(label) <= letters
        assert label[0].isalpha()
        assert label[-1] != "-"
        assert len(label) <= 63


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("127.0.0.2", "loopback"),
        ("::1", "loopback"),
        ("fe80::1", "link-local"),
        ("ff02::1", "multicast"),
        ("0.0.0.0", "unspecified"),
        ("orders.example", "host name"),
    ],
)
def test_addresses_that_slices_cannot_have_are_refused(address: str, why: str):
    with pytest.raises(ValueError, match=why):
        placed(made(address=address))


def test_a_hundred_of_the_largest_copies_fit_into_the_annotations_of_a_slice():
    largest = made(metadata={"note": "x" * 1750}, address="2001:db8:1111:2222:3333:4444:5555:6666")
    place = placed(largest)
    assert dict(place.entry.copy.metadata)["note"]
    entries = {}
    for number in range(100):
        address = f"2001:db8:1111:2222:3333:4444:5555:{number + 0x1000:x}"
        one = placed(msgspec.structs.replace(largest, address=address))
        entries[one.key] = one.entry
    texts = annotations_of(place.group, entries)
    assert sum(len(name) + len(text.encode()) for name, text in texts.items()) < MAX_ANNOTATIONS
