"""Plain ports: the numbers at which the edges of a zone offer services to callers that speak no more than plain.

wanted      east/vm, legacy/orders  ▶ http            it can be seen from vm, but not dialled
numbers     20417 for legacy/orders http              the same on every edge of the zone, and for ever
left        not wanted any more: kept for a day, and only then free for another service
"""

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Final, TypeAlias

from pilot_plus.catalog import Catalog
from pilot_plus.model import Speaks, Viewer
from pilot_plus.views.edges import Edges
from pilot_plus.views.sight import Direct, Hidden, Sight
from pilot_plus.views.topology import Topology

KEPT_FOR: Final = 86400.0
"""Seconds that a number stays a service's own after nobody wants it any more."""

Numbers: TypeAlias = Mapping[str, Mapping[str, int]]
"""By service and the name of the port."""


def wanted(catalog: Catalog, topology: Topology, edges: Edges, zone: str, service: str) -> frozenset[str]:
    """The ports of a service that plain callers of a zone reach only through an edge of the zone."""
    entry = catalog.entries.get(service)
    if entry is None:
        return frozenset()
    plain = Sight(topology, edges, Viewer(zone, Speaks.PLAIN), service)
    edge = Sight(topology, edges, Viewer(zone, Speaks.MESH, certified=True), service)
    found: set[str] = set()
    for (registry, _), instance in entry.instances.items():
        if isinstance(plain.way(registry, instance), Direct) or isinstance(edge.way(registry, instance), Hidden):
            continue
        found.update(port.name for port in instance.ports)
    return frozenset(found)


class PlainPorts:
    """The numbers of one zone. Times are monotonic seconds."""

    def __init__(self, first: int, last: int, numbers: Numbers, now: float) -> None:
        """Go on with numbers that were given before; whoever doesn't want them again has left now."""
        self.numbers: dict[str, dict[str, int]] = {service: dict(ports) for service, ports in numbers.items()}
        self._first = first
        self._last = last
        self._taken = {number: service for service, ports in self.numbers.items() for number in ports.values()}
        self._left = dict.fromkeys(self.numbers, now)

    def __repr__(self) -> str:
        return f"<PlainPorts {self._first}-{self._last}: {len(self._taken)} taken>"

    def want(self, service: str, ports: Iterable[str], now: float) -> bool:
        """Give a service numbers for its ports; whether any is new.

        Raises:
            LookupError: all numbers are taken.
        """
        names = sorted(ports)
        if not names:
            if service in self.numbers:
                self._left.setdefault(service, now)
            return False
        self._left.pop(service, None)
        mine = self.numbers.setdefault(service, {})
        new = [name for name in names if name not in mine]
        for name in new:
            number = self._free(service, name, now)
            mine[name], self._taken[number] = number, service
        return bool(new)

    def _free(self, service: str, port: str, now: float) -> int:
        """A free number, beginning at one that depends on the name only: without a journal it is mostly the same."""
        size = self._last - self._first + 1
        digest = blake2b(f"{service}#{port}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
        start = int.from_bytes(digest, "big") % size
        for step in range(size):
            number = self._first + (start + step) % size
            owner = self._taken.get(number)
            if owner is None:
                return number
            if now - self._left.get(owner, now) > KEPT_FOR:
                self._forget(owner)
                return number
        raise LookupError(f"edges.plain_ports: all {size} ports from {self._first} to {self._last} are taken")

    def _forget(self, service: str) -> None:
        for number in self.numbers.pop(service).values():
            del self._taken[number]
        del self._left[service]
