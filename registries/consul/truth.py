"""What has been said of each service, and what a new answer changes of it. Pure."""

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from pilot_plus.model import Drop, Instance, Put, Reset, Skipped, Update

NOTHING: Final[Mapping[str, str]] = {}


class Reading(msgspec.Struct, frozen=True):
    """What one answer says of one service: everything that there is of it."""

    instances: Mapping[str, Instance] = {}
    """By key."""
    skipped: Mapping[str, str] = NOTHING
    """Reasons by place."""
    entries: int = 0
    """How many the answer had, applications or not."""
    nodes: frozenset[str] = frozenset()
    """Where they are."""


EMPTY: Final = Reading()


class Truth:
    """Every service with its last reading. Only a service's own answer says what it has."""

    def __init__(self) -> None:
        self._readings: dict[str, Reading] = {}

    def of(self, service: str) -> Reading:
        """The last reading of a service."""
        return self._readings.get(service, EMPTY)

    def learn(self, service: str, reading: Reading) -> None:
        """Take a reading without saying it: the first one of each service makes the `Reset`."""
        if reading == EMPTY:
            self._readings.pop(service, None)
        else:
            self._readings[service] = reading

    def whole(self) -> Iterator[Update]:
        """All of it: a `Reset`, and the skips that belong to it."""
        yield Reset(instances=[one for reading in self._readings.values() for one in reading.instances.values()])
        for reading in self._readings.values():
            for place, reason in reading.skipped.items():
                yield Skipped(place, reason)

    def answered(self, service: str, reading: Reading) -> Iterator[Update]:
        """Take a reading; what it changes, the new before what goes."""
        before = self.of(service)
        self.learn(service, reading)
        for key, instance in reading.instances.items():
            if before.instances.get(key) != instance:
                yield Put(instance)
        for key in before.instances:
            if key not in reading.instances:
                yield Drop(key)
        for place, reason in reading.skipped.items():
            if before.skipped.get(place) != reason:
                yield Skipped(place, reason)
        for place in before.skipped:
            if place not in reading.skipped:
                yield Skipped(place, "")
