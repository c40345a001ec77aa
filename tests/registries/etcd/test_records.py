from hypothesis import given
from hypothesis import strategies as st

from pilot_plus.model import Drop, Instance, Put, Service, Skipped, Update
from registries.etcd.claims import Record
from registries.etcd.records import MAX_PLACE, Records, reader_of
from registries.layouts.apisix import Apisix
from registries.layouts.kratos import Kratos
from registries.layouts.micro import Micro
from registries.layouts.naming import Naming

NAMING = reader_of(Naming(prefix="services"), is_plain=True)
UPSTREAMS = reader_of(Apisix(), is_plain=False)
NODES = reader_of(Micro(), is_plain=False)
KEY = b"services/orders/10.2.0.1:9000"
GOOD = b'{"Addr":"10.2.0.1:9000"}'
UPSTREAM = b"/apisix/upstreams/1"


def said(updates: object) -> list[str]:
    """Updates in short: +key, -key, ?place, !place (readable again)."""
    assert isinstance(updates, list | tuple)
    return [_short(update) for update in updates]


def _short(update: Update) -> str:
    match update:
        case Put(record=record):
            return f"+{record.key}"
        case Drop(key=key):
            return f"-{key}"
        case Skipped(place=place, reason=reason):
            return f"{'?' if reason else '!'}{place}"
    raise AssertionError(update)


def test_a_write_is_a_put_and_a_deletion_a_drop():
    records = Records([NAMING])
    assert said(records.put(KEY, GOOD)) == [f"+{KEY.decode()}"]
    assert said(records.delete(KEY)) == [f"-{KEY.decode()}"]
    assert said(records.delete(KEY)) == []


def test_a_record_that_turns_to_garbage_is_dropped_and_skipped_until_it_is_good_or_gone():
    records = Records([NAMING])
    records.put(KEY, GOOD)
    assert said(records.put(KEY, b"garbage")) == [f"-{KEY.decode()}", f"?{KEY.decode()}"]
    assert said(records.put(KEY, b"more")) == [f"?{KEY.decode()}"]
    assert said(records.put(KEY, GOOD)) == [f"+{KEY.decode()}", f"!{KEY.decode()}"]
    records.put(KEY, b"garbage")
    assert said(records.delete(KEY)) == [f"!{KEY.decode()}"]


def test_a_key_that_is_not_text_is_skipped_under_a_name_that_people_can_read():
    records = Records([NAMING])
    (skip,) = records.put(b"services/\xff\n/1", GOOD)
    assert isinstance(skip, Skipped)
    assert skip.place.isprintable()
    assert "UTF-8" in skip.reason or "utf-8" in skip.reason
    assert said(records.delete(b"services/\xff\n/1")) == [f"!{skip.place}"]


def test_the_place_of_a_huge_key_is_bounded_and_its_own():
    records = Records([NAMING])
    places = {
        update.place
        for end in "ab"
        for update in records.put(b"services/" + b"x" * 5000 + end.encode(), GOOD)
        if isinstance(update, Skipped)
    }
    assert len(places) == 2
    assert all(len(place) <= MAX_PLACE for place in places)


def test_after_a_resumption_the_first_news_takes_back_what_may_have_been_said():
    key = KEY.decode()
    assert said(Records([NAMING], past_is_known=False).delete(KEY)) == [f"-{key}", f"!{key}"]
    records = Records([NAMING], past_is_known=False)
    assert said(records.put(KEY, GOOD)) == [f"+{key}", f"!{key}"]
    assert said(records.put(KEY, GOOD)) == [f"+{key}"]
    assert said(Records([NAMING], past_is_known=False).put(KEY, b"garbage")) == [f"-{key}", f"?{key}"]


