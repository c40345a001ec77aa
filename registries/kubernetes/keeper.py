"""The keeper of leased copies: one Lease in each namespace that has some, renewed while the hub lives.

Nothing in Kubernetes ends by itself. So every leased copy names our Lease as its owner: who deletes that one object
has Kubernetes' own garbage collector remove all of them.

    hub lives                 renews the Lease `pilot-plus-copies-CLUSTER` at a third of its time
    hub ends for good         hubs of other clusters that write into the namespace see it stand still, and delete it;
                              a person can do the same
    no such hub               copies stay, as durable ones do, until a hub of ours is back
    no leased copies          nobody renews it, and we delete it as well

How long a Lease has stood still is told by our own clock, since nobody's wall clock can be trusted.
"""

from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from math import ceil
from time import monotonic
from typing import Final

import msgspec

from pilot_plus.ports import SourceLost
from registries.kubernetes.client import Client
from registries.kubernetes.kinds import LEASES, SLICES
from registries.kubernetes.names import CLUSTER, MANAGED_BY, OURS, label_of
from registries.kubernetes.objects import AnyObject, LeaseObject, LeaseSpec, Meta, OwnerReference, read
from registries.kubernetes.shelf import version_of
from registries.kubernetes.watch import Stream, pages
from registries.kubernetes.writes import Declined, Stale, Writes

SWEEP_EVERY: Final = 5.0
"""Seconds."""
GRACE: Final = 2.0
"""How many times its duration a Lease of another cluster must stand still to be over."""


class _Seen(msgspec.Struct, frozen=True):
    revision: str
    since: float


class Keeper:
    """Our Leases, and those of other clusters where we write."""

    def __init__(self, client: Client, cluster: str, page_size: int) -> None:
        self._client = client
        self._writes = Writes(client)
        self._cluster = cluster
        self._page_size = page_size
        self._name = label_of(f"pilot-plus-copies-{cluster}")
        self._seconds: dict[str, int] = {}
        self._owners: dict[str, OwnerReference] = {}
        self._others: dict[tuple[str, str], _Seen] = {}
        self._swept = monotonic()

    async def owner(self, namespace: str, seconds: float) -> OwnerReference:
        """The owner of leased copies in a namespace, whose Lease lasts so long at the least.

        Raises:
            Declined, SourceLost: there can be none.
        """
        if namespace not in self._owners or ceil(seconds) > self._seconds.get(namespace, 0):
            await self.renew(namespace, seconds)
        return self._owners[namespace]

    async def renew(self, namespace: str, seconds: float) -> None:
        """Say that we live.

        Raises:
            Declined, SourceLost: it can't be said.
        """
        lasting = max(ceil(seconds), self._seconds.get(namespace, 1))
        spec = LeaseSpec(holder_identity=self._cluster, lease_duration_seconds=lasting, renew_time=micro_time())
        meta = Meta(self._name, namespace, labels={CLUSTER: self._cluster})
        uid = (await self._writes.declare(LEASES, namespace, {"spec": spec}, meta)).uid
        self._seconds[namespace] = lasting
        self._owners[namespace] = OwnerReference(LEASES.api_version, LEASES.kind, self._name, uid)

    async def sweep(self, namespaces: Iterable[str]) -> None:
        """Now and then: delete Leases of copies that have stood still for long; the copies go with them.

        Our own stands still where it is not needed, for who has leased copies renews it.
        """
        now = monotonic()
        if now - self._swept < SWEEP_EVERY:
            return
        self._swept = now
        for namespace in namespaces:
            with suppress(SourceLost, ValueError):  # it is not ours to read them, or a list is broken: there is time
                await self._sweep_one(namespace)

    async def _sweep_one(self, namespace: str) -> None:
        async for page, _ in pages(self._client, Stream(LEASES, namespace, CLUSTER), self._page_size):
            for change in page:
                if change.raw is not None:
                    await self._judge(read(change.raw, LeaseObject), monotonic())

    async def _judge(self, found: LeaseObject, now: float) -> None:
        meta, place = found.metadata, (found.metadata.namespace, found.metadata.name)
        seen = self._others.get(place)
        if seen is None or seen.revision != meta.resource_version:
            self._others[place] = _Seen(meta.resource_version, now)
            return
        is_over = now - seen.since > GRACE * (found.spec.lease_duration_seconds or 1)
        if not is_over or ((meta.labels or {}).get(CLUSTER) == self._cluster and await self._is_needed(meta)):
            return
        del self._others[place]
        with suppress(Stale, Declined):  # it lives, or we may not
            await self._writes.remove(LEASES, meta.namespace, meta.name, version_of(meta))
            self._owners.pop(meta.namespace, None)

    async def _is_needed(self, lease: Meta) -> bool:
        """Whether a slice of ours names our Lease as its owner."""
        selector = f"{MANAGED_BY}={OURS},{CLUSTER}={self._cluster}"
        async for page, _ in pages(self._client, Stream(SLICES, lease.namespace, selector), self._page_size):
            for change in page:
                if change.raw is None:
                    continue
                owners = read(change.raw, AnyObject).metadata.owner_references or ()
                if any(owner.uid == lease.uid for owner in owners):
                    return True
        return False


def micro_time() -> str:
    """Now, as Leases write it: for people, for we decide nothing by it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
