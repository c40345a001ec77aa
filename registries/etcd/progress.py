"""How far a watch has come, as text that a later watch can go on from, if the history still holds what came next.

A revision alone proves nothing: a server that was wiped or restored counts the same numbers again, and a cluster made
anew from the same flags even has the same id. So the mark names a witness: the last change that was seen. A history in
which that key has that value at that revision is the one that we know.
"""

from collections.abc import Sequence
from hashlib import sha256
from zlib import crc32

import msgspec
from grpc import StatusCode

from registries.etcd import wire_pb2 as wire
from registries.etcd.client import Client, Declined
from registries.etcd.methods import RANGE
from registries.etcd.ranges import KeyRange
from registries.layouts.layout import Layout

_GONE = -1


class Witness(msgspec.Struct, frozen=True, array_like=True):
    """A change that was seen: a key, the revision, and a checksum of the value (-1: it was deleted)."""

    key: bytes
    revision: int
    checksum: int


class Position(msgspec.Struct, frozen=True, array_like=True):
    """Where a watch stands: for each of its ranges everything up to a revision has been seen."""

    cluster: int
    reading: str
    """What the ranges and the layouts were, as a hash: who reads otherwise now knows nothing."""
    revisions: tuple[int, ...]
    witness: Witness | None = None

    def text(self) -> str:
        """As an `Alive.progress`."""
        return msgspec.json.encode(self).decode()


def position_of(text: str) -> Position | None:
    """The reverse of `Position.text`; None if it is nothing of ours."""
    try:
        return msgspec.json.decode(text, type=Position)
    except (msgspec.DecodeError, UnicodeError):
        return None


def reading_of(layouts: Sequence[Layout]) -> str:
    """A hash of the layouts with their options."""
    return sha256(repr(layouts).encode()).hexdigest()[:16]


def seen_put(key: bytes, revision: int, value: bytes) -> Witness:
    """A witness of a write."""
    return Witness(key, revision, crc32(value))


def seen_delete(key: bytes, revision: int) -> Witness:
    """A witness of a deletion."""
    return Witness(key, revision, _GONE)


async def is_same_history(client: Client, ranges: Sequence[KeyRange], position: Position) -> bool:
    """Whether the server's history holds the position, and everything since.

    Raises:
        SourceLost: the server didn't say.
    """
    try:
        for keys, revision in zip(ranges, position.revisions, strict=True):
            request = wire.RangeRequest(key=keys.start, range_end=keys.end, limit=1, keys_only=True, revision=revision)
            answer = await client.call(RANGE, request)
            if answer.header.cluster_id != position.cluster or (position.witness is None and answer.kvs):
                return False
        witness = position.witness
        held = (r for keys, r in zip(ranges, position.revisions, strict=True) if witness and witness.key in keys)
        return witness is None or await _agrees(client, witness, next(held, witness.revision))
    except Declined as error:
        if error.code is StatusCode.OUT_OF_RANGE:  # compacted, or not reached yet by a history that began anew
            return False
        raise


async def _agrees(client: Client, witness: Witness, revision: int) -> bool:
    now = await client.call(RANGE, wire.RangeRequest(key=witness.key, revision=revision))
    if witness.checksum != _GONE:
        found = [(kv.mod_revision, crc32(kv.value)) for kv in now.kvs]
        return found == [(witness.revision, witness.checksum)]
    before = await client.call(RANGE, wire.RangeRequest(key=witness.key, keys_only=True, revision=witness.revision - 1))
    return not now.kvs and bool(before.kvs)
