"""Locks: keys under a lease of their own, so that of several hubs one writes. What is written is fenced by them."""

from collections.abc import AsyncIterator, Sequence
from math import ceil
from typing import Final

from grpc import StatusCode

from registries.etcd import wire_pb2 as wire
from registries.etcd.client import Client, Declined
from registries.etcd.methods import GRANT, KEEP_ALIVE, RANGE, REVOKE, TXN
from registries.layouts.etcdkeys import as_root, id_part

_EQUAL: Final = wire.Compare.EQUAL


class Locks:
    """The locks that this connection has claimed."""

    def __init__(self, client: Client, root: str, timeout: float) -> None:
        self._client = client
        self._root = as_root(root)
        self._timeout = timeout
        self._held: dict[bytes, bytes] = {}

    def fences(self) -> list[wire.Compare]:
        """What must still be so for a write to pass: every lock that we took is ours."""
        return [
            wire.Compare(result=_EQUAL, target=wire.Compare.VALUE, key=key, value=owner)
            for key, owner in self._held.items()
        ]

    def is_lost(self, found: Sequence[wire.KeyValue]) -> bool:
        """Whether one of our locks is somebody else's, or nobody's, by what lies under their keys."""
        return {kv.key: kv.value for kv in found} != self._held

    async def claim(self, name: str, owner: str, ttl: float) -> str:
        """Take a lock, or begin its time anew; see `pilot_plus.ports.Locking`."""
        key, mine = self._key(name), owner.encode()
        now = await self._read(key)
        if now is not None and now.value == mine and not await self._renew(now.lease):
            now = None  # it ended in this moment
        if now is None:
            now = await self._take(key, mine, ceil(ttl))
        if now.value == mine:
            self._held[key] = mine
        return now.value.decode(errors="replace")

    async def release(self, name: str, owner: str) -> None:
        """Give a lock up, if it is the owner's."""
        key, mine = self._key(name), owner.encode()
        self._held.pop(key, None)
        now = await self._read(key)
        if now is not None and now.value == mine:
            await self._revoke(now.lease)

    def _key(self, name: str) -> bytes:
        return f"{self._root}{id_part(name)}".encode()

    async def _read(self, key: bytes) -> wire.KeyValue | None:
        answer = await self._client.call(RANGE, wire.RangeRequest(key=key))
        return answer.kvs[0] if answer.kvs else None

    async def _take(self, key: bytes, mine: bytes, ttl: int) -> wire.KeyValue:
        """Create the lock's key under a new lease; who has it then, if somebody was faster."""
        lease = (await self._client.call(GRANT, wire.LeaseGrantRequest(TTL=max(ttl, 1)))).ID
        answer = await self._client.call(
            TXN,
            wire.TxnRequest(
                compare=[wire.Compare(result=_EQUAL, target=wire.Compare.CREATE, key=key, create_revision=0)],
                success=[wire.RequestOp(request_put=wire.PutRequest(key=key, value=mine, lease=lease))],
                failure=[wire.RequestOp(request_range=wire.RangeRequest(key=key))],
            ),
        )
        if answer.succeeded:
            return wire.KeyValue(key=key, value=mine, lease=lease)
        await self._revoke(lease)
        return answer.responses[0].response_range.kvs[0]

    async def _renew(self, lease: int) -> bool:
        """Begin a lease anew; False if it is over. A lock that somebody put by hand has none, and lasts."""
        if not lease:
            return True
        async with self._client.stream(KEEP_ALIVE, _once(wire.LeaseKeepAliveRequest(ID=lease))) as stream:
            return (await stream.read(self._timeout)).TTL > 0

    async def _revoke(self, lease: int) -> None:
        """End a lease, and the key with it."""
        try:
            await self._client.call(REVOKE, wire.LeaseRevokeRequest(ID=lease))
        except Declined as error:
            if error.code is not StatusCode.NOT_FOUND:
                raise


async def _once(request: wire.LeaseKeepAliveRequest) -> AsyncIterator[wire.LeaseKeepAliveRequest]:
    yield request
