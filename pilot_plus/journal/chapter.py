"""A chapter: what was recorded in a span of time, in memory until it is full, then a page for each service."""

from collections.abc import Iterator

import msgspec

from pilot_plus.catalog.changes import Change, Remembered
from pilot_plus.catalog.events import Event
from pilot_plus.journal.rows import Row, encoded


class Page(msgspec.Struct):
    """The rows of one service in a chapter, or of one source."""

    first: float
    """The earliest time of a row."""
    rows: list[bytes]


class Chapter:
    """Rows as they come. Each is encoded at once: bytes weigh a tenth of objects."""

    def __init__(self, epoch: str, time: float) -> None:
        """Begin at a wall clock time; every row belongs to one epoch."""
        self.epoch = epoch
        self.number = 0
        """Given by the journal with the first write."""
        self.batches = 0
        """How many were written of it."""
        self.begun = self.ended = time
        self.pages: dict[str, Page] = {}
        self.changes = 0
        self.next = 0
        """The order of the next row."""
        self.size = 0
        """Bytes in memory."""

    def __repr__(self) -> str:
        """Say how much it holds."""
        return f"<chapter {self.number} of {self.changes} changes, {self.size} bytes>"

    def add(
        self,
        service: str,
        time: float,
        number: int,
        happened: Change | Event,
        base: tuple[Remembered, ...] | None = None,
    ) -> bytes:
        """Take in what happened to a service (or, under its name, to a source); return the row."""
        row = encoded(Row(self.next, time, number, happened, base))
        self.take(service, self.next, time, row)
        return row

    def take(self, service: str, order: int, time: float, row: bytes) -> None:
        """Take in an encoded row of that order."""
        page = self.pages.get(service)
        if page is None:
            page = self.pages[service] = Page(time, [])
            self.size += len(service) + 200
        page.first = min(page.first, time)
        page.rows.append(row)
        self.begun, self.ended = min(self.begun, time), max(self.ended, time)
        self.next = order + 1
        self.changes += 1
        self.size += len(row) + 50

    def sorted(self) -> Iterator[tuple[str, Page]]:
        """Its pages, in the order in which they will lie."""
        for service in sorted(self.pages):
            yield service, self.pages[service]