def test_a_changed_record_drops_the_instances_that_it_says_no_more():
    records, key = Records([UPSTREAMS]), UPSTREAM.decode()
    records.put(UPSTREAM, b'{"nodes":{"10.2.0.1:1":1,"10.2.0.2:1":1}}')
    changed = records.put(UPSTREAM, b'{"nodes":{"10.2.0.2:1":1,"10.2.0.3:1":1}}')
    assert said(changed) == [f"+{key}#10.2.0.2:1", f"+{key}#10.2.0.3:1", f"-{key}#10.2.0.1:1"]
    assert said(records.put(UPSTREAM, b'{"nodes":[]}'))[0] == f"+{key}"
    assert said(records.put(UPSTREAM, b"garbage")) == [f"-{key}", f"?{key}"]


def test_of_two_layouts_with_one_root_the_first_whose_record_it_is_reads_it():
    kratos = reader_of(Kratos(prefix="services"), is_plain=True)
    records = Records([kratos, NAMING])
    (put,) = records.put(KEY, GOOD)
    assert isinstance(put, Put)
    assert isinstance(put.record, Instance)
    assert put.record.layout == "naming"
    (skip,) = Records([kratos, NAMING]).put(KEY, b"garbage")
    assert isinstance(skip, Skipped)


def test_a_record_that_changes_its_layout_is_changed_and_not_dropped():
    kratos = reader_of(Kratos(prefix="services"), is_plain=True)
    records = Records([kratos, NAMING])
    key = b"services/orders/1"
    for data, layout in (
        (b'{"Addr":"10.2.0.1:9000"}', "naming"),
        (b'{"id":"1","name":"orders","endpoints":["grpc://10.2.0.1:9000"]}', "kratos"),
    ):
        (put,) = records.put(key, data)
        assert isinstance(put, Put)
        assert isinstance(put.record, Instance)
        assert (put.record.key, put.record.layout) == (key.decode(), layout)


def test_a_list_says_each_key_once():
    records = Records([NAMING, NODES])
    found: list[Record] = []
    skips: list[Skipped] = []
    node = b'{"name":"a","nodes":[{"id":"1","address":"10.0.0.1:1"},{"id":"2","address":"10.0.0.2:1"}]}'
    records.take(KEY, GOOD, found, skips)
    records.take(b"/micro/registry/a/1", node, found, skips)
    records.take(b"/micro/registry/a/3", b"garbage", found, skips)
    assert [one.key for one in found] == [KEY.decode()]
    assert [one.key for one in records.claimed()] == ["/micro/registry/a/1", "/micro/registry/a/1#2"]
    assert [one.place for one in skips] == ["/micro/registry/a/3"]
    gone = said(records.delete(b"/micro/registry/a/1"))
    assert sorted(gone) == ["-/micro/registry/a/1", "-/micro/registry/a/1#2"]


_VALUES = st.sampled_from(
    [
        b'{"nodes":{"10.2.0.1:1":1}}',
        b'{"nodes":{"10.2.0.1:1":2,"10.2.0.2:1":1}}',
        b'{"nodes":{}}',
        b"garbage",
        b"",
        GOOD,
    ]
)
_PATHS = st.sampled_from([UPSTREAM, b"/apisix/upstreams/2", KEY, b"services/orders/x", b"services/\xff"])


@given(st.lists(st.tuples(_PATHS, st.none() | _VALUES), max_size=30))
def test_any_history_ends_where_a_list_would(history: list[tuple[bytes, bytes | None]]):
    readers = [NAMING, UPSTREAMS]
    records = Records(readers)
    truth: dict[bytes, bytes] = {}
    mirror: dict[str, Instance | Service] = {}
    skipped: set[str] = set()
    for path, data in history:
        if data is None:
            truth.pop(path, None)
        else:
            truth[path] = data
        for update in records.delete(path) if data is None else records.put(path, data):
            match update:
                case Put(record=record):
                    mirror[record.key] = record
                case Drop(key=key):
                    assert mirror.pop(key, None), "a drop of what was never put"
                case Skipped(place=place, reason=reason):
                    (skipped.add if reason else skipped.remove)(place)
    found: list[Record] = []
    skips: list[Skipped] = []
    fresh = Records(readers)
    for path, data in truth.items():
        fresh.take(path, data, found, skips)
    listed = {one.key: one for one in [*found, *fresh.claimed()]}
    assert mirror == listed
    assert skipped == {one.place for one in skips}
