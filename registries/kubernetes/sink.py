"""The sink: a Service without a selector for each service, and its copies in slices of ours. Touches nothing else.

    put a, b, c     by service: ─▶ the shelf as last seen ─▶ slices that bring something ─▶ slices that lose something
                                   somebody else's Service?      after the Service               then the Service
                                   refused

A write demands the state that we have seen, and one that finds another looks anew. Where a shelf says that there is
nothing to do it is looked at anew too, for then somebody has changed it, or nothing is to be done indeed.
"""

import asyncio
import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from pilot_plus.model import Instance
from pilot_plus.ports import Done, Failed, Refused, Result, SourceLost
from registries.kubernetes.bodies import Ours
from registries.kubernetes.client import Client
from registries.kubernetes.decode import ServiceName
from registries.kubernetes.encode import Placed, foreseen, placed
from registries.kubernetes.keeper import Keeper
from registries.kubernetes.objects import OwnerReference
from registries.kubernetes.service_writes import ServiceWrites
from registries.kubernetes.settings import Settings
from registries.kubernetes.shelf import Shelf, Slice, arranged, front_for, with_slice
from registries.kubernetes.shelves import Shelves
from registries.kubernetes.writes import Declined, Stale, Writes

TRIES: Final = 8
APART: Final = 0.02
"""Seconds by which tries get apart, at the most and each time anew, where two write the same service."""
AT_ONCE: Final = 32
"""Services that are written at the same time."""


