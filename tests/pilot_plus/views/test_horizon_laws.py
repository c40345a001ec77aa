"""What holds of every horizon, whatever the world."""

from hypothesis import given

from pilot_plus.model import Speaks
from pilot_plus.views.edges import edges_of
from pilot_plus.views.horizon import explain, see
from tests.pilot_plus.views.world import World
from tests.pilot_plus.views.worlds import NAMES, ZONE_NAMES, worlds


def is_exported(world: World, service: str, from_: str, to: str) -> bool:
    """The rule, written down a second time."""
    if from_ == to:
        return True
    meant = {"*/*": service, "shop/c*": service if service.startswith("shop/c") else "", "none/*": ""}
    return any(
        from_.removeprefix("east/") in export.from_
        and to.removeprefix("east/") in export.to
        and any(meant.get(pattern, pattern) == service for pattern in export.services)
        for export in world.config.exports
    )


@given(worlds())
def test_nothing_crosses_a_border_unless_it_is_exported(world: World):
    for zone in ZONE_NAMES:
        for speaks in Speaks:
            for name in NAMES:
                service, here = f"shop/{name}", f"east/{zone}"
                for one in world.seen(zone, service, speaks):
                    for place in [one.place, *one.others] if one.instance else one.behind:
                        record = world.catalog.entries[service].instances[place]
                        home = world.topology.lies_in[place[0]]
                        assert home == here or is_exported(world, service, home, here)
                        assert home == here or is_exported(world, service, record.zone, here)


@given(worlds())
def test_inside_a_zone_everything_that_a_caller_speaks_to_is_visible(world: World):
    for zone in ZONE_NAMES:
        for name in NAMES:
            entry = world.catalog.entries.get(f"shop/{name}")
            verdicts = {one.place: one for one in world.explained(zone, f"shop/{name}", Speaks.MESH)}
            for place, record in entry.instances.items() if entry else ():
                if world.topology.lies_in[place[0]] == record.zone == f"east/{zone}":
                    assert verdicts[place].is_seen, verdicts[place].why
                    assert f"{record.address}:8080" in verdicts[place].addresses


@given(worlds())
def test_what_is_seen_is_explained_and_the_other_way_round(world: World):
    for zone in ZONE_NAMES:
        for speaks in Speaks:
            for name in NAMES:
                service, viewer = f"shop/{name}", world.viewer(zone, speaks)
                seen = see(world.catalog, world.topology, world.edges, viewer, service)
                verdicts = explain(world.catalog, world.topology, world.edges, viewer, service)
                shown = {f"{one.address}:{port.number}" for one in seen for port in one.ports}
                assert shown == {address for verdict in verdicts for address in verdict.addresses}
                assert all(verdict.why for verdict in verdicts)
                assert sorted({one.priority for one in seen}) == list(range(len({one.priority for one in seen})))
                assert all(one.instance or one.is_mtls is (speaks is not Speaks.PLAIN) for one in seen)


@given(worlds())
def test_the_same_question_has_the_same_answer(world: World):
    again = edges_of(world.catalog, world.topology.home, world.edges.carrying)
    for zone in ZONE_NAMES:
        for speaks in Speaks:
            viewer = world.viewer(zone, speaks)
            for name in NAMES:
                first = see(world.catalog, world.topology, world.edges, viewer, f"shop/{name}")
                assert first == see(world.catalog, world.topology, again, viewer, f"shop/{name}")
