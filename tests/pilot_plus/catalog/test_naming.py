"""Naming: grants, renames, suffixes and aliases, and that no record can choose where it lands."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilot_plus.catalog import Catalog, Source
from pilot_plus.catalog.admission import Admission, admission_of
from pilot_plus.catalog.fold import Rules, fold, restore
from pilot_plus.config import Config, ConfigError, parse
from pilot_plus.model import NO_ORIGIN, Drop, Instance, Origin, Port, Put, Reset, Service, instance

REGISTRIES: list[dict[str, Any]] = [
    {"name": "zk", "kind": "zookeeper", "zone": "legacy"},
    {"name": "consul", "kind": "consul", "zone": "vm"},
    {"name": "etcd", "kind": "etcd", "zone": "vm"},
    {"name": "k8s", "kind": "kubernetes", "zone": "mesh", "namespaces": ["shop", "team-*"]},
]


def config(registries: list[dict[str, Any]] = REGISTRIES, **names: Any) -> Config:
    return parse(msgspec.json.encode({"cluster": "east", "registries": registries, "names": names}).decode(), {})


def admission(registry: str, rename: tuple[tuple[str, str], ...] = (), **names: Any) -> Admission:
    rules = [{"from": pattern, "to": to} for pattern, to in rename]
    registries = [{**one, "rename": rules} if one["name"] == registry else one for one in REGISTRIES]
    made = config(registries, **names)
    return admission_of(made, next(one for one in made.registries if one.name == registry))


def found(name: str = "orders", namespace: str = "", **fields: Any) -> Instance:
    made = instance(key="k", name=name, id="1", address="10.0.0.1", ports=[Port("http", 80)], namespace=namespace)
    return msgspec.structs.replace(made, **fields)


def shown(admitting: Admission, name: str, namespace: str = "") -> str:
    return admitting.instance(found(name, namespace)).service


def test_a_record_enters_its_registrys_namespace_and_only_those_granted():
    assert shown(admission("zk"), "orders") == "legacy/orders"
    assert shown(admission("k8s"), "orders", "team-a") == "team-a/orders"
    with pytest.raises(ValueError, match="namespace 'kube-system' is not granted to registry 'k8s'"):
        shown(admission("k8s"), "orders", "kube-system")


def test_a_rename_fills_in_what_its_stars_stand_for():
    rules = (("*.rpc", "{1}"), ("legacy/com.*.*Service:*", "shop/{2}-{3}"))
    assert shown(admission("zk", rules), "user.rpc") == "legacy/user"
    assert shown(admission("zk", rules), "com.example.OrderService:1.0.0") == "shop/Order-1.0.0"
    assert shown(admission("zk", rules), "else") == "legacy/else"


def test_what_a_star_stands_for_is_never_read_as_a_rule():
    assert shown(admission("zk", (("a-*-*", "{2}.{1}"),)), "a-{2}-x") == "legacy/x.{2}"


@pytest.mark.parametrize("name", ["x-pilot-plus/edge", "x-kube-system/api"])
def test_a_record_can_not_choose_its_namespace_by_its_name(name: str):
    assert shown(admission("zk", (("legacy/x-*", "{1}"),)), name) == f"legacy/{name[2:]}"


def test_a_namespace_made_from_a_record_must_be_granted():
    rules = (("*/*--*", "{3}/{2}"),)
    assert shown(admission("k8s", rules), "orders--team-b", "shop") == "team-b/orders"
    with pytest.raises(ValueError, match="which `namespaces` does not grant"):
        shown(admission("k8s", rules), "orders--kube-system", "shop")
    with pytest.raises(ValueError, match="no name"):
        shown(admission("k8s", rules), "orders--", "shop")
    with pytest.raises(ValueError, match="no name"):
        shown(admission("k8s", rules), "orders--a/b", "shop")


def test_the_reserved_namespace_is_out_of_reach_of_renames():
    with pytest.raises(ValueError, match="reserved"):
        shown(admission("zk", (("edge", "pilot-plus/edge"),)), "edge")


def test_services_of_several_registries_are_one_by_an_alias():
    aliases = [{"name": "shop/orders", "services": ["vm/orders", "legacy/com.example.Orders:1.0.0", "shop/order-api"]}]
    assert shown(admission("consul", aliases=aliases), "orders") == "shop/orders"
    assert shown(admission("zk", aliases=aliases), "com.example.Orders:1.0.0") == "shop/orders"
    assert shown(admission("k8s", aliases=aliases), "order-api", "shop") == "shop/orders"
    assert shown(admission("k8s", aliases=aliases), "orders", "shop") == "shop/orders"


def test_the_first_registry_of_a_namespace_keeps_its_names_and_the_others_carry_a_suffix():
    assert shown(admission("consul", conflicts="separate"), "orders") == "vm/orders"
    assert shown(admission("etcd", conflicts="separate"), "orders") == "vm/orders-etcd"
    assert shown(admission("zk", conflicts={"separate": ["zk"]}), "orders") == "legacy/orders-zk"
    aliases = [{"name": "vm/new", "services": ["vm/orders-etcd"]}]
    assert shown(admission("etcd", conflicts="separate", aliases=aliases), "orders") == "vm/new"


def test_what_the_registry_calls_it_is_known_where_it_differs():
    renaming = admission("zk", (("*.rpc", "{1}"),))
    assert renaming.instance(found("user.rpc")).native == "legacy/user.rpc"
    assert renaming.instance(found("user")).native == ""
    assert renaming.service(Service(key="s", name="user.rpc")).native == "legacy/user.rpc"
    assert [(step.why, step.name) for step in renaming.why_named("legacy", "user.rpc")] == [
        ("rename[0] of zk: *.rpc → {1}", "legacy/user")
    ]


@pytest.mark.parametrize(
    ("names", "why"),
    [
        ({"aliases": [{"name": "orders", "services": ["vm/orders"]}]}, "names.aliases[0].name: 'orders' is no service"),
        ({"aliases": [{"name": "a/b", "services": ["vm/*"]}]}, "names.aliases[0].services: expected a service's whole"),
        ({"aliases": [{"name": "pilot-plus/x", "services": ["a/b"]}]}, "not among the hub's own"),
        (
            {"aliases": [{"name": "a/b", "services": ["c/d"]}, {"name": "e/f", "services": ["c/d"]}]},
            "names.aliases[1].services: 'c/d' is a name of 'a/b' already",
        ),
        (
            {"aliases": [{"name": "a/b", "services": ["c/d"]}, {"name": "c/d", "services": ["e/f"]}]},
            "names.aliases[1].name: 'c/d' is a name of 'a/b' already",
        ),
        ({"conflicts": {"prefer": ["consol"]}}, "did you mean 'consul'?"),
        ({"conflicts": {"separate": ["nope"]}}, "names.conflicts.separate: 'nope' is not among `registries`"),
        ({"conflicts": "mege"}, "names.conflicts"),
        ({"conflicts": {"prefers": ["zk"]}}, "did you mean `prefer`?"),
    ],
)
def test_a_wrong_configuration_names_the_key(names: dict[str, Any], why: str):
    with pytest.raises(ConfigError) as error:
        config(**names)
    assert why in str(error.value)


@pytest.mark.parametrize("section", ["sync", "exports", "peers"])
def test_a_selection_by_a_name_that_an_alias_replaces_is_refused(section: str):
    shown: dict[str, Any] = {
        "sync": {"name": "r", "from": {"services": ["vm/orders"]}, "to": "zk"},
        "exports": {"services": ["vm/orders"]},
        "peers": {"name": "west", "address": "hub.west:1", "export": [{"services": ["vm/orders"]}]},
    }
    aliases = [{"name": "shop/orders", "services": ["vm/orders"]}]
    tree = {"cluster": "east", "registries": REGISTRIES, "names": {"aliases": aliases}, section: [shown[section]]}
    with pytest.raises(ConfigError, match="makes 'vm/orders' 'shop/orders'; select it by that name"):
        parse(msgspec.json.encode(tree).decode(), {})


@pytest.mark.parametrize(("pattern", "to"), [("a-*", "{2}"), ("a", "{1}"), ("a", "/x"), ("a", "x/"), ("", "x")])
def test_a_rename_that_can_not_work_is_refused(pattern: str, to: str):
    with pytest.raises(ConfigError, match=r"registries\[0\].rename\[0\]"):
        admission("zk", ((pattern, to),))


# ------------------------------------------------------------------------------------------------ properties

_PARTS = st.sampled_from(["a", "b", "x-a", "a/b", "a--b", "{1}", "pilot-plus/edge", "..", "*"])
_NAMES = st.lists(_PARTS, min_size=1, max_size=3).map("".join)
_RULES = st.lists(
    st.sampled_from([("x-*", "{1}"), ("a*", "s/{1}a"), ("*--*", "{2}/{1}"), ("*/a*", "n/{2}"), ("*", "{1}-b")]),
    max_size=3,
).map(tuple)
_POLICIES = st.sampled_from(["merge", "separate", {"separate": ["zk"]}, {"prefer": ["zk"]}])
_ALIASES = [{"name": "s/all", "services": ["legacy/a", "legacy/a-zk", "n/b"]}]
_ORIGINS = st.sampled_from([NO_ORIGIN, Origin("east", "consul", "c"), Origin("west", "zk", "k", ("west",))])


def _admitted(admitting: Admission, record: Instance) -> Instance | None:
    try:
        return admitting.instance(record)
    except ValueError:
        return None


@given(_NAMES, _RULES, _POLICIES, _ORIGINS)
def test_no_naming_makes_a_copy_look_like_an_original(
    name: str, rules: tuple[tuple[str, str], ...], policy: Any, origin: Origin
):
    record = found(name, origin=origin)
    if here := _admitted(admission("zk", rules, conflicts=policy, aliases=_ALIASES), record):
        assert here.key == record.key
        assert here.origin == (origin if origin != NO_ORIGIN else Origin("east", "zk", "k"))


@given(_NAMES, _RULES, _POLICIES)
def test_a_record_lands_in_its_registrys_namespace_or_in_one_that_the_configuration_writes_out(
    name: str, rules: tuple[tuple[str, str], ...], policy: Any
):
    granted = msgspec.structs.replace(
        admission("zk", rules, conflicts=policy, aliases=_ALIASES), namespaces=("legacy", "team-*")
    )
    if here := _admitted(granted, found(name)):
        assert here.namespace in {"legacy", "s", "n"}
        assert here.service == granted.service(Service(key="s", name=name)).service
        assert granted.shown_as("legacy", name) == here.service
        native = here.native or here.service
        assert [native, *(step.name for step in granted.why_named(*native.split("/", 1)))][-1] == here.service


# ------------------------------------------------------------------------------------------------ other rules by now


@given(_NAMES, _RULES, _RULES, _ORIGINS)
def test_what_was_admitted_by_other_rules_is_admitted_again_as_if_it_came_now(
    name: str, before: tuple[tuple[str, str], ...], now: tuple[tuple[str, str], ...], origin: Origin
):
    record = found(name, origin=origin)
    was = _admitted(admission("zk", before, aliases=_ALIASES), record)
    ruling = admission("zk", now, conflicts="separate", aliases=_ALIASES)
    if was is None:
        return
    expected = _admitted(ruling, record)
    try:
        assert ruling.again(was) == expected
    except ValueError:
        assert expected is None


def test_a_grant_that_was_taken_back_counts_for_what_the_journal_knows():
    known = admission("k8s").instance(found("orders", "team-a"))
    fewer = msgspec.structs.replace(admission("k8s"), namespaces=("shop",))
    assert dict(restore(empty(), "zk", [known], fewer).catalog.entries) == {}
    assert list(restore(empty(), "zk", [known], admission("k8s")).catalog.entries) == ["team-a/orders"]
    service = admission("zk").service(Service(key="s", name="a", aliases=("b",)))
    assert admission("zk", (("a", "c"),)).again(service).service == "legacy/c"


# ------------------------------------------------------------------------------------------------ further names


def folded(*updates: Any, at: Catalog) -> Catalog:
    return fold(at, "zk", updates, Rules(admission("zk")), 0.0).catalog


def empty() -> Catalog:
    source = Source(name="zk", kind="zookeeper", zone="east/legacy")
    catalog = Catalog(epoch="e")
    return msgspec.structs.replace(catalog, sources=catalog.sources.set("zk", source))


def test_further_names_that_a_registry_gives_are_known_as_long_as_it_gives_them():
    mapping = Service(key="/services/orders", name="orders", aliases=("com.a.B", "com.a.C"))
    other = Service(key="/services/web", name="web", aliases=("com.a.B",))
    first = folded(Reset(services=[mapping, other]), at=empty())
    assert dict(first.aliases) == {
        "legacy/com.a.B": ("legacy/orders", "legacy/web"),
        "legacy/com.a.C": ("legacy/orders",),
    }
    second = folded(Put(msgspec.structs.replace(mapping, aliases=("com.a.B",))), at=first)
    assert dict(second.aliases) == {"legacy/com.a.B": ("legacy/orders", "legacy/web")}
    third = folded(Drop("/services/orders"), at=second)
    assert dict(third.aliases) == {"legacy/com.a.B": ("legacy/web",)}
    assert dict(folded(Reset(), at=third).aliases) == {}


def test_what_may_not_enter_is_skipped_with_its_name():
    skipping = msgspec.structs.replace(admission("zk"), namespaces=("shop",))
    catalog = fold(empty(), "zk", [Reset(instances=[found("orders", "forbidden")])], Rules(skipping), 0.0).catalog
    (reason,) = catalog.sources["zk"].skipped.values()
    assert reason == "forbidden/orders: namespace 'forbidden' is not granted to registry 'zk' (`namespaces`)"
