"""The past, as people and programs read it: what changed, a timeline, and the service as it was. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, Final, assert_never

import msgspec
from immutables import Map

from pilot_plus.catalog import Catalog, Entry, Held, Source
from pilot_plus.catalog.changes import Change, Field, Kind, State
from pilot_plus.catalog.events import Event, What
from pilot_plus.model import split_service
from pilot_plus.views import query
from pilot_plus.views.endpoints import Home
from pilot_plus.views.shapes import Condition, InstanceShape, Shape


class Moment(msgspec.Struct, frozen=True):
    """Something that happened, and when."""

    place: tuple[int, int]
    """Its place in the order of things, whatever the clock says."""
    time: float
    """Wall clock, seconds."""
    revision: str
    happened: Change | Event


class Told(msgspec.Struct, frozen=True):
    """What is known of a service's past."""

    known_from: float
    at: float | None
    """The time that was asked for (wall clock, seconds); None is now."""
    state: State
    """The service as it was then."""
    sources: Mapping[str, Source]
    """The sources of what is told, as they stood."""
    moments: Sequence[Moment]
    """What had happened by then, in order."""


class FieldShape(Shape, frozen=True, kw_only=True):
    """One field that changed; null where it was, or is, not there."""

    name: str
    old: Any
    new: Any


class ChangeShape(Shape, frozen=True, kw_only=True):
    """What happened to one record."""

    time: str
    revision: str
    registry: str
    change: Kind
    id: str
    key: str
    address: str | None
    """Of what came or is gone."""
    becomes: str | None
    """What is held: `gone`, or the health that waits."""
    fields: tuple[FieldShape, ...]


class EventShape(Shape, frozen=True, kw_only=True):
    """What happened to a registry."""

    time: str
    revision: str
    registry: str
    event: What
    state: str
    count: int
    text: str


class LineShape(Shape, frozen=True, kw_only=True):
    """A line of the timeline."""

    time: str
    revision: str
    registry: str
    text: str


class PastShape(Shape, frozen=True, kw_only=True):
    """A service's past: how it was at a time, and what had happened by then, the oldest first."""

    namespace: str
    name: str
    at: str | None
    known_from: str
    conditions: tuple[Condition, ...]
    instances: tuple[InstanceShape, ...]
    changes: tuple[ChangeShape, ...]
    events: tuple[EventShape, ...]
    timeline: tuple[LineShape, ...]


def past(service: str, told: Told, home: Home, now: float) -> PastShape:
    """The answer about a service; `now`: monotonic seconds, for how old the present is."""
    namespace, name = split_service(service)
    catalog = _catalog_of(told, home)
    entry = Entry(
        namespace=namespace,
        name=name,
        instances=Map({place: remembered.instance for place, remembered in told.state.items()}),
    )
    shown = query.service(catalog, home, entry, now if told.at is None else told.at)
    return PastShape(
        namespace=namespace,
        name=name,
        at=None if told.at is None else time_text(told.at),
        known_from=time_text(told.known_from),
        conditions=shown.conditions,
        instances=shown.instances,
        changes=tuple(_change(one, one.happened) for one in told.moments if isinstance(one.happened, Change)),
        events=tuple(_event(one, one.happened) for one in told.moments if isinstance(one.happened, Event)),
        timeline=tuple(_timeline(told.moments)),
    )


