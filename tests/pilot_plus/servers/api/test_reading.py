"""Reading: what can be asked about the catalog over HTTP."""

import pytest
from openapi_spec_validator import validate

from pilot_plus.model import Drop, Health, Origin, Port, Put, Reset, Skipped
from tests.pilot_plus.servers.api.asking import Asking
from tests.pilot_plus.servers.api.hub import Hub, copy

DUBBO = "com.example.OrderService:1.0.0"


@pytest.fixture
def hub() -> Hub:
    hub = Hub()
    hub.say("own", Reset())
    hub.say("zk", Reset(instances=[copy("a"), copy("b", health=Health.CRITICAL), copy("c", DUBBO)]))
    return hub


async def test_services_are_listed_as_the_contract_says(hub):
    async with Asking(hub) as ask:
        answer = await ask.get("/api/v1/services")
    assert answer["revision"] == hub.catalog.revision
    assert answer["next_page_token"] is None
    dubbo, orders = answer["services"]
    assert dubbo["name"] == DUBBO
    assert orders == {
        "namespace": "legacy",
        "name": "orders",
        "host": "orders.legacy.mesh",
        "registries": ["zk"],
        "zones": ["legacy"],
        "instances": {"total": 2, "passing": 1},
        "conditions": [],
        "aliases": [],
    }


async def test_a_service_is_shown_as_the_contract_says(hub):
    async with Asking(hub) as ask:
        answer = await ask.get("/api/v1/services/legacy/orders")
    assert {name: answer[name] for name in ("namespace", "name", "host", "conditions")} == {
        "namespace": "legacy",
        "name": "orders",
        "host": "orders.legacy.mesh",
        "conditions": [],
    }
    first = answer["instances"][0]
    expected = {
        "id": "a",
        "address": "10.1.97.7",
        "ports": [{"name": "http", "number": 8080, "protocol": "http"}],
        "health": "passing",
        "weight": 100,
        "zone": "legacy",
        "locality": {"region": "", "az": "", "subzone": ""},
        "metadata": {},
        "stale": False,
        "age_s": 0.0,
        "origin": {"cluster": "east", "registry": "zk", "id": "a", "hops": []},
    }
    assert {name: first[name] for name in expected} == expected


async def test_a_slash_in_a_name_is_sent_encoded_and_decoded_once(hub):
    hub.say("zk", Put(copy("d", "a/b")), Put(copy("e", "a%2Fb")))
    async with Asking(hub) as ask:
        assert (await ask.get("/api/v1/services/legacy/a%2Fb"))["name"] == "a/b"
        assert (await ask.get("/api/v1/services/legacy/a%252Fb"))["name"] == "a%2Fb"
        assert (await ask("GET", "/api/v1/services/legacy/a/b")).status_code == 404


async def test_an_answer_follows_the_catalog(hub):
    async with Asking(hub) as ask:
        before = await ask.get("/api/v1/services/legacy/orders")
        hub.say("zk", Put(copy("other", "else")))
        unrelated = await ask.get("/api/v1/services/legacy/orders")
        assert unrelated == before | {"revision": hub.catalog.revision}
        hub.say("zk", Drop("a"))
        after = await ask.get("/api/v1/services/legacy/orders")
        assert [instance["id"] for instance in after["instances"]] == ["b"]


async def test_what_is_stale_says_its_age_and_grows_older(hub):
    hub.time = 1.0
    hub.lose("zk")
    async with Asking(hub) as ask:
        hub.time = 3.0
        assert [i["age_s"] for i in (await ask.get("/api/v1/services/legacy/orders"))["instances"]] == [3.0, 3.0]
        hub.time = 4.5
        assert [i["age_s"] for i in (await ask.get("/api/v1/services/legacy/orders"))["instances"]] == [4.5, 4.5]
        hub.say("zk", Reset(instances=[copy("a"), copy("b"), copy("c", DUBBO)]))
        assert [i["stale"] for i in (await ask.get("/api/v1/services/legacy/orders"))["instances"]] == [False, False]


async def test_pages_are_complete_whatever_their_size(hub):
    hub.say("zk", *(Put(copy(f"k{n}", f"s{n}")) for n in range(25)))
    async with Asking(hub) as ask:
        whole = [s["name"] for s in (await ask.get("/api/v1/services"))["services"]]
        paged, token = [], ""
        while True:
            page = await ask.get("/api/v1/services", params={"limit": "7", "page_token": token})
            assert len(page["services"]) <= 7
            paged += [s["name"] for s in page["services"]]
            token = page["next_page_token"]
            if not token:
                break
    assert paged == whole
    assert len(whole) == 27


