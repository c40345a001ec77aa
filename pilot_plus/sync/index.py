"""The index of what sync wrote, for records that can hold no mark: written before the write, by key once it is known.

    intend   10.1.0.7:9000 of vm/user.rpc in etcd, by rule r     on the disk before the record is in the registry
    put      user.rpc/7587…                                      the registry's own source reports it: ours, by endpoint
    done     key user.rpc/7587…                                  from now on by its key
    forget                                                       when it is out of the registry again

Without it a copy in a registry that strips metadata would look like an original, and another rule would copy it on.
What does hold a mark is remembered by its key, for as long as this process lives: somebody may edit the mark away. The
sink still proves that such a record is ours before it is touched.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Final, Protocol, TypeAlias

import msgspec

from pilot_plus.model import Instance, Origin
from pilot_plus.views.copies import RULE, Copy

KIND: Final = "sync-written"


class Document(Protocol):
    """A document of the journal."""

    @property
    def key(self) -> str:
        """Unique among those of a kind."""
        ...

    @property
    def payload(self) -> bytes:
        """JSON."""
        ...


class Documents(Protocol):
    """The journal's documents, as far as sync needs them."""

    async def list(self, kind: str) -> Sequence[Document]:
        """All of a kind."""
        ...

    async def changed(self, kind: str, since: int) -> Sequence[Document]:
        """Those of a kind that were written after a revision, by whichever copy of the hub."""
        ...

    async def revision(self) -> int:
        """As long as it stands, nothing has been written."""
        ...

    async def write(self, kind: str, puts: Mapping[str, bytes], deletes: Sequence[str] = ()) -> None:
        """Write many in one transaction; on the disk when it returns. Raises OSError."""
        ...


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """A record that we wrote, or are about to."""

    target: str
    rule: str
    origin: Origin
    unit: str
    address: str
    ports: tuple[int, ...]
    key: str = ""
    """Empty as long as the registry has not said it."""

    @property
    def name(self) -> str:
        """Its key among the documents."""
        parts = (self.target, self.rule, *_parts(self.origin), self.unit, self.address, *map(str, self.ports))
        return sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:40]


_Endpoint: TypeAlias = tuple[str, str, str, tuple[int, ...]]


