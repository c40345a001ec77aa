"""The index: what was written without a mark is known as ours, whenever the hub died."""

import msgspec
import pytest

from pilot_plus.model import NO_ORIGIN, Instance, Origin
from pilot_plus.sync.index import KIND, Index
from pilot_plus.views.copies import RULE, Copy
from tests.pilot_plus.sync.hubs import Documents, native

ORIGIN = Origin("east", "zk", "orders/a", ("east",))
RECORD = native("orders", "a", "10.1.0.7", namespace="vm", origin=ORIGIN)
COPY = Copy(rule="r", service="legacy/orders", unit="vm/orders", record=RECORD, expected=RECORD, is_foreseen=False)


def reported(key: str = "k", **fields: object) -> Instance:
    """As a registry that strips metadata reports it."""
    return msgspec.structs.replace(RECORD, key=key, origin=NO_ORIGIN, **fields)


async def test_a_record_is_ours_from_before_it_is_written():
    index = Index(Documents())
    await index.intend("consul", [COPY])
    assert index.owner("consul", reported()) == ("r", ORIGIN)
    assert index.owner("etcd", reported()) is None
    assert index.owner("consul", reported(address="10.1.0.8")) is None


async def test_it_is_known_by_its_key_as_soon_as_the_registry_has_said_it():
    index = Index(Documents())
    await index.intend("consul", [COPY])
    await index.done("consul", [(COPY, "k")])
    assert index.is_written("consul", reported("k", address="10.9.9.9"))
    assert not index.is_written("consul", reported("other"))


@pytest.mark.parametrize("died_after", ["intent", "write"])
async def test_a_hub_that_dies_in_the_middle_knows_it_again(died_after: str):
    documents = Documents()
    index = Index(documents)
    await index.intend("consul", [COPY])
    if died_after == "write":
        await index.done("consul", [(COPY, "k")])
    again = Index(documents)
    await again.load()
    assert again.is_written("consul", reported("k"))
    assert [one.unit for one in again.in_target("consul")] == ["vm/orders"]


async def test_what_is_gone_is_forgotten_and_what_was_refused_is_retracted():
    documents = Documents()
    index = Index(documents)
    await index.intend("consul", [COPY])
    await index.retract("consul", [COPY])
    assert not documents.kinds[KIND]
    await index.intend("consul", [COPY])
    await index.done("consul", [(COPY, "k")])
    await index.forget("consul", [reported("k")])
    assert not documents.kinds[KIND]
    assert not index.is_written("consul", reported("k"))


async def test_what_a_hub_died_over_can_be_forgotten_too():
    documents = Documents()
    await Index(documents).intend("consul", [COPY])
    again = Index(documents)
    await again.load()
    await again.forget("consul", [reported("k")])
    assert not documents.kinds[KIND]


async def test_a_copy_that_bears_its_mark_needs_no_index():
    documents = Documents()
    index = Index(documents)
    await index.intend("consul", [msgspec.structs.replace(COPY, is_foreseen=True)])
    assert documents.kinds == {}


async def test_a_copy_whose_mark_is_edited_away_is_known_by_its_key_until_it_is_gone():
    index = Index(Documents())
    marked = msgspec.structs.replace(COPY, is_foreseen=True)
    await index.done("consul", [(marked, "k")])
    assert index.owner("consul", reported("k", weight=1)) == ("r", ORIGIN)
    assert index.owner("consul", reported("k", metadata=((RULE, "east/other"),))) is None  # it speaks for itself
    await index.forget("consul", [reported("k")])
    assert not index.is_written("consul", reported("k", weight=1))


async def test_what_cannot_be_read_is_nobodys():
    documents = Documents()
    await documents.write(KIND, {"x": b'{"target": 7}'})
    index = Index(documents)
    await index.load()
    assert index.in_target("consul") == []