async def test_a_page_stays_right_when_services_come_and_go(hub):
    hub.say("zk", *(Put(copy(f"k{n}", f"s{n}")) for n in range(6)))
    async with Asking(hub) as ask:
        first = await ask.get("/api/v1/services?q=legacy/s&limit=3")
        hub.say("zk", Drop("k2"), Put(copy("k9", "s0a")), Put(copy("k10", "s4a")))
        second = await ask.get(f"/api/v1/services?q=legacy/s&limit=9&page_token={first['next_page_token']}")
    assert [s["name"] for s in first["services"]] == ["s0", "s1", "s2"]
    assert [s["name"] for s in second["services"]] == ["s3", "s4", "s4a", "s5"]


async def test_instances_are_listed_over_services(hub):
    async with Asking(hub) as ask:
        answer = await ask.get("/api/v1/instances?health=passing")
        assert [(i["service"], i["id"]) for i in answer["instances"]] == [(DUBBO, "c"), ("orders", "a")]
        page = await ask.get("/api/v1/instances?limit=1")
        assert page["next_page_token"]
        rest = await ask.get(f"/api/v1/instances?page_token={page['next_page_token']}")
        assert [i["id"] for i in page["instances"] + rest["instances"]] == ["c", "a", "b"]


@pytest.mark.parametrize(
    ("path", "part"),
    [
        ("/api/v1/services?limit=0", "above 0"),
        ("/api/v1/services?limit=x", "above 0"),
        ("/api/v1/services?limit=99999999999999999999", "above 0"),
        ("/api/v1/services?page_token=%21", "next_page_token"),
        ("/api/v1/services?page_token=_w", "next_page_token"),
        ("/api/v1/services?health=well", "passing, warning"),
        ("/api/v1/services?namspace=x", "unknown parameter 'namspace'"),
        ("/api/v1/services?q=a&q=b", "twice"),
        ("/api/v1/services?q=%00", "printable"),
        ("/api/v1/services?q=%ff", "UTF-8"),
        ("/api/v1/services?as=mesh", "needs 'from'"),
        ("/api/v1/services?from=nowhere", "no zone 'nowhere'"),
        ("/api/v1/services/legacy/orders?from=mesh&as=loud", "plain, mesh, grpc"),
    ],
)
async def test_a_wrong_question_says_what_is_wrong(hub, path, part):
    async with Asking(hub) as ask:
        response = await ask("GET", path)
    assert response.status_code == 400
    assert part in response.json()["detail"]


async def test_an_unknown_service_is_not_found(hub):
    async with Asking(hub) as ask:
        response = await ask("GET", "/api/v1/services/legacy/nothing")
    assert response.status_code == 404
    assert "legacy/nothing" in response.json()["detail"]


async def test_a_zone_sees_what_is_exported_to_it(hub):
    async with Asking(hub) as ask:
        seen = await ask.get("/api/v1/services/legacy/orders?from=mesh")
        assert [(i["id"], i["mtls"], i["edge"], i["priority"]) for i in seen["instances"]] == [
            ("a", False, False, 0),
            ("b", False, False, 0),
        ]
        assert [s["name"] for s in (await ask.get("/api/v1/services?from=mesh"))["services"]] == ["orders"]
        hidden = await ask("GET", "/api/v1/services/legacy/orders?from=far")
        assert hidden.status_code == 404
        assert (await ask.get("/api/v1/services?from=far"))["services"] == []


async def test_explain_says_for_every_record_who_sees_it_and_why(hub):
    async with Asking(hub) as ask:
        hidden = await ask.get("/api/v1/services/legacy/orders/explain?from=far")
        assert (hidden["from"], hidden["as"]) == ("far", "plain")
        assert [(i["seen"], i["addresses"]) for i in hidden["instances"]] == [(False, []), (False, [])]
        assert all("export" in i["why"] for i in hidden["instances"])
        seen = await ask.get("/api/v1/services/legacy/orders/explain?from=mesh")
        assert [i["addresses"] for i in seen["instances"]] == [["10.1.97.7:8080"], ["10.1.98.7:8080"]]


async def test_explain_without_a_zone_tells_which_record_shows_an_endpoint(hub):
    twin = copy("a2", address="10.1.97.7", namespace="legacy", origin=Origin("east", "zk", "a"))
    hub.say("own", Put(twin))
    async with Asking(hub) as ask:
        answer = await ask.get("/api/v1/services/legacy/orders/explain")
    why = {(i["registry"], i["id"]): i["why"] for i in answer["instances"]}
    assert why["zk", "a"] == "zk holds it"
    assert why["own", "a2"] == "own holds it; the same endpoint as a in zk, which shows it"


