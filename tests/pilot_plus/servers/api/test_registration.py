"""Registration over HTTP: instances register, live, change and go."""

import json
from typing import Any

import pytest

from pilot_plus.model import Drop, Put, Reset
from tests.pilot_plus.servers.api.asking import Asking
from tests.pilot_plus.servers.api.hub import Hub, copy

ORDERS: dict[str, Any] = {
    "namespace": "shop",
    "name": "orders",
    "id": "orders-1",
    "address": "10.3.0.4",
    "ports": [{"name": "http", "number": 8080, "protocol": "http"}],
    "ttl": "15s",
    "weight": 100,
    "metadata": {},
}
ONE = "/api/v1/instances/shop/orders/orders-1"


@pytest.fixture
def hub() -> Hub:
    hub = Hub()
    hub.say("own", Reset())
    return hub


async def test_an_instance_registers_and_is_seen(hub):
    async with Asking(hub) as ask:
        response = await ask("POST", "/api/v1/instances", json=ORDERS)
        assert response.status_code == 201
        assert response.json() == {
            "revision": hub.catalog.revision,
            "namespace": "shop",
            "name": "orders",
            "id": "orders-1",
            "registry": "own",
            "key": "shop/orders/orders-1",
            "ttl_s": 15.0,
        }
        (seen,) = (await ask.get("/api/v1/services/shop/orders"))["instances"]
        assert (seen["id"], seen["weight"], seen["zone"]) == ("orders-1", 100, "mesh")


async def test_weight_and_metadata_may_be_left_out(hub):
    body = {name: value for name, value in ORDERS.items() if name not in ("weight", "metadata")}
    async with Asking(hub) as ask:
        assert (await ask("POST", "/api/v1/instances", json=body)).status_code == 201
        (seen,) = (await ask.get("/api/v1/services/shop/orders"))["instances"]
        assert (seen["weight"], seen["metadata"]) == (100, {})


async def test_heartbeats_are_taken_for_what_is_registered_only(hub):
    async with Asking(hub) as ask:
        assert (await ask("PUT", f"{ONE}/heartbeat")).status_code == 404
        await ask("POST", "/api/v1/instances", json=ORDERS)
        assert (await ask("PUT", f"{ONE}/heartbeat")).status_code == 204
    assert hub.desk.renewed == ["orders-1"]


async def test_an_instance_drains_weighs_and_goes(hub):
    async with Asking(hub) as ask:
        await ask("POST", "/api/v1/instances", json=ORDERS)
        assert (await ask("PATCH", ONE, json={"health": "draining", "weight": 0})).status_code == 204
        (seen,) = (await ask.get("/api/v1/services/shop/orders"))["instances"]
        assert (seen["health"], seen["weight"]) == ("draining", 0)
        assert (await ask("DELETE", ONE)).status_code == 204
        assert (await ask("DELETE", ONE)).status_code == 404
        assert (await ask("GET", "/api/v1/services/shop/orders")).status_code == 404


async def test_names_with_slashes_live_and_go_like_others(hub):
    async with Asking(hub) as ask:
        await ask("POST", "/api/v1/instances", json=ORDERS | {"name": "a/b", "id": "c/d"})
        assert (await ask("PUT", "/api/v1/instances/shop/a%2Fb/c%2Fd/heartbeat")).status_code == 204
        assert (await ask("DELETE", "/api/v1/instances/shop/a%2Fb/c%2Fd")).status_code == 204


async def test_somebody_elses_record_is_a_conflict(hub):
    hub.say("own", Put(copy("shop/orders/orders-1", namespace="shop", metadata=(("foreign", "yes"),))))
    async with Asking(hub) as ask:
        assert (await ask("POST", "/api/v1/instances", json=ORDERS)).status_code == 409


async def test_a_registry_that_cannot_be_written_says_so(hub):
    async with Asking(hub) as ask:
        refused = await ask("POST", "/api/v1/instances", json=ORDERS | {"registry": "zk"})
        assert (refused.status_code, refused.json()["detail"]) == (422, "registry 'zk' can't be written")
        hub.desk.down = "the database is locked"
        lost = await ask("POST", "/api/v1/instances", json=ORDERS)
        assert (lost.status_code, lost.headers["retry-after"]) == (503, "1")


