"""Topology: zones, who reaches whom, and what may cross which border. Built once for each configuration.

Whatever lets services cross a border is a `Crossing`, whether an operator wrote it as an export, as a sync rule or as
a peer:

    exports: {services: ["shop/*"], from: [mesh], to: [vm]}       east/mesh -> east/vm     shop/*
    sync:    {from: {registries: [zk], …}, to: consul}            any zone  -> consul's    what originates in zk
    peers:   {name: west, export: [{services: ["shop/*"]}]}       any zone  -> west/*      shop/*
    peers:   {name: west, import: […]}                            west/*    -> east/*      what their hub sends and
                                                                                           `import` lets in
"""

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Final

import msgspec

from pilot_plus.config import Config, Peer, Selection, SyncRule
from pilot_plus.model import Instance, Origin, Pairs, Speaks, Viewer, Zone, whole_zone
from pilot_plus.quantities import matches
from pilot_plus.views.endpoints import Home, home_of

ANYWHERE: Final[frozenset[str]] = frozenset()
"""Zones of a crossing that names none."""


class Crossing(msgspec.Struct, frozen=True, kw_only=True):
    """Services that may cross from some zones into others. A zone set may name `CLUSTER/*`; empty is everywhere."""

    why: str
    """Where the configuration says so."""
    services: tuple[str, ...]
    """Patterns."""
    from_: frozenset[str] = ANYWHERE
    to: frozenset[str] = ANYWHERE
    labels: Pairs = ()
    registries: frozenset[str] = frozenset()
    """Where instances must originate: registries of `cluster`, or whole other clusters; empty: anywhere."""
    cluster: str = ""
    is_denied: bool = False
    """They may not, whatever else is allowed."""
    allow: tuple[str, ...] = ()
    """Who may call, of those who are in `to`; empty: everybody. See `views.xds.callers`."""

    def concerns(self, service: str, viewer_zone: str) -> bool:
        """Whether it says anything about a service and a zone that looks."""
        return is_among(viewer_zone, self.to) and any(matches(pattern, service) for pattern in self.services)

    def covers(self, instance: Instance, zone: str) -> bool:
        """Whether it says anything about an instance that would cross the border of a zone."""
        return (
            is_among(zone, self.from_)
            and originates_in(instance.origin, self.registries, self.cluster)
            and has_labels(instance, self.labels)
        )


class Topology(msgspec.Struct, frozen=True, kw_only=True):
    """Zones, borders and crossings of a configuration. Zones are named whole."""

    home: Home
    zones: Mapping[str, Zone]
    lies_in: Mapping[str, str]
    """The zone of each registry."""
    crossings: tuple[Crossing, ...]
    peers: Mapping[str, int]
    """The clusters of our peers, with their priority."""

    @property
    def cluster(self) -> str:
        """Our own."""
        return self.home.cluster

    def reaches(self, zone: str, other: str) -> bool:
        """Whether callers in a zone can dial what lies in another one."""
        return zone == other or (zone in self.zones and other in self.zones[zone].reaches)

    def zone_of(self, registry: str, instance: Instance) -> str:
        """The zone that answers for a record: its registry's, or for a peer's record the one that it names."""
        return self.lies_in.get(registry, instance.zone)

    def concerning(self, service: str, viewer_zone: str) -> tuple[Crossing, ...]:
        """The crossings that say anything about a service, for a zone that looks."""
        return tuple(crossing for crossing in self.crossings if crossing.concerns(service, viewer_zone))

    def viewer(self, zone: str, speaks: Speaks | None = None) -> Viewer:
        """Somebody in a zone (whole or bare name); by default what the zone's callers speak, with a certificate.

        Raises:
            ValueError: there is no such zone.
        """
        whole = whole_zone(self.cluster, zone)
        known = self.zones.get(whole)
        if known is None and whole.partition("/")[0] not in self.peers:
            names = ", ".join(sorted(name.removeprefix(f"{self.cluster}/") for name in self.zones))
            raise ValueError(f"there is no zone {zone!r}; known are {names or 'none'}")
        if speaks is None:
            speaks = Speaks.MESH if known and known.meshed else Speaks.PLAIN
        return Viewer(whole, speaks, certified=speaks is not Speaks.PLAIN)


