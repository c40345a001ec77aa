"""Asking from the command line: get, describe, explain."""

import json

import pytest
import yaml

from pilot_plus.config import parse
from pilot_plus.model import Drop, Health, Put, Reset, Skipped
from tests.pilot_plus.cli.calling import Command, commanding
from tests.pilot_plus.servers.api.hub import CONFIG, Hub, copy

DUBBO = "com.example.OrderService:1.0.0"


@pytest.fixture
def hub() -> Hub:
    hub = Hub()
    hub.say("own", Reset())
    hub.say("zk", Reset(instances=[copy("a"), copy("b", health=Health.CRITICAL), copy("c", DUBBO)]))
    return hub


async def test_services_are_a_table_for_people(hub):
    async with commanding(hub) as call:
        got = await call("get", "services")
    assert (got.code, got.err) == (0, "")
    assert got.rows == [
        ["NAMESPACE", "NAME", "PASSING", "ZONES", "REGISTRIES", "CONDITIONS"],
        ["legacy", DUBBO, "1/1", "legacy", "zk", "-"],
        ["legacy", "orders", "1/2", "legacy", "zk", "-"],
    ]
    assert "\x1b" not in got.out


async def test_json_is_the_answer_of_the_api(hub):
    async with commanding(hub) as call:
        got = await call("get", "services", "-o", "json")
        assert list(got.json) == ["revision", "services", "next_page_token"]
        assert [service["name"] for service in got.json["services"]] == [DUBBO, "orders"]
        assert yaml.safe_load((await call("get", "services", "-o", "yaml")).out) == got.json


async def test_wide_shows_more(hub):
    async with commanding(hub) as call:
        assert "orders.legacy.mesh" in (await call("get", "services", "-o", "wide")).out


async def test_every_page_is_fetched(hub):
    hub.say("zk", *(Put(copy(f"k{n}", f"s{n}")) for n in range(1500)))
    async with commanding(hub) as call:
        got = await call("get", "services", "-o", "json")
    assert len(got.json["services"]) == 1502
    assert got.json["next_page_token"] is None


async def test_what_is_stale_shows_its_age(hub):
    hub.lose("zk")
    hub.time = 200.0
    async with commanding(hub) as call:
        assert "zk (stale 3m)" in (await call("get", "services")).out
        assert (await call("get", "instances", "legacy/orders")).rows[1][-1] == "stale 3m"
        assert (await call("get", "registries")).rows[2][3:5] == ["lost", "3m ago"]
        assert "stale 3m" in (await call("describe", "service", "legacy/orders")).out


async def test_filters_stand_behind_the_subcommand(hub):
    async with commanding(hub) as call:
        elsewhere = Command("http://127.0.0.1:1")
        got = await elsewhere("get", "instances", "--health", "critical", "-o", "json", "--server", call.address)
        assert [instance["id"] for instance in got.json["instances"]] == ["b"]
        assert (await call("get", "services", "-q", "DER", "--zone", "legacy", "-o", "json")).json["services"]
        assert not (await call("get", "services", "--registry", "own", "-o", "json")).json["services"]


async def test_services_are_shown_as_a_zone_sees_them(hub):
    async with commanding(hub) as call:
        assert len((await call("get", "services", "--from", "mesh")).rows) == 2
        assert len((await call("get", "services", "--from", "far")).rows) == 1
        assert "mtls" not in (await call("describe", "service", "legacy/orders", "--from", "mesh")).out
        hidden = await call("describe", "service", "legacy/orders", "--from", "far")
        assert hidden.code == 1
        assert "visible" in hidden.err


async def test_zones_and_edges_are_listed(hub):
    async with commanding(hub) as call:
        assert (await call("get", "zones")).rows[2] == ["mesh", "yes", "legacy", "own"]
        assert (await call("get", "edges")).rows == [["NAME", "ZONE", "ADDRESS", "STATE"]]
        assert [row[0] for row in (await call("get", "zone", "-q", "A")).rows[1:]] == ["legacy", "far"]
        assert (await call("get", "zones", "--registry", "own", "-o", "json")).json["zones"][0]["name"] == "mesh"
        assert (await call("get", "registries", "zk")).rows[1][:2] == ["zk", "zookeeper"]
        described = (await call("describe", "zone", "mesh")).out
        assert described.splitlines()[1:3] == ["Meshed:      yes", "Reaches:     legacy"]


async def test_an_instance_is_described_by_its_service_and_its_id(hub):
    async with commanding(hub) as call:
        got = await call("describe", "instance", f"legacy/{DUBBO}/c")
        assert (got.code, got.err) == (0, "")
        assert f"Service:    legacy/{DUBBO}" in got.out
        assert (await call("describe", "instances", "legacy/orders/b", "-o", "json")).json["health"] == "critical"


async def test_a_registry_is_described_with_what_it_skips_and_holds(hub):
    hub.say("zk", *(Put(copy(f"k{n}", "many")) for n in range(6)), Skipped("/x", "no\x1b[31mJSON"))
    hub.time = 100.0
    hub.say("zk", *(Drop(f"k{n}") for n in range(6)))
    async with commanding(hub) as call:
        out = (await call("describe", "registry", "zk")).out
        assert "legacy/many k0: gone in 10m" in out
        assert "pilot-plus release zk" in out
        assert "no\\x1b[31mJSON" in out
        assert (await call("describe", "registry", "nope")).code == 1


