"""What must outlive the process does, on both databases."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilot_plus.journal import Changes, Conflict, Journal, Known
from pilot_plus.journal.documents import ABSENT
from pilot_plus.journal.form import INSTANCE, SERVICE, decode, encode
from pilot_plus.journal.records import TOGETHER
from pilot_plus.journal.tables import MIGRATIONS as JOURNAL
from pilot_plus.model import Health, Instance, Locality, Origin, Port, Service, instance
from pilot_plus.sql import Migrations
from registries.database.household import MIGRATIONS as REGISTRY
from tests.live.test_database import by_hand


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.live)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/journal.db"
    return str(request.getfixturevalue("postgres").fresh_database())


def order(n: int, weight: int = 100) -> Instance:
    return instance(
        key=f"/services/orders/{n}", name="orders", id=str(n), address="10.1.0.1", ports=(Port("http", 8080, "http"),),
        namespace="legacy", health=Health.WARNING, weight=weight, zone="east/legacy", locality=Locality("eu", "a", ""),
        metadata={"team": "shop"}, origin=Origin("east", "zk", f"/{n}", ("west",)), layout="spring", lease=15.0,
    )  # fmt: skip


ORDERS = Service(key="/services/orders", name="orders", namespace="legacy", aliases=("o",), ports=(Port("http", 80),))


async def known(url: str, registry: str = "zk") -> Known:
    async with Journal.open(url) as journal:
        return (await journal.last_known()).get(registry, Known())


async def write(url: str, *changes: Changes) -> None:
    async with Journal.open(url) as journal:
        await journal.write(changes)


def same(found: Sequence[Instance], *expected: Instance) -> bool:
    return sorted(found, key=lambda one: one.key) == sorted(expected, key=lambda one: one.key)


async def test_a_journal_that_was_just_made_knows_nothing(url: str):
    async with Journal.open(url) as journal:
        assert await journal.last_known() == {}


async def test_records_come_back_as_they_were(url: str):
    await write(url, Changes("zk", [order(1), ORDERS]), Changes("consul", [order(2)]))
    assert await known(url) == Known([ORDERS], [order(1)])
    assert await known(url, "consul") == Known([], [order(2)])


async def test_changes_change_and_drops_drop(url: str):
    await write(url, Changes("zk", [order(1), order(2), order(3)]))
    await write(url, Changes("zk", [order(1, weight=5)], [order(2).key, "/never/there"]))
    assert same((await known(url)).instances, order(1, weight=5), order(3))


async def test_a_whole_list_replaces_what_was_known_of_that_registry_only(url: str):
    await write(url, Changes("zk", [order(1), order(2)]), Changes("consul", [order(9)]))
    await write(url, Changes("zk", [order(2, weight=5), order(3)], whole=True))
    assert same((await known(url)).instances, order(2, weight=5), order(3))
    assert same((await known(url, "consul")).instances, order(9))
    await write(url, Changes("zk", whole=True))
    assert await known(url) == Known([], [])


async def test_a_large_change_arrives_whole(url: str):
    many = [order(n) for n in range(TOGETHER + 700)]
    await write(url, Changes("zk", many))
    assert same((await known(url)).instances, *many)
    changed = [order(n, weight=7) for n in range(TOGETHER + 1)]
    await write(url, Changes("zk", changed, [one.key for one in many[TOGETHER + 1 :]]))
    assert same((await known(url)).instances, *changed)
    await write(url, Changes("zk", drops=[one.key for one in changed]))
    assert (await known(url)).instances == []


async def test_several_large_lists_make_no_trouble_for_each_other(url: str):
    lists = {f"r{n}": [order(n * 10_000 + m) for m in range(1200)] for n in range(3)}
    async with Journal.open(url) as first, Journal.open(url) as second, asyncio.TaskGroup() as tasks:
        for registry, records in lists.items():
            tasks.create_task(first.write([Changes(registry, records, whole=True)]))
            tasks.create_task(second.write([Changes(registry, records, whole=True)]))
    for registry, records in lists.items():
        assert same((await known(url, registry)).instances, *records)


async def test_what_no_database_can_hold_is_left_out_and_harms_nobody(url: str):
    hostile = [
        msgspec.structs.replace(order(2), key="a\0b"),
        msgspec.structs.replace(order(3), key="\ud800"),
        msgspec.structs.replace(order(4), metadata=(("x", "\udcff"),)),
    ]
    await write(url, Changes("zk", [*hostile, order(1)], ["a\0b", "\ud800"]))
    assert same((await known(url)).instances, order(1))


async def test_records_of_another_version_are_left_unread(url: str):
    await write(url, Changes("zk", [order(1), order(2), order(3)]))
    await by_hand(url, "UPDATE journal_records SET form = 99 WHERE key LIKE '%/1'")
    await by_hand(url, "UPDATE journal_records SET payload = CAST('x' AS " + _blob(url) + ") WHERE key LIKE '%/2'")
    assert await known(url) == Known([], [order(3)], unread=2)


async def test_a_registry_that_is_forgotten_is_gone(url: str):
    async with Journal.open(url) as journal:
        await journal.write([Changes("zk", [order(n) for n in range(1500)]), Changes("consul", [order(1)])])
        await journal.forget("zk")
        assert set(await journal.last_known()) == {"consul"}
        await journal.write([Changes("zk", [order(1)])])
        assert same((await journal.last_known())["zk"].instances, order(1))


async def test_the_cluster_keeps_its_id_and_every_opening_has_a_higher_epoch(url: str):
    async with Journal.open(url) as first, Journal.open(url) as second:
        assert first.id == second.id
        assert len(first.id) == 32
        assert first.epoch < second.epoch
    async with Journal.open(url) as third:
        assert (third.id, third.epoch) == (first.id, second.epoch + 1)


async def test_documents_are_kept_by_kind_and_key(url: str):
    async with Journal.open(url) as journal:
        documents = journal.documents
        assert await documents.get("port", "a") is None
        written = await documents.put("port", "a", b'{"number": 20000}')
        await documents.put("token", "a", b"[]")
    async with Journal.open(url) as journal:
        assert await journal.documents.get("port", "a") == written
        assert written.payload == b'{"number":20000}'
        assert await journal.documents.list("port") == [written]
        assert await journal.documents.changed("port", written.revision - 1) == [written]
        assert await journal.documents.changed("port", written.revision) == []
        before = await journal.documents.revision()
        await journal.documents.delete("port", "a")
        assert await journal.documents.revision() > before
        await journal.documents.delete("port", "a")
        assert await journal.documents.list("port") == []


async def test_who_writes_with_an_old_revision_loses_and_is_told(url: str):
    async with Journal.open(url) as journal:
        documents = journal.documents
        first = await documents.put("port", "a", b"1", expected=ABSENT)
        with pytest.raises(Conflict):
            await documents.put("port", "a", b"2", expected=ABSENT)
        second = await documents.put("port", "a", b"2", expected=first.revision)
        with pytest.raises(Conflict):
            await documents.delete("port", "a", expected=first.revision)
        await documents.delete("port", "a", expected=second.revision)
        again = await documents.put("port", "a", b"3")
        assert again.revision > second.revision


async def test_of_many_who_compare_and_set_at_once_one_wins(url: str):
    async def take(journal: Journal, n: int) -> bool:
        try:
            await journal.documents.put("lock", "a", str(n).encode(), expected=ABSENT)
        except Conflict:
            return False
        return True

    async with Journal.open(url) as first, Journal.open(url) as second:
        async with asyncio.TaskGroup() as tasks:
            taken = [tasks.create_task(take(journal, n)) for n in range(5) for journal in (first, second)]
        assert sum(task.result() for task in taken) == 1


async def test_many_documents_are_written_at_once_or_not_at_all(url: str):
    async with Journal.open(url) as journal:
        documents = journal.documents
        await documents.write("index", {f"{n:04}": b"{}" for n in range(1200)}, ["never there"])
        assert [one.key for one in await documents.list("index")] == [f"{n:04}" for n in range(1200)]
        with pytest.raises(ValueError, match="truncated"):
            await documents.write("index", {"good": b"{}", "bad": b"{"}, ["0001"])
        assert len(await documents.list("index")) == 1200
        await documents.write("index", {}, [f"{n:04}" for n in range(1199)])
        assert [one.key for one in await documents.list("index")] == ["1199"]


@pytest.mark.parametrize("migrations", [JOURNAL, REGISTRY])
def test_the_head_that_is_named_is_the_newest_revision_there_is(migrations: Migrations):
    from alembic.script import ScriptDirectory

    assert ScriptDirectory(str(migrations.folder)).get_heads() == [migrations.head]


@given(st.sampled_from([INSTANCE, SERVICE, 0, 77]), st.binary())
def test_any_payload_is_a_record_or_nothing(form: int, payload: bytes):
    decode(form, payload)


@given(st.sampled_from([order(1), ORDERS]), st.integers(0, 400), st.integers(0, 255))
def test_a_damaged_payload_is_a_record_or_nothing(record: Instance | Service, place: int, byte: int):
    form, payload = encode(record)
    damaged = bytearray(payload)
    damaged[place % len(damaged)] = byte
    decode(form, bytes(damaged))
    assert decode(form, payload) == record


def _blob(url: str) -> str:
    return "BLOB" if url.startswith("sqlite") else "BYTEA"
