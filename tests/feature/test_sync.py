"""Registries in step, as a user has it: real registries, a hub process, a rule; then things break."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import pytest

from devservers import Consul, Etcd, ZooKeeper
from devservers.pytest_plugin import Fresh
from tests.contract.backend_zookeeper import children_of, do_with
from tests.feature.hub import Hub, hub

PLACES = {"zk": "legacy", "consul": "vm", "etcd": "grid", "own": "mesh", "other": "far"}
ZONES = [{"name": zone, "reaches": [other for other in PLACES.values() if other != zone]} for zone in PLACES.values()]
OWN = {"name": "own", "kind": "database", "zone": "mesh"}
INTERFACE = "com.example.OrderService"
PROVIDER = (
    f"dubbo://10.1.0.7:20880/{INTERFACE}?anyhost=true&application=orders&interface={INTERFACE}"
    "&methods=find,place&version=1.0.0&weight=200&side=provider&timestamp=1700000000000"
)


def naming(server: Etcd, prefix: str, name: str = "etcd", layout: str = "naming", **more: Any) -> dict[str, Any]:
    layouts = [{layout: {"prefix": prefix, "protocol": "http"}}]
    settings = {"endpoints": [server.url], "layouts": layouts}
    return {"name": name, "kind": "etcd", "zone": PLACES[name], "settings": settings, **more}


def tree(server: ZooKeeper, *layouts: Mapping[str, object]) -> dict[str, Any]:
    settings = {"hosts": server.address, "layouts": list(layouts), "session_timeout": 4}
    return {"name": "zk", "kind": "zookeeper", "zone": "legacy", "settings": settings}


def agent(server: Consul) -> dict[str, Any]:
    return {"name": "consul", "kind": "consul", "zone": "vm", "settings": {"url": server.url}}


def rule(name: str, from_: str, to: str | dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": name, "from": {"registries": [from_], **more.pop("select", {})}, "to": to, "lease": "6s", **more}


def write(server: Etcd, prefix: str, service: str, *numbers: int) -> None:
    for number in numbers:
        value = json.dumps({"Op": 0, "Addr": f"10.2.0.{number}:9000", "Metadata": None})
        server.put(f"{prefix}/{service}/10.2.0.{number}:9000", value)


def keys(server: Etcd, prefix: str) -> set[str]:
    """What lies under a prefix, as another client reads it."""
    return {key.removeprefix(f"{prefix}/") for key in server.keys(f"{prefix}/")}


async def state(running: Hub, name: str) -> dict[str, Any]:
    rules = (await running.get("/sync"))["sync"]
    return next((one for one in rules if one["name"] == name), {})


async def until_state(running: Hub, name: str, wanted: str) -> dict[str, Any]:
    found: dict[str, Any] = await running.until(lambda: state(running, name), lambda one: one.get("state") == wanted)
    return found


async def until(running: Hub, look: Callable[[], object], is_so: Callable[[Any], bool]) -> Any:
    """Look at a registry, as another client does, until it is so."""

    async def looked() -> object:
        return await asyncio.to_thread(look)

    return await running.until(looked, is_so)


async def test_a_dubbo_provider_is_found_natively_in_consul_and_etcd_and_theirs_in_zookeeper(
    tmp_path: Path, zookeeper: ZooKeeper, consul: Consul, etcd: Etcd
):
    root, tree_of_spring = "/native-dubbo", "/native-spring"
    registries = [
        tree(zookeeper, {"dubbo": {"root": root}}, {"spring": {"root": tree_of_spring}}),
        agent(consul),
        naming(etcd, "native"),
    ]
    registries[2]["settings"]["layouts"].append({"dubbo": {"root": "/native-dubbo"}})
    to_spring = {"registry": "zk", "layout": "spring"}
    rules = [
        rule("zk-consul", "zk", "consul"),
        rule("zk-etcd", "zk", {"registry": "etcd", "layout": "dubbo"}),
        rule("consul-zk", "consul", to_spring, select={"services": ["vm/native-*"]}),
        rule("etcd-zk", "etcd", to_spring),
    ]
    place = f"{root}/{INTERFACE}/providers/{quote(PROVIDER, safe='')}"
    consul.register("native-search", 8080, instance="native-1", Address="10.2.0.9", Meta={"protocol": "http"})
    write(etcd, "native", "recommend", 31)
    await asyncio.to_thread(do_with, zookeeper, lambda zk: zk.create(place, makepath=True))
    try:
        async with hub(tmp_path, zones=ZONES, registries=registries, sync=rules) as running:
            (entry,) = await until(running, lambda: consul.call("GET", f"/v1/health/service/{INTERFACE}"), bool)
            service = entry["Service"]
            assert (service["Address"], service["Port"], service["Weights"]["Passing"]) == ("10.1.0.7", 20880, 2)
            assert_is_called_as(service["Meta"]["url"], PROVIDER)
            (key,) = await until(running, lambda: etcd.keys("/native-dubbo/"), bool)
            assert unquote(key).startswith(f"/native-dubbo/{INTERFACE}/providers/dubbo://10.1.0.7:20880/")
            assert_is_called_as(unquote(key).split("/providers/")[1], PROVIDER)

            def spring(zk: Any) -> dict[str, Any]:
                return {
                    service: json.loads(node)
                    for service in children_of(zk, tree_of_spring)
                    for node in children_of(zk, f"{tree_of_spring}/{service}").values()
                }

            copies = await until(running, lambda: do_with(zookeeper, spring), lambda found: len(found) == 2)
            assert {name: (one["address"], one["port"]) for name, one in copies.items()} == {
                "native-search": ("10.2.0.9", 8080),
                "recommend": ("10.2.0.31", 9000),
            }
            assert (await running.call("sync", "plan")).code == 0
            assert (await running.post("/sync/purge")).status_code == 200
            await until(running, lambda: etcd.keys("/native-dubbo/"), lambda found: not found)
            await until(
                running, lambda: do_with(zookeeper, lambda zk: zk.exists(tree_of_spring)), lambda found: not found
            )
            await until(running, lambda: consul.call("GET", f"/v1/health/service/{INTERFACE}"), lambda one: not one)
            assert keys(etcd, "native") == {"recommend/10.2.0.31:9000"}
    finally:
        consul.deregister("native-1")


def assert_is_called_as(copy: str, original: str) -> None:
    """A copy's URL says all that a consumer calls by, field by field."""
    ours, theirs = urlsplit(copy), urlsplit(original)
    assert (ours.scheme, ours.netloc, ours.path) == (theirs.scheme, theirs.netloc, theirs.path)
    fields = dict(parse_qsl(theirs.query))
    assert {name: value for name, value in parse_qsl(ours.query) if name in fields} == fields


