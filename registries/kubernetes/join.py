"""What services and slices say together, and how each change of one object changes it. Pure.

    service shop/orders   ─┐
    slice orders-4fz7  A B ├─ known: the service with A, B, C        service gone: all of it goes
    slice orders-9kq2  B C ─┘ B stands in two slices and is one      slice orders-4fz7 gone: A goes, B stays

A slice's change costs as much as the slice is large, whatever the size of its service. What is gone is said last.
"""

from collections.abc import Iterable, Iterator
from typing import TypeAlias

from pilot_plus.model import Drop, Instance, Put, Service, Skipped, Update
from registries.kubernetes.decode import KnownService, Members, ServiceName, joined
from registries.kubernetes.names import slice_place

ObjectName: TypeAlias = tuple[str, str]
Before: TypeAlias = dict[str, Instance]


class Join:
    """Services and slices as they are now, and what is said of them."""

    def __init__(self) -> None:
        self._services: dict[ServiceName, KnownService] = {}
        self._slices: dict[ObjectName, Members] = {}
        self._of_service: dict[ServiceName, dict[ObjectName, Members]] = {}
        self._skipped: dict[str, tuple[tuple[str, str], ...]] = {}

    def put_service(self, name: ServiceName, known: KnownService | None) -> list[Update]:
        """A service is new or has changed; None: it is gone, or says nothing any more."""
        before = self._said(name)
        old = self._services.get(name)
        if known is None:
            self._services.pop(name, None)
        else:
            self._services[name] = known
        updates: list[Update] = []
        if known is not None and (old is None or old.record != known.record):
            updates.append(Put(known.record))
        updates += _changes(before, self._said(name))
        if known is None and old is not None:
            updates.append(Drop(old.record.key))
        return updates

    def put_slice(self, name: ObjectName, members: Members | None) -> list[Update]:
        """A slice is new or has changed; None: it is gone, or says nothing any more."""
        old = self._slices.get(name)
        keys = dict.fromkeys((*(old.instances if old else ()), *(members.instances if members else ())))
        services = dict.fromkeys(slice_.service for slice_ in (old, members) if slice_ is not None)
        before = [self._said(service, keys) for service in services]
        self._keep(name, old, members)
        updates: list[Update] = []
        for service, was in zip(services, before, strict=True):
            updates += _changes(was, self._said(service, keys))
        return updates

    def skip(self, place: str, skipped: tuple[tuple[str, str], ...]) -> list[Update]:
        """What is wrong with the object at a place now; nothing takes back what was said of it before."""
        old = self._skipped.pop(place, ())
        if skipped:
            self._skipped[place] = skipped
        here = {where for where, _ in skipped}
        healed = [Skipped(where, "") for where, _ in old if where not in here]
        return [*healed, *(Skipped(where, reason) for where, reason in skipped if (where, reason) not in old)]

    def services(self) -> list[Service]:
        """Every service, those without an instance too."""
        return [known.record for known in self._services.values()]

    def instances(self) -> Iterator[list[Instance]]:
        """Every instance, service by service."""
        for name in self._services:
            yield list(self._said(name).values())

    def places(self, keys: Iterable[str]) -> dict[str, list[str]]:
        """The slices in which the endpoints of those keys stand, as people call them."""
        wanted = set(keys)
        found: dict[str, list[str]] = {}
        for name in sorted(self._slices):
            for key in self._slices[name].instances.keys() & wanted:
                found.setdefault(key, []).append(slice_place(*name))
        return found

    def skips(self) -> list[Update]:
        """Everything that is wrong now."""
        return [Skipped(place, reason) for skipped in self._skipped.values() for place, reason in skipped]

    def _keep(self, name: ObjectName, old: Members | None, members: Members | None) -> None:
        if old is not None:
            siblings = self._of_service[old.service]
            del self._slices[name], siblings[name]
            if not siblings:
                del self._of_service[old.service]
        if members is not None:
            self._slices[name] = members
            self._of_service.setdefault(members.service, {})[name] = members

    def _said(self, service: ServiceName, keys: Iterable[str] | None = None) -> Before:
        """The instances of a service, or those of some keys, in all of its slices."""
        known = self._services.get(service)
        if known is None:
            return {}
        if known.external is not None:
            return {known.external.key: known.external}
        said: Before = {}
        for members in self._of_service.get(service, {}).values():
            if known.family and members.family in _FAMILIES and members.family != known.family:
                continue
            for key in members.instances if keys is None else keys:
                member = members.instances.get(key)
                if member is not None:
                    said[key] = joined(said.get(key), member)
        return said


_FAMILIES = ("IPv4", "IPv6")


def _changes(before: Before, after: Before) -> list[Update]:
    puts = [Put(record) for key, record in after.items() if before.get(key) != record]
    return [*puts, *(Drop(key) for key in before if key not in after)]
