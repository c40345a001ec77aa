"""Our leases: granted on first use, and kept alive for as long as the connection lives.

A lease has the same number in every copy of the hub and after every restart (`ownership`), so whoever comes next goes
on with it, and the records on it never notice. When nobody does, it ends, and they with it.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic
from typing import Final

from grpc import StatusCode

from pilot_plus.ports import SourceLost
from registries.etcd import wire_pb2 as wire
from registries.etcd.client import Client, Declined
from registries.etcd.methods import GRANT, KEEP_ALIVE
from registries.etcd.ownership import Owner, ttl_of
from registries.tasks import beside

BEATS: Final = 3
"""How often a lease is renewed while it lasts, and how often there is a sign of life within the time of silence."""


class Leases:
    """The leases that this connection keeps."""

    def __init__(self, client: Client, owner: Owner, silence: float) -> None:
        self._client = client
        self._owner = owner
        self._silence = silence
        self._due: dict[int, float] = {}  # when to renew each, monotonic
        self._asked: dict[int, asyncio.Future[bool]] = {}  # adopted, and not answered yet
        self._new = asyncio.Event()
        self._lost: SourceLost | None = None

    def __contains__(self, lease: int) -> bool:
        return lease in self._due

    async def hold(self, seconds: float) -> int:
        """The lease for copies that live so long; granted if it is not there.

        Raises:
            SourceLost: it can't be granted, or leases can't be kept any more.
        """
        lease = self._owner.lease_of(seconds)
        self.check()
        if lease not in self._due:
            try:
                await self._client.call(GRANT, wire.LeaseGrantRequest(ID=lease, TTL=ttl_of(lease)))
            except Declined as error:
                if error.code is not StatusCode.FAILED_PRECONDITION:  # it is there already
                    raise
            self._adopt(lease)
        return lease

    async def take_over(self, lease: int) -> bool:
        """Keep a lease of ours from now on; whether the server still has it. Its time begins anew.

        Raises:
            SourceLost: leases can't be kept any more.
        """
        self.check()
        if lease not in self._due:
            self._asked[lease] = asyncio.get_running_loop().create_future()
            self._adopt(lease)
        asked = self._asked.get(lease)
        is_there = await asyncio.shield(asked) if asked is not None else True
        self.check()
        return is_there

    def _adopt(self, lease: int) -> None:
        if lease not in self._due:
            self._due[lease] = monotonic()
            self._new.set()

    def forget(self, lease: int) -> None:
        """The server doesn't know it any more."""
        self._due.pop(lease, None)

    def check(self) -> None:
        """Raise what ended the keeping, if something has.

        Raises:
            SourceLost: leases can't be kept any more.
        """
        if self._lost is not None:
            raise SourceLost(f"leases can't be kept: {self._lost}") from self._lost

    async def keep(self) -> None:
        """Keep all leases until cancelled, or until the connection is lost, which `check` then says."""
        try:
            await self._new.wait()
            async with self._client.stream(KEEP_ALIVE, self._beats()) as stream:
                while True:
                    answer = await stream.read(self._silence)
                    if answer.TTL <= 0:
                        self.forget(answer.ID)
                    if asked := self._asked.pop(answer.ID, None):
                        asked.set_result(answer.TTL > 0)
        except SourceLost as lost:
            self._lost = lost
        finally:
            for asked in self._asked.values():
                asked.set_result(False)
            self._asked.clear()

    async def _beats(self) -> AsyncIterator[wire.LeaseKeepAliveRequest]:
        while True:
            now = monotonic()
            for lease in [one for one, due in self._due.items() if due <= now]:
                self._due[lease] = now + min(ttl_of(lease), self._silence) / BEATS
                yield wire.LeaseKeepAliveRequest(ID=lease)
            self._new.clear()
            # Without a lease there is nothing to ask, but the stream must not fall silent: 0 is a lease that is gone.
            pause = min(self._due.values(), default=now + self._silence / BEATS) - monotonic()
            try:
                async with asyncio.timeout(max(pause, 0)):
                    await self._new.wait()
            except TimeoutError:
                if not self._due:
                    yield wire.LeaseKeepAliveRequest(ID=0)


@asynccontextmanager
async def keeping(leases: Leases) -> AsyncIterator[Leases]:
    """Keep the leases while the block runs."""
    async with beside(leases.keep()):
        yield leases