def topology_of(config: Config, *, with_plans: bool = False) -> Topology:
    """The topology of a configuration; a sync rule that only plans opens no border, unless asked `with_plans`."""
    zones = {zone.name: zone for zone in _zones(config)}
    return Topology(
        home=home_of(config),
        zones=zones,
        lies_in={registry.name: config.zone_of(registry) for registry in config.registries},
        crossings=(
            *_exports(config),
            *(_of_rule(config, rule) for rule in config.sync if with_plans or rule.mode == "apply"),
            *(crossing for peer in config.peers for crossing in _of_peer(config, peer)),
        ),
        peers={peer.name: peer.priority for peer in config.peers},
    )


def is_among(zone: str, zones: frozenset[str]) -> bool:
    """Whether a zone is one of a crossing's."""
    return not zones or zone in zones or f"{zone.partition('/')[0]}/*" in zones


def originates_in(origin: Origin, registries: AbstractSet[str], cluster: str) -> bool:
    """Whether a record's truth lies in one of the registries of `cluster`, or in one of the other clusters, named."""
    return not registries or (origin.registry if origin.cluster == cluster else origin.cluster) in registries


def has_labels(instance: Instance, labels: Pairs) -> bool:
    """Whether an instance's metadata holds all of them."""
    return not labels or set(labels) <= set(instance.metadata)


def _zones(config: Config) -> Iterator[Zone]:
    """The zones declared, and those that only a registry names: not meshed, reaching nobody."""
    declared = set()
    for section in config.zones:
        name = whole_zone(config.cluster, section.name)
        declared.add(name)
        yield Zone(name, section.meshed, section.subnets, _whole(config, section.reaches))
    for name in dict.fromkeys(config.zone_of(registry) for registry in config.registries):
        if name not in declared:
            yield Zone(name)


def _exports(config: Config) -> Iterator[Crossing]:
    ours = frozenset({f"{config.cluster}/*"})
    for index, export in enumerate(config.exports):
        yield Crossing(
            why=f"exports[{index}]",
            services=export.services,
            from_=_whole(config, export.from_) or ours,
            to=_whole(config, export.to) or ours,
            allow=export.allow,
        )


def _of_rule(config: Config, rule: SyncRule) -> Crossing:
    target = next(registry for registry in config.registries if registry.name == rule.target.registry)
    return Crossing(
        why=f"sync rule {rule.name!r}",
        services=rule.from_.services,
        to=frozenset({config.zone_of(target)}),
        labels=tuple(sorted(rule.from_.labels.items())),
        registries=frozenset(rule.from_.registries),
        cluster=config.cluster,
    )


def _of_peer(config: Config, peer: Peer) -> Iterator[Crossing]:
    for index, selection in enumerate(peer.export):
        yield _selected(selection, f"peer {peer.name!r} export[{index}]", frozenset({f"{peer.name}/*"}))
    if peer.import_:
        yield Crossing(
            why=f"peer {peer.name!r} import",
            services=("*/*",),  # what came has passed `import` already
            from_=frozenset(f"{cluster}/*" for cluster in (peer.name, *peer.relay)),
            to=frozenset({f"{config.cluster}/*"}),
        )


def _selected(selection: Selection, why: str, to: frozenset[str]) -> Crossing:
    return Crossing(
        why=why,
        services=selection.services,
        to=to,
        labels=tuple(sorted(selection.labels.items())),
        is_denied=selection.deny,
    )


def _whole(config: Config, zones: Iterable[str]) -> frozenset[str]:
    return frozenset(whole_zone(config.cluster, zone) for zone in zones)
