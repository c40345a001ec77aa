"""What a write comes to: which records to look at, what then to do, and as which transaction. Pure.

A write has the condition that the record is as we last saw it (or not there, if we never did) and that our locks are
ours. Where that isn't so the same transaction says what there is, and what follows is decided by that:

    guess   if orders/10.1.0.7:9000 is not there: put it        it is there: with our lease, another value
    write   if it was last changed at 1047: put it              else Failed: somebody was faster, look again

A Dubbo provider's key changes with its parameters, so it is looked for first; then the new one is put and the old ones
are deleted in one step.
"""

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias
from zlib import crc32

import msgspec

from pilot_plus.model import NO_ORIGIN, Instance, Origin
from pilot_plus.ports import Done, Refused, Result
from registries.etcd import wire_pb2 as wire
from registries.etcd.ownership import Kept
from registries.etcd.ranges import KeyRange, prefix_range
from registries.layouts.etcd_dubbo import EtcdDubbo
from registries.layouts.jsontext import MAX_BYTES
from registries.layouts.layout import Layout, Raw
from registries.layouts.mark import ORIGIN

MOST_SIBLINGS: Final = 20
"""Records of one provider that are replaced at once; a transaction takes 128 operations at the most."""

Proof: TypeAlias = Callable[[Kept], bool]
"""Whether a record is ours."""


class Sought(msgspec.Struct, frozen=True):
    """A copy's key, and where its records may lie."""

    key: str
    layout: Layout
    span: KeyRange


class Copy(msgspec.Struct, frozen=True):
    """A copy to write."""

    sought: Sought
    path: bytes
    data: bytes
    lease: float
    origin: Origin


class Last(msgspec.Struct, frozen=True, gc=False):
    """What we wrote last: when, on which lease, and a checksum of the value."""

    revision: int
    lease: int
    checksum: int


class Write(msgspec.Struct, frozen=True):
    """A change, under the condition that records are as they were seen (0: not there)."""

    key: str
    seen: tuple[tuple[bytes, int], ...]
    put: wire.PutRequest | None
    deletes: tuple[bytes, ...]


def copy_of(layout: Layout, instance: Instance) -> Copy:
    """The copy to write for an instance.

    Raises:
        ValueError: the layout can't hold it.
    """
    raw = layout.encode(instance)
    if len(raw.data) > MAX_BYTES:
        raise ValueError(f"the record would have {len(raw.data)} bytes, more than {MAX_BYTES}")
    if instance.origin == NO_ORIGIN and instance.meta(ORIGIN):
        raise ValueError(f"its metadata says {ORIGIN}, which only a hub may say of a copy")
    key = raw.path if not isinstance(layout, EtcdDubbo) else _read_back(layout, raw).key
    return Copy(sought_of(layout, key), raw.path.encode(), raw.data, instance.lease, instance.origin)


def preview_of(copy: Copy) -> Instance:
    """How the source will report the copy.

    Raises:
        ValueError: the layout can't hold it.
    """
    return _read_back(copy.sought.layout, Raw(copy.path.decode(), copy.data))


def sought_of(layout: Layout, key: str) -> Sought:
    """Where the records of a key may lie: at the key itself, but for Dubbo's.

    Raises:
        ValueError: the key is no text that etcd could hold.
    """
    if isinstance(layout, EtcdDubbo):
        return Sought(key, layout, prefix_range(layout.prefix_of(key)))
    return Sought(key, layout, KeyRange(key.encode(), b""))


def read_cost(sought: Sought) -> tuple[int, int]:
    """The operations of looking, and about how many bytes that is."""
    return 1, len(sought.span.start)


def read_txn(sought: Sequence[Sought]) -> wire.TxnRequest:
    """How to look at many."""
    limit = MOST_SIBLINGS + 1
    ranges = (wire.RangeRequest(key=one.span.start, range_end=one.span.end, limit=limit) for one in sought)
    return wire.TxnRequest(success=[wire.RequestOp(request_range=one) for one in ranges])


def concerned(sought: Sought, found: Sequence[wire.KeyValue]) -> list[wire.KeyValue]:
    """Those of the records found that say the key."""
    if not sought.span.end:
        return list(found)
    return [kv for kv in found if _says(sought, kv)]


