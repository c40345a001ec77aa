"""Limits towards strangers: nonces that work once, reports at a pace, failures that make one wait. All bounded."""

import secrets
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from pilot_plus.wire.proof import NONCE_BYTES

Monotonic = Callable[[], float]

NONCE_LIVES: Final = 30.0
"""Seconds."""
NONCES: Final = 10_000
"""Nonces that wait to be used; the oldest gives way."""
HOSTS: Final = 4096
"""Hosts whose failures are remembered."""
FAILURES: Final = 20
"""Failures that a host may make at once; one more is forgiven every `FORGIVEN_EVERY` seconds."""
FORGIVEN_EVERY: Final = 3.0


class Nonces:
    """Nonces, each good for one proof."""

    def __init__(self, monotonic: Monotonic) -> None:
        self._monotonic = monotonic
        self._until: OrderedDict[bytes, float] = OrderedDict()

    def draw(self) -> bytes:
        """A new one."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        self._until[nonce] = self._monotonic() + NONCE_LIVES
        if len(self._until) > NONCES:
            self._until.popitem(last=False)
        return nonce

    def spend(self, nonce: bytes) -> bool:
        """Whether it is one of ours, fresh, and not spent yet."""
        return self._until.pop(nonce, 0.0) > self._monotonic()


class Bucket:
    """Tokens that come back at a rate; what is taken from an empty one must be waited for."""

    def __init__(self, rate: float, burst: float, monotonic: Monotonic) -> None:
        self._rate = rate
        self._burst = burst
        self._monotonic = monotonic
        self._left = burst
        self._at = monotonic()

    @property
    def left(self) -> float:
        """What is in it now."""
        now = self._monotonic()
        self._left = min(self._burst, self._left + (now - self._at) * self._rate)
        self._at = now
        return self._left

    def take(self) -> float:
        """Take one; the seconds to wait for it."""
        self._left = self.left - 1
        return max(0.0, -self._left / self._rate)


class Failures:
    """Hosts that failed to join or to prove, and whether they must wait."""

    def __init__(self, monotonic: Monotonic) -> None:
        self._monotonic = monotonic
        self._of: OrderedDict[str, Bucket] = OrderedDict()

    def must_wait(self, host: str) -> bool:
        """Whether a host has failed too often of late."""
        bucket = self._of.get(host)
        return bucket is not None and bucket.left < 1

    def note(self, host: str) -> None:
        """One more failure."""
        bucket = self._of.pop(host, None) or Bucket(1 / FORGIVEN_EVERY, FAILURES, self._monotonic)
        if bucket.left >= 1:
            bucket.take()
        self._of[host] = bucket
        if len(self._of) > HOSTS:
            self._of.popitem(last=False)