class Writer:
    """The writing half of a connection."""

    def __init__(self, client: Client, settings: Settings, ours: Ours) -> None:
        self._ours = ours
        self._settings = settings
        self._writes = Writes(client)
        self._shelves = Shelves(client, ours, settings.page_size)
        self._keeper = Keeper(client, ours.cluster, settings.page_size)
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._one_at_a_time = asyncio.Lock()

    def preview(self, instance: Instance) -> Instance | Refused:
        """What will become of a write; see `pilot_plus.ports.Previewing`."""
        try:
            return foreseen(self._placed(instance))
        except ValueError as error:
            return Refused(str(error))

    async def put(self, instances: Sequence[Instance]) -> Sequence[Result]:
        """Write each instance; see `pilot_plus.ports.Sink`."""
        places = [self._tried(instance) for instance in instances]
        wanted, results = _by_service(places)
        async with self._one_at_a_time:
            outcomes = await self._each({service: (copies, ()) for service, copies in wanted.items()})
        for number, place in enumerate(places):
            if results[number] is None and isinstance(place, Placed):
                results[number] = outcomes[place.service] or Done(place.key)
        return [result for result in results if result is not None]

    async def drop(self, keys: Sequence[str]) -> Sequence[Result]:
        """Remove each record that is ours; see `pilot_plus.ports.Sink`."""
        sought: dict[ServiceName, list[str]] = {}
        for key in keys:
            if service := _service_in(key):
                sought.setdefault(service, []).append(key)
        async with self._one_at_a_time:
            foreign = await self._foreign(sought)
            outcomes = await self._each({service: ((), some) for service, some in sought.items()})
        results: list[Result] = []
        for key in keys:
            service = _service_in(key)
            if service is None or key in foreign:
                results.append(Refused(f"{key[:200]!r} is no record of ours"))
            else:
                results.append(outcomes[service] or Done(key))
        return results

    async def renew(self, keys: Sequence[str]) -> Sequence[Result]:
        """Keep the leases of these alive; see `pilot_plus.ports.Renewing`."""
        async with self._one_at_a_time:
            results = {key: await self._renewable(key) for key in dict.fromkeys(keys)}
            longest: dict[str, float] = {}
            for key, lease in results.items():
                if not isinstance(lease, Refused) and lease:
                    namespace = key.partition("/")[0]
                    longest[namespace] = max(lease, longest.get(namespace, 0.0))
            for namespace, lease in longest.items():
                try:
                    await self._keeper.renew(namespace, lease)
                except Declined as declined:
                    return [declined.result] * len(keys)
                except Stale:
                    return [Failed(f"namespace {namespace!r} is gone")] * len(keys)
            return [one if isinstance(one := results[key], Refused) else Done(key) for key in keys]

    async def sweep(self) -> None:
        """Now and then: end Leases that nobody keeps any more, where we write."""
        await self._keeper.sweep(self._shelves.namespaces)

    # -------------------------------------------------------------------------------------------- services

    async def _foreign(self, sought: Mapping[ServiceName, Sequence[str]]) -> set[str]:
        """Those of the keys that are there, and not in slices of ours."""
        foreign: set[str] = set()
        for service, keys in sought.items():
            shelf = await self._shelves.of(service)
            missing = {key for key in keys if not any(key in one.entries for one in shelf.slices.values())}
            if missing:
                foreign |= missing & await self._shelves.foreign_keys(service)
        return foreign

    async def _each(
        self, work: Mapping[ServiceName, tuple[Sequence[Placed], Sequence[str]]]
    ) -> dict[ServiceName, Result | None]:
        """Do what is to be done in each service; why not, where it could not be."""
        outcomes: dict[ServiceName, Result | None] = {}
        losses: list[SourceLost] = []

        async def one(service: ServiceName, puts: Sequence[Placed], drops: Sequence[str]) -> None:
            async with self._turns:
                try:
                    await self._settle(service, puts, drops)
                    outcomes[service] = None
                except Declined as declined:
                    outcomes[service] = declined.result
                except SourceLost as lost:
                    losses.append(lost)

        async with asyncio.TaskGroup() as tasks:
            for service, (puts, drops) in work.items():
                tasks.create_task(one(service, puts, drops))
        if losses:
            raise losses[0]
        return outcomes

    async def _settle(self, service: ServiceName, puts: Sequence[Placed], drops: Sequence[str]) -> None:
        """Make a service be as it should, by what was last seen of it, and then by what is there now."""
        shelf = await self._shelves.of(service)
        for tried in range(TRIES):
            try:
                if await self._write(shelf, puts, drops) or tried:
                    return
            except Stale:
                await asyncio.sleep(random.uniform(0, APART * tried))
            shelf = await self._shelves.seen_anew(service)
        raise Declined(Failed(f"{'/'.join(service)} is changed by somebody else at the same time"))

    async def _write(self, shelf: Shelf, puts: Sequence[Placed], drops: Sequence[str]) -> bool:
        """One try; whether anything was to be done."""
        if puts:
            await self._check(shelf, puts[0])
        steps = arranged(shelf, puts, drops, self._ours.cluster)
        final: Mapping[str, Slice] = shelf.slices
        gained = dict(shelf.slices)
        for step in steps:
            final = with_slice(final, step)
            gained |= {step.name: step} if step.entries else {}
        owner = await self._owner(shelf.service, final.values())
        writing = ServiceWrites(self._writes, self._shelves, self._ours, shelf, owner)
        did = await writing.front(front_for(shelf.service, gained.values())) if puts else False
        for step in steps:
            await writing.slice(step)
        if puts and steps and not did and not await self._shelves.is_still_ours(shelf):
            raise Stale
        if not shelf.foreign:
            did |= await (writing.front(front_for(shelf.service, final.values())) if final else writing.no_front())
        return did or bool(steps)

    async def _check(self, shelf: Shelf, copy: Placed) -> None:
        """Refuse to write into what is somebody else's; our slices would add endpoints to it."""
        told = copy.group.common.service
        if shelf.foreign:
            keys = [key for one in shelf.slices.values() for key in one.entries]
            for step in arranged(shelf, (), keys, self._ours.cluster):
                await ServiceWrites(self._writes, self._shelves, self._ours, shelf, None).slice(step)
            raise Declined(Refused(f"conflict: {shelf.foreign}"))
        if shelf.front is not None and shelf.slices and shelf.front.told != told:
            raise Declined(Refused(f"conflict: {'/'.join(shelf.service)} is {shelf.front.told or 'another service'}"))

    async def _owner(self, service: ServiceName, slices: Iterable[Slice]) -> OwnerReference | None:
        """The owner of leased copies, if there are some."""
        lease = max((one.group.common.lease for one in slices if one.group), default=0.0)
        return await self._keeper.owner(service[0], lease) if lease else None

    # -------------------------------------------------------------------------------------------- instances

    def _tried(self, instance: Instance) -> Placed | Refused:
        try:
            return self._placed(instance)
        except ValueError as error:
            return Refused(str(error))

    def _placed(self, instance: Instance) -> Placed:
        """Where an instance lies.

        Raises:
            ValueError: it can't lie there.
        """
        if not self._ours.cluster:
            raise ValueError("settings.cluster is not set: nothing can be written without it")
        if isinstance(self._settings.selector, str) and self._settings.selector:
            raise ValueError(
                "settings.selector is a text: to write, give it as a mapping, whose labels copies can have"
            )
        if not self._settings.sees(instance.namespace):
            raise ValueError(f"namespace {instance.namespace!r} is not in settings.namespaces")
        return placed(instance)

    async def _renewable(self, key: str) -> float | Refused:
        """The lease of a copy that is there, 0 for a durable one."""
        service = _service_in(key)
        if service is None:
            return Refused(f"{key[:200]!r} is no key")
        shelf = await self._shelves.of(service)
        lease = _lease_of(shelf, key)
        if lease is None:
            try:
                lease = _lease_of(await self._shelves.seen_anew(service), key)
            except Declined as declined:
                return Refused(declined.result.reason)
        return Refused("it is not there") if lease is None else lease


def _by_service(
    places: Sequence[Placed | Refused],
) -> tuple[dict[ServiceName, list[Placed]], list[Result | None]]:
    """The copies of each service, each key once; and what can't be written, by its number."""
    first: dict[str, Placed] = {}
    told: dict[ServiceName, str] = {}
    wanted: dict[ServiceName, list[Placed]] = {}
    results: list[Result | None] = []
    for place in places:
        if isinstance(place, Refused):
            results.append(place)
            continue
        name = place.group.common.service
        if first.setdefault(place.key, place) != place or told.setdefault(place.service, name) != name:
            results.append(Refused(f"conflict: two instances would become {place.key[:200]!r}"))
            continue
        results.append(None)
        if first[place.key] is place:
            wanted.setdefault(place.service, []).append(place)
    return wanted, results


def _service_in(key: str) -> ServiceName | None:
    """The service of a copy's key, `NAMESPACE/SERVICE/ADDRESS:PORT`."""
    parts = key.split("/")
    return (parts[0], parts[1]) if len(parts) == 3 and all(parts) else None


def _lease_of(shelf: Shelf, key: str) -> float | None:
    """The lease of a copy that is on a shelf."""
    return next((one.group.common.lease for one in shelf.slices.values() if one.group and key in one.entries), None)
