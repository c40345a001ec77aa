"""Explanation: the shapes of what is told about every record of a service, and why it is seen or not."""

from typing import Literal

import msgspec

from pilot_plus.model import Health, Origin, Speaks
from pilot_plus.views.shapes import Condition, Shape, SkippedShape


class StepShape(Shape, frozen=True, kw_only=True):
    """A step on a record's way: `record`, `name`, `grant`, `accept`, `registry`, `guard`, `conflict` or `horizon`."""

    step: str
    says: str


class VerdictShape(Shape, frozen=True, kw_only=True):
    """What becomes of one record."""

    id: str
    registry: str
    key: str
    places: tuple[str, ...] = ()
    """Where it lies in the registry, if that is not its key; two while it is being replaced."""
    layout: str
    zone: str
    health: Health
    origin: Origin
    stale: bool
    seen: bool
    addresses: tuple[str, ...]
    """`HOST:PORT`, where it is seen."""
    why: str
    steps: tuple[StepShape, ...] = ()
    """From the record in the registry to who looks."""


class SkippedRecord(SkippedShape, frozen=True, kw_only=True):
    """A record that can't be used, and would perhaps be an instance of the service."""

    registry: str


class ServedShape(Shape, frozen=True, kw_only=True):
    """A client that follows a service, and whether it has what the hub would send it now."""

    id: str
    zone: str
    type: str
    resource: str
    state: Literal["accepted", "sent", "rejected", "waiting"]
    reason: str | None


class Explanation(Shape, frozen=True, kw_only=True):
    """For every record of a service: seen or not, at which addresses, and why."""

    namespace: str
    name: str
    host: str
    zone: str | None = msgspec.field(name="from")
    speaks: Speaks | None = msgspec.field(name="as")
    conditions: tuple[Condition, ...]
    instances: tuple[VerdictShape, ...]
    aliases: tuple[str, ...] = ()
    """What else the service is called."""
    skipped: tuple[SkippedRecord, ...] = ()
    """Records that the registries hold under this name, and that can't be used."""
    proxies: tuple[ServedShape, ...] = ()
    """Clients of xDS that look as the viewer does and follow the service, and whether they have what is said here."""