@pytest.mark.parametrize("names", [("etcd", "own"), ("etcd", "own", "other"), ("etcd", "own", "other", "consul")])
async def test_rules_in_a_ring_make_no_loop_even_where_a_registry_strips_everything(
    tmp_path: Path, names: tuple[str, ...], consul: Consul, etcd: Etcd
):
    """`other` is go-zero's layout: an address and nothing else."""
    prefix, stripped = f"ring{len(names)}", f"stripped{len(names)}"
    known = [naming(etcd, prefix), OWN, naming(etcd, stripped, "other", "go-zero"), agent(consul)]
    registries = [one for one in known if one["name"] in names]
    select = {"services": [f"*/{prefix}-*"]}
    rules = [
        {"name": f"{one}-{other}", "from": select, "to": other, "lease": "6s"}
        for one, other in zip(names, (*names[1:], names[0]), strict=True)
    ]
    write(etcd, prefix, f"{prefix}-a", 1, 2)
    async with hub(tmp_path, zones=ZONES, registries=registries, sync=rules) as running:

        async def held() -> dict[str, int]:
            return {one["name"]: one["instances"] for one in (await running.get("/registries"))["registries"]}

        async def until_each_holds(count: int) -> None:
            for name in names:
                await running.until_addresses(f"{PLACES[name]}/{prefix}-a", [f"10.2.0.{n + 1}" for n in range(count)])

        await until_each_holds(2)
        for number in (3, 4, 5):
            write(etcd, prefix, f"{prefix}-a", number)
            await until_each_holds(number)
        for word in ("pause", "resume"):  # everything is compared in full
            assert (await running.post(f"/sync/{word}")).status_code == 200
        for one in rules:
            await until_state(running, str(one["name"]), "in_step")
        before = await held()
        assert {before[name] for name in names if name != "consul"} == {5}
        assert (await running.call("sync", "plan")).code == 0
        assert len(etcd.keys(f"{stripped}/")) == (5 if "other" in names else 0)
        assert (await running.post("/sync/purge")).status_code == 200
        await until(running, lambda: etcd.keys(f"{stripped}/"), lambda found: not found)
        await running.until(lambda: running.registry("own"), lambda one: one["instances"] == 0)
        assert len(keys(etcd, prefix)) == 5


