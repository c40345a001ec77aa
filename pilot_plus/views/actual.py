"""Actual: the records of a target that are ours, and whether their sources can be trusted when they are gone there."""

from collections.abc import Callable, Iterable
from typing import TypeAlias

import msgspec

from pilot_plus.catalog import Catalog, Source
from pilot_plus.model import Instance, Origin
from pilot_plus.views.copies import Scene, rule_in
from pilot_plus.views.rules import EDGE_ORIGIN, Rule, Target

Owner: TypeAlias = Callable[[str, Instance], tuple[str, Origin] | None]
"""Rule and origin of a record, read from a registry, that the index knows as written by us."""


class Actual(msgspec.Struct, frozen=True, kw_only=True):
    """A record in the target that is ours."""

    rule: str
    origin: Origin
    instance: Instance

    @property
    def identity(self) -> tuple[str, Origin]:
        """As of a copy."""
        return self.rule, self.origin


class There(msgspec.Struct, frozen=True):
    """What the target holds of a unit."""

    ours: tuple[Actual, ...] = ()
    others: tuple[Instance, ...] = ()


def there_in(catalog: Catalog, target: Target, unit: str, owner: Owner) -> There:
    """What the target holds of a unit, as its source reports it."""
    entry = catalog.entries.get(unit)
    actual: list[Actual] = []
    foreign: list[Instance] = []
    for place, instance in entry.instances.items() if entry else ():
        if place[0] != target.registry:
            continue
        mine = actual_in(target.registry, target.cluster, instance, owner)
        if mine is None:
            foreign.append(instance)
        else:
            actual.append(mine)
    actual.sort(key=lambda one: one.instance.key)
    return There(tuple(actual), tuple(foreign))


def actual_in(registry: str, cluster: str, instance: Instance, owner: Owner) -> Actual | None:
    """The record as one of ours; None if it is somebody else's."""
    if written := owner(registry, instance):
        return Actual(rule=written[0], origin=written[1], instance=instance)
    origin, rule = instance.origin, rule_in(instance, cluster)
    if rule is None or (origin.cluster == cluster and origin.registry == registry):
        return None
    return Actual(rule=rule, origin=origin, instance=instance)


def doubted(scene: Scene, rule: Rule, origin: Origin) -> str:
    """Why the sources concerned can't be trusted to say that something is gone; empty if they can."""
    sources = scene.catalog.sources
    if origin.registry == EDGE_ORIGIN:
        names: Iterable[str] = [name for name in sources if name != rule.target]
    elif origin.cluster == scene.topology.cluster:
        names = [origin.registry]
    else:
        names = [name for name in sources if name in scene.topology.peers]
    return next((doubt for name in names if name in sources and (doubt := _doubt(sources[name]))), "")


def _doubt(source: Source) -> str:
    if source.is_stale:
        return f"{source.name} is {source.standing.replace('_', ' ')}"
    return f"a guard holds removals of {source.name}" if source.held else ""
