"""Which service is asked how: by a long poll of its own, in the sweep of those beyond the bound, or at once. Pure.

There are fewer connections than services may be. The first services get a long poll each; the others are *beyond*, and
are read again when something says that they may have changed. One that did change is *eager*: it gets the place of
the next long poll that has waited its whole time in vain, so the busy services end up with the long polls.

Each service is asked by one at a time (`claim` and `was_read`), so its answers arrive in the order of what they tell.
"""

from collections.abc import Iterable


class Attention:
    """The services of a catalog, and who asks for each."""

    def __init__(self, polls: int) -> None:
        self._polls = polls
        self.listed: frozenset[str] = frozenset()
        self.polled: set[str] = set()
        self.beyond: dict[str, None] = {}
        self._due: dict[str, None] = {}
        self._urgent: dict[str, None] = {}
        self._eager: dict[str, None] = {}
        self._reading: set[str] = set()
        self._again: set[str] = set()

    def update(self, listed: Iterable[str]) -> tuple[list[str], list[str]]:
        """Take a list of services; whose long polls have to start, and whose to stop.

        A service that is no longer listed is read once more: only its own answer says that it is empty.
        """
        names = dict.fromkeys(listed)
        gone = [name for name in self.listed if name not in names]
        new = [name for name in names if name not in self.listed]
        self.listed = frozenset(names)
        stop = [name for name in gone if name in self.polled]
        self.polled.difference_update(stop)
        for name in gone:
            self.beyond.pop(name, None)
            self._eager.pop(name, None)
            self._urgent[name] = None
        for name in new:
            self.beyond[name] = None
            self._urgent[name] = None
        return self._promoted(), stop

    def begin(self, listed: Iterable[str]) -> list[str]:
        """Take the first list, of services that have just been read; whose long polls have to start."""
        start, _ = self.update(listed)
        self._urgent.clear()
        return start

    def touched(self, services: Iterable[str]) -> None:
        """Something says that these may have changed: read those that have no long poll at once."""
        self._urgent.update((name, None) for name in services if name in self.beyond)

    def sweep(self) -> None:
        """Any may have changed: read all that have no long poll."""
        self._due.update(self.beyond)

    @property
    def is_idle(self) -> bool:
        """Nothing is to be read."""
        return not (self._urgent or self._due)

    def claim(self) -> str | None:
        """The next service to be read, which is then the caller's until `was_read`."""
        for queue in (self._urgent, self._due):
            while queue:
                name = next(iter(queue))
                del queue[name]
                if name in self._reading:
                    self._again.add(name)
                elif name not in self.polled:
                    self._reading.add(name)
                    return name
        return None

    def was_read(self, service: str, *, changed: bool) -> None:
        """Give a claimed service back."""
        self._reading.discard(service)
        if service in self._again:
            self._again.discard(service)
            self._urgent[service] = None
        if changed and service in self.beyond:
            self._eager[service] = None

    def trade(self, service: str) -> str | None:
        """Give the place of a long poll without news to an eager service, if there is one."""
        other = next((name for name in self._eager if name not in self._reading), None)
        if other is None or service not in self.polled:
            return None
        self.polled.discard(service)
        self.beyond[service] = None
        self._promote(other)
        return other

    def _promoted(self) -> list[str]:
        """Services for which a long poll is free."""
        free = self._polls - len(self.polled)
        names = [name for name in (*self._eager, *self.beyond) if name not in self._reading] if free > 0 else []
        chosen = list(dict.fromkeys(names))[:free]
        for name in chosen:
            self._promote(name)
        return chosen

    def _promote(self, name: str) -> None:
        for queue in (self.beyond, self._eager, self._urgent, self._due):
            queue.pop(name, None)
        self.polled.add(name)
