"""Metrics that can be read off a catalog, at the moment of a scrape."""

from collections.abc import Iterable, Iterator, Sequence

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from pilot_plus.catalog import Catalog, Standing
from pilot_plus.views.overview import age
from pilot_plus.views.sync import RuleStatus


class Scrape(Collector):
    """One catalog at one time, as Prometheus collects it."""

    def __init__(self, catalog: Catalog, now: float, rules: Sequence[RuleStatus] = ()) -> None:
        """`now`: monotonic seconds; `rules`: how sync stands."""
        self._catalog = catalog
        self._now = now
        self._rules = rules

    def collect(self) -> Iterable[Metric]:
        """What Prometheus asks for."""
        yield from measured(self._catalog, self._now)
        yield from synced(self._rules)


def measured(catalog: Catalog, now: float) -> Iterator[Metric]:
    """How much there is, and how every registry stands."""
    yield GaugeMetricFamily("pilot_plus_services", "Services in the catalog.", len(catalog.entries))
    yield GaugeMetricFamily("pilot_plus_revision", "Number of the catalog's revision in its epoch.", catalog.number)
    instances = GaugeMetricFamily("pilot_plus_instances", "Instances by registry.", labels=["registry"])
    passing = GaugeMetricFamily("pilot_plus_instances_passing", "Instances that pass.", labels=["registry"])
    heard = GaugeMetricFamily("pilot_plus_registry_age_seconds", "Since it said anything.", labels=["registry"])
    skipped = GaugeMetricFamily("pilot_plus_skipped", "Records that can't be used.", labels=["registry"])
    held = GaugeMetricFamily("pilot_plus_held", "Removals that the guard holds.", labels=["registry"])
    state = GaugeMetricFamily(
        "pilot_plus_registry_state", "1 for the state that it is in.", labels=["registry", "state"]
    )
    for source in catalog.sources.values():
        if source.is_built_in:
            continue
        instances.add_metric([source.name], len(source.instances))
        passing.add_metric([source.name], source.passing)
        heard.add_metric([source.name], age(source, now))
        skipped.add_metric([source.name], len(source.skipped) + source.skipped_beyond)
        held.add_metric([source.name], len(source.held))
        for standing in Standing:
            state.add_metric([source.name, standing], float(standing is source.standing))
    yield from (instances, passing, heard, skipped, held, state)


def synced(rules: Sequence[RuleStatus]) -> Iterator[Metric]:
    """How every sync rule stands in its target."""
    if not rules:
        return
    labels = ["rule", "target"]
    copies = GaugeMetricFamily("pilot_plus_sync_copies", "What rules have in their targets.", labels=labels)
    behind = GaugeMetricFamily("pilot_plus_sync_behind", "Writes and removals that are due.", labels=labels)
    late = GaugeMetricFamily("pilot_plus_sync_behind_seconds", "Since something has been due.", labels=labels)
    held = GaugeMetricFamily("pilot_plus_sync_held", "Removals that wait for an operator.", labels=labels)
    refused = GaugeMetricFamily("pilot_plus_sync_refused", "What a target can't hold.", labels=labels)
    conflicts = GaugeMetricFamily("pilot_plus_sync_conflicts", "Somebody else's records in the way.", labels=labels)
    state = GaugeMetricFamily(
        "pilot_plus_sync_state", "1 for the state that it is in.", labels=["rule", "target", "state"]
    )
    for rule in rules:
        place = [rule.name, rule.target]
        copies.add_metric(place, rule.copies)
        behind.add_metric(place, rule.behind)
        late.add_metric(place, rule.behind_since_s)
        held.add_metric(place, rule.held)
        refused.add_metric(place, rule.refused_total)
        conflicts.add_metric(place, rule.conflicts_total)
        state.add_metric([*place, rule.state], 1.0)
    yield from (copies, behind, late, held, refused, conflicts, state)
