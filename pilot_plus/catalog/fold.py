"""The fold: a catalog and what a source said make the next catalog, and say which services that touched.

Pure. A batch of updates of one source is taken together: first what its truth is now, then what the guard lets happen,
then the indexes. `steps` is the same as a generator that pauses now and then, so that a first list of 100,000 records
doesn't keep the event loop from everything else.
"""

from collections.abc import Collection, Generator, Iterable, Sequence
from contextlib import suppress

import msgspec
from immutables import Map

from pilot_plus.catalog.admission import Admission
from pilot_plus.catalog.catalog import MAX_SKIPPED, Catalog, Held, Place, Source, Standing
from pilot_plus.catalog.guard import Limits, is_mass_removal, remembered, shifted
from pilot_plus.catalog.indexing import PAUSE_EVERY, Folded, Record, indexed, instance_or_none, next_catalog, told
from pilot_plus.catalog.ours import NOTHING, Known
from pilot_plus.catalog.quota import Tally, size_of
from pilot_plus.model import Alive, Drop, Health, Instance, Put, Reset, Resumed, Skipped, Update

__all__ = [
    "Folded",
    "Rules",
    "fold",
    "forget",
    "lose",
    "next_tick",
    "release",
    "restore",
    "steps",
    "tick",
    "vouch",
]


class Rules(msgspec.Struct, frozen=True):
    """What applies to one source. `guard` None: nothing is ever held."""

    admission: Admission
    guard: Limits | None = None
    drain_after: float | None = None
    drop_after: float | None = None
    most: int = 0
    """Records that it may hold; 0: any number."""


def fold(
    catalog: Catalog, name: str, updates: Iterable[Update], rules: Rules, now: float, ours: Known = NOTHING
) -> Folded:
    """Take in what the source `name` said, at `now` (monotonic seconds); `ours`: what we ourselves did there."""
    return _finished(steps(catalog, name, updates, rules, now, ours))


def steps(
    catalog: Catalog, name: str, updates: Iterable[Update], rules: Rules, now: float, ours: Known = NOTHING
) -> Generator[None, None, Folded]:
    """`fold`, pausing every few hundred records."""
    source = catalog.sources[name]
    heard = _Heard(source, rules, ours)
    for update in updates:
        yield from heard.take(update)
    source = msgspec.structs.replace(
        source,
        heard=now,
        standing=Standing.SYNCED if heard.is_synced else source.standing,
        since=now if heard.is_synced and source.standing is not Standing.SYNCED else source.since,
        error="" if heard.is_synced else source.error,
        drained=source.drained and not heard.is_synced,
        skipped=heard.skipped,
        skipped_beyond=heard.skipped_beyond,
        tally=heard.tally.held,
    )
    source, moved = _guarded(source, heard, rules.guard, now)
    return (yield from indexed(catalog, source, heard.changes, moved))


def restore(
    catalog: Catalog, name: str, records: Iterable[Record], admission: Admission, heard: float | None = None
) -> Folded:
    """Take in what the journal last knew of a source: stale, and never yet synced. The rules may be others by now.

    `heard`: when a hub last heard it (monotonic seconds), if that is known.
    """
    changes: dict[str, Record | None] = {}
    for record in records:
        with suppress(ValueError):
            changes[record.key] = admission.again(record)
    source = catalog.sources[name]
    passing = [record for record in changes.values() if _passes(record)]
    first_hand = sum(isinstance(record, Instance) and source.is_first_hand(record) for record in passing)
    tally = sum(size_of(record) for record in changes.values())
    source = msgspec.structs.replace(source, passing=len(passing), first_hand=first_hand, tally=tally, heard=heard)
    return _finished(indexed(catalog, source, changes))


def lose(catalog: Catalog, name: str, error: str, now: float) -> Folded:
    """The source can't be heard (any more, or still not): nothing goes, everything of it is stale."""
    source = catalog.sources[name]
    lost = Standing.LOST if source.standing is Standing.SYNCED else source.standing
    source = msgspec.structs.replace(
        source, standing=lost, since=now if lost is not source.standing else source.since, error=error
    )
    return Folded(next_catalog(catalog, source), frozenset())


def release(catalog: Catalog, name: str) -> Folded:
    """An operator says that the held removals are right."""
    source = catalog.sources[name]
    return _finished(_released(catalog, source, list(source.held)))


