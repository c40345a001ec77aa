"""Changes: what differs between two states is told, and can be taken back."""

from itertools import count, pairwise

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from immutables import Map

from pilot_plus.catalog import Catalog, Entry, Held, Source
from pilot_plus.catalog.changes import Change, Field, Kind, State, between, holds_between, state_of, undo
from pilot_plus.model import Health, Instance, Locality, Origin, Port, instance

REGISTRIES = ("zk", "consul")


def copy(key: str, **fields: object) -> Instance:
    made = instance(key=key, name="orders", id=key, address="10.1.0.7", ports=[Port("http", 80, "http")])
    return msgspec.structs.replace(made, namespace="shop", **fields)


_numbers = count(1)


def entry(*records: tuple[str, Instance]) -> Entry:
    """A state of the service of which nothing is known but itself, so that everything is compared."""
    places = {(registry, one.key): one for registry, one in records}
    number = next(_numbers)
    return Entry(namespace="shop", name="orders", instances=Map(places), changed=number, untold=number)


def told(before: Entry | None, after: Entry | None) -> list[tuple[Kind, str, int]]:
    return [(change.kind, change.id, change.of) for change in between(before, after)]


def test_what_comes_changes_and_goes_is_told_with_how_many_there_were():
    empty = entry()
    before = entry(("zk", copy("a")), ("zk", copy("b")), ("consul", copy("x")))
    after = entry(("zk", copy("a", weight=50)), ("consul", copy("x")), ("consul", copy("y")))
    assert sorted(told(before, after)) == [(Kind.CAME, "y", 1), (Kind.CHANGED, "a", 2), (Kind.GONE, "b", 2)]
    assert told(None, after) == told(empty, after)
    assert told(before, before) == []
    assert {kind for kind, _, _ in told(after, None)} == {Kind.GONE}


def test_where_a_state_tells_what_changed_nothing_else_is_looked_at():
    before = entry(("zk", copy("a")), ("zk", copy("b")))
    after = entry(("zk", copy("a", weight=1)), ("zk", copy("b", weight=2)))
    after = msgspec.structs.replace(
        after, untold=before.changed, latest=((after.changed, (("zk", "b"), ("zk", "gone before it was seen"))),)
    )
    assert told(before, after) == [(Kind.CHANGED, "b", 2)]


def test_only_the_fields_that_changed_are_told_and_metadata_by_name():
    old = copy("a", metadata=(("gone", "1"), ("same", "x"), ("team", "shop")))
    new = copy("a", metadata=(("new", "2"), ("same", "x"), ("team", "cart")), weight=7, health=Health.DRAINING)
    (change,) = between(entry(("zk", old)), entry(("zk", new)))
    assert set(change.fields) == {
        Field("weight", 100, 7),
        Field("health", "passing", "draining"),
        Field("metadata.gone", "1", None),
        Field("metadata.new", None, "2"),
        Field("metadata.team", "shop", "cart"),
    }


def test_what_the_guard_begins_and_ceases_to_hold_is_told():
    records = {one.key: one for one in (copy("a"), copy("b"), copy("c"))}
    free = Source(name="zk", kind="memory", zone="z", instances=Map(records))
    sick = copy("b", health=Health.CRITICAL)
    held = msgspec.structs.replace(free, held=Map({"a": Held(None, 1.0), "b": Held(sick, 1.0)}))
    orders = Map({"shop/orders": entry(*(("zk", one) for one in records.values()))})
    before = Catalog(epoch="e", sources=Map({"zk": free}), entries=orders)
    after = Catalog(epoch="e", sources=Map({"zk": held}), entries=orders)
    begun = sorted(holds_between(before, after, "zk"), key=lambda pair: pair[1].key)
    assert [(service, one.kind, one.key, one.of, one.instance) for service, one in begun] == [
        ("shop/orders", Kind.HELD, "a", 3, None),
        ("shop/orders", Kind.HELD, "b", 3, sick),
    ]
    assert {one.kind for _, one in holds_between(after, before, "zk")} == {Kind.FREED}
    state = state_of(after, orders["shop/orders"])
    for _, change in begun:
        undo(state, change)
    assert state == state_of(before, orders["shop/orders"])


instances = st.builds(
    copy,
    key=st.sampled_from("abcdef"),
    weight=st.integers(0, 3),
    health=st.sampled_from(list(Health)),
    address=st.sampled_from(["10.1.0.1", "10.1.0.2"]),
    zone=st.sampled_from(["east/a", "east/b"]),
    locality=st.builds(Locality, st.sampled_from(["", "eu"])),
    origin=st.builds(Origin, st.just("east"), st.just("zk"), st.sampled_from("ab"), st.sampled_from([(), ("west",)])),
    metadata=st.dictionaries(st.sampled_from("xyz"), st.sampled_from("12")).map(
        lambda said: tuple(sorted(said.items()))
    ),
    lease=st.sampled_from([0.0, 1.5]),
)
entries = st.lists(st.tuples(st.sampled_from(REGISTRIES), instances), max_size=6).map(lambda records: entry(*records))


def plain(found: Entry) -> State:
    sources = {name: Source(name=name, kind="memory", zone="z") for name in REGISTRIES}
    return state_of(Catalog(epoch="e", sources=Map(sources)), found)


@given(st.lists(entries, min_size=1, max_size=5))
def test_whoever_takes_everything_back_is_where_it_began(states: list[Entry]):
    state = plain(states[-1])
    pairs = list(pairwise(states))
    for before, after in reversed(pairs):
        # as it comes back from where it was written
        changes = msgspec.msgpack.decode(msgspec.msgpack.encode(list(between(before, after))), type=list[Change])
        for change in reversed(changes):
            undo(state, change)
        assert state == plain(before)
