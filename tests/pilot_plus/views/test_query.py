"""Query: what the catalog answers about services."""

from random import Random

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from immutables import Map

from pilot_plus.catalog import Catalog, Source
from pilot_plus.catalog.admission import Admission
from pilot_plus.catalog.fold import Rules, fold, lose, vouch
from pilot_plus.catalog.guard import Limits
from pilot_plus.model import Drop, Health, Instance, Origin, Port, Put, Reset, Service, Update, instance
from pilot_plus.views import query, shapes
from pilot_plus.views.endpoints import Home, grouped

HOME = Home(cluster="east", order={"zk": 0, "consul": 1}, hold_for={"zk": 600.0})
LIMITS = Limits(max_removal=0.5, window=30, hold_for=600, min=5)


def copy(key: str, address: str = "10.1.0.7", ports: tuple[Port, ...] = (Port("http", 80, "http"),), **more: object):
    made = instance(key=key, name="orders", id=key, address=address, ports=ports)
    return msgspec.structs.replace(made, **more)


def catalog(*said: tuple[str, Update], now: float = 0.0) -> Catalog:
    sources = {name: Source(name=name, kind="memory", zone="east/vm") for name in ("zk", "consul")}
    made = Catalog(epoch="e", sources=Map(sources))
    for name, update in said:
        rules = Rules(Admission(cluster="east", registry=name, zone="east/vm", namespace="shop"), LIMITS)
        made = fold(made, name, [update], rules, now).catalog
    return made


def both(zk: list[Instance], consul: list[Instance]) -> Catalog:
    return catalog(("zk", Reset(instances=zk)), ("consul", Reset(instances=consul)))


def service(made: Catalog, now: float = 0.0) -> shapes.ServiceShape:
    return query.service(made, HOME, made.entries["shop/orders"], now)


def test_equal_address_and_port_from_two_registries_is_one_endpoint():
    made = both([copy("a")], [copy("b")])
    (found,) = service(made).instances
    assert found.registry == "zk"
    assert found.registries == ("zk", "consul")
    assert found.also == (Origin("east", "consul", "b"),)
    assert query.summary(made, HOME, made.entries["shop/orders"]).instances == shapes.Counts(total=1, passing=1)


def test_another_port_is_another_endpoint():
    assert len(service(both([copy("a")], [copy("b", ports=(Port("http", 81, "http"),))])).instances) == 2


DUBBO, TRIPLE = Port("dubbo", 20880, "dubbo"), Port("tri", 50051, "tri")


def test_a_record_with_some_of_anothers_ports_is_the_same_endpoint_with_all_of_them():
    made = both([copy("a", ports=(DUBBO,)), copy("b", ports=(TRIPLE, DUBBO))], [copy("c", ports=(TRIPLE,))])
    (found,) = service(made).instances
    assert sorted(found.ports, key=lambda port: port.number) == [DUBBO, TRIPLE]
    assert set(found.registries) == {"zk", "consul"}
    (other,) = service(both([copy("b", ports=(TRIPLE, DUBBO))], [copy("a", ports=(DUBBO,))])).instances
    assert {port.name for port in other.ports} == {"dubbo", "tri"}


def test_two_instances_of_a_machine_that_share_one_port_stay_two():
    admin = Port("admin", 9990)
    made = both([copy("a", ports=(Port("http", 80), admin)), copy("b", ports=(Port("http", 81), admin))], [])
    assert len(service(made).instances) == 2


@given(st.lists(st.sets(st.integers(1, 4), min_size=1, max_size=3), min_size=1, max_size=6), st.randoms())
def test_records_of_one_address_are_grouped_alike_in_any_order(numbers: list[set[int]], random: Random):
    records = [copy(f"k{n}", ports=tuple(Port(f"p{x}", x) for x in sorted(each))) for n, each in enumerate(numbers)]
    shuffled = random.sample(records, len(records))
    groups = {frozenset(place[1] for place in group) for group in grouped(both(records, []).entries["shop/orders"])}
    again = {frozenset(place[1] for place in group) for group in grouped(both(shuffled, []).entries["shop/orders"])}
    assert groups == again
    assert sum(len(group) for group in groups) == len(records)
    wide = [each for each in map(frozenset, numbers) if not any(each < other for other in map(frozenset, numbers))]
    assert len(groups) == len(set(wide))


def test_equal_addresses_of_two_clusters_are_two_endpoints():
    assert len(service(both([copy("a")], [copy("b", zone="west/vm", origin=Origin("west", "zk", "x"))])).instances) == 2


def test_an_original_is_shown_before_a_copy_of_it():
    original = Origin("east", "consul", "b")
    (found,) = service(both([copy("a", origin=original)], [copy("b")])).instances
    assert found.registry == "consul"
    assert found.also == ()
    assert found.registries == ("consul", "zk")


