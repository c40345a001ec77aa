"""A change of one object, and what it makes of what is known. Pure."""

import msgspec

from pilot_plus.model import Update
from registries.kubernetes.decode import members_of, service_of
from registries.kubernetes.join import Join
from registries.kubernetes.kinds import SERVICES, Kind
from registries.kubernetes.objects import ServiceObject, SliceObject, read


class Change(msgspec.Struct, frozen=True):
    """What happened to one object: it is there, with this JSON, or (None) gone."""

    kind: Kind
    namespace: str
    name: str
    raw: msgspec.Raw | None


def apply(join: Join, change: Change) -> list[Update]:
    """Take a change in, and say what it changes; an object that can't be read counts as gone."""
    place = f"{change.kind.name}/{change.namespace}/{change.name}"
    try:
        updates, skipped = _taken(join, change)
    except ValueError as error:
        gone = msgspec.structs.replace(change, raw=None)
        updates, skipped = _taken(join, gone)[0], ((place, str(error)),)
    return [*updates, *join.skip(place, skipped)]


def _taken(join: Join, change: Change) -> tuple[list[Update], tuple[tuple[str, str], ...]]:
    name = (change.namespace, change.name)
    if change.kind == SERVICES:
        known = None if change.raw is None else service_of(read(change.raw, ServiceObject))
        return join.put_service(name, known), ()
    members = None if change.raw is None else members_of(read(change.raw, SliceObject))
    return join.put_slice(name, members), members.skipped if members else ()