def forget(catalog: Catalog, name: str) -> Folded:
    """An operator says that a source is gone for good: so is all that it has said."""
    source = msgspec.structs.replace(
        catalog.sources[name], held=Map(), passing=0, first_hand=0, tally=0, window=(), skipped=Map()
    )
    gone: dict[str, Record | None] = dict.fromkeys((*source.instances, *source.services))
    return _finished(indexed(catalog, source, gone))


def vouch(catalog: Catalog, name: str, unheard: frozenset[str]) -> Folded:
    """The source says for which records nobody has vouched since it was opened."""
    source = catalog.sources[name]
    services: dict[str, list[Place]] = {}
    for key in source.unheard ^ unheard:
        if key in source.instances:
            services.setdefault(source.instances[key].service, []).append((name, key))
    number = catalog.number + 1
    with catalog.entries.mutate() as entries:
        for service, places in services.items():
            entries[service] = told(entries[service], entries[service], places, number)
        entries_now = entries.finish()
    source = msgspec.structs.replace(source, unheard=unheard)
    return Folded(next_catalog(catalog, source, entries_now if services else None), frozenset(services))


def tick(catalog: Catalog, name: str, rules: Rules, now: float) -> Folded | None:
    """What time alone changes: holds run out, a loss has lasted long enough to drain or drop. None if nothing."""
    source = catalog.sources[name]
    over = [key for key, held in source.held.items() if held.until <= now]
    if over:
        return _finished(_released(catalog, source, over))
    if not source.is_stale or not source.instances:
        return None
    lost_for = now - source.since
    if rules.drop_after is not None and lost_for >= rules.drop_after:
        source = msgspec.structs.replace(source, held=Map(), passing=0, first_hand=0, tally=0)
        gone: dict[str, Record | None] = dict.fromkeys((*source.instances, *source.services))
        return _finished(indexed(catalog, source, gone))
    if rules.drain_after is not None and lost_for >= rules.drain_after and not source.drained:
        drained: dict[str, Record | None] = {
            key: msgspec.structs.replace(instance, health=Health.DRAINING)
            for key, instance in source.instances.items()
            if instance.health in (Health.PASSING, Health.WARNING)
        }
        return _finished(
            indexed(catalog, msgspec.structs.replace(source, drained=True, passing=0, first_hand=0), drained)
        )
    return None


def next_tick(source: Source, rules: Rules) -> float | None:
    """When `tick` next has something to do (monotonic seconds); None if never."""
    times = [held.until for held in source.held.values()]
    if source.is_stale and source.instances:
        limits = (None if source.drained else rules.drain_after, rules.drop_after)
        times += [source.since + after for after in limits if after is not None]
    return min(times, default=None)


# ------------------------------------------------------------------------------------------------ hearing


class _Heard:
    """What a batch of updates says of a source's truth: a new state for each key that it names."""

    def __init__(self, source: Source, rules: Rules, ours: Known) -> None:
        self._source = source
        self._admission = rules.admission
        self._ours = ours
        self.tally = Tally(source, rules.most)
        self.changes: dict[str, Record | None] = {}
        self.explicit: set[str] = set()
        self.skipped = source.skipped
        self.skipped_beyond = source.skipped_beyond
        self.is_synced = False
        self.is_whole = False
        """Whether `changes` names everything."""

    def passes(self, record: Record | None) -> bool:
        """Whether it is an instance that passes, and whose truth lies here."""
        return (
            isinstance(record, Instance)
            and record.health is Health.PASSING
            and self._source.is_first_hand(record)
            and not self._ours.is_copy(record)
        )

    def take(self, update: Update) -> Generator[None, None, None]:
        """Take in one update."""
        match update:
            case Put(record=record):
                self._put(record)
            case Drop(key=key, explicit=explicit):
                self._drop(key)
                if explicit or key in self._ours.dismissed:
                    self.explicit.add(key)
            case Skipped(place=place, reason=reason):
                self._skip(place, reason)
            case Reset():
                yield from self._reset(update)
            case Resumed():
                self.is_synced = True
            case Alive():
                pass

    def _reset(self, reset: Reset) -> Generator[None, None, None]:
        self.is_synced = self.is_whole = True
        self.skipped, self.skipped_beyond = self.skipped and Map(), 0
        self.explicit = set(self._ours.dismissed)
        self.tally.begin_anew()
        self.changes = dict.fromkeys((*self._source.instances, *self._source.services))
        self.changes.update(dict.fromkeys(self._source.held))
        records: tuple[Sequence[Record], ...] = (reset.services, reset.instances)
        for part in records:
            for index, record in enumerate(part):
                self._put(record)
                if index % PAUSE_EVERY == PAUSE_EVERY - 1:
                    yield

    def _put(self, record: Record) -> None:
        admission = self._admission
        before = self._known(record.key)
        try:
            admitted = admission.instance(record) if isinstance(record, Instance) else admission.service(record)
            self.tally.change(before, admitted)
            self.changes[record.key] = admitted
        except ValueError as reason:
            self.tally.change(before, None)
            self.changes[record.key] = None
            shown = admission.shown_as(record.namespace or admission.namespace, record.name)
            self._skip(record.key, f"{shown}: {reason}")
        else:
            self._skip(record.key, "")

    def _drop(self, key: str) -> None:
        self.tally.change(self._known(key), None)
        self.changes[key] = None
        self._skip(key, "")

    def _known(self, key: str) -> Record | None:
        """The record of a key as far as it is heard."""
        if key in self.changes:
            return self.changes[key]
        return self._source.in_truth(key) or self._source.services.get(key)

    def _skip(self, place: str, reason: str) -> None:
        if not reason:
            if place in self.skipped:
                self.skipped = self.skipped.delete(place)
        elif place in self.skipped or len(self.skipped) < MAX_SKIPPED:
            self.skipped = self.skipped.set(place[:1000], reason[:1000])
        else:
            self.skipped_beyond += 1


