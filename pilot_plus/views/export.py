"""Export: what a reading hub of another cluster gets of a service.

terms        our selections for that peer, the reader's own, the clusters that it takes from us
crosses      originals of our cluster, once each; and of the clusters that the reader lets us relay, the way to each
             that is best here. Never a copy, and never what has come from or through the reader
a summary    one record for each zone: the healthy weight there, to be reached through the zone's edges only
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Final

import msgspec

from pilot_plus.catalog import Catalog, Entry
from pilot_plus.model import ACCEPTS, EDGE_ONLY, Health, Instance, Origin, Pairs, Port, Service
from pilot_plus.views.edges import EDGES
from pilot_plus.views.endpoints import Endpoint, Home, endpoints_of
from pilot_plus.views.host import host_of
from pilot_plus.wire.peer import MAX_HOPS, Exported, key_of
from pilot_plus.wire.selections import Rule, Selection, rule_of

SUMMARY_REGISTRY: Final = "pilot-plus/summary"
"""The registry that the origin of a summary names."""
SUMMARY_DOMAIN: Final = "summary.invalid"
"""A summary's address: that of no machine, for one reaches it through edges only (RFC 2606)."""
MAX_WEIGHT: Final = 1_000_000


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What decides what one reader gets. Readers of equal terms get the same."""

    home: Home
    reader: str
    """Its cluster."""
    peers: frozenset[str]
    """All of our peers: what we read from them is relayed, or not at all."""
    selections: tuple[Selection, ...]
    wanted: tuple[Selection, ...] = ()
    """The reader's own; empty: everything that we offer."""
    relay: frozenset[str] = frozenset()
    summary: bool = False


def exported(catalog: Catalog, entry: Entry, terms: Terms) -> Mapping[str, Exported]:
    """The records of a service that cross, by their keys."""
    if entry.service == EDGES:
        return {}
    rule = rule_of(terms.selections, entry.service)
    if rule is None:
        return {}
    crossing = list(_crossing(catalog, entry, terms, rule))
    if not crossing:
        return _itself(entry, terms, rule)
    if terms.summary:
        return {one.record.key: one for one in _summaries(entry.service, terms, crossing)}
    return {
        one.record.key: one
        for endpoint, name in crossing
        for one in (Exported(_instance(endpoint.instance, name, terms), endpoint.is_stale),)
    }


def edges(catalog: Catalog, terms: Terms, zones: frozenset[str]) -> Mapping[str, Exported]:
    """The edges that go with what is exported from these zones, by their keys."""
    entry = catalog.entries.get(EDGES)
    if entry is None:
        return {}
    found = (
        Exported(_instance(endpoint.instance, EDGES, terms), endpoint.is_stale)
        for endpoint in endpoints_of(catalog, entry, terms.home)
        if endpoint.instance.zone in zones and _may_cross(endpoint, terms)
    )
    return {one.record.key: one for one in found}


# ------------------------------------------------------------------------------------------------ what crosses


def _crossing(catalog: Catalog, entry: Entry, terms: Terms, rule: Rule) -> Iterator[tuple[Endpoint, str]]:
    """Endpoints that cross, each with the whole name that it has there."""
    wanted: dict[str, Rule | None] = {}
    for endpoint in endpoints_of(catalog, entry, terms.home):
        if not _may_cross(endpoint, terms):
            continue
        name = rule.name_of(endpoint.instance.metadata)
        if name is None:
            continue
        if terms.wanted:
            if name not in wanted:
                wanted[name] = rule_of(terms.wanted, name)
            theirs = wanted[name]
            if theirs is None or theirs.name_of(endpoint.instance.metadata) is None:
                continue
        yield endpoint, name


def _may_cross(endpoint: Endpoint, terms: Terms) -> bool:
    """Whether it is ours to tell: an original of ours, or relayed with the reader's leave; and no news of its own."""
    origin, registry = endpoint.instance.origin, endpoint.place[0]
    if terms.reader == origin.cluster or terms.reader in origin.hops or len(origin.hops) >= MAX_HOPS - 1:
        return False
    if registry in terms.peers:
        return origin.cluster in terms.relay and registry != terms.reader
    return origin.cluster == terms.home.cluster and origin.registry == registry


def _instance(instance: Instance, name: str, terms: Terms) -> Instance:
    namespace, _, short = name.partition("/")
    key, host = key_of(instance.origin), _host(instance, terms)
    return msgspec.structs.replace(instance, key=key, namespace=namespace, name=short, lease=0.0, host=host)


