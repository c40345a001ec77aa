"""The desk: what the API asks of the hub beyond reading the catalog, and of its past. The hub stands behind both."""

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeAlias

import msgspec

from pilot_plus.model import Health, Instance
from pilot_plus.ports import Done, Failed, Refused
from pilot_plus.views.past import Told
from pilot_plus.views.sync import SyncPlan, SyncStatus


class Placed(msgspec.Struct, frozen=True):
    """The instance is registered: in that registry, under that key."""

    registry: str
    key: str


class Unknown(msgspec.Struct, frozen=True):
    """There is no such instance or registry."""

    reason: str


class Conflict(msgspec.Struct, frozen=True):
    """Somebody else's record is in its place."""

    reason: str


Outcome: TypeAlias = Done | Unknown | Conflict | Refused | Failed
"""`Refused`: can't be done, and trying again would not help. `Failed`: not done, and may be tried again."""


class Past(Protocol):
    """What history answers from."""

    @property
    def known_from(self) -> float:
        """From when on it answers (wall clock, seconds)."""
        ...

    async def service(self, service: str, at: float | None, limit: int, /) -> Told | None:
        """A service at a time (wall clock, seconds; None: now) and the newest things that had happened.

        None if nothing was ever heard of it. Raises `OSError` when the journal can't be read.
        """
        ...


class Steering(Protocol):
    """Sync, as operators steer it. A `rule` that is empty means every one; what writes raises OSError."""

    @property
    def rules(self) -> tuple[str, ...]:
        """The names of all there are, of those that are gone and have left something too."""
        ...

    def status(self) -> SyncStatus:
        """Every rule in its target."""
        ...

    async def plan(self, rule: str = "") -> SyncPlan:
        """What it would do now, and why."""
        ...

    async def approve(self, rule: str = "") -> int:
        """Let the removals that a guard holds go; return how many they are."""
        ...

    async def pause(self, rule: str = "") -> tuple[str, ...]:
        """Change nothing of it any more; return the names of the rules concerned, as the next two."""
        ...

    async def resume(self, rule: str = "") -> tuple[str, ...]:
        """Take back `pause` or `purge`."""
        ...

    async def purge(self, rule: str = "") -> tuple[str, ...]:
        """Take back everything that it ever wrote."""
        ...


class Desk(Protocol):
    """Registers, and operates. Raises nothing of the domain: an expected failure is an outcome."""

    @property
    def sync(self) -> Steering:
        """Sync."""
        ...

    async def put(self, instance: Instance, registry: str | None, layout: str, /) -> Placed | Outcome:
        """Register an instance or replace it; `lease` is its TTL. No `registry`: our own; no `layout`: the first."""
        ...

    async def drop(self, namespace: str, name: str, id_: str, registry: str | None, /) -> Outcome:
        """Deregister an instance that was registered here."""
        ...

    async def renew(self, namespace: str, name: str, id_: str, /) -> Outcome:
        """Let an instance's TTL begin anew. `Unknown`: register it again."""
        ...

    async def change(
        self, namespace: str, name: str, id_: str, health: Health | None, weight: int | None, /
    ) -> Outcome:
        """Change the health or the weight of an instance that was registered here."""
        ...

    async def locate(self, registry: str, keys: Sequence[str], /) -> Mapping[str, Sequence[str]]:
        """Where the records of those keys lie, where their keys don't say it and the registry can be asked now."""
        ...

    async def release(self, registry: str, /) -> int:
        """Let what the guard of a registry holds happen; return how much it was."""
        ...
