"""Rows of history, and how they lie in the journal: a number for their form, and compressed MessagePack.

A row is encoded once, when it happens; batches and pages are made of encoded rows.
"""

import zlib
from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeAlias

import msgspec

from pilot_plus.catalog.changes import Change, Remembered
from pilot_plus.catalog.events import Event

FORM: Final = 1
_QUICK: Final = 1
"""zlib's level: three times as fast as the ordinary one, for a tenth more bytes."""


class Row(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """One thing that happened, to a record of a service or to a source."""

    order: int
    """In its chapter: the true order, whatever the clock does."""
    time: float
    """Wall clock, seconds since 1970; for people."""
    number: int
    """Of the revision, in the chapter's epoch."""
    happened: Change | Event
    base: tuple[Remembered, ...] | None = None
    """Now and then: the service just before this row, so that nobody has to walk back from the present."""


class Batch(msgspec.Struct, frozen=True, array_like=True):
    """Rows of many services, in their order, as they are written first."""

    epoch: str
    rows: Sequence[tuple[str, msgspec.Raw]]


Rows: TypeAlias = Sequence[Row]

_encoder: Final = msgspec.msgpack.Encoder()
_rows: Final = msgspec.msgpack.Decoder(list[Row])
_batch: Final = msgspec.msgpack.Decoder(Batch)
_row: Final = msgspec.msgpack.Decoder(Row)


def encoded(row: Row) -> bytes:
    """A row alone. What no Unicode can hold (half a character, as old databases have them) is written out."""
    try:
        return _encoder.encode(row)
    except UnicodeEncodeError:
        return _encoder.encode(_written_out(msgspec.to_builtins(row)))


def decoded(row: bytes) -> Row:
    """What `encoded` made."""
    return _row.decode(row)


def page_of(rows: Iterable[bytes]) -> bytes:
    """Encoded rows of one service, together."""
    return _packed(_encoder.encode([msgspec.Raw(row) for row in rows]))


def rows_of(page: bytes) -> Rows:
    """The rows of a page; none where its form is unknown here."""
    payload = _unpacked(page)
    try:
        return _rows.decode(payload) if payload else ()
    except (ValueError, RecursionError):
        return ()


def batch_of(epoch: str, rows: Iterable[tuple[str, bytes]]) -> bytes:
    """Encoded rows, each with its service."""
    return _packed(_encoder.encode(Batch(epoch, [(service, msgspec.Raw(row)) for service, row in rows])))


def rows_in(batch: bytes) -> Batch | None:
    """The rows of a batch; None where its form is unknown here."""
    payload = _unpacked(batch)
    try:
        return _batch.decode(payload) if payload else None
    except (ValueError, RecursionError):
        return None


def _written_out(tree: Any) -> Any:
    match tree:
        case str():
            return tree.encode("utf-8", "backslashreplace").decode()
        case dict():
            return {_written_out(name): _written_out(value) for name, value in tree.items()}
        case list() | tuple():
            return [_written_out(one) for one in tree]
    return tree


def _packed(payload: bytes) -> bytes:
    return bytes((FORM,)) + zlib.compress(payload, _QUICK)


def _unpacked(packed: bytes) -> bytes:
    if packed[:1] != bytes((FORM,)):
        return b""
    try:
        return zlib.decompress(packed[1:])
    except zlib.error:
        return b""