async def test_a_foreign_entry_of_the_same_name_is_a_conflict_and_left_alone(tmp_path: Path, etcd: Etcd):
    theirs = json.dumps({"Op": 0, "Addr": "10.2.0.1:9000", "Metadata": {"whose": "not ours"}})
    etcd.put("taken-to/orders/10.2.0.1:9000", theirs)
    write(etcd, "taken-from", "orders", 1, 2)
    registries = [naming(etcd, "taken-from"), naming(etcd, "taken-to", "other")]
    async with hub(tmp_path, zones=ZONES, registries=registries, sync=[rule("r", "etcd", "other")]) as running:
        found = await running.until(lambda: state(running, "r"), lambda one: one.get("conflicts_total") == 1)
        assert "not ours" in found["conflicts"][0]["why"]
        await until(running, lambda: keys(etcd, "taken-to"), lambda found: len(found) == 2)
        shown = await running.call("sync", "status")
        assert "10.2.0.1" in shown.out
        assert (await running.call("sync", "plan")).code == 0
        assert (await running.post("/sync/purge?rule=r")).status_code == 200
        await until(running, lambda: keys(etcd, "taken-to"), lambda found: len(found) == 1)
        assert etcd.get("taken-to/orders/10.2.0.1:9000") == theirs


@asynccontextmanager
async def copying(folder: Path, etcd: Etcd, prefix: str, **more: Any) -> AsyncIterator[Hub]:
    """A hub with a rule from one etcd prefix into another, with three originals."""
    registries = [naming(etcd, f"{prefix}-from"), naming(etcd, f"{prefix}-to", "other")]
    write(etcd, f"{prefix}-from", "orders", 1, 2, 3)
    rules = [rule("r", "etcd", "other", **more)]
    async with hub(folder, cluster=prefix, zones=ZONES, registries=registries, sync=rules) as running:
        await until(running, lambda: keys(etcd, f"{prefix}-to"), lambda found: len(found) == 3)
        yield running


async def test_of_two_hubs_one_writes_and_the_other_takes_over_when_it_is_killed(tmp_path: Path, etcd: Etcd):
    async with (
        copying(tmp_path / "one", etcd, "two", lease="3s") as one,
        copying(tmp_path / "two", etcd, "two", lease="3s") as two,
    ):
        await until_state(one, "r", "in_step")
        await until_state(two, "r", "standing_by")
        write(etcd, "two-from", "orders", 4)
        await until(one, lambda: keys(etcd, "two-to"), lambda found: len(found) == 4)
        one.end(signal.SIGKILL)
        write(etcd, "two-from", "orders", 5)
        seen: list[int] = []

        def look() -> int:
            seen.append(len(keys(etcd, "two-to")))
            return seen[-1]

        await until(two, look, lambda found: found == 5)
        await until_state(two, "r", "in_step")
        assert min(seen) == 4


async def test_killed_for_good_leased_copies_end_and_durable_ones_stay(tmp_path: Path, etcd: Etcd):
    async with (
        copying(tmp_path / "l", etcd, "leased", lease="3s"),
        copying(tmp_path / "d", etcd, "durable", lifetime="durable"),
    ):
        pass
    async with hub(tmp_path / "watcher", zones=ZONES, registries=[OWN]) as watcher:
        await until(watcher, lambda: keys(etcd, "leased-to"), lambda found: not found)
        assert len(keys(etcd, "durable-to")) == 3


async def test_a_restart_within_the_lease_makes_no_gap_and_no_flap(tmp_path: Path, etcd: Etcd):
    async with copying(tmp_path, etcd, "again", lease="24s") as running:
        await until_state(running, "r", "in_step")
        before = etcd.keys("again-to/")
        for number in (signal.SIGTERM, signal.SIGKILL):
            running.end(number)
            running.start()
            await until_state(running, "r", "in_step")
        await until(running, lambda: etcd.life("again-to/orders/10.2.0.1:9000"), lambda left: left >= 16)
        assert etcd.keys("again-to/") == before