def guess(copy: Copy, lease: int, last: Last | None) -> Write | None:
    """What to do if nobody else touched it since we did, which only looks if we wrote the same; None: look first."""
    if copy.sought.span.end:
        return None
    key = copy.sought.key
    if last is not None and (last.lease, last.checksum) == (lease, crc32(copy.data)):
        return Write(key, ((copy.path, last.revision),), None, ())
    put = wire.PutRequest(key=copy.path, value=copy.data, lease=lease)
    return Write(key, ((copy.path, last.revision if last else 0),), put, ())


def put_write(copy: Copy, found: Sequence[wire.KeyValue], lease: int, is_ours: Proof) -> Write | Result:
    """What to do so that the copy is there, and nothing else of ours under its key."""
    there = concerned(copy.sought, found)
    key = copy.sought.key
    if refused := _refused(there, found, is_ours):
        return refused
    now = next((kv for kv in there if kv.key == copy.path), None)
    old = [kv for kv in there if kv.key != copy.path]
    if now is not None and not old and now.value == copy.data and now.lease == lease:
        return Done(key)
    put = wire.PutRequest(key=copy.path, value=copy.data, lease=lease)
    seen = ((copy.path, now.mod_revision if now else 0), *((kv.key, kv.mod_revision) for kv in old))
    return Write(key, seen, put, tuple(kv.key for kv in old))


def drop_write(sought: Sought, found: Sequence[wire.KeyValue], is_ours: Proof) -> Write | Result:
    """What to do so that nothing of ours is under a key."""
    there = concerned(sought, found)
    if not there:
        return Done(sought.key)
    if refused := _refused(there, found, is_ours):
        return refused
    return Write(sought.key, tuple((kv.key, kv.mod_revision) for kv in there), None, tuple(kv.key for kv in there))


def write_cost(write: Write) -> tuple[int, int]:
    """The operations of a change, and about how many bytes it has."""
    size = sum(len(key) for key, _ in write.seen) + (len(write.put.value) if write.put else 0)
    return len(write.seen), size


def write_txn(writes: Sequence[Write], fences: Sequence[wire.Compare]) -> wire.TxnRequest:
    """Changes as one transaction; if it can't be done, it looks at the fences."""
    same = [
        wire.Compare(result=wire.Compare.EQUAL, target=wire.Compare.MOD, key=key, mod_revision=revision)
        for write in writes
        for key, revision in write.seen
    ]
    steps = [wire.RequestOp(request_put=write.put) for write in writes if write.put]
    steps += [
        wire.RequestOp(request_delete_range=wire.DeleteRangeRequest(key=key)) for one in writes for key in one.deletes
    ]
    look = [wire.RequestOp(request_range=wire.RangeRequest(key=fence.key)) for fence in fences]
    return wire.TxnRequest(compare=[*fences, *same], success=steps, failure=look)


def guess_txn(guesses: Sequence[Write], fences: Sequence[wire.Compare]) -> wire.TxnRequest:
    """As `write_txn`; if it can't be done, it looks at the records, and then at the fences."""
    txn = write_txn(guesses, fences)
    del txn.failure[:]
    keys = [*(guess.seen[0][0] for guess in guesses), *(fence.key for fence in fences)]
    txn.failure.extend(wire.RequestOp(request_range=wire.RangeRequest(key=key)) for key in keys)
    return txn


def _refused(there: Sequence[wire.KeyValue], found: Sequence[wire.KeyValue], is_ours: Proof) -> Refused | None:
    foreign = next((kv for kv in there if not is_ours(kv)), None)
    if foreign is not None:
        return Refused(f"conflict: {foreign.key.decode(errors='backslashreplace')[:200]!r} is somebody else's")
    if len(found) > MOST_SIBLINGS:
        return Refused(f"more than {MOST_SIBLINGS} records are in its place")
    return None


def _says(sought: Sought, kv: wire.KeyValue) -> bool:
    try:
        return any(record.key == sought.key for record in sought.layout.decode(Raw(kv.key.decode(), kv.value)))
    except ValueError:
        return False


def _read_back(layout: Layout, raw: Raw) -> Instance:
    said = layout.decode(raw)
    if len(said) != 1 or not isinstance(said[0], Instance):
        raise ValueError("it could not be read back as one instance")
    return said[0]
