"""Which service is asked how: by a long poll of its own, in the sweep of those beyond the bound, or at once. Pure.

There are fewer connections than services may be. The first services get a long poll each; the others are *beyond*, and
are read again when something says that they may have changed. One that did change is *eager*: it gets the place of
the next long poll that has waited its whole time in vain, so the busy services end up with the long polls.

The bound breathes: Consul may refuse a long poll, since it holds those of a former connection until their time is over.
Then its service joins those beyond, and the bound grows again little by little.

Each service is asked by one at a time (`claim` and `was_read`), so its answers arrive in the order of what they tell;
but for one that is gone from the list, whose long poll may sleep on: what is read of it counts unless that wakes.
"""

from collections import OrderedDict
from collections.abc import Iterable


class Attention:
    """The services of a catalog, and who asks for each."""

    def __init__(self, polls: int) -> None:
        self._polls = polls
        self._room = polls
        self.listed: frozenset[str] = frozenset()
        self.polled: set[str] = set()
        self.beyond: dict[str, None] = {}
        self._due: OrderedDict[str, None] = OrderedDict()  # taken from their fronts, which a dict makes slow
        self._urgent: OrderedDict[str, None] = OrderedDict()
        self._eager: dict[str, None] = {}
        self._reading: set[str] = set()
        self._again: set[str] = set()
        self._unaskable: set[str] = set()
        self._doubted: set[str] = set()

    def update(self, listed: Iterable[str]) -> list[str]:
        """Take a list of services; whose long polls have to start.

        A service that is no longer listed is read once more, even while it has a long poll, which sleeps on when an ID
        moves to another service: only a service's own answer says that it is empty.
        """
        names = dict.fromkeys(listed)
        gone = [name for name in self.listed if name not in names]
        new = [name for name in names if name not in self.listed]
        self.listed = frozenset(names)
        for name in gone:
            self._unaskable.discard(name)
            self._eager.pop(name, None)
            self.beyond.pop(name, None)
            self._urgent[name] = None
        for name in new:
            if name not in self.polled:
                self.beyond[name] = None
                self._urgent[name] = None
        return self._promoted()

    def begin(self, listed: Iterable[str]) -> list[str]:
        """Take the first list, of services that have just been read; whose long polls have to start."""
        start = self.update(listed)
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
                name, _ = queue.popitem(last=False)
                if name in self._reading:
                    self._again.add(name)
                elif name not in self.polled or name not in self.listed:
                    self._reading.add(name)
                    if name in self.polled:
                        self._doubted.add(name)
                    return name
        return None

    def answered(self, service: str) -> None:
        """A long poll has told of its service: whoever reads it meanwhile comes too late."""
        self._doubted.discard(service)

    def counts(self, service: str) -> bool:
        """Whether what was just read of a claimed service is the latest of it."""
        return service not in self.polled or service in self._doubted

    def was_read(self, service: str, *, changed: bool) -> None:
        """Give a claimed service back."""
        self._reading.discard(service)
        self._doubted.discard(service)
        if service in self._again:
            self._again.discard(service)
            self._urgent[service] = None
        if changed and service in self.beyond:
            self._eager[service] = None

    def trade(self, service: str) -> str | None:
        """Give the place of a long poll without news to an eager service, if there is one."""
        other = next((name for name in self._eager if name not in self._reading), None)
        if other is None:
            return None
        self._leave(service)
        self._promote(other)
        return other

    def refused(self, service: str) -> None:
        """Take a long poll back that Consul did not let us have: there is room for no more now."""
        self._leave(service)
        self._urgent[service] = None
        self._room = len(self.polled)

    def ended(self, service: str) -> None:
        """Take back the long poll of a service that is no longer there."""
        self.polled.discard(service)

    def unaskable(self, service: str) -> None:
        """Take back the long poll of a service that Consul can't be asked for; it gets none again."""
        self._leave(service)
        if service in self.listed:
            self._unaskable.add(service)

    def breathe(self) -> list[str]:
        """Try to hold some more long polls; whose have to start."""
        self._room = min(self._polls, self._room + max(1, self._polls // 16))
        return self._promoted()

    def put_off(self, service: str) -> None:
        """Give a claimed service back that could not be read."""
        self._reading.discard(service)
        self._urgent[service] = None

    def _promoted(self) -> list[str]:
        """Services for which a long poll is free."""
        free = self._room - len(self.polled)
        if free <= 0:
            return []
        taken = self._reading | self._unaskable
        chosen = list(dict.fromkeys(name for name in (*self._eager, *self.beyond) if name not in taken))[:free]
        for name in chosen:
            self._promote(name)
        return chosen

    def _leave(self, service: str) -> None:
        self.polled.discard(service)
        if service in self.listed:
            self.beyond[service] = None
        else:
            self._urgent[service] = None

    def _promote(self, name: str) -> None:
        for queue in (self.beyond, self._eager, self._urgent, self._due):
            queue.pop(name, None)
        self.polled.add(name)