async def test_registries_say_how_they_stand(hub):
    hub.time = 2.0
    hub.lose("zk", "connection refused")
    async with Asking(hub) as ask:
        hub.time = 5.0
        own, zk = (await ask.get("/api/v1/registries"))["registries"]
    assert own["state"] == "synced"
    assert zk == {
        "name": "zk",
        "kind": "zookeeper",
        "zone": "legacy",
        "state": "lost",
        "age_s": 5.0,
        "instances": 3,
        "skipped": 0,
        "held": 0,
        "error": "connection refused",
    }


async def test_held_removals_are_shown_one_by_one(hub):
    hub.say("zk", *(Put(copy(f"k{n}", "many")) for n in range(6)))
    hub.time = 100.0
    hub.say("zk", *(Drop(f"k{n}") for n in range(6)))
    async with Asking(hub) as ask:
        zk = await ask.get("/api/v1/registries/zk")
        assert zk["held"] == 6
        assert zk["removals"][0] == {
            "key": "k0",
            "namespace": "legacy",
            "name": "many",
            "id": "k0",
            "becomes": "gone",
            "for_s": 600.0,
        }
        assert (await ask.get("/api/v1/services/legacy/many"))["conditions"][0]["type"] == "Held"


async def test_skipped_records_are_listed_with_place_and_reason(hub):
    hub.say("zk", Skipped("/x", "no JSON"))
    async with Asking(hub) as ask:
        answer = await ask.get("/api/v1/registries/zk/skipped")
        assert answer["skipped"] == [{"place": "/x", "reason": "no JSON"}]
        assert (await ask("GET", "/api/v1/registries/nope/skipped")).status_code == 404


async def test_zones_and_edges_are_listed(hub):
    async with Asking(hub) as ask:
        zones = (await ask.get("/api/v1/zones"))["zones"]
        assert zones[1] == {
            "name": "mesh",
            "meshed": True,
            "subnets": [],
            "reaches": ["legacy"],
            "registries": ["own"],
        }
        assert (await ask.get("/api/v1/edges"))["edges"] == []


async def test_ready_when_every_source_is_synced_or_its_deadline_has_passed():
    hub = Hub()
    hub.say("own", Reset())
    async with Asking(hub) as ask:
        waiting = await ask("GET", "/readyz")
        assert waiting.status_code == 503
        assert [one["name"] for one in waiting.json()["waiting"]] == ["zk"]
        hub.time = 31.0
        late = await ask("GET", "/readyz")
        assert (late.status_code, late.json()["ready"], len(late.json()["waiting"])) == (200, True, 1)
        hub.say("zk", Reset())
        assert (await ask.get("/readyz"))["waiting"] == []
        assert (await ask.get("/healthz"))["healthy"] is True


async def test_metrics_say_what_the_catalog_holds(hub):
    hub.lose("zk")
    async with Asking(hub) as ask:
        text = (await ask("GET", "/metrics")).text
    assert 'pilot_plus_instances{registry="zk"} 3.0' in text
    assert 'pilot_plus_registry_state{registry="zk",state="lost"} 1.0' in text
    assert "pilot_plus_services 2.0" in text
    assert "pilot_plus_publish_seconds" in text


async def test_the_document_describes_every_route_and_is_valid(hub):
    async with Asking(hub) as ask:
        described = await ask.get("/openapi.json")
    validate(described)
    assert "/api/v1/services/{namespace}/{name}" in described["paths"]
    assert "/openapi.json" in described["paths"]


async def test_head_is_get_without_a_body(hub):
    async with Asking(hub) as ask:
        response = await ask("HEAD", "/api/v1/services/legacy/orders")
        assert (response.status_code, response.content) == (200, b"")
        assert (await ask("HEAD", "/api/v1/watch")).status_code == 200


async def test_another_method_is_told_which_are_there(hub):
    async with Asking(hub) as ask:
        response = await ask("DELETE", "/api/v1/services")
    assert response.status_code == 405
    assert response.headers["allow"] == "GET, HEAD"


async def test_two_registries_with_one_endpoint_count_it_once(hub):
    hub.say("own", Put(copy("x", address="10.1.97.7", namespace="legacy", ports=(Port("web", 8080, "http"),))))
    async with Asking(hub) as ask:
        (orders,) = (await ask.get("/api/v1/services?name=orders"))["services"]
    assert orders["registries"] == ["own", "zk"]
    assert orders["instances"] == {"total": 2, "passing": 1}
