"""The records of each registry as last known.

Every record belongs to a generation of its registry, and one generation is current. Changes go into the current one. A
whole list is written beside it in short transactions, and becomes current in the last of them: whoever dies meanwhile
leaves a generation that nobody reads.

    generation 7, current          generation 7, current           generation 8, current
    a b c                          a b c                           a d
                                   generation 8: a …               (7 is removed, a piece at a time)
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from heapq import merge
from itertools import islice
from operator import attrgetter
from typing import Final

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection

from pilot_plus.journal.form import check_key, decode, encode
from pilot_plus.journal.tables import RECORDS, REGISTRIES, TURN, next_revision, upsert
from pilot_plus.model import Instance, Service
from pilot_plus.sql import Store

CHUNK: Final = 500
"""Records that are written or read without letting others run: a few milliseconds."""
TOGETHER: Final = 1000
"""Changes of one transaction: about 20 ms, and a registration that comes meanwhile waits for them."""
_RUN: Final = 5000
_key: Final = attrgetter("key")
_INDEX: Final = ("registry", "generation", "key")


class Changes(msgspec.Struct, frozen=True):
    """What has changed in one registry."""

    registry: str
    puts: Sequence[Instance | Service] = ()
    drops: Sequence[str] = ()
    """Keys."""
    whole: bool = False
    """`puts` is everything that the registry holds; what else is known of it is forgotten."""


class Known(msgspec.Struct, frozen=True):
    """A registry's records as last known."""

    services: Sequence[Service] = ()
    instances: Sequence[Instance] = ()
    unread: int = 0
    """Records of a form that this version does not know."""