async def test_held_removals_are_released(hub):
    hub.say("zk", Reset(instances=[copy(f"k{n}") for n in range(6)]))
    hub.say("zk", *(Drop(f"k{n}") for n in range(6)))
    async with Asking(hub) as ask:
        assert (await ask.get("/api/v1/registries"))["registries"][1]["held"] == 6
        response = await ask("POST", "/api/v1/registries/zk/release")
        assert response.json()["released"] == 6
        assert (await ask("GET", "/api/v1/services/legacy/orders")).status_code == 404
        assert (await ask("POST", "/api/v1/registries/nope/release")).status_code == 404


@pytest.mark.parametrize(
    ("change", "status", "part"),
    [
        ({"ttl": "0s"}, 422, "1s..24h"),
        ({"ttl": "25h"}, 422, "1s..24h"),
        ({"ttl": "soon"}, 422, "expected a duration"),
        ({"ttl": 15}, 400, "$.ttl"),
        ({"weight": -1}, 422, "weight"),
        ({"weight": 10**30}, 422, "weight"),
        ({"ports": []}, 400, "$.ports"),
        ({"ports": [{"name": "http", "number": 70000}]}, 422, "70000"),
        ({"ports": [{"name": "a", "number": 1}, {"name": "a", "number": 2}]}, 422, "one name"),
        ({"address": "http://10.0.0.1"}, 422, "address"),
        ({"address": ""}, 422, "address"),
        ({"namespace": ""}, 422, "namespace"),
        ({"namespace": "a/b"}, 422, "slash"),
        ({"namespace": "pilot-plus"}, 422, "reserved"),
        ({"name": ""}, 422, "name"),
        ({"name": "a\nb"}, 422, "control"),
        ({"name": "a\0b"}, 422, "control"),
        ({"name": "x" * 10_000}, 422, "10000 characters"),
        ({"id": ""}, 422, "id"),
        ({"id": ".."}, 422, "id '..' can't stand in a path"),
        ({"name": "."}, 422, "name '.' can't stand in a path"),
        ({"metadata": {"a": "b\0"}}, 422, "NUL"),
        ({"metadata": {"": "b"}}, 422, "metadata"),
        ({"metadata": {"a": 1}}, 400, "$.metadata"),
        ({"health": "well"}, 400, "$.health"),
        ({"wieght": 1}, 400, "wieght"),
        ({"address": None}, 400, "$.address"),
    ],
)
async def test_a_wrong_registration_says_what_is_wrong(hub, change, status, part):
    async with Asking(hub) as ask:
        response = await ask("POST", "/api/v1/instances", json=ORDERS | change)
    assert response.status_code == status
    assert part in response.json()["detail"]
    assert "shop/orders" not in hub.catalog.entries


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"null", b"[]", b'"x"', b"\xff\xfe", b"[" * 30_000, b'{"a":' * 10_000, b"NaN", b"1e999"],
)
async def test_a_body_that_is_none_is_a_problem(hub, body):
    async with Asking(hub) as ask:
        response = await ask("POST", "/api/v1/instances", content=body, headers={"content-type": "application/json"})
    assert response.status_code == 400


async def test_a_body_that_is_too_long_or_of_another_kind_is_refused(hub):
    async with Asking(hub) as ask:
        long = ORDERS | {"metadata": {str(n): "x" * 100 for n in range(1000)}}
        assert (await ask("POST", "/api/v1/instances", json=long)).status_code == 413
        other = await ask("POST", "/api/v1/instances", content=b"<a/>", headers={"content-type": "text/xml"})
        assert other.status_code == 415
        assert "application/json" in other.json()["detail"]
        assert (await ask("POST", "/api/v1/instances", data={"name": "orders"})).status_code == 400


@pytest.mark.parametrize("kind", ["", "application/x-www-form-urlencoded"])
async def test_a_client_that_does_not_say_that_it_sends_json_is_understood(hub, kind):
    async with Asking(hub) as ask:
        body = json.dumps(ORDERS).encode()
        assert (await ask("POST", "/api/v1/instances", content=body, headers={"content-type": kind})).status_code == 201


async def test_nothing_to_change_is_a_problem(hub):
    async with Asking(hub) as ask:
        await ask("POST", "/api/v1/instances", json=ORDERS)
        assert (await ask("PATCH", ONE, json={})).status_code == 422
