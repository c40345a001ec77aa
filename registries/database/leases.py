"""Who has been heard, and whose time has passed: a pure account of leases by the monotonic clock of this process.

    seen(a, lease=15, at 0)     a lives until 15, unheard: it was there before we were
    heard(a, at 10)             a lives until 25
    due(at 24) = []             due(at 25) = [a], and again a second later if it is still there

A heartbeat is a counter (`tick`) that has moved, so no wall clock is compared with another. An instance whose last
heartbeat came through another copy of the hub gets a little longer here: that copy knows the moment better.
"""

from collections.abc import Sequence
from heapq import heapify, heappop, heappush
from typing import Final

import msgspec

GRACE_S: Final = 0.3
"""How much longer we wait for an instance whose heartbeats we see only in the database."""
AGAIN_S: Final = 0.5


class _Lease(msgspec.Struct, gc=False):
    seconds: float
    tick: int
    until: float
    unheard: bool


class Leases:
    """The leases of all instances, durable ones (0 s) included: these are known, and never due."""

    def __init__(self) -> None:
        self._leases: dict[str, _Lease] = {}
        self._queue: list[tuple[float, str]] = []
        self._unheard: dict[str, None] = {}

    def __len__(self) -> int:
        return len(self._leases)

    def __contains__(self, key: str) -> bool:
        return key in self._leases

    @property
    def unheard(self) -> frozenset[str]:
        """Leased instances that nobody has vouched for since we began to look."""
        return frozenset(self._unheard)

    def seen(self, key: str, seconds: float, tick: int, now: float, *, heard: bool) -> None:
        """The database holds that lease; `heard` where its owner has just written it, not only once upon a time."""
        old = self._leases.get(key)
        if old is not None and old.seconds == seconds and old.tick >= tick:
            return  # our own write comes back to us, or one that changed something else
        self._leases[key] = _Lease(seconds, max(tick, old.tick if old else tick), now + seconds, not heard)
        if seconds:
            heappush(self._queue, (now + seconds, key))
            self._settle()
        self._note(key)

    def heard(self, key: str, now: float) -> bool:
        """We ourselves took a heartbeat; False where the key is unknown."""
        lease = self._leases.get(key)
        if lease is None:
            return False
        lease.until = now + lease.seconds
        if lease.unheard:
            lease.unheard = False
            self._note(key)
        return True

    def written(self, key: str, tick: int) -> None:
        """Our heartbeat is in the database, under that tick."""
        lease = self._leases.get(key)
        if lease is not None:
            lease.tick = max(lease.tick, tick)

    def moved(self, key: str, tick: int, now: float) -> None:
        """Another copy of the hub has written a heartbeat."""
        lease = self._leases.get(key)
        if lease is not None and tick > lease.tick:
            lease.tick = tick
            self.heard(key, now + GRACE_S)

    def forget(self, key: str) -> None:
        """The database holds it no more."""
        self._leases.pop(key, None)
        self._unheard.pop(key, None)

    def due(self, now: float, limit: int) -> Sequence[tuple[str, int]]:
        """Keys whose time has passed, each with the tick that it must still have to be removed."""
        found: list[tuple[str, int]] = []
        while self._queue and self._queue[0][0] <= now and len(found) < limit:
            _, key = heappop(self._queue)
            lease = self._leases.get(key)
            if lease is None or not lease.seconds:
                continue
            if lease.until <= now:
                found.append((key, lease.tick))
                lease.until = now + AGAIN_S
            heappush(self._queue, (lease.until, key))
        return found

    def _note(self, key: str) -> None:
        lease = self._leases[key]
        if lease.unheard and lease.seconds:
            self._unheard[key] = None
        else:
            self._unheard.pop(key, None)

    def _settle(self) -> None:
        """Keep the queue in proportion when the same keys are registered again and again."""
        if len(self._queue) > 2 * len(self._leases) + 64:
            self._queue = [(lease.until, key) for key, lease in self._leases.items() if lease.seconds]
            heapify(self._queue)
