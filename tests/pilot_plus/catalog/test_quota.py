"""A quota: what is beyond it is skipped, what is there stays, and who gives back has room again."""

from hypothesis import given
from hypothesis import strategies as st
from immutables import Map

from pilot_plus.catalog import Catalog, Source
from pilot_plus.catalog.admission import Admission
from pilot_plus.catalog.fold import Rules, fold
from pilot_plus.catalog.quota import KILOBYTE, size_of
from pilot_plus.model import Drop, Instance, Port, Put, Reset, Update, instance

MOST = 4
RULES = Rules(Admission(cluster="east", registry="west", zone="west/vm", namespace="n"), most=MOST)


def copy(key: str, kilobytes: int = 0) -> Instance:
    metadata = {"text": "x" * KILOBYTE * kilobytes} if kilobytes else {}
    return instance(
        key=key, name="orders", id=key, address="10.1.0.7", ports=[Port("http", 80, "http")], metadata=metadata
    )


RECORDS = st.builds(copy, st.sampled_from("abcdefgh"), st.integers(0, 2))
UPDATES: st.SearchStrategy[Update] = st.one_of(
    st.builds(Put, RECORDS),
    st.builds(Drop, st.sampled_from("abcdefgh")),
    st.builds(Reset, instances=st.lists(RECORDS, max_size=6, unique_by=lambda one: one.key)),
)


@given(st.lists(st.lists(UPDATES, max_size=6), max_size=8))
def test_a_source_never_holds_more_and_what_it_holds_is_counted(batches: list[list[Update]]):
    catalog = Catalog(epoch="e", sources=Map({"west": Source(name="west", kind="peer", zone="")}))
    for updates in batches:
        catalog = fold(catalog, "west", updates, RULES, 0.0).catalog
        source = catalog.sources["west"]
        assert source.tally == sum(map(size_of, source.instances.values())) <= MOST


def test_what_is_beyond_the_quota_is_skipped_with_the_reason_and_has_room_when_another_goes():
    catalog = Catalog(epoch="e", sources=Map({"west": Source(name="west", kind="peer", zone="")}))
    catalog = fold(catalog, "west", [Reset(), *(Put(copy(key)) for key in "abcde")], RULES, 0.0).catalog
    assert sorted(catalog.sources["west"].instances) == list("abcd")
    assert "of which 4 may be" in catalog.sources["west"].skipped["e"]
    catalog = fold(catalog, "west", [Drop("a"), Put(copy("e"))], RULES, 0.0).catalog
    assert sorted(catalog.sources["west"].instances) == list("bcde")
    assert not catalog.sources["west"].skipped