def _guarded(source: Source, heard: _Heard, limits: Limits | None, now: float) -> tuple[Source, Collection[str]]:
    """Let the guard look at a batch: what it holds is taken out of `heard.changes` and into `source.held`.

    Also returns the keys that are held now and were not, or the other way round: their records look otherwise.

    It looks at what the source knows at first hand. Copies, and what a peer relays, come and go with a truth that is
    told elsewhere, under a guard of its own; to hold them would keep what is known to be gone. So would it be with
    what we have taken out ourselves.
    """
    going, passing, coming, asked_for = [], source.passing, 0, 0
    for key, record in heard.changes.items():
        was = source.in_truth(key)
        passing += _passes(record) - _passes(was)
        before, after = heard.passes(was), heard.passes(record)
        if before and not after:
            going.append(key)
            asked_for += key in heard.explicit
        coming += after and not before
    first_hand = source.first_hand + coming - len(going)
    if heard.is_whole:  # what is known as ours may have become known since it was counted
        first_hand = sum(heard.passes(record) for record in heard.changes.values())
    window = shifted(source.window, -asked_for)
    held = source.held
    caught: dict[str, Held] = {}
    if limits and going and is_mass_removal(window, now, first_hand, limits):
        caught = {
            key: Held(instance_or_none(heard.changes.pop(key)), now + limits.hold_for)
            for key in going
            if key not in heard.explicit
        }
        held = held.update(caught)
    held, freed = _still_held(held, source, heard.changes)
    if limits and (window or heard.is_synced):
        window = remembered(window, now, first_hand, limits)
    source = msgspec.structs.replace(source, held=held, passing=passing, first_hand=first_hand, window=window)
    return source, (*caught, *freed)


def _passes(record: Record | None) -> bool:
    return isinstance(record, Instance) and record.health is Health.PASSING


def _still_held(
    held: Map[str, Held], source: Source, changes: dict[str, Record | None]
) -> tuple[Map[str, Held], list[str]]:
    """What stays held after a batch, and the keys that are free, for they pass again; another change only waits."""
    freed = []
    for key in [key for key in changes if key in source.held] if len(changes) < len(source.held) else list(source.held):
        if key not in changes:
            continue
        record = instance_or_none(changes[key])
        if record is not None and record.health is Health.PASSING:
            held = held.delete(key)
            freed.append(key)
        else:
            del changes[key]
            held = held.set(key, Held(record, held[key].until))
    return held, freed


def _released(catalog: Catalog, source: Source, keys: Sequence[str]) -> Generator[None, None, Folded]:
    changes: dict[str, Record | None] = {key: source.held[key].pending for key in keys}
    held = source.held
    for key in keys:
        held = held.delete(key)
    return (yield from indexed(catalog, msgspec.structs.replace(source, held=held), changes))


def _finished(generator: Generator[None, None, Folded]) -> Folded:
    """Run it to its end."""
    result: list[Folded] = []

    def through() -> Generator[None, None, None]:
        result.append((yield from generator))

    for _ in through():
        pass
    return result[0]
