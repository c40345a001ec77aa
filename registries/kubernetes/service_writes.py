"""The writes of one service's objects, one after the other, each of which leaves its shelf as it is then."""

import msgspec

from registries.kubernetes import bodies
from registries.kubernetes.bodies import Ours
from registries.kubernetes.kinds import IMPORTS, SERVICES, SLICES
from registries.kubernetes.objects import OwnerReference
from registries.kubernetes.shelf import Front, Shelf, Slice, with_slice
from registries.kubernetes.shelves import Shelves
from registries.kubernetes.writes import Writes


class ServiceWrites:
    """One try at it.

    Every write raises `Stale` where something is not as the shelf says, `Declined`, or `SourceLost`.
    """

    def __init__(
        self, writes: Writes, shelves: Shelves, ours: Ours, shelf: Shelf, owner: OwnerReference | None
    ) -> None:
        self._writes = writes
        self._shelves = shelves
        self._ours = ours
        self._shelf = shelf
        self._owner = owner

    async def front(self, wanted: Front) -> bool:
        """Make the Service be so, and the ServiceImport with it; whether there was anything to do."""
        service, shelf = self._shelf.service, self._shelf
        is_imported = shelf.imported is not None or not self._ours.has_imports
        if shelf.front == wanted and is_imported:
            return False
        if shelf.front != wanted:
            meta, body = bodies.service_of(service, wanted, self._ours, self._owner)
            version = await self._writes.apply(SERVICES, service[0], body, meta, shelf.version)
            self._keep(msgspec.structs.replace(shelf, front=wanted, version=version))
        if self._ours.has_imports:
            meta, body = bodies.import_of(service, wanted, self._ours, self._owner)
            version = await self._writes.apply(IMPORTS, service[0], body, meta, shelf.imported)
            self._keep(msgspec.structs.replace(self._shelf, imported=version))
        return True

    async def no_front(self) -> bool:
        """Remove the Service, and the ServiceImport; whether there were any."""
        (namespace, name), shelf = self._shelf.service, self._shelf
        if shelf.imported is not None:
            await self._writes.remove(IMPORTS, namespace, name, shelf.imported)
        if shelf.version is not None:
            await self._writes.remove(SERVICES, namespace, name, shelf.version)
        self._keep(msgspec.structs.replace(shelf, front=None, version=None, imported=None))
        return shelf.version is not None or shelf.imported is not None

    async def slice(self, wanted: Slice) -> None:
        """Make a slice be so, or remove it."""
        shelf, namespace = self._shelf, self._shelf.service[0]
        there = shelf.slices.get(wanted.name)
        version = there.version if there else None
        if wanted.entries:
            meta, body = bodies.slice_of(shelf.service, wanted, self._ours, self._owner)
            version = await self._writes.apply(SLICES, namespace, body, meta, version)
        elif version is not None:
            await self._writes.remove(SLICES, namespace, wanted.name, version)
        kept = msgspec.structs.replace(wanted, version=version)
        self._keep(msgspec.structs.replace(shelf, slices=with_slice(shelf.slices, kept)))

    def _keep(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._shelves.keep(shelf)
