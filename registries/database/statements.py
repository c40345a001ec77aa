"""The statements of our own registry, for SQLite and for PostgreSQL: they differ where many keys go into one."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.elements import KeyedColumnElement

from registries.database.record import MAX_RECORD, Row

COLUMNS: Final = tuple(Row.__struct_fields__)
"""Of an instance, in the order of `Row`."""

# Columns have no types here: what a hand has written into SQLite is judged by `record`, not by a driver.
INSTANCES: Final = sa.table("registry_instances", *map(sa.column, COLUMNS))
BEATS: Final = sa.table("registry_beats", *map(sa.column, ("key", "tick", "writer")))
CLOCK: Final = sa.table("registry_clock", sa.column("tick"))
LOCKS: Final = sa.table("registry_locks", *map(sa.column, ("name", "owner", "ttl", "beat")))
CHANGES: Final = sa.table("registry_changes", *map(sa.column, ("revision", "nonce", "op", "key")))

_I, _B, _C = INSTANCES.c, BEATS.c, CHANGES.c
_bounded: Final = sa.case((sa.func.length(_I.record) <= sa.literal_column(str(MAX_RECORD)), _I.record))
_row: Final = (*(_I[column] for column in COLUMNS[:-1]), _bounded.label("record"))
_limit: Final = sa.bindparam("limit", type_=sa.Integer)
_after: Final[sa.BindParameter[Any]] = sa.bindparam("after")
_from: Final = _C.revision >= sa.bindparam("since")


class Statements:
    """Those of one kind of database. Parameters named `keys` and `ticks` are lists, given as `many(…)`."""

    first_page = sa.select(*_row).order_by(_I.key).limit(_limit)
    next_page = first_page.where(_I.key > _after)
    newest = sa.select(_C.revision, _C.nonce).order_by(_C.revision.desc()).limit(1)
    oldest = sa.select(sa.func.min(_C.revision))
    nonce_of = sa.select(_C.nonce).where(_C.revision == sa.bindparam("since"))
    changes = (
        sa.select(_C.revision, _C.nonce, _C.op, _C.key.label("changed"), *_row)
        .select_from(CHANGES.outerjoin(INSTANCES, _I.key == _C.key))
        .where(_from)
        .order_by(_C.revision)
        .limit(_limit)
    )
    leases = (
        sa.select(_I.key, _I.lease, _B.tick)
        .select_from(INSTANCES.join(BEATS, _B.key == _I.key))
        .where(_I.key > _after)
        .order_by(_I.key)
        .limit(_limit)
    )
    changed_leases = (
        sa.select(_C.revision, _C.key, _I.lease, _B.tick)
        .select_from(CHANGES.outerjoin(INSTANCES, _I.key == _C.key).outerjoin(BEATS, _B.key == _C.key))
        .where(_from)
        .order_by(_C.revision)
        .limit(_limit)
    )
    clock = sa.select(CLOCK.c.tick)
    next_tick = sa.update(CLOCK).values(tick=CLOCK.c.tick + 1).returning(CLOCK.c.tick)
    foreign_beats = sa.select(_B.key, _B.tick).where(_B.tick > sa.bindparam("since"), _B.writer != sa.bindparam("by"))
    trim = sa.delete(CHANGES).where(_C.revision <= sa.bindparam("since"))
    lock = sa.select(LOCKS.c.owner, LOCKS.c.ttl, LOCKS.c.beat).where(LOCKS.c.name == sa.bindparam("lock"))
    drop_lock = sa.delete(LOCKS).where(LOCKS.c.name == sa.bindparam("lock"), LOCKS.c.owner == sa.bindparam("who"))

    def __init__(self, *, is_sqlite: bool) -> None:
        self._is_sqlite = is_sqlite
        self.put = _put_sqlite() if is_sqlite else _put_postgresql()
        self.put_lock = _put_lock(sqlite.insert(LOCKS) if is_sqlite else postgresql.insert(LOCKS))
        self.drop = sa.delete(INSTANCES).where(self._among(_I.key))
        self.known = sa.select(_B.key).where(self._among(_B.key))
        self.originals = sa.select(_I.key).where(_I.copied == sa.literal_column("0"), self._among(_I.key))
        beaten: dict[str, sa.BindParameter[Any]] = {"tick": sa.bindparam("now"), "writer": sa.bindparam("by")}
        self.beat = sa.update(BEATS).values(beaten).where(self._among(_B.key))
        self.expire = (
            sa.delete(INSTANCES).where(_I.lease > sa.literal_column("0"), _I.key.in_(self._unmoved())).returning(_I.key)
        )
        self.mark_expired = (
            sa.update(CHANGES)
            .values(op=sa.literal_column("'expired'"))
            .where(_C.revision > sa.bindparam("since"), _C.op == sa.literal_column("'drop'"), self._among(_C.key))
        )

    def many(self, values: Sequence[str] | Sequence[int]) -> object:
        """A list as one parameter: the statement's text is then the same for any number of them."""
        return msgspec.json.encode(values).decode() if self._is_sqlite else list(values)

    def _among(self, column: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
        if self._is_sqlite:
            return column.in_(sa.select(sa.func.json_each(sa.bindparam("keys")).table_valued("value").c.value))
        return column == sa.any_(sa.cast(sa.bindparam("keys"), postgresql.ARRAY(sa.Text)))

    def _unmoved(self) -> sa.Select[Any]:
        """Those of `keys` whose counter is still the one in `ticks`."""
        if self._is_sqlite:
            keys = sa.func.json_each(sa.bindparam("keys")).table_valued("key", "value", name="k")
            ticks = sa.func.json_each(sa.bindparam("ticks")).table_valued("key", "value", name="t")
            due = keys.join(ticks, ticks.c.key == keys.c.key)
            return sa.select(_B.key).select_from(
                due.join(BEATS, sa.and_(_B.key == keys.c.value, _B.tick == ticks.c.value))
            )
        lists = (
            sa.cast(sa.bindparam("keys"), postgresql.ARRAY(sa.Text)),
            sa.cast(sa.bindparam("ticks"), postgresql.ARRAY(sa.BigInteger)),
        )
        pairs = sa.func.unnest(*lists).table_valued("key", "tick", name="d").render_derived()
        return sa.select(_B.key).select_from(pairs.join(BEATS, sa.and_(_B.key == pairs.c.key, _B.tick == pairs.c.tick)))


_DATA: Final = ("lease", "copied", "record")


def _put_sqlite() -> sqlite.Insert:
    insert = sqlite.insert(INSTANCES).values({column: sa.bindparam(column) for column in COLUMNS})
    new = {column: insert.excluded[column] for column in _DATA}
    return insert.on_conflict_do_update(index_elements=["key"], set_=new, where=_differs(new))


def _put_postgresql() -> postgresql.Insert:
    insert = postgresql.insert(INSTANCES).values({column: sa.bindparam(column) for column in COLUMNS})
    new = {column: insert.excluded[column] for column in _DATA}
    return insert.on_conflict_do_update(index_elements=["key"], set_=new, where=_differs(new))


def _put_lock(insert: sqlite.Insert | postgresql.Insert) -> sqlite.Insert | postgresql.Insert:
    row: dict[str, sa.BindParameter[Any]] = {column.name: sa.bindparam(column.name) for column in LOCKS.columns}
    insert = insert.values(row)
    new = {column: insert.excluded[column] for column in ("owner", "ttl", "beat")}
    return insert.on_conflict_do_update(index_elements=["name"], set_=new)


def _differs(new: dict[str, KeyedColumnElement[Any]]) -> sa.ColumnElement[bool]:
    """Writing the same again is no change: it is not logged, and wakes nobody."""
    return sa.or_(*(_I[column] != value for column, value in new.items()))
