"""Events: what happens to a source, as people tell it: synced, lost, something held."""

from collections.abc import Iterator
from enum import StrEnum

import msgspec

from pilot_plus.catalog.catalog import Source, Standing


class What(StrEnum):
    """What has happened."""

    STARTED = "started"
    """The hub has started; what it shows of the registry is what its journal knew."""
    SYNCED = "synced"
    LOST = "lost"
    UNREACHABLE = "unreachable"
    """Not reached since the start."""
    HELD = "held"
    FREED = "freed"
    DRAINED = "drained"
    """It has been lost for so long that its instances are drained."""
    MERGED = "merged"
    """Changes came quicker than the database took them: of several states of a record only the last was written."""


class Event(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True, tag="event"):
    """What has happened to a source."""

    what: What
    registry: str
    standing: Standing = Standing.SYNCED
    """How it stands since."""
    instances: int = 0
    """How many it has in the catalog."""
    count: int = 0
    """How many records are held or freed; how many revisions were merged."""
    text: str = ""
    """Why it is lost."""


def started(source: Source) -> Event:
    """A source at the start of the hub."""
    return Event(What.STARTED, source.name, source.standing, len(source.instances))


def events_between(before: Source, after: Source) -> Iterator[Event]:
    """What has happened to a source between two catalogs."""

    def event(what: What, count: int = 0, text: str = "") -> Event:
        return Event(what, after.name, after.standing, len(after.instances), count, text)

    if after.standing is not before.standing:
        if after.standing is Standing.SYNCED:
            yield event(What.SYNCED)
        elif after.standing is Standing.LOST:
            yield event(What.LOST, text=after.error[:300])
    elif after.standing is Standing.NEVER_SYNCED and after.error and not before.error:
        yield event(What.UNREACHABLE, text=after.error[:300])
    if len(after.held) > len(before.held):
        yield event(What.HELD, len(after.held) - len(before.held))
    elif len(after.held) < len(before.held):
        yield event(What.FREED, len(before.held) - len(after.held))
    if after.drained and not before.drained:
        yield event(What.DRAINED)
