"""A quota: how much one source may hold. What is beyond it is skipped, with the reason; what is there stays.

It counts records, and a long one for as many as it has kilobytes of metadata: so it bounds memory, too.
"""

from typing import Final

from pilot_plus.catalog.catalog import Source
from pilot_plus.model import Instance, Service

KILOBYTE: Final = 1024


def size_of(record: Instance | Service | None) -> int:
    """For how many ordinary records one counts."""
    if record is None:
        return 0
    return 1 + sum(len(name) + len(value) for name, value in record.metadata) // KILOBYTE


class Tally:
    """What a source holds while a batch of updates is taken in."""

    def __init__(self, source: Source, most: int) -> None:
        """`most`: 0 is no quota."""
        self.held = source.tally
        self._most = most

    def change(self, before: Instance | Service | None, after: Instance | Service | None) -> None:
        """A record becomes another one, or comes, or goes.

        Raises:
            ValueError: there is no room for it.
        """
        if not self._most:
            return
        now = self.held - size_of(before) + size_of(after)
        if now > self._most and after is not None and now > self.held:
            raise ValueError(f"there are {self.held} records, of which {self._most} may be")
        self.held = now

    def begin_anew(self) -> None:
        """Nothing is held: a list begins."""
        self.held = 0
