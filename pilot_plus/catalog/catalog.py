"""The catalog: an immutable value that holds every service, every instance and the state of every source.

It shares its structure with its predecessor (persistent maps), so that what a change costs does not depend on how much
there is. Two indexes hold the same instance objects: by source and key, which is how updates arrive, and by service,
which is how people ask.
"""

from enum import StrEnum
from typing import Final, TypeAlias

import msgspec
from immutables import Map

from pilot_plus.model import Instance, Service

Place: TypeAlias = tuple[str, str]
"""Where a record was read: the registry's name, and the record's key there."""


class Standing(StrEnum):
    """How much a source knows."""

    NEVER_SYNCED = "never_synced"
    SYNCED = "synced"
    LOST = "lost"


class Held(msgspec.Struct, frozen=True):
    """What the guard keeps from happening: the record's new state (None: gone), and until when (monotonic seconds)."""

    pending: Instance | None
    until: float


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A registry as the hub has heard it so far. Times are monotonic seconds."""

    name: str
    kind: str
    zone: str
    is_built_in: bool = False
    """It is no registry of the configuration, and not shown among them."""
    standing: Standing = Standing.NEVER_SYNCED
    since: float = 0.0
    """When it came to stand so."""
    heard: float | None = None
    """When it last said anything; None if never."""
    drained: bool = False
    """Its instances are drained, because it has been lost for so long."""
    error: str = ""
    """Why it is lost, or could not be reached yet."""
    instances: Map[str, Instance] = Map()
    services: Map[str, Service] = Map()
    skipped: Map[str, str] = Map()
    """Place and reason of what can't be used."""
    skipped_beyond: int = 0
    """How many more there are than `skipped` holds."""
    held: Map[str, Held] = Map()
    unheard: frozenset[str] = frozenset()
    """Keys of records for which nobody has vouched since the source was opened."""
    passing: int = 0
    """Instances that pass in truth: what is held does not count."""
    first_hand: int = 0
    """Those of them whose truth lies in this very source: only of these does the guard hold any."""
    tally: int = 0
    """What its records count for, where it has a quota (see `quota`)."""
    window: tuple[tuple[float, int], ...] = ()
    """How many passed, since when: the guard's memory."""

    @property
    def is_stale(self) -> bool:
        """What it said last may not be true any more."""
        return self.standing is not Standing.SYNCED

    def in_truth(self, key: str) -> Instance | None:
        """The record as the source says that it is, whatever the guard holds."""
        held = self.held.get(key)
        return held.pending if held else self.instances.get(key)

    def is_first_hand(self, instance: Instance) -> bool:
        """Whether the instance's truth lies in this source: it is no copy, and not relayed by a peer."""
        origin = instance.origin
        return (origin.registry == self.name and origin.id == instance.key) or origin.cluster == self.name


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A service in the catalog, by the places that its records were read from."""

    namespace: str
    name: str
    instances: Map[Place, Instance] = Map()
    records: Map[Place, Service] = Map()
    changed: int = 0
    """The revision in which it last changed."""
    latest: tuple[tuple[int, tuple[Place, ...]], ...] = ()
    """The places that changed in the latest revisions, oldest first."""
    untold: int = 0
    """The last revision that changed it and is not among `latest`."""

    @property
    def service(self) -> str:
        """The whole name."""
        return f"{self.namespace}/{self.name}"

    def since(self, number: int) -> frozenset[Place] | None:
        """The places that changed after a revision; None: that is not known any more, compare all."""
        if number < self.untold:
            return None
        return frozenset(place for revision, places in self.latest if revision > number for place in places)


class Catalog(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the hub knows, at one moment."""

    epoch: str
    """One run of one hub; revisions of different epochs can't be compared."""
    number: int = 0
    entries: Map[str, Entry] = Map()
    """By the service's whole name."""
    sources: Map[str, Source] = Map()
    aliases: Map[str, tuple[str, ...]] = Map()
    """Further names that registries give to services (whole names), and those services, sorted."""

    @property
    def revision(self) -> str:
        """Opaque to everybody else."""
        return f"{self.epoch}.{self.number}"

    def source_of(self, place: Place) -> Source:
        """The source of a record."""
        return self.sources[place[0]]

    def is_stale(self, place: Place) -> bool:
        """Whether the record may not be true any more: its source is not in step, or nobody has vouched for it yet."""
        source = self.sources[place[0]]
        return source.is_stale or place[1] in source.unheard

    def is_held(self, place: Place) -> bool:
        """Whether the guard keeps this record from going."""
        return place[1] in self.sources[place[0]].held


MOST_TOLD: Final = 16
"""Places of a service that changed together, and revisions, beyond which they are not told one by one."""
MAX_SKIPPED: Final = 1000
"""How many skipped records of one source are remembered by place; the others are counted."""
