from collections.abc import Sequence
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilot_plus.model import Drop, Health, Instance, Put, Service, Skipped
from registries.layouts.curator import Curator
from registries.layouts.dubbo import Dubbo
from registries.layouts.dubbo3 import Dubbo3
from registries.layouts.serverset import Serverset
from registries.layouts.spring import Spring
from registries.zookeeper.records import Records

FOLDER = "/dubbo/a.B/providers"
KEY = "/dubbo/a.B@dubbo://10.1.0.7:1"


def provider(query: str = "", host: str = "10.1.0.7") -> str:
    return f"{FOLDER}/{quote(f'dubbo://{host}:1/a.B?{query}', safe='')}"


def rule(query: str) -> str:
    return f"/dubbo/a.B/configurators/{quote(f'override://0.0.0.0/a.B?{query}', safe='')}"


def said(records: Records) -> list[object]:
    """What was said, an instance by key and weight, a service by name."""
    short: list[object] = []
    for update in records.updates():
        match update:
            case Put(record=Instance() as one):
                short.append((one.key, one.weight))
            case Put(record=Service() as service):
                short.append((service.name, service.aliases))
            case Drop(key=key):
                short.append(f"drop {key}")
            case Skipped(place=place, reason=reason):
                short.append((place.rpartition("/")[2], bool(reason)))
    return short


def dubbo(*paths: str) -> Records:
    records = Records((Dubbo(),))
    for path in (FOLDER, *paths):
        records.put(path, b"", 0)
    return records


def test_a_changed_weight_is_a_new_node_and_one_put():
    records = dubbo(provider("weight=1"))
    assert said(records) == [(KEY, 1)]
    records.put(provider("weight=2"), b"", 1)
    assert said(records) == [(KEY, 2)]
    records.remove(provider("weight=1"))
    assert said(records) == []
    records.remove(provider("weight=2"))
    assert said(records) == [("a.B", ()), f"drop {KEY}"]


def test_the_old_node_may_go_before_the_new_one_comes():
    records = dubbo(provider("weight=1"))
    said(records)
    records.remove(provider("weight=1"))
    records.put(provider("weight=2"), b"", 1)
    assert said(records) == [(KEY, 2)]


def test_the_newest_node_speaks_whatever_the_order_of_reading():
    records = dubbo()
    key = records.put(provider("weight=2"), b"", 8)
    assert not records.is_contested(key)
    records.put(provider("weight=1"), b"", 7)
    assert records.is_contested(key)
    assert said(records) == [(KEY, 2)]
    records.remove(provider("weight=2"))
    assert said(records) == [(KEY, 1)]


def test_the_same_node_again_says_nothing():
    records = dubbo(provider())
    said(records)
    records.put(provider(), b"", 9)
    records.put(FOLDER, b"", 9)
    assert said(records) == []


def test_an_empty_directory_is_a_service_until_something_lies_in_it():
    records = dubbo()
    assert said(records) == [("a.B", ())]
    records.put(provider(), b"", 1)
    assert said(records) == [(KEY, 100), f"drop {FOLDER}"]
    records.remove(provider())
    assert said(records) == [("a.B", ()), f"drop {KEY}"]
    records.remove(FOLDER)
    assert said(records) == [f"drop {FOLDER}"]


def test_a_rule_says_again_what_it_concerns():
    records = dubbo(provider())
    said(records)
    records.put(rule("weight=5"), b"", 0)
    assert said(records) == [(KEY, 5)]
    records.put(provider(host="10.1.0.8"), b"", 0)
    assert said(records) == [("/dubbo/a.B@dubbo://10.1.0.8:1", 5)]
    records.remove(rule("weight=5"))
    assert sorted(map(str, said(records))) == sorted(map(str, [(KEY, 100), ("/dubbo/a.B@dubbo://10.1.0.8:1", 100)]))


def test_a_rule_may_come_before_its_providers():
    records = Records((Dubbo(),))
    for path in (rule("disabled=true"), provider()):
        records.put(path, b"", 0)
    (update,) = records.updates()
    assert isinstance(update, Put)
    assert isinstance(update.record, Instance)
    assert update.record.health is Health.CRITICAL


def test_garbage_is_skipped_and_taken_back():
    records = dubbo(f"{FOLDER}/garbage")
    assert said(records) == [("a.B", ()), ("garbage", True)]
    records.put(f"{FOLDER}/garbage", b"", 1)
    assert said(records) == []
    records.remove(f"{FOLDER}/garbage")
    assert said(records) == [("garbage", False)]


def test_a_rule_that_is_garbage_is_skipped():
    records = dubbo(rule("weight=heavy"))
    assert ("garbage", True) not in said(records)
    assert rule("weight=heavy") in records._unread


def test_an_empty_provider_is_nobody_and_no_skip():
    records = dubbo(f"{FOLDER}/{quote('empty://0.0.0.0/a.B', safe='')}")
    assert said(records) == [("a.B", ())]


ENTRY = b'{"name":"orders","id":"1","address":"10.1.0.7","port":%d,"payload":%s}'
SPRING = b'{"@class":"org.springframework.cloud.zookeeper.discovery.ZookeeperInstance"}'
NODE = "/services/orders/1"


def test_a_record_that_turns_to_garbage_is_dropped_and_skipped():
    records = Records((Spring(),))
    records.put(NODE, ENTRY % (80, SPRING), 1)
    assert said(records) == [(NODE, 100)]
    records.put(NODE, b"garbage", 1)
    assert said(records) == [f"drop {NODE}", ("1", True)]
    records.put(NODE, ENTRY % (81, SPRING), 1)
    assert said(records) == [(NODE, 100), ("1", False)]