async def test_rules_come_and_go_at_run_time_and_a_wrong_file_changes_nothing(tmp_path: Path, etcd: Etcd):
    async with copying(tmp_path, etcd, "reload") as running:
        running.reload(sync=[rule("r", "etcd", "other"), rule("wrong", "etcd", "nowhere")])
        await until(running, lambda: running.said, lambda said: "'nowhere' is not among `registries`" in said)
        await until_state(running, "r", "in_step")
        running.reload(sync=[rule("r", "etcd", {"registry": "other", "name": "copied-{name}"})])
        await until(
            running, lambda: {key.partition("/")[0] for key in keys(etcd, "reload-to")}, {"copied-orders"}.__eq__
        )
        running.reload(sync=[])
        await until(running, lambda: keys(etcd, "reload-to"), lambda found: not found)
        assert len(keys(etcd, "reload-from")) == 3


async def test_what_a_deleted_rule_wrote_waits_for_approval_over_the_guards_limit(tmp_path: Path, etcd: Etcd):
    async with copying(tmp_path, etcd, "guard", lifetime="durable") as running:
        write(etcd, "guard-from", "orders", *range(4, 21))
        await until(running, lambda: keys(etcd, "guard-to"), lambda found: len(found) == 20)
        running.reload(sync=[])
        held = await running.until(lambda: state(running, "r"), lambda one: one.get("held") == 20)
        assert (held["mode"], held["state"]) == ("deleted", "held")
        plan = await running.call("sync", "plan")
        assert (plan.code, "20 of the removals are held" in plan.out) == (3, True)
        assert len(keys(etcd, "guard-to")) == 20
        running.end(signal.SIGKILL)  # held removals stay held over a restart
        running.start()
        await running.until(lambda: state(running, "r"), lambda one: one.get("held") == 20)
        assert len(keys(etcd, "guard-to")) == 20
        assert (await running.call("sync", "approve", "r")).err.strip() == "20 removals approved"
        await until(running, lambda: keys(etcd, "guard-to"), lambda found: not found)


async def test_a_copy_edited_or_deleted_by_hand_is_repaired(tmp_path: Path, etcd: Etcd):
    async with copying(tmp_path, etcd, "hand") as running:
        place = "hand-to/orders/10.2.0.1:9000"
        good = json.loads(etcd.get(place) or "")
        etcd.delete(place)
        etcd.put("hand-to/orders/10.2.0.2:9000", json.dumps({"Op": 0, "Addr": "10.9.9.9:1", "Metadata": None}))
        await until(running, lambda: json.loads(etcd.get(place) or "{}"), lambda found: found == good)
        await until(
            running, lambda: json.loads(etcd.get("hand-to/orders/10.2.0.2:9000") or "")["Addr"], "10.2.0.2:9000".__eq__
        )


async def test_a_source_that_is_lost_or_never_heard_removes_nothing_in_a_target(
    tmp_path: Path, fresh: Fresh, etcd: Etcd
):
    source = fresh(Etcd)
    write(source, "lost", "orders", 1, 2, 3)
    registries = [naming(source, "lost"), naming(etcd, "lost-to", "other")]
    async with hub(
        tmp_path, zones=ZONES, registries=registries, sync=[rule("r", "etcd", "other", lifetime="durable")]
    ) as running:
        await until(running, lambda: keys(etcd, "lost-to"), lambda found: len(found) == 3)
        source.kill()
        await running.until_state("etcd", "lost")
        running.end(signal.SIGKILL)
        running.start()
        await running.until(lambda: state(running, "r"), lambda one: one.get("copies") == 3)
        assert (await running.registry("etcd"))["state"] == "never_synced"
        assert len(keys(etcd, "lost-to")) == 3
        await asyncio.to_thread(source.start_again)
        source.delete("lost/orders/10.2.0.1:9000")
        await until(running, lambda: keys(etcd, "lost-to"), lambda found: len(found) == 2)


