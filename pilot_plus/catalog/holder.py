"""The holder: publishes one catalog after the other, and wakes those who follow the services that it touched.

There is no queue of deltas. Each follower has the set of touched services that it has not looked at yet, which can't
grow beyond what it follows: a slow one coalesces by itself. A bounded ring of what recent revisions touched lets
somebody who was away resume; who was away for longer compares in full.
"""

import asyncio
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Final

import msgspec

from pilot_plus.catalog.catalog import Catalog
from pilot_plus.catalog.ours import Ours

RING: Final = 4096


class _Published(msgspec.Struct, frozen=True):
    number: int
    touched: frozenset[str]


class Follower:
    """One consumer's place in the stream of catalogs."""

    def __init__(self, services: Iterable[str] | None) -> None:
        """Follow these services, or all of them (None)."""
        self.services: set[str] | None = None if services is None else set(services)
        self.touched: set[str] = set()
        """Followed services that changed since the last `changes`."""
        self._merged = 0
        self._changed = asyncio.Event()

    def __repr__(self) -> str:
        """Say how far behind it is."""
        return f"<Follower of {'all' if self.services is None else len(self.services)}, {len(self.touched)} behind>"

    def wake(self, touched: Collection[str] = ()) -> None:
        """Note what was touched, and let `changes` return."""
        several = len(self.touched) + len(touched)
        self.touched.update(touched)
        self._merged += several - len(self.touched)
        self._changed.set()

    def forget_merged(self) -> int:
        """How often a service was touched again before anybody looked at it, since this was last asked."""
        merged, self._merged = self._merged, 0
        return merged

    async def changes(self) -> frozenset[str]:
        """Wait for a publish that concerns this follower; return the services touched since the last call.

        Empty when only the state of a source changed.
        """
        await self._changed.wait()
        return self.take()

    def take(self) -> frozenset[str]:
        """What `changes` would return now, without waiting."""
        self._changed.clear()
        touched, self.touched = frozenset(self.touched), set()
        return touched


class Holder:
    """Where the one task that folds publishes, and everybody else reads."""

    def __init__(self, catalog: Catalog) -> None:
        """Begin with a catalog."""
        self.current = catalog
        self.ours = Ours()
        """What the hub itself has done in registries: who writes there says it, and who folds asks."""
        self._ring: deque[_Published] = deque(maxlen=RING)
        self._of_all: set[Follower] = set()
        self._of: dict[str, set[Follower]] = {}

    def publish(self, catalog: Catalog, touched: frozenset[str]) -> None:
        """Make a catalog the current one. `touched`: the services that are not the same as in the one before.

        One of the same revision differs only in when its sources were heard: nobody is woken.
        """
        is_new, self.current = catalog.number != self.current.number, catalog
        if not is_new:
            return
        self._ring.append(_Published(catalog.number, touched))
        for follower in self._of_all:
            follower.wake(touched)
        for service in touched:
            for follower in self._of.get(service, ()):
                follower.wake((service,))

    def touched_since(self, revision: str) -> frozenset[str] | None:
        """The services touched after a revision; None if that is not known any more, or was another epoch."""
        epoch, _, text = revision.rpartition(".")
        if epoch != self.current.epoch or not text.isdecimal() or int(text) > self.current.number:
            return None
        number = int(text)
        if number == self.current.number:
            return frozenset()
        if not self._ring or self._ring[0].number > number + 1:
            return None
        return frozenset().union(*(published.touched for published in self._ring if published.number > number))

    @contextmanager
    def following(self, services: Iterable[str] | None = None) -> Iterator[Follower]:
        """Follow services (None: all, and the state of the sources)."""
        follower = Follower(services)
        if follower.services is None:
            self._of_all.add(follower)
        else:
            for service in follower.services:
                self._of.setdefault(service, set()).add(follower)
        try:
            yield follower
        finally:
            self._of_all.discard(follower)
            self.unfollow(follower, list(follower.services or ()))

    def follow(self, follower: Follower, services: Iterable[str]) -> None:
        """Let a follower of some services follow more of them."""
        if follower.services is None:
            return
        for service in services:
            follower.services.add(service)
            self._of.setdefault(service, set()).add(follower)

    def unfollow(self, follower: Follower, services: Iterable[str]) -> None:
        """Let a follower of some services follow fewer of them."""
        for service in services:
            followers = self._of.get(service)
            if followers is None:
                continue
            followers.discard(follower)
            if follower.services is not None:
                follower.services.discard(service)
            follower.touched.discard(service)
            if not followers:
                del self._of[service]
