"""The stock as the catalog changes: who is told of what, and that what is kept up is what would be made anew."""

from collections.abc import Callable

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from pilot_plus.catalog import Catalog
from pilot_plus.catalog.admission import admission_of
from pilot_plus.catalog.fold import Folded, Rules, fold, lose, vouch
from pilot_plus.catalog.guard import Limits
from pilot_plus.model import ACCEPTS, Drop, Health, Locality, Port, Put, Reset, Viewer
from pilot_plus.views.edges import edges_of
from pilot_plus.views.horizon import see
from pilot_plus.views.xds.listener import OUTBOUND
from pilot_plus.views.xds.profile import Kind
from pilot_plus.views.xds.resource import Type
from pilot_plus.views.xds.stock import Stock
from pilot_plus.views.xds.supply import Supply
from tests.pilot_plus.views.world import EDGE_SOURCE, World, copy, edge
from tests.pilot_plus.views.worlds import EVERYTHING, NAMES, REGISTRY_OF, ZONE_NAMES, worlds
from tests.pilot_plus.views.xds import reading
from tests.pilot_plus.views.xds.reading import read
from tests.pilot_plus.views.xds.stocks import DOORS, ORDERS, endpoints, everything, profile, stock_of

# ------------------------------------------------------------------------------------------------ changes


def test_a_change_touches_the_resources_of_its_service_and_no_others():
    world = World({"zk": [copy("a"), copy("b", "carts")]})
    stock = stock_of(world)
    supply = stock.of(profile(world, "legacy"))
    other = supply.get(Type.ENDPOINTS, "http.carts.legacy.mesh")
    before = {type_: supply.get(type_, name) for type_, name in ((Type.CLUSTER, ORDERS), (Type.ROUTES, OUTBOUND))}
    endpoints(supply, ORDERS)
    mark = supply.mark
    rules = Rules(admission_of(world.config, world.config.registries[0]))
    folded = fold(world.catalog, "zk", [Put(copy("c", address="10.1.0.99"))], rules, 1.0)
    stock.advance(folded.catalog, folded.touched)
    assert supply.since(mark) == {Type.ENDPOINTS: {ORDERS}}
    assert supply.since(supply.mark) == {}
    assert supply.get(Type.ENDPOINTS, "http.carts.legacy.mesh") is other
    assert {
        type_: supply.get(type_, name) for type_, name in ((Type.CLUSTER, ORDERS), (Type.ROUTES, OUTBOUND))
    } == before
    assert len(endpoints(supply, ORDERS)) == 2


def test_what_was_asked_for_in_vain_is_told_when_it_comes():
    world = World({})
    stock = stock_of(world)
    supply = stock.of(profile(world, "legacy", Kind.GRPC))
    assert supply.get(Type.CLUSTER, ORDERS) is None
    mark = supply.mark
    rules = Rules(admission_of(world.config, world.config.registries[0]))
    folded = fold(world.catalog, "zk", [Put(copy("a"))], rules, 1.0)
    stock.advance(folded.catalog, folded.touched)
    assert ORDERS in (supply.since(mark) or {})[Type.CLUSTER]
    assert supply.get(Type.CLUSTER, ORDERS) is not None


def test_everything_can_be_prepared_in_parts_while_the_catalog_changes():
    world = World({"zk": [copy(f"i{n}", f"svc{n}") for n in range(200)]})
    stock = stock_of(world)
    supply = stock.of(profile(world, "legacy"))
    rules = Rules(admission_of(world.config, world.config.registries[0]))
    catalog, pauses = world.catalog, 0
    for pauses, _ in enumerate(supply.prepare(Type.CLUSTER), 1):
        folded = fold(catalog, "zk", [Drop(f"i{199 - pauses}"), Put(copy(f"new{pauses}", f"new{pauses}"))], rules, 1.0)
        catalog = folded.catalog
        stock.advance(catalog, folded.touched)
    assert pauses == 4
    assert supply.names(Type.CLUSTER) == {f"http.{entry.name}.legacy.mesh" for entry in catalog.entries.values()}
    assert list(supply.prepare(Type.CLUSTER)) == []


