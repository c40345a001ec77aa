"""The fold: what sources say becomes one catalog, and nothing goes that should stay."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from immutables import Map

from pilot_plus.catalog import Catalog, Source, Standing
from pilot_plus.catalog.admission import Admission
from pilot_plus.catalog.fold import Folded, Rules, fold, lose, next_tick, release, restore, tick
from pilot_plus.catalog.guard import Limits
from pilot_plus.catalog.ours import Ours
from pilot_plus.model import (
    Alive,
    Drop,
    Health,
    Instance,
    Origin,
    Port,
    Put,
    Reset,
    Resumed,
    Service,
    Skipped,
    Update,
    instance,
)

RULES = Rules(
    Admission(cluster="east", registry="zk", zone="east/legacy", namespace="legacy"),
    Limits(max_removal=0.5, window=30, hold_for=600, min=5),
)
UNGUARDED = msgspec.structs.replace(RULES, guard=None)


def catalog(*names: str) -> Catalog:
    sources = {name: Source(name=name, kind="memory", zone="east/legacy") for name in names or ("zk",)}
    return Catalog(epoch="e", sources=Map(sources))


def copy(key: str, name: str = "orders", **fields: object) -> Instance:
    made = instance(key=key, name=name, id=key, address="10.1.0.7", ports=[Port("http", 80, "http")])
    return msgspec.structs.replace(made, **fields)


def shown(folded: Folded, service: str = "legacy/orders") -> list[str]:
    entry = folded.catalog.entries.get(service)
    return sorted(key for _, key in entry.instances) if entry else []


def folded(*updates: object, rules: Rules = RULES, now: float = 0.0, at: Catalog | None = None) -> Folded:
    return fold(at or catalog(), "zk", updates, rules, now)  # type: ignore[arg-type]


def test_a_reset_is_the_whole_truth():
    first = folded(Reset(instances=[copy("a"), copy("b")]))
    second = folded(Reset(instances=[copy("b"), copy("c")]), at=first.catalog)
    assert shown(first) == ["a", "b"]
    assert shown(second) == ["b", "c"]


def test_a_reset_with_nothing_changed_changes_nothing():
    first = folded(Reset(instances=[copy("a"), copy("b")]))
    second = folded(Reset(instances=[copy("a"), copy("b")]), at=first.catalog)
    assert second.touched == frozenset()
    assert second.catalog.entries is first.catalog.entries
    assert second.catalog.number == first.catalog.number


def test_being_heard_again_is_no_new_revision():
    first = folded(Reset(instances=[copy("a")]))
    second = folded(Alive("7"), at=first.catalog, now=5.0)
    assert second.catalog.number == first.catalog.number
    assert second.catalog.sources["zk"].heard == 5.0


def test_admission_fills_in_what_the_registrys_place_says():
    entry = folded(Reset(instances=[copy("a")])).catalog.entries["legacy/orders"]
    found = entry.instances["zk", "a"]
    assert (found.zone, found.namespace) == ("east/legacy", "legacy")
    assert (found.origin.cluster, found.origin.registry, found.origin.id) == ("east", "zk", "a")


def test_the_last_instance_of_a_service_goes():
    after = folded(Drop("a"), at=folded(Reset(instances=[copy("a")])).catalog)
    assert after.touched == {"legacy/orders"}
    assert "legacy/orders" not in after.catalog.entries


def test_a_service_without_instances_stays_as_long_as_its_record():
    first = folded(Reset(services=[Service(key="/orders", name="orders")], instances=[copy("a")]))
    second = folded(Drop("a"), at=first.catalog)
    assert second.catalog.entries["legacy/orders"].instances == Map()
    assert "legacy/orders" not in folded(Drop("/orders"), at=second.catalog).catalog.entries


def test_a_record_that_moves_to_another_service_touches_both():
    after = folded(Put(copy("a", name="carts")), at=folded(Reset(instances=[copy("a")])).catalog)
    assert after.touched == {"legacy/orders", "legacy/carts"}
    assert shown(after) == []
    assert shown(after, "legacy/carts") == ["a"]


def test_a_change_of_weight_only_is_a_change():
    first = folded(Reset(instances=[copy("a")]))
    assert folded(Put(copy("a", weight=50)), at=first.catalog).touched == {"legacy/orders"}
    assert folded(Put(copy("a")), at=first.catalog).touched == frozenset()


def test_a_loss_takes_nothing_away_and_says_so():
    lost = lose(folded(Reset(instances=[copy("a")])).catalog, "zk", "connection refused", 9.0)
    source = lost.catalog.sources["zk"]
    assert shown(lost) == ["a"]
    assert (source.standing, source.since, source.error) == (Standing.LOST, 9.0, "connection refused")
    assert folded(Resumed(), at=lost.catalog, now=12.0).catalog.sources["zk"].standing is Standing.SYNCED


def test_a_source_that_was_never_heard_stays_never_synced():
    assert lose(catalog(), "zk", "refused", 1.0).catalog.sources["zk"].standing is Standing.NEVER_SYNCED


def test_sources_do_not_touch_each_other():
    first = fold(catalog("zk", "other"), "other", [Reset(instances=[copy("x")])], RULES, 0.0)
    after = folded(Reset(), at=first.catalog)
    assert list(after.catalog.entries["legacy/orders"].instances) == [("other", "x")]


def test_skips_are_remembered_by_place_and_taken_back():
    first = folded(Reset(instances=[copy("a")]), Skipped("/x", "no JSON"))
    assert dict(first.catalog.sources["zk"].skipped) == {"/x": "no JSON"}
    assert dict(folded(Skipped("/x", ""), at=first.catalog).catalog.sources["zk"].skipped) == {}
    assert dict(folded(Reset(), at=first.catalog).catalog.sources["zk"].skipped) == {}


def test_skips_are_bounded():
    flood = [Skipped(f"/{n}", "bad") for n in range(5000)]
    source = folded(Reset(), *flood).catalog.sources["zk"]
    assert len(source.skipped) == 1000
    assert source.skipped_beyond == 4000


def test_what_may_not_enter_is_skipped_with_the_reason():
    after = folded(Reset(instances=[copy("a", address="224.0.0.1")]))
    assert shown(after) == []
    assert "multicast" in after.catalog.sources["zk"].skipped["a"]


TEN = [copy(f"i{n}") for n in range(10)]


def test_a_mass_removal_is_held_by_the_guard():
    after = folded(Reset(), at=folded(Reset(instances=TEN)).catalog, now=100.0)
    assert len(shown(after)) == 10
    assert len(after.catalog.sources["zk"].held) == 10


def test_a_mass_change_to_critical_is_held_too():
    sick = [copy(f"i{n}", health=Health.CRITICAL) for n in range(10)]
    after = folded(*(Put(one) for one in sick), at=folded(Reset(instances=TEN)).catalog, now=100.0)
    entry = after.catalog.entries["legacy/orders"]
    assert {one.health for one in entry.instances.values()} == {Health.PASSING}
    assert len(after.catalog.sources["zk"].held) == 10


COPIES = [copy(f"c{n}", origin=Origin("east", "consul", f"c{n}")) for n in range(90)]


def test_copies_come_and_go_without_the_guard_for_their_truth_is_told_elsewhere():
    after = folded(Reset(instances=TEN), at=folded(Reset(instances=[*TEN, *COPIES])).catalog, now=100.0)
    assert shown(after) == sorted(one.key for one in TEN)
    assert len(after.catalog.sources["zk"].held) == 0
    assert after.catalog.sources["zk"].passing == 10


def test_copies_that_stay_do_not_hide_that_everything_else_goes():
    after = folded(Reset(instances=COPIES), at=folded(Reset(instances=[*TEN, *COPIES])).catalog, now=100.0)
    assert len(after.catalog.sources["zk"].held) == 10


def test_of_a_peers_records_the_guard_looks_at_those_of_its_own_cluster():
    own = [copy(f"i{n}", origin=Origin("zk", "consul", f"i{n}")) for n in range(10)]
    relayed = [copy(f"r{n}", origin=Origin("north", "consul", f"r{n}", ("zk",))) for n in range(10)]
    at = folded(Reset(instances=[*own, *relayed])).catalog
    assert len(folded(Reset(instances=own), at=at, now=100.0).catalog.sources["zk"].held) == 0
    assert len(folded(Reset(instances=relayed), at=at, now=100.0).catalog.sources["zk"].held) == 10


def test_a_small_removal_passes():
    after = folded(*(Drop(f"i{n}") for n in range(4)), at=folded(Reset(instances=TEN)).catalog, now=1.0)
    assert len(shown(after)) == 6


def test_replacing_everything_at_once_passes_for_the_net_counts():
    fresh = [copy(f"j{n}") for n in range(10)]
    after = folded(Reset(instances=fresh), at=folded(Reset(instances=TEN)).catalog, now=1.0)
    assert shown(after) == sorted(one.key for one in fresh)


def test_removals_one_by_one_within_the_window_are_held_from_the_limit_on():
    at = folded(Reset(instances=TEN)).catalog
    for n in range(8):
        at = folded(Drop(f"i{n}"), at=at, now=1.0 + n).catalog
    assert len(at.sources["zk"].held) == 3


def test_removals_spread_over_windows_are_not_held():
    at = folded(Reset(instances=TEN)).catalog
    for n in range(8):
        at = folded(Drop(f"i{n}"), at=at, now=40.0 * (n + 1)).catalog
    assert len(at.sources["zk"].held) == 0
    assert len(at.entries["legacy/orders"].instances) == 2


def test_what_returns_is_held_no_longer():
    held = folded(Reset(), at=folded(Reset(instances=TEN)).catalog, now=1.0).catalog
    after = folded(Put(copy("i3", weight=7)), at=held, now=2.0)
    assert len(after.catalog.sources["zk"].held) == 9
    assert after.catalog.entries["legacy/orders"].instances["zk", "i3"].weight == 7


def test_a_held_change_takes_the_latest_state_when_released():
    sick = [Put(copy(f"i{n}", health=Health.CRITICAL)) for n in range(10)]
    held = folded(*sick, at=folded(Reset(instances=TEN)).catalog, now=1.0).catalog
    held = folded(Drop("i0"), at=held, now=2.0).catalog
    after = release(held, "zk")
    assert len(shown(after)) == 9
    assert {one.health for one in after.catalog.entries["legacy/orders"].instances.values()} == {Health.CRITICAL}
    assert len(after.catalog.sources["zk"].held) == 0


def test_a_hold_runs_out():
    held = folded(Reset(), at=folded(Reset(instances=TEN)).catalog, now=100.0).catalog
    assert next_tick(held.sources["zk"], RULES) == 700.0
    assert tick(held, "zk", RULES, 699.0) is None
    over = tick(held, "zk", RULES, 700.0)
    assert over is not None
    assert shown(over) == []


def test_explicit_removals_pass_the_guard():
    drops = [Drop(f"i{n}", explicit=True) for n in range(10)]
    assert shown(folded(*drops, at=folded(Reset(instances=TEN)).catalog, now=1.0)) == []


@pytest.mark.parametrize("said", [[Drop(f"i{n}") for n in range(10)], [Reset()]])
def test_what_we_have_taken_out_ourselves_passes_the_guard(said: list[Update]):
    ours, first = Ours(), folded(Reset(instances=TEN)).catalog
    ours.dismiss("zk", (f"i{n}" for n in range(9)))
    assert shown(fold(first, "zk", said, RULES, 1.0, ours.of("zk"))) == []
    ours.forget("zk", ["i1", "i2", "i3", "i4", "i5"])  # they stay after all: who else took them is a question
    assert shown(fold(first, "zk", said, RULES, 1.0, ours.of("zk"))) == ["i1", "i2", "i3", "i4", "i5", "i9"]


def test_what_was_to_be_taken_out_long_ago_is_no_excuse():
    now = [0.0]
    ours = Ours(lambda: now[0])
    ours.dismiss("zk", ["i1"])
    now[0] = 61.0
    ours.dismiss("zk", ["i2"])
    assert set(ours.of("zk").dismissed) == {"i2"}


def test_unmarked_copies_are_no_affair_of_the_guard_and_do_not_count():
    ours = Ours()
    ours.is_written = lambda registry, one: registry == "zk" and one.id in ("i0", "i1", "i2", "i3", "i4")
    first = fold(catalog(), "zk", [Reset(instances=TEN)], RULES, 0.0, ours.of("zk"))
    assert first.catalog.sources["zk"].first_hand == 5
    left = fold(first.catalog, "zk", [Drop(f"i{n}") for n in range(10)], RULES, 1.0, ours.of("zk"))
    assert shown(left) == ["i5", "i6", "i7", "i8", "i9"]


def test_a_source_without_a_guard_holds_nothing():
    first = folded(Reset(instances=TEN), rules=UNGUARDED)
    assert shown(folded(Reset(), at=first.catalog, rules=UNGUARDED)) == []


def test_what_the_journal_knew_is_stale_and_the_first_list_replaces_it_unheld():
    restored = restore(
        catalog(), "zk", [msgspec.structs.replace(one, namespace="legacy") for one in TEN], RULES.admission
    )
    assert restored.catalog.sources["zk"].is_stale
    assert len(shown(restored)) == 10
    assert shown(folded(Reset(instances=TEN[:1]), at=restored.catalog, now=1.0)) == ["i0"]


@pytest.mark.parametrize(("after", "left"), [("drain_after", 10), ("drop_after", 0)])
def test_a_long_loss_drains_or_drops_where_the_configuration_says_so(after: str, left: int):
    rules = msgspec.structs.replace(RULES, **{after: 60.0})
    lost = lose(folded(Reset(instances=TEN)).catalog, "zk", "gone", 100.0).catalog
    assert tick(lost, "zk", rules, 159.0) is None
    over = tick(lost, "zk", rules, 160.0)
    assert over is not None
    assert len(shown(over)) == left
    if left:
        instances = over.catalog.entries["legacy/orders"].instances.values()
        assert {one.health for one in instances} == {Health.DRAINING}
    back = folded(Reset(instances=TEN), rules=rules, at=over.catalog, now=200.0)
    assert {one.health for one in back.catalog.entries["legacy/orders"].instances.values()} == {Health.PASSING}


# ------------------------------------------------------------------------------------------------ properties

keys = st.sampled_from("abcdef")
names = st.sampled_from(["orders", "carts"])
copies = st.builds(copy, keys, names, weight=st.integers(0, 3), health=st.sampled_from(Health))
updates = st.one_of(
    st.builds(Put, copies),
    st.builds(Drop, keys),
    st.builds(
        lambda some: Reset(instances=list({one.key: one for one in some}.values())), st.lists(copies, max_size=6)
    ),
)


@given(st.lists(st.lists(updates, max_size=5), max_size=10))
def test_the_catalog_equals_the_truth_after_any_history(batches):
    at = catalog()
    truth: dict[str, Instance] = {}
    for batch in batches:
        at = folded(*batch, at=at, rules=UNGUARDED).catalog
        for update in batch:
            match update:
                case Put(record=Instance() as record):
                    truth[record.key] = record
                case Drop(key):
                    truth.pop(key, None)
                case Reset(instances=instances):
                    truth = {one.key: one for one in instances}
        by_service = {
            (service, key): one.weight
            for service, entry in at.entries.items()
            for (_, key), one in entry.instances.items()
        }
        assert by_service == {(f"legacy/{one.name}", key): one.weight for key, one in truth.items()}
        source = at.sources["zk"]
        assert source.passing == sum(one.health is Health.PASSING for one in truth.values())


@given(st.lists(st.tuples(st.floats(0, 40), st.lists(updates, max_size=5)), max_size=12))
def test_with_a_guard_everything_true_is_shown_and_release_gives_the_truth(steps):
    at, now = catalog(), 0.0
    truth: dict[str, Instance] = {}
    rules = msgspec.structs.replace(RULES, guard=Limits(max_removal=0.3, window=30, hold_for=1e9, min=2))
    for pause, batch in steps:
        now += pause
        at = folded(*batch, at=at, rules=rules, now=now).catalog
        for update in batch:
            match update:
                case Put(record=Instance() as record):
                    truth[record.key] = record
                case Drop(key):
                    truth.pop(key, None)
                case Reset(instances=instances):
                    truth = {one.key: one for one in instances}
        source = at.sources["zk"]
        assert set(truth) <= set(source.instances) | set(source.held)
        assert source.passing == sum(one.health is Health.PASSING for one in truth.values())
    end = release(at, "zk").catalog
    assert {key: one.weight for key, one in end.sources["zk"].instances.items()} == {
        key: one.weight for key, one in truth.items()
    }


def test_the_window_begins_with_the_first_list_so_what_came_later_may_go_again():
    at = folded(Reset()).catalog
    at = folded(*(Put(one) for one in TEN), at=at, now=1.0).catalog
    after = folded(*(Drop(one.key) for one in TEN), at=at, now=2.0)
    assert len(after.catalog.sources["zk"].held) == 0


def test_a_service_is_touched_when_its_instances_come_to_be_held_and_when_they_are_free_again():
    first = folded(Reset(instances=TEN))
    held = folded(Reset(), at=first.catalog, now=40.0)
    assert held.touched == {"legacy/orders"}
    assert len(held.catalog.sources["zk"].held) == 10
    again = folded(Alive("1"), at=held.catalog, now=41.0)
    assert again.touched == frozenset()
    back = folded(Put(TEN[0]), at=held.catalog, now=42.0)
    assert back.touched == {"legacy/orders"}
    assert len(back.catalog.sources["zk"].held) == 9
