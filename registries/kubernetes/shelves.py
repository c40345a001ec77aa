"""The shelves of all services that are written to: read a namespace at a time, and one anew where it was changed.

What is kept here is only what the API server said last. Every write demands that it is still so, so that a shelf that
is out of date costs one more look, and nothing else.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import TypeVar

import msgspec

from pilot_plus.ports import SourceLost
from registries.kubernetes.bodies import Ours
from registries.kubernetes.breath import breathing
from registries.kubernetes.client import Client
from registries.kubernetes.decode import ServiceName, members_of
from registries.kubernetes.kinds import IMPORTS, SERVICES, SLICES, Kind
from registries.kubernetes.names import CLUSTER, SERVICE_NAME
from registries.kubernetes.objects import AnyObject, ServiceObject, SliceObject, read
from registries.kubernetes.shelf import Shelf, Slice, front_of, slice_of, version_of
from registries.kubernetes.watch import Stream, pages
from registries.kubernetes.writes import is_there

T = TypeVar("T")


class Shelves:
    """What is there of every service, as far as it concerns us."""

    def __init__(self, client: Client, ours: Ours, page_size: int) -> None:
        self._client = client
        self._ours = ours
        self._page_size = page_size
        self._known: dict[str, dict[ServiceName, Shelf]] = {}
        self._loading: dict[str, asyncio.Lock] = {}

    @property
    def namespaces(self) -> list[str]:
        """Those that have been looked at."""
        return list(self._known)

    async def of(self, service: ServiceName) -> Shelf:
        """A shelf as it was last seen.

        Raises:
            SourceLost: it can't be read.
        """
        namespace = service[0]
        async with self._loading.setdefault(namespace, asyncio.Lock()):
            if namespace not in self._known:
                self._known[namespace] = await self._loaded(namespace)
        return self._known[namespace].get(service) or Shelf(service)

    async def seen_anew(self, service: ServiceName) -> Shelf:
        """A shelf as it is now.

        Raises:
            SourceLost, Declined: it can't be read.
        """
        namespace, name = service
        shelves: dict[ServiceName, Shelf] = {}
        if (front := await self._one(SERVICES, namespace, name, ServiceObject)) is not None:
            self._note_service(shelves, front)
        if self._ours.has_imports and (imported := await self._one(IMPORTS, namespace, name, AnyObject)) is not None:
            self._note_import(shelves, imported)
        selector = f"{SERVICE_NAME}={name},{self._ours.slice_selector}"
        async for found in self._list(Stream(SLICES, namespace, selector), SliceObject):
            _note_slice(shelves, found.metadata.namespace, name, slice_of(found))
        seen = shelves.get(service) or Shelf(service)
        self.keep(seen)
        return seen

    async def is_still_ours(self, shelf: Shelf) -> bool:
        """Whether a Service that we thought to be ours is there, and ours.

        Raises:
            SourceLost: it can't be read.
        """
        namespace, name = shelf.service
        found = await self._one(SERVICES, namespace, name, AnyObject)
        return found is not None and self._ours.owns(found.metadata)

    async def foreign_keys(self, service: ServiceName) -> set[str]:
        """The keys of what others say of a service.

        Raises:
            SourceLost: it can't be read.
        """
        namespace, name = service
        keys: set[str] = set()
        async for found in self._list(Stream(SLICES, namespace, f"{SERVICE_NAME}={name}"), SliceObject):
            if (found.metadata.labels or {}).get(CLUSTER) != self._ours.cluster:
                with suppress(ValueError):
                    members = members_of(found)
                    keys |= members.instances.keys() if members else set()
        return keys

    def keep(self, shelf: Shelf) -> None:
        """Take note of what was seen or written."""
        known = self._known.setdefault(shelf.service[0], {})
        if shelf.version or shelf.slices or shelf.foreign:
            known[shelf.service] = shelf
        else:
            known.pop(shelf.service, None)

    async def _loaded(self, namespace: str) -> dict[ServiceName, Shelf]:
        shelves: dict[ServiceName, Shelf] = {}
        async for service in self._list(Stream(SERVICES, namespace), ServiceObject):
            self._note_service(shelves, service)
        if self._ours.has_imports:
            async for imported in self._list(Stream(IMPORTS, namespace), AnyObject):
                self._note_import(shelves, imported)
        async for found in self._list(Stream(SLICES, namespace, self._ours.slice_selector), SliceObject):
            name = (found.metadata.labels or {}).get(SERVICE_NAME, "")
            _note_slice(shelves, namespace, name, slice_of(found))
        return shelves

    async def _one(self, kind: Kind, namespace: str, name: str, shape: type[T]) -> T | None:
        path = f"{kind.path(namespace)}/{name}"
        answer = await self._client.ask("GET", path)
        try:
            return read(answer.body, shape) if is_there(answer) else None
        except ValueError as error:
            raise SourceLost(f"{path}: the answer is no object: {error}") from error

    async def _list(self, stream: Stream, kind: type[T]) -> AsyncIterator[T]:
        async for page, _ in pages(self._client, stream, self._page_size):
            async for change in breathing(page):
                if change.raw is None:
                    continue
                try:
                    yield read(change.raw, kind)
                except ValueError:
                    continue  # whatever it is, it isn't ours

    def _note_service(self, shelves: dict[ServiceName, Shelf], found: ServiceObject) -> None:
        meta = found.metadata
        service = (meta.namespace, meta.name)
        shelf = shelves.get(service) or Shelf(service)
        if self._ours.owns(meta):
            front, version = front_of(found, self._ours.service_labels), version_of(meta)
            shelves[service] = msgspec.structs.replace(shelf, front=front, version=version)
        else:
            shelves[service] = msgspec.structs.replace(shelf, foreign=_whose(SERVICES, meta.name))

    def _note_import(self, shelves: dict[ServiceName, Shelf], found: AnyObject) -> None:
        meta = found.metadata
        service = (meta.namespace, meta.name)
        shelf = shelves.get(service) or Shelf(service)
        if self._ours.owns(meta):
            shelves[service] = msgspec.structs.replace(shelf, imported=version_of(meta))
        else:
            shelves[service] = msgspec.structs.replace(shelf, foreign=_whose(IMPORTS, meta.name))


def _note_slice(shelves: dict[ServiceName, Shelf], namespace: str, name: str, found: Slice) -> None:
    service = (namespace, name)
    shelf = shelves.get(service) or Shelf(service)
    slices = {**shelf.slices, found.name: found}
    shelves[service] = msgspec.structs.replace(shelf, slices=slices)


def _whose(kind: Kind, name: str) -> str:
    return f"the {kind.kind} {name} is there already, and is somebody else's"
