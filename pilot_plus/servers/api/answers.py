"""Answers: encoded once, kept while they are true, and shared by all who ask or watch.

The body of one service depends on its entry in the catalog and on how its registries stand, not on the revision; so
what is kept is everything behind the revision:

    {"revision":"k3v9.1047",  +  "namespace":"legacy","name":…}

An answer with something stale in it, whose age moves, is kept for a tenth of a second.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import msgspec

from pilot_plus.catalog import Catalog, Entry
from pilot_plus.views import query
from pilot_plus.views.endpoints import Home

KEPT_BYTES: Final = 32 << 20
"""How much is kept at most."""

_encoder: Final = msgspec.json.Encoder()


def tail_of(shape: msgspec.Struct) -> bytes:
    """An answer encoded, but for the brace and the revision in front."""
    return _encoder.encode(shape)[1:]


def with_revision(revision: str, tail: bytes) -> bytes:
    """A whole answer; epochs and numbers need no escape."""
    return b'{"revision":"%b"%b%b' % (revision.encode(), b"" if tail == b"}" else b",", tail)


class _Kept(msgspec.Struct, frozen=True, gc=False):
    entry: Entry
    standings: int
    tick: int
    """Tenths of a second, if something in it ages; else 0."""
    tail: bytes


class Answers:
    """Keeps the encoded answers about single services."""

    def __init__(self, home: Home, clock: Callable[[], float], kept_bytes: int = KEPT_BYTES) -> None:
        """Tell ages by `clock` (monotonic seconds)."""
        self._home = home
        self._clock = clock
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._room = kept_bytes
        self._sources: object = None
        self._standing: list[tuple[object, ...]] = []
        self._standings = 0
        """Grows when a registry comes to stand differently, or its guard holds something else."""

    def service(self, catalog: Catalog, service: str) -> bytes | None:
        """The tail of the answer about a service; None if there is none."""
        entry = catalog.entries.get(service)
        if entry is None:
            self._forget(service)
            return None
        if catalog.sources is not self._sources:
            self._look_at(catalog)
        kept = self._kept.get(service)
        if (
            kept is not None
            and kept.entry is entry
            and kept.standings == self._standings
            and (not kept.tick or kept.tick == self._tick())
        ):
            return kept.tail
        shape = query.service(catalog, self._home, entry, self._clock())
        tick = self._tick() if any(instance.stale for instance in shape.instances) else 0
        tail = tail_of(shape)
        self._forget(service)
        self._keep(service, _Kept(entry, self._standings, tick, tail))
        return tail

    def _look_at(self, catalog: Catalog) -> None:
        """Note whether any registry stands differently now."""
        self._sources = catalog.sources
        standing: list[tuple[object, ...]] = [(source.standing, source.held) for source in catalog.sources.values()]
        before, self._standing = self._standing, standing
        if len(before) != len(standing) or any(
            old[0] is not new[0] or old[1] is not new[1] for old, new in zip(before, standing, strict=True)
        ):
            self._standings += 1

    def _tick(self) -> int:
        return int(self._clock() * 10) + 1

    def _keep(self, service: str, kept: _Kept) -> None:
        self._kept[service] = kept
        self._room -= len(kept.tail)
        while self._room < 0:
            self._forget(next(iter(self._kept)))

    def _forget(self, service: str) -> None:
        if (kept := self._kept.pop(service, None)) is not None:
            self._room += len(kept.tail)
