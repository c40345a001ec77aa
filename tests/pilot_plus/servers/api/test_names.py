"""Names over HTTP: a service under any of its names, and the way of each record from its registry on."""

from typing import Any

import msgspec
import pytest

from pilot_plus.catalog.catalog import MAX_SKIPPED
from pilot_plus.model import Health, Instance, Put, Reset, Service, Skipped
from tests.pilot_plus.cli.calling import commanding
from tests.pilot_plus.servers.api.asking import Asking
from tests.pilot_plus.servers.api.events import watching
from tests.pilot_plus.servers.api.hub import Hub, copy

CONFIG = """
cluster: east
listen: {http: "127.0.0.1:0"}
zones: [{name: legacy}, {name: vm, reaches: [legacy]}]
registries:
  - {name: zk, kind: zookeeper, zone: legacy, accept: {cidrs: [10.1.0.0/16]}, rename: [{from: "*.rpc", to: "{1}"}]}
  - {name: consul, kind: consul, zone: vm}
  - {name: own, kind: database, zone: vm, namespaces: [shop]}
names:
  aliases: [{name: shop/orders, services: [vm/orders, "legacy/com.example.Orders:1.0.0"]}]
  conflicts: {prefer: [consul]}
exports: [{services: ["shop/*"], from: [legacy], to: [vm]}]
"""
DUBBO = "com.example.Orders:1.0.0"
FOREIGN = copy("x", DUBBO, address="192.168.0.1")


@pytest.fixture
def hub() -> Hub:
    hub = Hub(CONFIG)
    hub.say("own", Reset())
    hub.say("consul", Reset(instances=[copy("c", health=Health.CRITICAL)]))
    mapping = Service(key="/services/web", name="web", aliases=("com.example.Web",))
    dubbo = msgspec.structs.replace(copy("d", DUBBO), layout="dubbo")
    hub.say("zk", Reset(services=[mapping], instances=[dubbo, copy("u", "user.rpc"), copy("w", "web"), FOREIGN]))
    hub.say("zk", Skipped("/dubbo/com.example.Orders/providers/dubbo%3A%2F%2Fbroken", "it has no port"))
    return hub


def steps(verdict: dict[str, Any]) -> dict[str, str]:
    return {step["step"]: step["says"] for step in verdict["steps"]}


@pytest.mark.parametrize("asked", ["shop/orders", "vm/orders", f"legacy/{DUBBO}"])
async def test_a_service_is_found_under_each_of_its_names(hub: Hub, asked: str):
    async with Asking(hub) as ask:
        answer = await ask.get(f"/api/v1/services/{asked}")
        explained = await ask.get(f"/api/v1/services/{asked}/explain")
    assert (answer["namespace"], answer["name"]) == (explained["namespace"], explained["name"]) == ("shop", "orders")
    assert answer["aliases"] == [f"legacy/{DUBBO}", "vm/orders"]
    assert [one["id"] for one in answer["instances"]] == ["c", "d"]


async def test_lists_and_watches_of_one_service_know_its_names_too(hub: Hub):
    async with Asking(hub) as ask:
        found = (await ask.get("/api/v1/instances?namespace=vm&name=orders"))["instances"]
        assert [(one["namespace"], one["service"], one["id"]) for one in found] == [
            ("shop", "orders", "c"),
            ("shop", "orders", "d"),
        ]
        assert (await ask.get("/api/v1/services?namespace=vm&name=nothing"))["services"] == []
    async with watching(hub, "namespace=vm&name=orders") as watch:
        assert [one["name"] for one in (await watch.next()).data["services"]] == ["orders"]
        hub.say("consul", Put(copy("c2")))
        assert (await watch.next()).data["namespace"] == "shop"


async def test_a_name_that_a_registry_gives_leads_to_the_service_unless_it_leads_to_several(hub: Hub):
    async with Asking(hub) as ask:
        assert (await ask.get("/api/v1/services/legacy/com.example.Web"))["name"] == "web"
        found = (await ask.get("/api/v1/services?q=example.web"))["services"]
        assert [(one["name"], one["aliases"]) for one in found] == [("web", ["legacy/com.example.Web"])]
        other = Service(key="/services/other", name="other", aliases=("com.example.Web",))
        hub.say("zk", Put(other))
        several = await ask("GET", "/api/v1/services/legacy/com.example.Web")
    assert several.status_code == 404
    assert "ask for one of them: legacy/other, legacy/web" in several.json()["detail"]


async def test_explain_tells_the_way_of_each_record_from_its_registry_on(hub: Hub):
    async with Asking(hub) as ask:
        answer = await ask.get("/api/v1/services/shop/orders/explain?from=vm")
    (dubbo,) = (one for one in answer["instances"] if one["registry"] == "zk")
    assert dubbo["addresses"] == ["10.1.100.7:8080"]
    assert steps(dubbo) == {
        "record": "d in zk, layout dubbo",
        "name": f"legacy/{DUBBO}, by names.aliases shop/orders",
        "grant": "legacy is the namespace of zk",
        "accept": "`accept.cidrs: [10.1.0.0/16]` of zk let it in",
        "registry": "zk is synced",
        "guard": "the guard of zk holds nothing of it",
        "conflict": "in consul, zk: prefer consul; it counts",
        "horizon": "let through by exports[0]; east/vm reaches east/legacy",
    }