class Index:
    """What sync wrote without a mark, in all targets."""

    def __init__(self, documents: Documents) -> None:
        """Keep it in the journal."""
        self._documents = documents
        self._written: dict[str, Written] = {}
        self._by_key: dict[tuple[str, str], Written] = {}
        self._by_endpoint: dict[_Endpoint, Written] = {}
        self._marked: dict[str, dict[str, tuple[str, Origin]]] = {}
        """By target and key."""

    async def load(self) -> None:
        """Read what earlier runs wrote; what can't be read is nobody's.

        Raises:
            OSError: the journal can't be read.
        """
        for one in _decoded(await self._documents.list(KIND)):
            self._remember(one)

    async def take_over(self, target: str) -> None:
        """Read everything again, for another copy of the hub with this journal may have written until now.

        What is noted no more has gone from `target`; elsewhere the copy whose turn it is there may be about to note it.

        Raises:
            OSError: the journal can't be read.
        """
        now = {one.name: one for one in _decoded(await self._documents.list(KIND))}
        for one in self.in_target(target):
            if one.name not in now:
                self._drop(one)
        for one in now.values():
            self._remember(one)

    async def learn(self, since: int) -> set[str]:
        """What copies of the hub have written since a revision of the journal; return the units that are news to us.

        Raises:
            OSError: the journal can't be read.
        """
        news = [
            one for one in _decoded(await self._documents.changed(KIND, since)) if self._written.get(one.name) != one
        ]
        for one in news:
            self._remember(one)
        return {one.unit for one in news}

    def owner(self, registry: str, instance: Instance) -> tuple[str, Origin] | None:
        """Rule and origin of a record read from a registry; None if we did not write it, or it says so itself."""
        if written := self._find(registry, instance):
            return written.rule, written.origin
        marked = self._marked.get(registry)
        return marked.get(instance.key) if marked and not instance.meta(RULE) else None

    def is_written(self, registry: str, instance: Instance) -> bool:
        """Whether it is one of ours."""
        return self.owner(registry, instance) is not None

    def in_target(self, target: str) -> list[Written]:
        """Everything in one registry."""
        return [one for one in self._written.values() if one.target == target]

    async def intend(self, target: str, copies: Iterable[Copy]) -> None:
        """Note what is about to be written, where the record will not say it itself.

        Raises:
            OSError: the journal can't be written: then nothing may be.
        """
        copies = list(copies)
        keys = ((copy.expected.key, copy.identity) for copy in copies if copy.holds_mark and copy.expected.key)
        self._marked.setdefault(target, {}).update(keys)
        intended = [_written(target, copy) for copy in copies if not copy.holds_mark]
        new = {one.name: one for one in intended if one.name not in self._written}
        if not new:
            return
        await self._documents.write(KIND, {name: msgspec.json.encode(one) for name, one in new.items()})
        for one in new.values():
            self._remember(one)

    async def done(self, target: str, done: Iterable[tuple[Copy, str]]) -> None:
        """Note the keys under which copies lie.

        Raises:
            OSError: the journal can't be written.
        """
        done = list(done)
        self._marked.setdefault(target, {}).update((key, copy.identity) for copy, key in done if copy.holds_mark)
        known = [
            msgspec.structs.replace(written, key=key)
            for copy, key in (done if self._written else ())
            if (written := self._written.get(_written(target, copy).name)) and written.key != key
        ]
        if not known:
            return
        for one in known:
            self._remember(one)
        await self._documents.write(KIND, {one.name: msgspec.json.encode(one) for one in known})

    async def forget(self, target: str, records: Iterable[Instance]) -> None:
        """What lay there is gone.

        Raises:
            OSError: the journal can't be written.
        """
        records, marked = list(records), self._marked.get(target, {})
        for record in records:
            marked.pop(record.key, None)
        await self._remove([one for record in records if (one := self._find(target, record))])

    async def retract(self, target: str, copies: Iterable[Copy]) -> None:
        """They were not written after all.

        Raises:
            OSError: the journal can't be written.
        """
        copies, marked = list(copies), self._marked.get(target, {})
        for copy in copies:
            marked.pop(copy.expected.key, None)
        names = (_written(target, copy).name for copy in copies)
        await self._remove([one for name in names if (one := self._written.get(name)) and not one.key])

    async def _remove(self, gone: Sequence[Written]) -> None:
        for one in gone:
            self._drop(one)
        if gone:
            await self._documents.write(KIND, {}, [one.name for one in gone])

    def _find(self, registry: str, instance: Instance) -> Written | None:
        if not self._written:
            return None
        known = self._by_key.get((registry, instance.key))
        if known is not None or not self._by_endpoint:
            return known
        return self._by_endpoint.get((registry, instance.service, instance.address, _numbers(instance)))

    def _remember(self, one: Written) -> None:
        self._drop(one)
        self._written[one.name] = one
        if one.key:
            self._by_key[one.target, one.key] = one
        else:
            self._by_endpoint[one.target, one.unit, one.address, one.ports] = one

    def _drop(self, one: Written) -> None:
        old = self._written.pop(one.name, None)
        if old is None:
            return
        if old.key:
            self._by_key.pop((old.target, old.key), None)
        self._by_endpoint.pop((old.target, old.unit, old.address, old.ports), None)


def _decoded(documents: Iterable[Document]) -> Iterator[Written]:
    """What can be read of them; the rest is nobody's."""
    for document in documents:
        try:
            yield msgspec.json.decode(document.payload, type=Written)
        except msgspec.MsgspecError:
            continue


def _written(target: str, copy: Copy) -> Written:
    return Written(
        target=target,
        rule=copy.rule,
        origin=copy.record.origin,
        unit=copy.unit,
        address=copy.expected.address,
        ports=_numbers(copy.expected),
        key=copy.expected.key if copy.is_foreseen else "",
    )


def _numbers(instance: Instance) -> tuple[int, ...]:
    return tuple(sorted(port.number for port in instance.ports))


def _parts(origin: Origin) -> tuple[str, ...]:
    return origin.cluster, origin.registry, origin.id, *origin.hops