def time_text(time: float) -> str:
    """`2026-11-21T14:02:07.123Z`."""
    return datetime.fromtimestamp(time, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _catalog_of(told: Told, home: Home) -> Catalog:
    """The past as a catalog, so that the same views answer from it."""
    if told.at is None:
        return Catalog(epoch="", sources=Map(told.sources))
    sources = {}
    for name, source in told.sources.items():
        until = told.at + home.hold_for.get(name, 0.0)
        held = {place[1]: Held(None, until) for place, one in told.state.items() if one.is_held and place[0] == name}
        sources[name] = msgspec.structs.replace(source, held=Map(held), unheard=frozenset())
    return Catalog(epoch="", sources=Map(sources))


def _change(moment: Moment, change: Change) -> ChangeShape:
    came = {field.name: field.new for field in change.fields} if change.kind is Kind.CAME else {}
    gone = change.instance.address if change.kind is Kind.GONE and change.instance else None
    return ChangeShape(
        time=time_text(moment.time),
        revision=moment.revision,
        registry=change.registry,
        change=change.kind,
        id=change.id,
        key=change.key,
        address=came.get("address", gone),
        becomes=_becomes(change) if change.kind is Kind.HELD else None,
        fields=tuple(FieldShape(name=field.name, old=field.old, new=field.new) for field in change.fields),
    )


def _event(moment: Moment, event: Event) -> EventShape:
    return EventShape(
        time=time_text(moment.time),
        revision=moment.revision,
        registry=event.registry,
        event=event.what,
        state=event.standing,
        count=event.count,
        text=event.text,
    )


# ------------------------------------------------------------------------------------------------ the timeline


def _timeline(moments: Sequence[Moment]) -> Iterator[LineShape]:
    """A line for what happened together."""
    for _, group in groupby(moments, key=_together):
        same = list(group)
        first = same[0]
        if isinstance(first.happened, Event):
            text = event_text(first.happened)
        else:
            text = changes_text([one.happened for one in same if isinstance(one.happened, Change)])
        if text:
            registry = first.happened.registry
            yield LineShape(time=time_text(first.time), revision=first.revision, registry=registry, text=text)


def _together(moment: Moment) -> object:
    match moment.happened:
        case Change(kind=kind, registry=registry):
            return moment.revision, registry, kind
        case Event():
            return moment.place


def changes_text(changes: Sequence[Change]) -> str:
    """Several changes of one kind, of one registry, in one revision: `3 of 5 gone, held`."""
    first = changes[0]
    number = len(changes)
    some = first.id
    if number > 1 or first.kind in (Kind.HELD, Kind.FREED):
        some = f"{number} of {first.of}" if first.of else str(number)
    match first.kind:
        case Kind.CAME:
            return f"{number} came" if number > 1 else f"{first.id} came{_address(first)}"
        case Kind.GONE:
            return f"{some} gone, {first.of - 1} left" if number == 1 and first.of else f"{some} gone"
        case Kind.HELD:
            return f"{some} {_becomes(first)}, held"
        case Kind.FREED:
            return f"{some} held no longer"
        case Kind.CHANGED if len({_told(change) for change in changes}) == 1:
            return f"{some}: {_told(first)}"
        case Kind.CHANGED:
            return f"{some} changed: {', '.join(sorted({field.name for one in changes for field in one.fields}))}"
    assert_never(first.kind)


_EVENTS: Final[Mapping[What, str]] = {
    What.STARTED: "the hub started",
    What.SYNCED: "synced, holding {instances}",
    What.LOST: "lost{why}; its {instances} stay, as stale",
    What.UNREACHABLE: "not reached yet{why}",
    What.DRAINED: "lost for long: its instances are drained",
    What.MERGED: "{count} states are not here each alone: changes came quicker than they could be written",
}


def event_text(event: Event) -> str:
    """An event, as the timeline of a service tells it; empty for what its changes tell already."""
    why = f": {event.text}" if event.text else ""
    instances = f"{event.instances} instance{'' if event.instances == 1 else 's'}"
    return _EVENTS.get(event.what, "").format(instances=instances, count=event.count, why=why)


def _becomes(change: Change) -> str:
    return change.instance.health if change.instance else "gone"


def _address(change: Change) -> str:
    address = next((field.new for field in change.fields if field.name == "address"), "")
    return f" ({address})" if address else ""


def _told(change: Change) -> str:
    return ", ".join(f"{field.name} {_text(field, field.old)} → {_text(field, field.new)}" for field in change.fields)


def _text(field: Field, value: Any) -> str:
    if value is None:
        return "none"
    if field.name == "ports":
        return ",".join(f"{port['name']}:{port['number']}" for port in value)
    if isinstance(value, dict):
        return "/".join(str(part) for part in value.values() if part) or "none"
    return str(value)
