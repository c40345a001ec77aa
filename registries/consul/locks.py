"""Locks in Consul's KV store, changed by check-and-set: its sessions last at least 10 s, too long for a short lease.

    pilot-plus/locks/sync-east/owner   {"owner":"hub-1","ttl":5.0}   written when the lock changes hands
    pilot-plus/locks/sync-east/beat    17                            raised by each claim of the owner

An owner whose beat stands still for its `ttl` is gone. Nobody takes a lock from an owner that has just raised it: the
transaction names both indexes. The owner's entry stays the same while it has the lock, so a transaction in the
catalog can be fenced by its index. The agent's API has no transactions: there, one write of a former owner may pass.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from pilot_plus.ports import SourceLost
from registries.consul.agent import Agent, segment
from registries.vigil import Vigil

REMEDY: Final = 'the token needs `key_prefix "pilot-plus/locks" {policy = "write"}`'
_TRIES: Final = 3
_OWNER: Final = "/owner"
_BEAT: Final = "/beat"


class _Owner(msgspec.Struct, frozen=True):
    owner: str
    ttl: float


class _Entry(msgspec.Struct, frozen=True, rename="pascal"):
    key: str
    modify_index: int
    value: bytes | None = None


class _Written(msgspec.Struct, frozen=True, rename="pascal"):
    kv: _Entry = msgspec.field(name="KV")


class _Outcome(msgspec.Struct, frozen=True, rename="pascal"):
    results: tuple[_Written, ...] | None = None


class _Lock(msgspec.Struct, frozen=True):
    """A lock as it was read; the indexes are 0 where nothing is."""

    owner: _Owner
    index: int = 0
    beat: int = 0
    count: int = 0


class Locks:
    """The locks that one connection has claimed."""

    def __init__(self, agent: Agent, root: str, vigil: Vigil | None = None) -> None:
        """Nothing is claimed yet."""
        self._agent = agent
        self._root = root
        self._vigil = vigil or Vigil()
        self._held: dict[str, int] = {}

    @property
    def fences(self) -> list[dict[str, Any]]:
        """What must still be so for a transaction to pass: every lock that we took is ours."""
        return [_operation("check-index", key + _OWNER, index) for key, index in self._held.items()]

    async def claim(self, name: str, owner: str, ttl: float) -> str:
        """Take a lock, or raise its counter; see `pilot_plus.ports.Locking`."""
        key, mine = f"{self._root}/{segment(name)}", _Owner(owner, ttl)
        for _ in range(_TRIES):
            lock = await self._read(key)
            if lock.owner.owner == owner:
                changed = await self._beat(key, lock)
            elif not lock.index or self._vigil.is_over(key, (lock.index, lock.beat), max(ttl, lock.owner.ttl)):
                changed = await self._take(key, lock, mine)
            else:
                return lock.owner.owner
            if changed:
                return owner
        raise SourceLost(f"the lock {key!r} changes faster than it can be claimed")

    async def release(self, name: str, owner: str) -> None:
        """Give a lock up, if it is the owner's."""
        key = f"{self._root}/{segment(name)}"
        self._held.pop(key, None)
        lock = await self._read(key)
        if lock.index and lock.owner.owner == owner:
            beat = [_operation("delete", key + _BEAT)] if lock.beat else []
            await self._transact([_operation("delete-cas", key + _OWNER, lock.index), *beat])

    async def _read(self, key: str) -> _Lock:
        path = f"/v1/kv/{'/'.join(segment(part) for part in key.split('/'))}/"
        status, text = await self._agent.text("GET", path, query={"recurse": "", "consistent": ""})
        if status == 404:
            return _Lock(_Owner("", 0.0))
        if status != 200:
            raise self._lost(status, text)
        entries = {one.key: one for one in msgspec.json.decode(text, type=list[_Entry])}
        owner, beat = entries.get(key + _OWNER), entries.get(key + _BEAT)
        if owner is None:
            return _Lock(_Owner("", 0.0), beat=beat.modify_index if beat else 0)
        return _Lock(
            _owner_in(owner.value or b""),
            owner.modify_index,
            beat.modify_index if beat else 0,
            _count_in(beat.value or b"") if beat else 0,
        )

    async def _beat(self, key: str, lock: _Lock) -> bool:
        """Raise the counter, as long as the lock is still as it was read."""
        operations = [
            _operation("check-index", key + _OWNER, lock.index),
            _operation("set", key + _BEAT, value=b"%d" % (lock.count + 1)),
        ]
        if await self._transact(operations) is None:
            return False
        self._held[key] = lock.index
        return True

    async def _take(self, key: str, lock: _Lock, mine: _Owner) -> bool:
        """Write ourselves as the owner, if nobody was faster and the one before has not moved."""
        outcome = await self._transact(
            [
                _operation("cas", key + _OWNER, lock.index, msgspec.json.encode(mine)),
                _operation("cas", key + _BEAT, lock.beat, b"%d" % (lock.count + 1)),
            ]
        )
        if outcome is None:
            return False
        self._held[key] = next(one.kv.modify_index for one in outcome.results or () if one.kv.key == key + _OWNER)
        return True

    async def _transact(self, operations: Sequence[dict[str, Any]]) -> _Outcome | None:
        """What a transaction has written; None if what it was to find was not so."""
        status, text = await self._agent.text("PUT", "/v1/txn", operations)
        if status == 409 and "Permission denied" not in text:
            return None
        if status != 200:
            raise self._lost(status, text)
        return msgspec.json.decode(text, type=_Outcome)

    def _lost(self, status: int, text: str) -> SourceLost:
        remedy = f": {REMEDY}" if status in (403, 409) else ""
        return SourceLost(f"Consul at {self._agent.settings.url}: no lock: {status} {text[:200]!r}{remedy}")


def _operation(verb: str, key: str, index: int | None = None, value: bytes | None = None) -> dict[str, Any]:
    given = {"Index": index, "Value": value}
    return {"KV": {"Verb": verb, "Key": key, **{name: one for name, one in given.items() if one is not None}}}


def _owner_in(value: bytes) -> _Owner:
    """What somebody else has put there is nobody's, for as long as a short lease."""
    try:
        return msgspec.json.decode(value, type=_Owner)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return _Owner("?", 0.0)


def _count_in(value: bytes) -> int:
    return int(value) if value.isdigit() and len(value) < 18 else 0