class Records:
    """The records in one store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._insert = upsert(RECORDS, _INDEX, is_sqlite=True) if store.is_sqlite else _insert_many()

    async def write(self, changes: Sequence[Changes]) -> None:
        """Write each whole list as one step, and small changes together in one transaction.

        More than `TOGETHER` changes of a registry come in several transactions, so that nobody waits long for the
        database: what is new first, what goes last, so that whoever dies meanwhile leaves no record out. The first
        records of a registry count as a whole list.

        Raises:
            OSError: the database can't be written; what was, can be written again.
        """
        small = [change for change in changes if not change.whole and _size(change) <= TOGETHER]
        while small:
            size, first = 0, []
            while small and size + _size(small[0]) <= TOGETHER:
                size += _size(small[0])
                first.append(small.pop(0))
            await self._write_together(first)
        for change in changes:
            if change.whole:
                await self._write_whole(change)
            elif _size(change) > TOGETHER:
                await self._write_large(change)

    async def last_known(self) -> Mapping[str, Known]:
        """Every registry that was ever written, with its records."""
        async with self._store.reading() as connection:
            current = (await connection.execute(sa.select(REGISTRIES))).all()
            return {registry: await _known(connection, registry, generation) for registry, generation in current}

    async def forget(self, registry: str) -> None:
        """Remove all that is known of a registry."""
        async with self._store.writing(TURN) as connection:
            await connection.execute(sa.delete(REGISTRIES).where(REGISTRIES.c.registry == registry))
            newest = await next_revision(connection)
        await self._remove_before(registry, newest)

    async def _write_together(self, changes: Sequence[Changes]) -> None:
        async with self._store.writing(TURN, lasting=False) as connection:
            for change in changes:
                generation = await _generation(connection, change.registry)
                for rows in _chunks(change.puts):
                    await self._put(connection, change.registry, generation, rows)
                if change.drops:
                    await self._drop(connection, change.registry, generation, change.drops)

    async def _write_large(self, change: Changes) -> None:
        async with self._store.reading() as connection:
            known = await connection.scalar(_current, {"of": change.registry})
        if known is None:
            await self._write_whole(change)
            return
        puts = await _in_order(change.puts)
        while rows := list(islice(puts, CHUNK)):
            await self._write_together([Changes(change.registry, rows)])
        drops = sorted(change.drops)
        for start in range(0, len(drops), CHUNK):
            await self._write_together([Changes(change.registry, drops=drops[start : start + CHUNK])])

    async def _write_whole(self, change: Changes) -> None:
        async with self._store.writing(TURN, lasting=False) as connection:
            generation = await next_revision(connection)
        for rows in _chunks(await _in_order(change.puts)):
            async with self._store.writing(TURN, lasting=False) as connection:
                await self._put(connection, change.registry, generation, rows)
            await asyncio.sleep(0)
        async with self._store.writing(TURN, lasting=False) as connection:
            await _make_current(connection, change.registry, generation)
        await self._remove_before(change.registry, generation)

    async def _put(
        self, connection: AsyncConnection, registry: str, generation: int, rows: Mapping[str, tuple[int, bytes]]
    ) -> None:
        if not rows:
            return
        if self._store.is_sqlite:
            named = [
                {"registry": registry, "generation": generation, "key": key, "form": form, "payload": payload}
                for key, (form, payload) in rows.items()
            ]
            await connection.execute(self._insert, named)
            return
        forms, payloads = zip(*rows.values(), strict=True)
        lists = {"keys": list(rows), "forms": list(forms), "payloads": list(payloads)}
        await connection.execute(self._insert, {"of": registry, "gen": generation, **lists})

    async def _drop(self, connection: AsyncConnection, registry: str, generation: int, keys: Sequence[str]) -> None:
        given = [key for key in keys if _holdable(key)]
        await connection.execute(_drop, {"of": registry, "gen": generation, "keys": given})

    async def _remove_before(self, registry: str, generation: int) -> None:
        """Remove older generations, a piece at a time."""
        older = sa.and_(RECORDS.c.registry == registry, RECORDS.c.generation < generation)
        oldest = sa.select(sa.func.min(RECORDS.c.generation)).where(older)
        while True:
            async with self._store.writing(TURN, lasting=False) as connection:
                gone = await connection.scalar(oldest)
                if gone is None:
                    return
                of_it = sa.and_(RECORDS.c.registry == registry, RECORDS.c.generation == gone)
                last = sa.select(RECORDS.c.key).where(of_it).order_by(RECORDS.c.key).offset(2 * CHUNK).limit(1)
                end = await connection.scalar(last)
                await connection.execute(sa.delete(RECORDS).where(of_it, RECORDS.c.key <= end if end else sa.true()))
            await asyncio.sleep(0)


_current: Final = sa.select(REGISTRIES.c.generation).where(REGISTRIES.c.registry == sa.bindparam("of"))
_drop: Final = sa.delete(RECORDS).where(
    RECORDS.c.registry == sa.bindparam("of"),
    RECORDS.c.generation == sa.bindparam("gen"),
    RECORDS.c.key.in_(sa.bindparam("keys", expanding=True)),
)


def _insert_many() -> postgresql.Insert:
    """PostgreSQL takes a chunk as three lists, three times as fast as row by row."""
    lists = (
        sa.cast(sa.bindparam("keys"), postgresql.ARRAY(sa.Text)),
        sa.cast(sa.bindparam("forms"), postgresql.ARRAY(sa.SmallInteger)),
        sa.cast(sa.bindparam("payloads"), postgresql.ARRAY(postgresql.BYTEA)),
    )
    given = sa.func.unnest(*lists).table_valued("key", "form", "payload", name="given").render_derived()
    place = (sa.cast(sa.bindparam("of"), sa.Text), sa.cast(sa.bindparam("gen"), sa.BigInteger))
    rows = sa.select(*place, given.c.key, given.c.form, given.c.payload)
    insert = postgresql.insert(RECORDS).from_select(list(RECORDS.c.keys()), rows)
    new = {"form": insert.excluded.form, "payload": insert.excluded.payload}
    return insert.on_conflict_do_update(index_elements=list(_INDEX), set_=new)


async def _generation(connection: AsyncConnection, registry: str) -> int:
    """The current generation; the first one where nothing is known yet."""
    found = await connection.scalar(_current, {"of": registry})
    if found is None:
        found = await next_revision(connection)
        await connection.execute(sa.insert(REGISTRIES).values(registry=registry, generation=found))
    return int(found)


async def _make_current(connection: AsyncConnection, registry: str, generation: int) -> None:
    """Unless another copy of the hub has been quicker with a later one."""
    found = await connection.scalar(_current, {"of": registry})
    if found is None:
        await connection.execute(sa.insert(REGISTRIES).values(registry=registry, generation=generation))
    elif found < generation:
        of_it = REGISTRIES.c.registry == registry
        await connection.execute(sa.update(REGISTRIES).values(generation=generation).where(of_it))


async def _known(connection: AsyncConnection, registry: str, generation: int) -> Known:
    services: list[Service] = []
    instances: list[Instance] = []
    unread = 0
    of_it = sa.and_(RECORDS.c.registry == registry, RECORDS.c.generation == generation)
    page = sa.select(RECORDS.c.key, RECORDS.c.form, RECORDS.c.payload).where(of_it).order_by(RECORDS.c.key)
    rows = (await connection.execute(page.limit(CHUNK))).all()
    while rows:
        for _, form, payload in rows:
            match decode(form, payload):
                case Instance() as instance:
                    instances.append(instance)
                case Service() as service:
                    services.append(service)
                case None:
                    unread += 1
        await asyncio.sleep(0)
        rows = (await connection.execute(page.where(RECORDS.c.key > rows[-1].key).limit(CHUNK))).all()
    return Known(services, instances, unread)


async def _in_order(records: Sequence[Instance | Service]) -> Iterator[Instance | Service]:
    """By key, as the table lies: each transaction then writes a few pages, and not one for every record."""
    runs = []
    for start in range(0, len(records), _RUN):
        runs.append(sorted(records[start : start + _RUN], key=_key))
        await asyncio.sleep(0)
    return iter(merge(*runs, key=_key))


def _chunks(records: Iterable[Instance | Service]) -> Iterator[dict[str, tuple[int, bytes]]]:
    """Encoded records by key; what no database can hold is left out, as its registry holds it anyway."""
    rest = iter(records)
    while chunk := list(islice(rest, CHUNK)):
        rows = {}
        for record in chunk:
            try:
                rows[record.key] = encode(record)
            except ValueError:
                continue
        yield rows


def _size(change: Changes) -> int:
    return len(change.puts) + len(change.drops)


def _holdable(key: str) -> bool:
    try:
        check_key(key)
    except ValueError:
        return False
    return True