def _host(instance: Instance, terms: Terms) -> str:
    """What it is called in the mesh of its own cluster."""
    return instance.host or host_of(instance.namespace, instance.name, terms.home.domain)


def _itself(entry: Entry, terms: Terms, rule: Rule) -> Mapping[str, Exported]:
    """The service alone, where a registry of ours knows it and nothing of it can be called."""
    record = next((record for (registry, _), record in entry.records.items() if registry not in terms.peers), None)
    name = rule.name_of(record.metadata) if record else None
    if record is None or name is None or entry.instances or (terms.wanted and rule_of(terms.wanted, name) is None):
        return {}
    namespace, _, short = name.partition("/")
    key = f"{key_of(Origin(terms.home.cluster, '', ''))}{namespace}/{short}"
    return {key: Exported(Service(key=key, namespace=namespace, name=short, ports=record.ports))}


# ------------------------------------------------------------------------------------------------ summaries


def _summaries(service: str, terms: Terms, crossing: Sequence[tuple[Endpoint, str]]) -> Iterator[Exported]:
    groups: dict[tuple[str, str, str], list[Instance]] = {}
    for endpoint, name in crossing:
        instance = endpoint.instance
        groups.setdefault((name, instance.zone, instance.origin.cluster), []).append(instance)
    stale = {(endpoint.instance.zone, name) for endpoint, name in crossing if endpoint.is_stale}
    fresh = {(endpoint.instance.zone, name) for endpoint, name in crossing if not endpoint.is_stale}
    for (name, zone, cluster), instances in groups.items():
        if any(is_summary(instance) for instance in instances):  # a peer's, to be relayed as it is
            yield from (Exported(_instance(instance, name, terms)) for instance in instances)
            continue
        is_stale = (zone, name) in stale - fresh
        # Two services may have one name there: each is a record, and an endpoint, of its own.
        id_ = f"{zone}/{service}" if name == service else f"{zone}/{service}/{name}"
        origin = Origin(cluster, SUMMARY_REGISTRY, id_, _through(instances))
        summary = _summary(terms, name, zone, origin, instances)
        if name != service:
            address = f"{sha256(service.encode()).hexdigest()[:12]}.{summary.address}"
            summary = msgspec.structs.replace(summary, address=address)
        yield Exported(summary, is_stale)


def _through(instances: Iterable[Instance]) -> tuple[str, ...]:
    """The clusters that any of them has come through: a summary of several ways returns to none of them."""
    ways = sorted({instance.origin.hops for instance in instances}, key=lambda hops: (len(hops), hops))
    return tuple(dict.fromkeys(hop for hops in ways for hop in hops))


def is_summary(instance: Instance) -> bool:
    """Whether a record stands for the instances of a zone."""
    return instance.origin.registry == SUMMARY_REGISTRY


def _summary(terms: Terms, name: str, zone: str, origin: Origin, instances: Sequence[Instance]) -> Instance:
    best = min((instance.health for instance in instances), key=_ORDER.__getitem__)
    useful = [instance for instance in instances if instance.health in (Health.PASSING, Health.WARNING)]
    namespace, _, short = name.partition("/")
    cluster, _, bare = zone.partition("/")
    return Instance(
        key=key_of(origin),
        namespace=namespace,
        name=short,
        id=zone,
        address=f"{_label(bare)}.{_label(cluster)}.{SUMMARY_DOMAIN}",
        ports=_ports(instances),
        health=best,
        weight=min(MAX_WEIGHT, sum(instance.weight for instance in useful)),
        zone=zone,
        metadata=_common_labels(terms.selections, instances),
        origin=origin,
        host=_host(instances[0], terms),
    )


_ORDER = {health: index for index, health in enumerate(Health)}


def _ports(instances: Iterable[Instance]) -> tuple[Port, ...]:
    found: dict[str, Port] = {}
    for instance in instances:
        for port in instance.ports:
            found.setdefault(port.name, port)
    return tuple(found[name] for name in sorted(found))


def _common_labels(selections: Iterable[Selection], instances: Sequence[Instance]) -> Pairs:
    """The labels that the selections choose by, where all instances have them; and that only edges reach it."""
    chosen = {pair for selection in selections for pair in selection.labels}
    shared = chosen.intersection(*(instance.metadata for instance in instances))
    return tuple(sorted({**dict(shared), ACCEPTS: EDGE_ONLY}.items()))


def _label(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter == "-" else "-" for letter in name.lower())
