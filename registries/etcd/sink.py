"""The sink: writes instances as the readers of a layout expect them, and touches nothing that is not ours.

A write passes only where nothing lies that we don't know; what does lie there proves whose it is (`ownership`), and
what is ours is replaced where nothing changed meanwhile (`copies`). Writes go in large transactions, of which several
are on their way (`transactions`). Copies hang on leases that the connection keeps (`leases`). After a restart the
leases are still there for their time: whoever calls `renew` or `put` goes on with them.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing
from zlib import crc32

from grpc import StatusCode

from pilot_plus.model import NO_ORIGIN, Instance, Origin
from pilot_plus.ports import Done, Failed, Refused, Result
from registries.etcd import wire_pb2 as wire
from registries.etcd.client import Client, Declined
from registries.etcd.copies import (
    Copy,
    Last,
    Proof,
    Sought,
    Write,
    concerned,
    copy_of,
    drop_write,
    guess,
    guess_txn,
    preview_of,
    put_write,
    read_cost,
    read_txn,
    sought_of,
    write_cost,
    write_txn,
)
from registries.etcd.leases import Leases
from registries.etcd.locks import Locks
from registries.etcd.ownership import Owner
from registries.etcd.transactions import batches, concerns_some, in_batches, pipelined
from registries.layouts.layout import Layout
from registries.layouts.recent import Recent


class _Batch:
    """What one `put` writes: copies by key, and for each instance its key, or why it can't be written."""

    def __init__(self) -> None:
        self.copies: dict[str, Copy] = {}
        self.places: list[str | Refused] = []


