"""The sockets in the wall: what a registry adapter offers, and all that the hub knows of one.

An adapter is a module of `registries` with

- `Settings`: a frozen `msgspec.Struct` (`forbid_unknown_fields`, keyword only): the `settings` of its configuration;
- `connect(settings)`: an async context manager of an object that is a `Source`, a `Sink`, or both. It fails with
  `SourceLost`, and closes everything that it opened, threads included.

A source never retries: it dies with `SourceLost`, and `pilot_plus.ingest` alone opens it again.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypeAlias, runtime_checkable

import msgspec

from pilot_plus.model import Instance, Update


class SourceLost(Exception):  # noqa: N818 - an event of the domain, not a programming error
    """The registry can't be heard or written (any more, or at all). One line for people, no secrets."""


@runtime_checkable
class Source(Protocol):
    """What the hub reads from."""

    def watch(self, after: str | None = None) -> AsyncIterator[Update]:
        """Say the whole truth (`Reset`), then every change; with `after` go on from an `Alive.progress` if possible.

        Ends only by raising `SourceLost`. To be iterated once, by one task.
        """
        ...


class Done(msgspec.Struct, frozen=True):
    """The write is in the registry (or was there already: writes are idempotent), under that key."""

    key: str


class Refused(msgspec.Struct, frozen=True):
    """The write can't be done, and trying again would not help: a foreign record, a layout that can't hold it."""

    reason: str


class Failed(msgspec.Struct, frozen=True):
    """The write was not done, and may be tried again."""

    reason: str


Result: TypeAlias = Done | Refused | Failed


@runtime_checkable
class Sink(Protocol):
    """What the hub writes to. Batches; idempotent; a result for each item, in order; raises only `SourceLost`.

    Whose record it is, is proved by what the registry itself says (ephemeral owner, lease, id prefix, label):
    nobody else's is ever touched. Not existing is `Done` for a drop.
    """

    async def put(self, instances: Sequence[Instance]) -> Sequence[Result]:
        """Write each instance in its `layout` (or the only one); `lease` 0 is durable, else seconds to live.

        The record carries the instance's `origin` and `zone` where the layout can hold them, so that this registry's
        own source reports them back. `Done.key` is the key under which it will be reported; the instance's own `key`
        is not used.
        """
        ...

    async def drop(self, keys: Sequence[str]) -> Sequence[Result]:
        """Remove the records of those keys that are ours."""
        ...


@runtime_checkable
class Renewing(Protocol):
    """A sink whose leases are ours to keep."""

    async def renew(self, keys: Sequence[str]) -> Sequence[Result]:
        """Say that the instances of those keys still live; `Refused` where the registry doesn't know the key."""
        ...


@runtime_checkable
class Vouching(Protocol):
    """A source that knows of records for which nobody has vouched since it was opened."""

    def unheard(self) -> frozenset[str]:
        """Their keys: they are shown as stale. Asked after each `Alive`."""
        ...


@runtime_checkable
class Locating(Protocol):
    """A source whose keys are not the places of its records, and that can find these when somebody asks."""

    async def locate(self, keys: Sequence[str]) -> Mapping[str, Sequence[str]]:
        """Where the records of those keys lie in the registry now, for people.

        A key that is its own place, or that is unknown, may be left out. Raises only `SourceLost`.
        """
        ...


@runtime_checkable
class Previewing(Protocol):
    """A sink that can tell what will become of a write. Pure: asks nobody. Sync plans show it before they write."""

    def preview(self, instance: Instance) -> Instance | Refused:
        """The instance as this registry's own source will report it once it is put, or why it can't be written.

        With the key that `Done` will say, the layout by its name, what the layout can't hold at its default, and
        `NO_ORIGIN` where it holds no mark. Mostly `decode(encode(instance))`. A key that is known only after the
        write (a lease's number, a sequence) is empty.
        """
        ...


@runtime_checkable
class Locking(Protocol):
    """A sink whose registry can hold a lock: so that of several hubs with the same rules one writes."""

    async def claim(self, name: str, owner: str, ttl: float) -> str:
        """Take the lock `name` if it is free or over, or begin its `ttl` seconds anew if it is `owner`'s.

        Returns whose it is now. Idempotent; raises only `SourceLost`. A registry whose locks must last longer than
        `ttl` lets them.
        """
        ...

    async def release(self, name: str, owner: str) -> None:
        """Give the lock up, if it is `owner`'s."""
        ...


@runtime_checkable
class Tidying(Protocol):
    """A sink that leaves something beside its records that is not needed once they are gone."""

    async def tidy(self) -> None:
        """Take that back, as far as it is ours and nothing needs it. Raises only `SourceLost`."""
        ...


class Registry(Protocol):
    """A module of `registries`, as `pilot_plus.hub` sees it."""

    Settings: type[msgspec.Struct]

    def connect(self, settings: msgspec.Struct) -> AbstractAsyncContextManager[Source]:
        """Open the registry."""
        ...