def test_other_edges_of_many_services_are_shown_in_parts_and_told_completely():
    held = [copy(f"i{n}", f"svc{n}") for n in range(180)]
    first = edge("edge-1", "legacy", carries="*/*", address="10.9.0.1")
    world = World({"zk": held}, [first], exports=EVERYTHING)
    stock = stock_of(world)
    door = (("legacy/svc7", "127.0.0.1:7007"),)
    supply = stock.of(profile(world, "mesh", tcp=door))
    before = {name: endpoints(supply, name) for name in supply.names(Type.CLUSTER)}
    assert len(before) == 180
    assert "pilot-plus/tcp/legacy/svc7" in supply.names(Type.LISTENER)
    admission = msgspec.structs.replace(
        admission_of(world.config, world.config.registries[0]), registry=EDGE_SOURCE, writes_reserved=True
    )
    catalog = world.catalog
    for updates, expected in (
        ([Put(edge("edge-2", "legacy", carries="*/*", address="10.9.0.2"))], 2),
        ([Drop("legacy/edge-2"), Drop(first.key)], 0),
    ):
        mark = supply.mark
        folded = fold(catalog, EDGE_SOURCE, updates, Rules(admission), 1.0)
        catalog = folded.catalog
        stock.advance(catalog, folded.touched)
        assert sum(1 for _ in stock.settle()) >= 2
        assert list(stock.settle()) == []
        news = supply.since(mark)
        assert news is not None
        assert news[Type.ENDPOINTS] == before.keys()
        told = {name: endpoints(supply, name) for name in supply.names(Type.CLUSTER)}
        assert {len(listed) for listed in told.values()} == ({expected} if expected else set())
    assert supply.names(Type.LISTENER) == {OUTBOUND}


def test_supplies_of_equal_profiles_are_one_while_somebody_uses_them():
    world = World({"zk": [copy("a")]})
    stock = stock_of(world)
    one, other = profile(world, "legacy"), profile(world, "legacy")
    supply = stock.of(one)
    assert stock.of(other) is supply
    stock.forget(one)
    assert stock.of(one) is supply
    for _ in range(2):
        stock.forget(one)
    assert stock.of(one) is not supply


def seen_by(catalog: Catalog, world: World, viewer: Viewer) -> dict[str, set[tuple[object, ...]]]:
    """For each cluster, what `see` says of its endpoints: once an address, priorities without gaps."""
    found: dict[str, set[tuple[object, ...]]] = {}
    for name in NAMES:
        seen = see(catalog, world.topology, world.edges, viewer, f"shop/{name}")
        for port in {port.name for one in seen for port in one.ports}:
            cluster = f"{port}.{name}.shop.mesh"
            best: dict[tuple[str, int], tuple[int, tuple[object, ...]]] = {}
            for one in sorted(seen, key=lambda one: (one.priority, one.id)):
                health = Health.DRAINING if not one.weight and one.health is not Health.CRITICAL else one.health
                status = {Health.CRITICAL: 2, Health.DRAINING: 3}.get(health, 1)
                for number in (each.number for each in one.ports if each.name == port):
                    told = (one.address, number, status, max(1, one.weight), cluster if one.is_mtls else "")
                    best.setdefault((one.address, number), (one.priority, told))
            order = {priority: index for index, priority in enumerate(sorted({one[0] for one in best.values()}))}
            found[cluster] = {(order[priority], *told) for priority, told in best.values()}
    return found


def told_to(supply: Supply) -> dict[str, set[tuple[object, ...]]]:
    """For each cluster, what an Envoy is told of its endpoints."""
    found: dict[str, set[tuple[object, ...]]] = {}
    for name in supply.names(Type.CLUSTER):
        held = read(supply, Type.ENDPOINTS, name)
        listed: list[tuple[object, ...]] = [
            (*one, sni) for one, sni in zip(reading.endpoints_in(held), reading.hostnames_in(held), strict=True)
        ]
        found[name] = set(listed)
        assert len({one[1:3] for one in listed}) == len(listed)
        priorities = {one[0] for one in listed}
        assert priorities == set(range(len(priorities)))
    return found


