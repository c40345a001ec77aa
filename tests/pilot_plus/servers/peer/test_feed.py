"""Feeds: whoever reads in steps, from wherever, has in the end what is exported."""

from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilot_plus.model import Instance, Origin
from pilot_plus.servers.peer import feed as feeds
from pilot_plus.servers.peer.feed import Feed
from pilot_plus.views.export import is_summary
from pilot_plus.wire.peer import Exported
from pilot_plus.wire.selections import Selection
from tests.pilot_plus.servers.peer.east import East
from tests.pilot_plus.views.world import copy, edge


class Reader:
    """Holds what it was told."""

    def __init__(self) -> None:
        self.held: dict[str, Exported] = {}
        self.revision = 0
        self.said = 0

    def read(self, feed: Feed) -> None:
        changes = feed.since(self.revision)
        if changes is None:
            self.held, changes = {}, feed.everything()
        for change in changes:
            self.said += 1
            if change.record is None:
                self.held.pop(change.key, None)
            else:
                self.held[change.key] = change.record
        self.revision = feed.revision


SOURCES = st.sampled_from(["zk", "own", "west", "north"])
IDS = st.sampled_from([f"i-{n}" for n in range(6)])
ACTS = st.one_of(
    st.tuples(st.just("put"), SOURCES, IDS, st.sampled_from(["orders", "carts"]), st.integers(1, 3)),
    st.tuples(st.just("drop"), SOURCES, IDS),
    st.tuples(st.just("edge"), st.sampled_from(["legacy", "mesh"]), st.booleans()),
    st.tuples(st.just("read")),
)


def carried_out(east: East, act: Sequence[object]) -> None:
    match act:
        case ["put", source, id_, service, weight]:
            record = copy(str(id_), str(service), namespace="n", weight=weight)
            if source in ("west", "north"):
                origin = Origin(str(source), "own", str(id_))
                record = msgspec.structs.replace(record, zone=f"{source}/vm", origin=origin)
            east.put(str(source), record)
        case ["drop", source, id_]:
            east.drop(str(source), str(id_))
        case ["edge", zone, True]:
            east.put("pilot-plus", edge("e-1", str(zone)))
        case ["edge", zone, False]:
            east.drop("pilot-plus", f"{zone}/e-1")


@given(st.lists(ACTS, max_size=40), st.booleans(), st.sampled_from([frozenset(), frozenset({"north"})]))
def test_whoever_reads_in_steps_has_what_is_exported(acts, summary, relay):
    east, reader = East(summary=summary, relay=relay), Reader()
    for act in acts:
        if act == ("read",):
            reader.read(east.feed)
        else:
            carried_out(east, act)
    reader.read(east.feed)
    assert reader.held == east.expected()


@given(st.lists(ACTS, max_size=40))
def test_nothing_of_the_reader_itself_and_nothing_that_it_does_not_let_relay_crosses(acts):
    east = East()
    for act in acts:
        carried_out(east, act)
    crossed = [change.record.record for change in east.feed.everything() if change.record]
    assert {record.origin.cluster for record in crossed if isinstance(record, Instance)} <= {"east"}


def test_an_edge_crosses_with_the_first_record_of_its_zone_and_goes_with_the_last():
    east = East()
    east.put("pilot-plus", edge("e-1", "legacy"))
    assert not east.feed.everything()
    east.put("zk", copy("a", namespace="n"))
    assert {change.record.record.name for change in east.feed.everything() if change.record} == {"orders", "edge"}
    east.drop("zk", "a")
    assert not east.feed.everything()


def test_a_copy_that_sync_has_made_does_not_cross():
    east = East()
    east.put("zk", copy("a", namespace="n"))
    east.put("own", copy("b", namespace="n", address="10.9.9.9", origin=Origin("east", "zk", "a")))
    (change,) = east.feed.everything()
    assert change.record is not None
    assert isinstance(change.record.record, Instance)
    assert change.record.record.id == "a"


@pytest.mark.parametrize("services", [("carts", "orders"), ("orders", "carts")])
def test_a_record_that_moves_to_another_service_stays_whichever_is_looked_at_first(services):
    east = East()
    east.put("own", copy("a", services[0], namespace="n"))
    east.put("own", copy("a", services[1], namespace="n"))
    (change,) = east.feed.everything()
    assert change.record is not None
    assert change.record.record.name == services[1]


def test_what_changes_often_is_said_once():
    east, reader = East(), Reader()
    east.put("zk", *(copy(f"i-{n}", namespace="n") for n in range(50)))
    reader.read(east.feed)
    for weight in range(1, 30):
        east.put("zk", copy("i-7", namespace="n", weight=weight))
    reader.said = 0
    reader.read(east.feed)
    assert reader.said == 1


def test_who_was_away_for_longer_than_the_log_is_told_everything(monkeypatch):
    monkeypatch.setattr(feeds, "LOG", 10)
    east, reader = East(), Reader()
    east.put("zk", copy("i-0", namespace="n"))
    reader.read(east.feed)
    for weight in range(1, 60):
        east.put("zk", copy("i-1", namespace="n", weight=weight))
    assert east.feed.since(reader.revision) is None
    reader.read(east.feed)
    assert reader.held == east.expected()


def test_a_summary_counts_the_healthy_weight_of_each_zone():
    east = East(summary=True)
    east.put("zk", copy("a", namespace="n", weight=100), copy("b", namespace="n", weight=50))
    east.put("own", copy("c", namespace="n", weight=7, address="10.3.0.1"))
    found = [change.record.record for change in east.feed.everything() if change.record]
    summaries = {record.zone: record for record in found if isinstance(record, Instance)}
    assert all(is_summary(record) for record in summaries.values())
    assert {zone: record.weight for zone, record in summaries.items()} == {"east/legacy": 150, "east/mesh": 7}
    assert len({record.address for record in summaries.values()}) == 2


def test_summaries_of_two_services_that_have_one_name_there_are_two_records():
    into_one = (Selection(services=("n/*",), rename="shop/all"),)
    east = East(summary=True, selections=into_one)
    east.put("zk", copy("a", "orders", namespace="n", weight=3), copy("b", "carts", namespace="n", weight=4))
    found = [change.record.record for change in east.feed.everything() if change.record]
    assert sorted((one.service, one.weight) for one in found if isinstance(one, Instance)) == [
        ("shop/all", 3),
        ("shop/all", 4),
    ]
    assert len({one.address for one in found if isinstance(one, Instance)}) == 2


def test_a_summary_of_several_ways_is_one_record_and_returns_to_none_of_their_clusters():
    def of_south(key: str, *hops: str) -> Instance:
        made = copy(key, namespace="n", weight=5)
        return msgspec.structs.replace(made, zone="south/vm", origin=Origin("south", "own", key, hops))

    east = East(summary=True, relay=frozenset({"south"}))
    east.put("north", of_south("a", "north"), of_south("b", "far", "north"))
    (one,) = [change.record.record for change in east.feed.everything() if change.record]
    assert isinstance(one, Instance)
    assert (one.weight, one.origin.hops) == (10, ("north", "far"))
