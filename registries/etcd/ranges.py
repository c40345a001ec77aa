"""Prefixes as ranges of keys: what to list and what to watch for a set of layouts."""

from collections.abc import Iterable

import msgspec

_ALL = b"\0"
"""As the end of a range: no end."""


class KeyRange(msgspec.Struct, frozen=True):
    """All keys that begin with a prefix."""

    start: bytes
    end: bytes

    def __contains__(self, key: bytes) -> bool:
        return key >= self.start and (self.end == _ALL or key < self.end)


def prefix_range(prefix: str) -> KeyRange:
    """The range of a prefix; an empty one is every key."""
    start = prefix.encode()
    return KeyRange(start or _ALL, _successor(start))


def union(roots: Iterable[str]) -> tuple[KeyRange, ...]:
    """The ranges that hold every record below the roots, none of them twice."""
    kept: list[str] = []
    for root in sorted(set(roots)):  # a prefix sorts before what it is a prefix of
        if not (kept and root.startswith(kept[-1])):
            kept.append(root)
    return tuple(prefix_range(root) for root in kept)


def _successor(prefix: bytes) -> bytes:
    trimmed = prefix.rstrip(b"\xff")
    return trimmed[:-1] + bytes([trimmed[-1] + 1]) if trimmed else _ALL