class Writer:
    """The writing half of a connection."""

    def __init__(self, client: Client, layouts: Sequence[Layout], leases: Leases, locks: Locks, owner: Owner) -> None:
        self._client = client
        self._layouts = layouts
        self._leases = leases
        self._locks = locks
        self._owner = owner
        self._one_at_a_time = asyncio.Lock()
        self._encoded = Recent(lambda instance: copy_of(self._layout(instance.layout), instance))
        self._created: dict[bytes, int] = {}  # what we created, and when
        self._last: dict[bytes, Last] = {}  # what we wrote last
        self._kept: dict[str, int] = {}  # keys, and their leases

    def preview(self, instance: Instance) -> Instance | Refused:
        """What will become of a write; see `pilot_plus.ports.Previewing`."""
        try:
            return preview_of(self._encoded.foresee(instance))
        except ValueError as error:
            return Refused(str(error))

    async def put(self, instances: Sequence[Instance]) -> Sequence[Result]:
        """Write each instance; see `pilot_plus.ports.Sink`."""
        async with self._one_at_a_time:
            leases = {seconds: await self._leases.hold(seconds) for seconds in {one.lease for one in instances}}
            batch = _Batch()
            plans = await self._guessed(batch, self._copies(instances, batch), leases)
            unknown = [copy.sought for key, copy in batch.copies.items() if key not in plans]
            async for key, found in self._found(unknown, plans):
                plans[key] = self._planned(batch.copies[key], found, leases)
            results = await self._carry_out(plans)
            self._kept |= {
                key: leases[copy.lease] for key, copy in batch.copies.items() if isinstance(results[key], Done)
            }
            return [one if isinstance(one, Refused) else results[one] for one in batch.places]

    async def drop(self, keys: Sequence[str]) -> Sequence[Result]:
        """Remove each record that is ours; see `pilot_plus.ports.Sink`."""
        async with self._one_at_a_time:
            self._leases.check()
            sought = {key: one for key in keys if (one := self._sought(key)) is not None}
            plans: dict[str, Write | Result] = {}
            async for key, found in self._found(list(sought.values()), plans):
                plans[key] = drop_write(sought[key], found, self._proof(sought[key].layout))
            results = await self._carry_out(plans)
            for key in sought:
                self._kept.pop(key, None)
            return [results.get(key, Refused("no layout here has such a key")) for key in keys]

    async def renew(self, keys: Sequence[str]) -> Sequence[Result]:
        """Go on with the leases of these keys, for as long as the connection lives; see `pilot_plus.ports.Renewing`."""
        async with self._one_at_a_time:
            self._leases.check()
            sought = {key: one for key in keys if (one := self._sought(key)) is not None}
            known = {key for key in sought if self._kept.get(key, 0) in self._leases}
            results: dict[str, Write | Result] = {key: Done(key) for key in known}
            async for key, found in self._found([sought[key] for key in sought.keys() - known], results):
                there = concerned(sought[key], found)
                lease = next((kv.lease for kv in there if self._owner.holds(kv.lease)), 0)
                is_kept = lease != 0 and await self._leases.take_over(lease)
                if is_kept:
                    self._kept[key] = lease
                results[key] = Done(key) if is_kept else Refused("it is not there, or on no lease of ours")
            refused = Refused("no layout here has such a key")
            return [result if not isinstance(result := results.get(key, refused), Write) else refused for key in keys]

    def _copies(self, instances: Sequence[Instance], batch: "_Batch") -> Iterator[Copy]:
        """What to write, each key once."""
        for instance in instances:
            try:
                copy = self._encoded.take(instance)
            except ValueError as error:
                batch.places.append(Refused(str(error)))
                continue
            key = copy.sought.key
            if key not in batch.copies:
                batch.copies[key] = copy
                batch.places.append(key)
                yield copy
            elif batch.copies[key] == copy:
                batch.places.append(key)
            else:
                batch.places.append(Refused(f"conflict: two instances would become {key[:200]!r}"))

    async def _guessed(
        self, batch: "_Batch", copies: Iterator[Copy], leases: Mapping[float, int]
    ) -> dict[str, Write | Result]:
        """Write where nothing lies that we don't know; for the rest of what can be guessed, what then is to be done.

        Encoding goes on while the server writes what was encoded before.
        """
        plans: dict[str, Write | Result] = {}
        guesses = (guess(copy, leases[copy.lease], self._last.get(copy.path)) for copy in copies)
        sent = batches((one for one in guesses if one is not None), write_cost)
        fences = self._locks.fences()
        answers = pipelined(self._client, sent, lambda writes: guess_txn(writes, fences))
        async with aclosing(answers):
            async for writes, answer in answers:
                if isinstance(answer, Declined):
                    if not concerns_some(answer):
                        plans |= self._failed(writes, answer)
                elif answer.succeeded:
                    plans |= self._done(writes, answer)
                else:
                    for write, response in zip(writes, answer.responses, strict=False):  # the fences follow
                        found = response.response_range.kvs
                        plans[write.key] = self._planned(batch.copies[write.key], found, leases)
                await asyncio.sleep(0)
        return plans

    def _planned(self, copy: Copy, found: Sequence[wire.KeyValue], leases: Mapping[float, int]) -> Write | Result:
        """What to do for a copy, by what lies in its place."""
        proof = self._proof(copy.sought.layout, copy.origin)
        for kv in concerned(copy.sought, found):
            if kv.lease and proof(kv):  # from an earlier life: so that an edit by hand is known for one
                self._created[kv.key] = kv.create_revision
        return put_write(copy, found, leases[copy.lease], proof)

    async def _found(
        self, sought: Sequence[Sought], failures: dict[str, Write | Result]
    ) -> AsyncIterator[tuple[str, Sequence[wire.KeyValue]]]:
        """What lies where each key's records may lie; `failures` gets those for which that could not be read."""

        async with aclosing(in_batches(self._client, sought, read_cost, read_txn)) as answers:
            async for batch, answer in answers:
                if isinstance(answer, Declined):
                    failures |= {one.key: Failed(str(answer)) for one in batch}
                    continue
                for one, response in zip(batch, answer.responses, strict=True):
                    yield one.key, response.response_range.kvs

    async def _carry_out(self, plans: dict[str, Write | Result]) -> dict[str, Result]:
        """Do what is planned."""
        results = {key: plan for key, plan in plans.items() if not isinstance(plan, Write)}
        writes = [plan for plan in plans.values() if isinstance(plan, Write)]
        fences = self._locks.fences()
        changes = in_batches(self._client, writes, write_cost, lambda batch: write_txn(batch, fences))
        async with aclosing(changes) as answers:
            async for batch, answer in answers:
                results |= self._failed(batch, answer) if isinstance(answer, Declined) else self._done(batch, answer)
        return results

    def _done(self, writes: Sequence[Write], answer: wire.TxnResponse) -> dict[str, Result]:
        if answer.succeeded:
            for write in writes:
                self._remember(write, answer.header.revision)
            return {write.key: Done(write.key) for write in writes}
        lost = self._locks.is_lost([kv for one in answer.responses for kv in one.response_range.kvs])
        reason = "the lock is somebody else's now" if lost else "it was changed by somebody while it was written"
        return {write.key: Failed(reason) for write in writes}

    def _failed(self, writes: Sequence[Write], error: Declined) -> dict[str, Result]:
        if error.code is StatusCode.NOT_FOUND:  # a lease ended meanwhile: the next write gets a new one
            for write in writes:
                if write.put is not None:
                    self._leases.forget(write.put.lease)
        return {write.key: Failed(str(error)) for write in writes}

    def _remember(self, write: Write, revision: int) -> None:
        for path in write.deletes:
            self._created.pop(path, None)
            self._last.pop(path, None)
        if write.put is not None:
            self._last[write.put.key] = Last(revision, write.put.lease, crc32(write.put.value))
            if write.seen[0][1] == 0:
                self._created[write.put.key] = revision

    def _proof(self, layout: Layout, origin: Origin = NO_ORIGIN) -> Proof:
        return lambda kept: self._owner.is_its(kept, layout, self._created, origin)

    def _layout(self, name: str) -> Layout:
        """The layout of that name, or the first.

        Raises:
            ValueError: it is not configured here.
        """
        for layout in self._layouts:
            if name in ("", layout.name):
                return layout
        raise ValueError(f"layout {name!r} is none of those here: {', '.join(one.name for one in self._layouts)}")

    def _sought(self, key: str) -> Sought | None:
        layout = next((one for one in self._layouts if key.startswith(one.root)), None)
        try:
            return sought_of(layout, key) if layout is not None else None
        except ValueError:
            return None