async def test_explain_tells_where_a_record_lies_whose_key_does_not_say_it(hub: Hub):
    hub.desk.places["zk", "d"] = ("/dubbo/com.example.Orders/providers/dubbo%3A…",)
    async with Asking(hub) as ask:
        answer = await ask.get("/api/v1/services/shop/orders/explain")
    (dubbo,) = (one for one in answer["instances"] if one["registry"] == "zk")
    assert dubbo["places"] == ["/dubbo/com.example.Orders/providers/dubbo%3A…"]
    assert steps(dubbo)["record"] == "/dubbo/com.example.Orders/providers/dubbo%3A… in zk, layout dubbo"


async def test_explain_tells_what_a_rename_made(hub: Hub):
    async with Asking(hub) as ask:
        answer = await ask.get("/api/v1/services/legacy/user/explain")
    (one,) = answer["instances"]
    assert steps(one)["name"] == "legacy/user.rpc, by rename[0] of zk: *.rpc → {1} legacy/user"


@pytest.mark.parametrize("eyes", ["", "?from=vm"])
async def test_explain_tells_who_is_passed_over(hub: Hub, eyes: str):
    hub.say("consul", Put(copy("c")))
    async with Asking(hub) as ask:
        answer = await ask.get(f"/api/v1/services/shop/orders/explain{eyes}")
    (zk,) = (one for one in answer["instances"] if one["registry"] == "zk")
    assert (zk["seen"], zk["addresses"]) == (False, [])
    assert "passed over" in zk["why"]
    assert "passed over" in steps(zk)["conflict"]


async def test_explain_tells_what_the_guard_holds_and_which_registry_is_lost(hub: Hub):
    many = [copy(f"k{n}", "many") for n in range(9)]
    hub.say("zk", *(Put(one) for one in many))
    hub.time = 40.0
    hub.say("zk", Reset())
    async with Asking(hub) as ask:
        answer = await ask.get("/api/v1/services/legacy/many/explain")
        assert "in zk it is gone, together with many others" in steps(answer["instances"][0])["guard"]
        assert "600 s more" in steps(answer["instances"][0])["guard"]
        hub.lose("zk")
        hub.time = 47.0
        answer = await ask.get("/api/v1/services/legacy/many/explain")
        assert steps(answer["instances"][0])["registry"].startswith("zk is lost (7 s): connection refused")


async def test_explain_shows_skipped_records_that_may_be_meant(hub: Hub):
    async with Asking(hub) as ask:
        answer = await ask.get("/api/v1/services/shop/orders/explain")
        nowhere = await ask("GET", "/api/v1/services/legacy/com.example.Nothing/explain")
        hub.say("zk", Skipped("/services/com.example.Nothing/1", "no JSON"))
        only_skipped = await ask.get("/api/v1/services/legacy/com.example.Nothing/explain")
    assert [(one["registry"], one["reason"]) for one in answer["skipped"]] == [
        ("zk", "it has no port"),
        ("zk", "shop/orders: address 192.168.0.1 is not within `accept.cidrs`"),
    ]
    assert "no registry holds a record" in nowhere.json()["detail"]
    assert only_skipped["instances"] == []
    assert [one["reason"] for one in only_skipped["skipped"]] == ["no JSON"]


async def test_a_name_that_exists_nowhere_is_answered_with_the_nearest_ones(hub: Hub):
    hub.lose("consul")
    async with Asking(hub) as ask:
        answer = await ask("GET", "/api/v1/services/shop/order/explain")
    detail = answer.json()["detail"]
    assert answer.status_code == 404
    assert "no registry holds a record of 'shop/order'; the nearest names are shop/orders" in detail
    assert "not in step now, so it may hold one: consul" in detail


async def test_records_that_nobody_remembers_are_not_said_not_to_be_there(hub: Hub):
    hub.say("zk", *(Skipped(f"/x/{n}", "no JSON") for n in range(MAX_SKIPPED + 1)))
    async with Asking(hub) as ask:
        answer = await ask("GET", "/api/v1/services/shop/nothing/explain")
    assert "more records were skipped than are remembered, perhaps one of these, in: zk" in answer.json()["detail"]


async def test_the_command_prints_each_way_once(hub: Hub):
    hub.say("zk", Put(msgspec.structs.replace(copy("d2", DUBBO), layout="dubbo")))
    async with commanding(hub) as call:
        got = await call("explain", "vm/orders", "--from", "vm")
        lost = await call("explain", "shop/order")
    assert (got.code, got.err) == (0, "")
    assert f"also called legacy/{DUBBO},vm/orders; vm/orders is one of its names" in got.out
    assert got.out.count("legacy is the namespace of zk") == 1
    assert "d, and 1 more the same way" in got.out
    assert "Skipped, and perhaps meant" in got.out
    assert (lost.code, lost.out) == (1, "")
    assert "nearest names are shop/orders" in lost.err


def test_an_alias_costs_the_registry_nothing_it_has_not_said(hub: Hub):
    instances: list[Instance] = list(hub.catalog.sources["zk"].instances.values())
    assert {one.native for one in instances} == {"", f"legacy/{DUBBO}", "legacy/user.rpc"}