async def test_explain_says_who_sees_it_and_why(hub):
    async with commanding(hub) as call:
        seen = await call("explain", "legacy/orders", "--from", "mesh")
        assert "10.1.97.7:8080" in seen.out
        hidden = await call("explain", "legacy/orders", "--from", "far")
        assert [row[3] for row in hidden.rows[2:4]] == ["no", "no"]
        assert "from far as plain" in hidden.out
        assert (await call("explain", "legacy/orders")).rows[2][-1] == "zk holds it"
        assert (await call("explain", "legacy/nothing")).code == 1


async def test_watching_prints_every_change(hub):
    async with commanding(hub) as call:
        process = await call.start("get", "services", "-w")
        assert process.stdout is not None
        lines = [(await process.stdout.readline()).split() for _ in range(3)]
        assert [line[0] for line in lines] == [b"CHANGE", b"new", b"new"]
        hub.say("zk", Drop("b"))
        assert (await process.stdout.readline()).split()[:4] == [b"changed", b"legacy", b"orders", b"1/1"]
        hub.say("zk", Drop("a"))
        assert (await process.stdout.readline()).split()[0] == b"gone"
        process.send_signal(2)
        assert await process.wait() == 0


async def test_watching_as_json_is_a_line_for_each_change(hub):
    async with commanding(hub) as call:
        process = await call.start("get", "instances", "legacy/orders", "-w", "-o", "json")
        assert process.stdout is not None
        assert b'"change": "new"' in await process.stdout.readline()
        assert b'"id": "b"' in await process.stdout.readline()
        hub.say("zk", Put(copy("a", weight=3)))
        assert b'"change": "changed"' in await process.stdout.readline()
        process.terminate()
        await process.wait()


async def test_watching_registries_shows_how_they_stand(hub):
    async with commanding(hub) as call:
        process = await call.start("get", "registries", "-w")
        assert process.stdout is not None
        for _ in range(3):
            await process.stdout.readline()
        hub.lose("zk")
        assert (await process.stdout.readline()).split()[:5] == [b"changed", b"zk", b"zookeeper", b"legacy", b"lost"]
        process.terminate()
        await process.wait()


async def test_watching_what_has_no_events_prints_what_differs(hub):
    async with commanding(hub) as call:
        process = await call.start("get", "zones", "-w", "-o", "json")
        assert process.stdout is not None
        first = [json.loads(await process.stdout.readline()) for _ in range(3)]
        assert [(one["change"], one["name"]) for one in first] == [("new", name) for name in ("legacy", "mesh", "far")]
        hub.api.reload(parse(CONFIG.replace("{name: far}", "{name: near}").replace("meshed: true, ", ""), {}))
        then = [json.loads(await process.stdout.readline()) for _ in range(3)]
        assert [(one["change"], one["name"]) for one in then] == [("new", "near"), ("changed", "mesh"), ("gone", "far")]
        process.send_signal(2)
        assert await process.wait() == 0


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["get", "nonsense"], 2),
        (["get", "services", "--nonsense"], 2),
        (["get", "zones", "--zone", "x"], 2),
        (["get", "zones", "--health", "passing"], 2),
        (["get", "instances", "--from", "mesh"], 2),
        (["describe", "instance", "legacy/orders/z"], 1),
        (["describe", "sync", "nowhere"], 1),
        (["get", "services", "-w", "-o", "yaml"], 2),
        (["get", "services", "orders"], 2),
        (["get", "services", "--server", "ftp://x"], 2),
        (["describe", "service", "orders"], 2),
        (["describe", "zone", "nowhere"], 1),
        (["describe", "service", "legacy/nothing"], 1),
        (["get", "services", "--from", "nowhere"], 1),
        (["get", "services", "--server", "http://127.0.0.1:1"], 1),
        (["nonsense"], 2),
    ],
)
async def test_exit_codes_say_what_happened(hub, words, code):
    async with commanding(hub) as call:
        got = await call(*words)
    assert got.code == code
    assert got.out == ""
    assert got.err.strip()
    assert "Traceback" not in got.err


async def test_a_token_comes_from_the_environment():
    hub = Hub(
        CONFIG.replace('"127.0.0.1:0"', '"10.0.0.1:7080", tls: {cert: c, key: k}')
        + "auth: {tokens: [{secret: ssssssssssssssssssss, roles: [read]}]}\n"
    )
    plain = Hub()
    plain.api = hub.api
    async with commanding(plain) as call:
        assert (await call("get", "services")).code == 1
        assert (await call("get", "services", PILOT_PLUS_TOKEN="s" * 20)).code == 0


async def test_the_version_needs_no_hub():
    got = await Command("http://127.0.0.1:1")("version")
    assert (got.code, got.err) == (0, "")
    assert got.out.strip()


async def test_help_lists_the_commands_without_loading_them():
    got = await Command("http://127.0.0.1:1")("--help")
    assert got.code == 0
    assert "register" in got.out
