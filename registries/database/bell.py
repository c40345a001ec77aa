"""Wakes those who wait for news of a database: in this process at once, by whichever connection it was written."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakValueDictionary

from pilot_plus.sql import Store


class Bell:
    """Rung after every commit; each listener has an event of its own, and clears it before it looks."""

    def __init__(self) -> None:
        self._listeners: set[asyncio.Event] = set()

    def ring(self) -> None:
        """Wake everybody."""
        for listener in self._listeners:
            listener.set()

    @contextmanager
    def listener(self) -> Iterator[asyncio.Event]:
        """An event that is set at every ring."""
        event = asyncio.Event()
        self._listeners.add(event)
        try:
            yield event
        finally:
            self._listeners.discard(event)


_bells: WeakValueDictionary[tuple[int, str], Bell] = WeakValueDictionary()


def bell_of(store: Store) -> Bell:
    """The one bell of all who have this database open in this event loop."""
    place = store.place
    return _bells.setdefault((id(asyncio.get_running_loop()), place.path or place.dsn), Bell())
