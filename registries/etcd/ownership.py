"""Whose a record is, as etcd itself says: by its lease, whose number is of our cluster's own range. Pure.

A lease's number may be chosen. Ours are 43 bits of a hash of the cluster's name, and 20 bits that say how long the
lease lasts:

    leased copies, 15 s     <hash> 15        one lease for all of them, which each copy of the hub can go on with
    durable copies          <hash> fffff     a lease of a hundred years: nobody need keep it, and it still is a proof

A put without a lease, which is what people do by hand, takes the lease away from a record. It is still ours if it is
the same creation that we wrote, or carries our mark; with somebody else's lease it is theirs.
"""

from collections.abc import Mapping
from hashlib import sha256
from math import ceil
from typing import Final, Protocol

import msgspec

from pilot_plus.model import NO_ORIGIN, Instance, Origin
from registries.layouts.layout import Layout, Raw

_BITS: Final = 20
DURABLE: Final = (1 << _BITS) - 1
CENTURY: Final = 100 * 365 * 86400
"""Seconds; etcd's own limit is 9,000,000,000."""


class Kept(Protocol):
    """A record as the server has it."""

    @property
    def key(self) -> bytes:
        """Its key."""
        ...

    @property
    def value(self) -> bytes:
        """Its value."""
        ...

    @property
    def create_revision(self) -> int:
        """When it was created."""
        ...

    @property
    def lease(self) -> int:
        """The number of its lease, 0 for none."""
        ...


class Owner(msgspec.Struct, frozen=True):
    """A cluster, as the owner of leases."""

    cluster: str

    @property
    def first(self) -> int:
        """The lowest number of its range."""
        return (int.from_bytes(sha256(f"pilot-plus/{self.cluster}".encode()).digest()[:8]) >> (_BITS + 1)) << _BITS

    def lease_of(self, seconds: float) -> int:
        """The lease for copies that live so long; 0 is for ever."""
        return self.first + (min(max(ceil(seconds), 1), DURABLE - 1) if seconds else DURABLE)

    def holds(self, lease: int) -> bool:
        """Whether a lease is one of its own."""
        return self.first < lease <= self.first + DURABLE

    def is_its(self, kept: Kept, layout: Layout, created: Mapping[bytes, int], origin: Origin = NO_ORIGIN) -> bool:
        """Whether a record is its own.

        `created`: the revisions of what it created, as far as it remembers; `origin`: of what is to lie there.
        """
        if kept.lease:
            return self.holds(kept.lease)
        if created.get(kept.key) == kept.create_revision:
            return True
        found = _origin(layout, kept)
        return found != NO_ORIGIN and (found == origin or (bool(self.cluster) and found.cluster == self.cluster))


def ttl_of(lease: int) -> int:
    """How many seconds one of our leases lasts."""
    short = lease & DURABLE
    return CENTURY if short == DURABLE else short


def _origin(layout: Layout, kept: Kept) -> Origin:
    """What the mark in a record says; `NO_ORIGIN` where there is none, or more records than one."""
    try:
        said = layout.decode(Raw(kept.key.decode(), kept.value))
    except ValueError:
        return NO_ORIGIN
    return said[0].origin if len(said) == 1 and isinstance(said[0], Instance) else NO_ORIGIN