def test_a_record_that_is_in_step_is_shown_before_a_stale_one():
    made = lose(both([copy("a")], [copy("b", health=Health.WARNING)]), "zk", "refused", 5.0).catalog
    (found,) = service(made, 9.0).instances
    assert (found.registry, found.health, found.stale) == ("consul", Health.WARNING, False)


def test_what_is_stale_says_its_age():
    made = lose(catalog(("zk", Reset(instances=[copy("a")])), now=2.0), "zk", "refused", 5.0).catalog
    (found,) = service(made, 9.5).instances
    assert (found.stale, found.age_s, found.held) == (True, 7.5, False)


def test_what_nobody_has_vouched_for_is_stale_since_its_source_was_opened():
    made = vouch(catalog(("zk", Reset(instances=[copy("a")])), now=2.0), "zk", frozenset({"a"})).catalog
    (found,) = service(made, 9.5).instances
    assert (found.stale, found.age_s) == (True, 7.5)


def test_what_a_guard_holds_is_stale_and_says_so():
    copies = [copy(f"{n}", address=f"10.1.0.{n + 1}") for n in range(6)]
    made = catalog(("zk", Reset(instances=copies)), ("zk", Reset()))
    shape = service(made, 30.0)
    assert {(found.held, found.stale, found.age_s) for found in shape.instances} == {(True, True, 30.0)}
    (condition,) = shape.conditions
    assert condition.type == "Held"
    assert "6 stopped passing in zk" in condition.message
    assert "pilot-plus release zk" in condition.message


def test_one_port_name_with_two_protocols_is_a_condition():
    made = both([copy("a")], [copy("b", address="10.1.0.8", ports=(Port("http", 80, "grpc"),))])
    (condition,) = service(made).conditions
    assert condition.type == "ProtocolConflict"
    assert condition.message == "port http speaks grpc in consul; http in zk"


def test_registries_that_should_be_kept_apart_and_meet_are_a_condition():
    apart = msgspec.structs.replace(HOME, keeps_apart=True)
    made = both([copy("a")], [copy("b", address="10.1.0.8")])
    (condition,) = query.service(made, apart, made.entries["shop/orders"], 0.0).conditions
    assert condition.type == "SharedName"
    assert "consul and zk hold it" in condition.message
    mirrored = both([copy("a")], [copy("b", address="10.1.0.8", origin=Origin("east", "zk", "a"))])
    assert query.service(mirrored, apart, mirrored.entries["shop/orders"], 0.0).conditions == ()
    joined = msgspec.structs.replace(apart, called={"shop/orders": ("vm/orders",)})
    assert query.service(made, joined, made.entries["shop/orders"], 0.0).conditions == ()
    assert service(made).conditions == ()


def test_an_unknown_protocol_contradicts_nothing():
    made = both([copy("a")], [copy("b", address="10.1.0.8", ports=(Port("http", 80),))])
    assert service(made).conditions == ()


def test_a_service_without_instances_is_there_with_none():
    made = catalog(("zk", Reset(services=[Service(key="/orders", name="orders")])))
    assert service(made).instances == ()
    assert query.summary(made, HOME, made.entries["shop/orders"]).registries == ("zk",)


def matching(made: Catalog, after: str = "", **wanted: object) -> list[str]:
    found = query.matching(made, HOME, query.Wanted(**wanted), after)  # type: ignore[arg-type]
    return [entry.service for entry in found if entry]


def services_catalog() -> Catalog:
    named = [msgspec.structs.replace(copy(name, address=f"10.1.0.{i + 1}"), name=name) for i, name in enumerate("abc")]
    other = msgspec.structs.replace(copy("d", health=Health.CRITICAL), name="d", zone="east/legacy")
    return both(named, [other])


def test_services_are_found_by_namespace_name_registry_zone_text_and_health():
    made = services_catalog()
    assert matching(made) == ["shop/a", "shop/b", "shop/c", "shop/d"]
    assert matching(made, namespace="shop") == matching(made)
    assert matching(made, namespace="sho") == []
    assert matching(made, name="b") == ["shop/b"]
    assert matching(made, registry="consul") == ["shop/d"]
    assert matching(made, zone="legacy") == matching(made, zone="east/legacy") == ["shop/d"]
    assert matching(made, q="P/C") == ["shop/c"]
    assert matching(made, health=Health.CRITICAL) == ["shop/d"]


def test_a_page_goes_on_behind_the_last_name_even_if_that_is_gone():
    made = services_catalog()
    assert matching(made, after="shop/b") == ["shop/c", "shop/d"]
    rules = Rules(Admission(cluster="east", registry="zk", zone="east/vm", namespace="shop"))
    fewer = fold(made, "zk", [Drop("b")], rules, 0.0).catalog
    assert matching(fewer, after="shop/b") == ["shop/c", "shop/d"]
    more = fold(made, "zk", [Put(msgspec.structs.replace(copy("bb"), name="bb"))], rules, 0.0).catalog
    assert matching(more, after="shop/b") == ["shop/bb", "shop/c", "shop/d"]
