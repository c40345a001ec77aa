"""Locks: Leases, as Kubernetes' own components hold them, so that of several hubs one writes.

A Lease is over when it has stood still for its duration by our own clock, counted from when we first saw it so: wall
clocks are not asked. Every change demands the state that we saw, so that of two that take it one does.
"""

from contextlib import suppress
from math import ceil
from time import monotonic
from typing import Final

import msgspec

from pilot_plus.ports import SourceLost
from registries.kubernetes.client import Client
from registries.kubernetes.keeper import micro_time
from registries.kubernetes.kinds import LEASES
from registries.kubernetes.names import label_of
from registries.kubernetes.objects import LeaseObject, LeaseSpec, Meta, read
from registries.kubernetes.shelf import version_of
from registries.kubernetes.writes import Declined, Stale, Writes, is_there

TRIES: Final = 5


class _Seen(msgspec.Struct, frozen=True):
    revision: str
    since: float


class Locks:
    """The locks in one namespace."""

    def __init__(self, client: Client, namespace: str) -> None:
        self._client = client
        self._writes = Writes(client)
        self._namespace = namespace
        self._seen: dict[str, _Seen] = {}

    async def claim(self, name: str, owner: str, ttl: float) -> str:
        """Take a lock that is free or over, or begin its time anew; whose it is now. See `pilot_plus.ports.Locking`."""
        try:
            for _ in range(TRIES):
                found = await self._read(name)
                if found is not None and not self._is_free(found, owner):
                    return found.spec.holder_identity or ""
                if await self._take(name, found, owner, ttl):
                    return owner
        except Declined as declined:
            raise SourceLost(f"{self._path(name)}: {declined}") from declined
        raise SourceLost(f"{self._path(name)}: somebody else changes it again and again")

    async def release(self, name: str, owner: str) -> None:
        """Give a lock up, if it is the owner's."""
        found = await self._read(name)
        if found is not None and found.spec.holder_identity == owner:
            with suppress(Stale, Declined):  # then it will be over soon, or is somebody else's
                await self._writes.remove(LEASES, self._namespace, found.metadata.name, version_of(found.metadata))

    async def _read(self, name: str) -> LeaseObject | None:
        answer = await self._client.ask("GET", self._path(name))
        try:
            return read(answer.body, LeaseObject) if is_there(answer) else None
        except ValueError as error:
            raise SourceLost(f"{self._path(name)}: {error}") from error

    def _is_free(self, found: LeaseObject, owner: str) -> bool:
        """Whether a Lease is the owner's own, nobody's, or has stood still for as long as it lasts."""
        holder, revision, name = found.spec.holder_identity, found.metadata.resource_version, found.metadata.name
        if not holder or holder == owner:
            return True
        now, seen = monotonic(), self._seen.get(name)
        if seen is None or seen.revision != revision:
            self._seen[name] = _Seen(revision, now)
            return False
        return now - seen.since >= (found.spec.lease_duration_seconds or 0)

    async def _take(self, name: str, found: LeaseObject | None, owner: str, ttl: float) -> bool:
        """Write that it is the owner's; False where somebody was quicker."""
        before = found.spec if found else LeaseSpec()
        is_new = before.holder_identity != owner
        now = micro_time()
        spec = LeaseSpec(
            holder_identity=owner,
            lease_duration_seconds=max(1, ceil(ttl)),
            acquire_time=now if is_new else before.acquire_time,
            renew_time=now,
            lease_transitions=(before.lease_transitions or 0) + (1 if is_new and found else 0),
        )
        version = found.metadata.resource_version if found else ""
        meta = Meta(_lease_name(name), self._namespace, resource_version=version)
        return await self._writes.set(LEASES, self._namespace, {"spec": spec}, meta)

    def _path(self, name: str) -> str:
        return f"{LEASES.path(self._namespace)}/{_lease_name(name)}"


def _lease_name(name: str) -> str:
    return label_of(f"pilot-plus-{name}")
