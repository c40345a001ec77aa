"""Callers: who may call a service through the edges of a zone, as patterns of identities.

An export lets a service into zones; its `allow` may say who in them. An entry is a SPIFFE ID of ours, or its part
behind the zone, and means everything below it too; a `*` at its end matches the rest of a name:

    allow: []                                      whoever is in the zones of `to`
    allow: ["ns/shop"]                             services of the namespace shop, in these zones
    allow: ["edge/*", "client/web-*"]              their edges (for the plain callers behind them), some clients
    allow: ["spiffe://east.example/zone/vm/ns/shop/svc/web"]
    allow: ["spiffe://east.example/zone/vm"]       whoever is in this one of them
"""

from collections.abc import Iterable, Iterator

import msgspec

from pilot_plus.model import Instance, Role, SpiffeId
from pilot_plus.views.topology import Crossing, Topology
from pilot_plus.views.xds.tls import Domains


class Caller(msgspec.Struct, frozen=True, order=True):
    """A pattern: exactly this identity, or everything that begins so."""

    text: str
    is_prefix: bool = False

    def is_of(self, domain: str) -> bool:
        """Whether its identities are of a trust domain."""
        return self.text.startswith(f"spiffe://{domain}/")


def callers_of(
    topology: Topology, domains: Domains, zone: str, service: str, instances: Iterable[Instance]
) -> tuple[Caller, ...]:
    """Who may call these instances that a service has in a zone, from any other zone; empty: nobody."""
    known = tuple(instances)
    found: set[Caller] = set()
    for other in _other_zones(topology, zone):
        for crossing in _open(topology.concerning(service, other), known, zone):
            found.update(_callers(crossing.allow, _zone_prefix(domains, other)))
    return tuple(sorted(found))


def _other_zones(topology: Topology, zone: str) -> Iterator[str]:
    """All zones of ours but this one; of other clusters what crossings name, as `CLUSTER/*` if they name all."""
    yield from (other for other in topology.zones if other != zone)
    named = {other for crossing in topology.crossings for other in crossing.to}
    yield from (other for other in named if other.partition("/")[0] != topology.cluster)


def _open(crossings: Iterable[Crossing], instances: Iterable[Instance], zone: str) -> Iterator[Crossing]:
    """The crossings that let any of the instances out, and that no other one denies."""
    known = tuple(crossings)
    for instance in instances:
        covering = [crossing for crossing in known if crossing.covers(instance, zone)]
        if not any(crossing.is_denied for crossing in covering):
            yield from covering


def _zone_prefix(domains: Domains, zone: str) -> str:
    """What all identities of a zone begin with; of a peer's cluster, those of all its zones."""
    cluster, _, name = zone.partition("/")
    domain = domains.of(cluster)
    if name == "*":
        return f"spiffe://{domain}/zone/"
    whole = SpiffeId(trust_domain=domain, role=Role.CLIENT, zone=name, name="x")
    return str(whole).removesuffix("client/x")


def _callers(allow: tuple[str, ...], prefix: str) -> Iterator[Caller]:
    if not allow:
        yield Caller(prefix, is_prefix=True)
    for entry in allow:
        text = entry.rstrip("/") if entry.startswith("spiffe://") else prefix + entry.strip("/")
        begin = text.removesuffix("*") if text.endswith("*") else f"{text}/"
        if prefix.startswith(begin):
            yield Caller(prefix, is_prefix=True)  # the zone as a whole, or more: no more than it is let into
        elif begin.startswith(prefix):
            yield Caller(begin, is_prefix=True)
            if not text.endswith("*"):
                yield Caller(text)