def test_whose_record_it_is_the_payload_says():
    records = Records((Spring(), Curator()))
    records.put(NODE, ENTRY % (80, SPRING), 1)
    records.put("/services/orders/2", (ENTRY % (80, b"null")).replace(b'"1"', b'"2"'), 1)
    layouts = [u.record.layout for u in records.updates() if isinstance(u, Put) and isinstance(u.record, Instance)]
    assert layouts == ["spring", "curator"]


def test_a_tree_that_changes_its_layout_changes_its_records_and_drops_none():
    records = Records((Dubbo3(), Spring(), Curator()))
    dubbo3 = b'{"@class":"org.apache.dubbo.registry.zookeeper.ZookeeperInstance","metadata":{}}'
    layouts = []
    for order, payload in enumerate((SPRING, dubbo3, b"null", SPRING)):
        records.put(NODE, ENTRY % (80, payload), order)
        (put,) = records.updates()
        assert isinstance(put, Put)
        assert isinstance(put.record, Instance)
        assert put.record.key == NODE
        layouts.append(put.record.layout)
    assert layouts == ["spring", "dubbo3", "curator", "spring"]


def test_one_instance_in_two_layouts_is_two_records():
    records = Records((Dubbo(), Dubbo3()))
    for path in (FOLDER, provider("weight=1"), "/dubbo/mapping/a.B"):
        records.put(path, b"orders" if "mapping" in path else b"", 0)
    dubbo3 = b'{"@class":"org.apache.dubbo.registry.zookeeper.ZookeeperInstance","metadata":{}}'
    records.put(NODE, ENTRY % (80, dubbo3), 1)
    found = [update.record for update in records.updates() if isinstance(update, Put)]
    assert {(one.name, one.key) for one in found if isinstance(one, Instance)} == {("a.B", KEY), ("orders", NODE)}


def test_a_record_of_a_layout_that_nobody_configured_is_shown_as_skipped():
    records = Records((Spring(),))
    records.put("/services/orders", b"", 0)
    records.put(NODE, ENTRY % (80, b"null"), 1)
    updates = list(records.updates())
    assert updates == [Skipped(NODE, "no configured layout reads it (spring)")]
    records.put(NODE, ENTRY % (80, SPRING), 1)
    assert said(records) == [(NODE, 100), ("1", False)]
    records.put(NODE, ENTRY % (80, b"null"), 1)
    assert said(records) == [f"drop {NODE}", ("1", True)]
    records.remove(NODE)
    assert said(records) == [("orders", ()), ("1", False)]


def test_a_mapping_names_the_service_again():
    records = Records((Dubbo3(),))
    records.put("/dubbo/mapping/a.B", b"orders,web", 1)
    records.put("/services/orders", b"", 0)
    assert said(records) == [("orders", ("a.B",))]
    records.put("/dubbo/mapping/a.C", b"orders", 1)
    assert said(records) == [("orders", ("a.B", "a.C"))]
    records.put("/dubbo/mapping/a.B", b"web", 1)
    assert said(records) == [("orders", ("a.C",))]
    records.remove("/dubbo/mapping/a.C")
    assert said(records) == [("orders", ())]


def test_a_directory_of_directories_is_no_service():
    records = Records((Serverset(root="/d"),))
    for path in ("/d", "/d/shop", "/d/shop/orders"):
        records.put(path, b"", 0)
    assert said(records) == [("shop/orders", ())]
    records.remove("/d/shop/orders")
    assert said(records) == [("shop", ()), "drop /d/shop/orders"]


paths = st.sampled_from(
    [
        FOLDER,
        provider("weight=1"),
        provider("weight=2"),
        provider("weight=3&version=1"),
        provider(host="h"),
        rule("weight=7"),
        rule("disabled=true&version=1"),
        rule("weight=x"),
        f"{FOLDER}/garbage",
        "/services/orders",
        NODE,
        "/dubbo/mapping/a.B",
    ]
)
contents = st.sampled_from([b"", b"orders", ENTRY % (80, SPRING), ENTRY % (81, SPRING), ENTRY % (80, b"null")])
steps = st.lists(st.tuples(paths, st.none() | contents, st.booleans()), max_size=40)


@pytest.mark.parametrize("layouts", [(Dubbo(), Dubbo3(), Spring()), (Dubbo(), Spring(), Curator())], ids=["3", "2"])
@given(steps=steps)
def test_what_was_said_step_by_step_is_what_is_said_at_once(
    layouts: Sequence[Dubbo], steps: list[tuple[str, bytes | None, bool]]
):
    live, truth, skipped = Records(layouts), dict[str, object](), dict[str, str]()
    nodes: dict[str, tuple[bytes, int]] = {}

    def take(records: Records, into: dict[str, object], skips: dict[str, str]) -> None:
        for update in records.updates():
            match update:
                case Put(record=record):
                    into[record.key] = record
                case Drop(key=key):
                    del into[key]
                case Skipped(place=place, reason=""):
                    skips.pop(place, None)
                case Skipped(place=place, reason=reason):
                    skips[place] = reason

    for order, (path, data, listens) in enumerate(steps):
        if data is None:
            live.remove(path)
            nodes.pop(path, None)
        else:
            live.put(path, data, order)
            nodes[path] = data, order
        if listens:
            take(live, truth, skipped)
    take(live, truth, skipped)

    again, afresh, skips = Records(layouts), dict[str, object](), dict[str, str]()
    for path, (data, order) in nodes.items():
        again.put(path, data, order)
    take(again, afresh, skips)
    assert truth == afresh
    assert skipped == skips
    assert len(live._directories) == len(again._directories)