@st.composite
def changes(draw: st.DrawFn, world: World) -> Callable[[Catalog, float], Folded]:
    """Something that happens to a catalog."""
    zone = draw(st.sampled_from(ZONE_NAMES))
    registry, number = REGISTRY_OF[zone], list(REGISTRY_OF).index(zone)
    limits = Limits(max_removal=0.4, window=30, hold_for=600, min=1) if draw(st.booleans()) else None
    rules = Rules(admission_of(world.config, world.config.registries[number]), limits)
    name = draw(st.sampled_from(NAMES))
    key = f"{zone}-{name}-{draw(st.integers(0, 2))}"
    made = copy(
        key,
        name,
        namespace="shop",
        address=draw(st.sampled_from([f"10.{number}.0.1", f"10.{number}.0.2", "10.0.0.1", "db.example.com"])),
        ports=draw(st.sampled_from([[Port("http", 8080, "http")], [Port("grpc", 8080, "grpc"), Port("http", 81)]])),
        health=draw(st.sampled_from(list(Health))),
        weight=draw(st.sampled_from([0, 1, 100, 1_000_000])),
        locality=draw(st.sampled_from([Locality(), Locality("eu", "a")])),
        metadata={ACCEPTS: draw(st.sampled_from(["plain", "mtls", "both"]))},
    )
    kind = draw(st.sampled_from(["put", "put", "drop", "lose", "heal", "doubt"]))

    def happen(catalog: Catalog, now: float) -> Folded:
        if kind == "lose":
            return lose(catalog, registry, "gone", now)
        if kind == "heal":
            kept = list(catalog.sources[registry].instances.values())
            return fold(catalog, registry, [Reset(instances=kept)], rules, now)
        if kind == "doubt":
            return vouch(catalog, registry, frozenset({key}))
        return fold(catalog, registry, [Put(made) if kind == "put" else Drop(key)], rules, now)

    return happen


@st.composite
def edges_that_change(draw: st.DrawFn, world: World) -> Callable[[Catalog, float], Folded]:
    """An edge that comes, goes, or says something else."""
    name = f"edge-{draw(st.integers(0, 3))}"
    zone = draw(st.sampled_from(ZONE_NAMES))
    health = draw(st.sampled_from([Health.PASSING, Health.DRAINING]))
    made = edge(name, zone, carries="*/*", health=health, outside=draw(st.sampled_from(["", "edge.example.com"])))
    admission = msgspec.structs.replace(
        admission_of(world.config, world.config.registries[0]), registry=EDGE_SOURCE, writes_reserved=True
    )
    update = Put(made) if draw(st.booleans()) else Drop(made.key)
    return lambda catalog, now: fold(catalog, EDGE_SOURCE, [update], Rules(admission), now)


@settings(max_examples=60)
@given(worlds(), st.lists(st.sampled_from(list(REGISTRY_OF.values())), unique=True, max_size=3), st.data())
def test_what_is_kept_up_is_what_would_be_made_anew_and_what_changed_is_told(
    world: World, prefer: list[str], data: st.DataObject
):
    home = msgspec.structs.replace(world.topology.home, prefer=tuple(prefer))
    world.topology = msgspec.structs.replace(world.topology, home=home)
    stock = stock_of(world)
    profiles = [profile(world, zone, tcp=DOORS) for zone in ZONE_NAMES]
    supplies = [stock.of(one) for one in profiles]
    known = [everything(supply) for supply in supplies]
    marks = [supply.mark for supply in supplies]
    catalog = world.catalog
    for step in range(4):
        happening = st.one_of(changes(world), changes(world), edges_that_change(world))
        folded = data.draw(happening)(catalog, float(step + 2))
        catalog = folded.catalog
        stock.advance(catalog, folded.touched)
        world.edges = edges_of(catalog, home, world.edges.carrying)
        fresh = Stock(catalog, world.topology)
        fresh.carry(world.edges.carrying)
        for index, supply in enumerate(supplies):
            now = everything(supply)
            assert now == everything(fresh.of(profiles[index]))
            assert told_to(supply) == seen_by(catalog, world, profiles[index].viewer)
            was, news = known[index], supply.since(marks[index])
            assert news is not None
            changed = {key for key in {*was, *now} if was.get(key) != now.get(key)}
            assert changed <= {(type_, each) for type_, names in news.items() for each in names}
            known[index], marks[index] = now, supply.mark