async def test_a_hub_whose_memory_is_gone_removes_nothing_while_a_source_is_down(
    tmp_path: Path, fresh: Fresh, etcd: Etcd
):
    source = fresh(Etcd)
    write(source, "blank", "orders", 1, 2, 3)
    registries = [naming(source, "blank"), naming(etcd, "blank-to", "other")]
    rules = [rule("r", "etcd", "other", lifetime="durable")]
    async with hub(tmp_path / "one", zones=ZONES, registries=registries, sync=rules) as running:
        await until(running, lambda: keys(etcd, "blank-to"), lambda found: len(found) == 3)
    source.kill()
    async with hub(tmp_path / "two", zones=ZONES, registries=registries, sync=rules) as running:
        waiting = await running.until(lambda: state(running, "r"), lambda one: one.get("waiting") == 3)
        assert (waiting["state"], waiting["copies"]) == ("waiting", 3)
        plan = await running.call("sync", "plan")
        assert (plan.code, "etcd is never synced" in plan.out) == (0, True)
        assert len(keys(etcd, "blank-to")) == 3


async def test_a_target_that_is_down_delays_only_itself_and_is_put_right_on_return(
    tmp_path: Path, fresh: Fresh, etcd: Etcd
):
    target = fresh(Etcd)
    write(etcd, "down", "orders", 1)
    registries = [naming(etcd, "down"), naming(target, "down-to", "other"), OWN]
    rules = [rule("far", "etcd", "other"), rule("near", "etcd", "own")]
    async with hub(tmp_path, zones=ZONES, registries=registries, sync=rules) as running:
        await until(running, lambda: keys(target, "down-to"), lambda found: len(found) == 1)
        target.kill()
        await running.until_state("other", "lost")
        etcd.delete("down/orders/10.2.0.1:9000")
        write(etcd, "down", "orders", 2, 3)
        await running.until_addresses("mesh/orders", ["10.2.0.2", "10.2.0.3"])
        failing = await running.until(lambda: state(running, "far"), lambda one: bool(one.get("error")))
        assert failing["state"] == "waiting"
        await until_state(running, "near", "in_step")
        await asyncio.to_thread(target.start_again)
        await until(running, lambda: keys(target, "down-to"), {"orders/10.2.0.2:9000", "orders/10.2.0.3:9000"}.__eq__)


async def test_a_rule_that_only_plans_shows_and_writes_nothing(tmp_path: Path, etcd: Etcd):
    write(etcd, "plan", "orders", 1)
    registries = [naming(etcd, "plan"), naming(etcd, "plan-to", "other")]
    rules = [rule("r", "etcd", "other", mode="plan")]
    async with hub(tmp_path, zones=ZONES, registries=registries, sync=rules) as running:
        for name in ("etcd", "other"):
            await running.until_state(name, "synced")
        await running.until(lambda: state(running, "r"), lambda one: one.get("behind") == 1)
        plan = await running.call("sync", "plan")
        assert (plan.code, "+ create" in plan.out) == (3, True)
        assert not keys(etcd, "plan-to")
        running.reload(sync=[rule("r", "etcd", "other")])
        await until(running, lambda: keys(etcd, "plan-to"), lambda found: len(found) == 1)


async def test_an_instance_registers_by_command_in_every_kind_of_registry_and_ends_without_heartbeats(
    tmp_path: Path, zookeeper: ZooKeeper, consul: Consul, etcd: Etcd
):
    registries = [OWN, tree(zookeeper, {"spring": {"root": "/by-command"}}), agent(consul), naming(etcd, "by-command")]
    async with hub(tmp_path, zones=ZONES, registries=registries) as running:
        for number, registry in enumerate(("zk", "consul", "etcd", "own"), 1):
            await running.until_state(registry, "synced")
            service = f"mesh/by-command-{registry}"
            where = ("--address", f"10.7.0.{number}", "--port", "http:8080/http", "--registry", registry)
            got = await running.call("register", service, *where, "--ttl", "2s", "--id", "x")
            assert (got.code, got.out.strip()) == (0, "x"), got.err
            seen = f"{PLACES[registry]}/by-command-{registry}"

            async def beaten(service: str = service, seen: str = seen) -> list[str]:
                assert (await running.put(f"/instances/{service}/x/heartbeat")).status_code == 204
                return await running.addresses(seen)

            await running.until(beaten, [f"10.7.0.{number}"].__eq__)
            if number % 2:
                assert (await running.call("deregister", service, "x", "--registry", registry)).code == 0
            await running.until_addresses(seen, [])
