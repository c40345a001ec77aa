"""Hubs that know each other, each a process of its own: what one has, the others find; a broken link loses nothing."""

import asyncio
import json
import signal
import socket
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from devservers import Etcd, FaultProxy, free_port
from tests.feature.hub import Hub, hub

VM = [{"name": "vm"}]
OWN = [{"name": "own", "kind": "database", "zone": "vm"}]
EVERYTHING = [{"services": ["*/*"]}]
Links = Mapping[str, Mapping[str, Mapping[str, Any]]]


def both_ways(*pairs: tuple[str, str], **more: Any) -> Links:
    links: dict[str, dict[str, Any]] = {}
    for one, other in pairs:
        links.setdefault(one, {})[other] = {"export": EVERYTHING, "import": EVERYTHING, **more}
        links.setdefault(other, {})[one] = {"export": EVERYTHING, "import": EVERYTHING, **more}
    return links


@asynccontextmanager
async def clusters(
    folder: Path,
    links: Links,
    ports: Mapping[str, int] | None = None,
    via: Mapping[tuple[str, str], str] | None = None,
    *,
    waiting: bool = True,
) -> AsyncIterator[Mapping[str, Hub]]:
    """A hub for each cluster, with a registry of its own. `ports`: where some listen for peers.

    `via`: the address at which one (the first of a pair) dials another, if it is not the other's own.
    """
    addresses = {name: f"127.0.0.1:{(ports or {}).get(name) or free_port()}" for name in links}
    async with AsyncExitStack() as stack:
        hubs = {}
        for name, peers in links.items():
            (folder / name).mkdir()
            entries = [
                {"name": other, "address": (via or {}).get((name, other), addresses[other]), "insecure": True, **entry}
                for other, entry in peers.items()
            ]
            made = hub(
                folder / name, cluster=name, listen={"peer": addresses[name]}, zones=VM, registries=OWN, peers=entries
            )
            hubs[name] = await stack.enter_async_context(made)
        for name, peers in links.items():
            await hubs[name].until_state("own", "synced")
            for other, entry in peers.items():
                if waiting and "import" in entry:
                    await hubs[name].until_state(other, "synced")
        yield hubs


async def register(running: Hub, *ids: str, service: str = "orders", **more: Any) -> None:
    for id_ in ids:
        body = {
            "namespace": "shop", "name": service, "id": id_, "address": f"10.3.0.{int(id_.rpartition('-')[2]) + 1}",
            "ports": [{"name": "http", "number": 8080, "protocol": "http"}], "ttl": "1h", **more,
        }  # fmt: skip
        answer = await running.post("/instances", body)
        assert answer.status_code in (200, 201), answer.text


async def origins(running: Hub, service: str = "shop/orders") -> list[tuple[str, str, tuple[str, ...]]]:
    """Cluster, id and hops of each instance, as this hub lists them."""
    answer = await running.get(f"/services/{service}")
    return sorted(
        (one["origin"]["cluster"], one["id"], tuple(one["origin"]["hops"])) for one in answer.get("instances", ())
    )


async def until_origins(
    running: Hub, expected: Iterable[tuple[str, str, tuple[str, ...]]], service: str = "shop/orders"
) -> None:
    await running.until(lambda: origins(running, service), lambda found: found == sorted(expected))


async def test_what_one_cluster_registers_the_other_finds_and_loses(tmp_path: Path):
    async with clusters(tmp_path, both_ways(("east", "west"))) as hubs:
        await register(hubs["west"], "w-1", "w-2")
        await register(hubs["east"], "e-1")
        both = [("west", "w-1", ()), ("west", "w-2", ()), ("east", "e-1", ())]
        for running in hubs.values():
            await until_origins(running, both)
        await register(hubs["west"], "w-2", weight=7)
        await hubs["east"].until(
            lambda: hubs["east"].get("/services/shop/orders"),
            lambda answer: {one["id"]: one["weight"] for one in answer["instances"]}["w-2"] == 7,
        )
        (west,) = (await hubs["east"].get("/peers"))["peers"]
        assert (west["name"], west["state"], west["instances"], west["error"]) == ("west", "synced", 2, None)
        assert west["reader"]["lag"] == 0
        assert west["received_bytes"] > 0


async def test_only_what_is_exported_and_imported_crosses_and_under_the_names_agreed(tmp_path: Path):
    links: Links = {
        "east": {"west": {"import": [{"services": ["theirs/*"]}, {"services": ["theirs/secret*"], "deny": True}]}},
        "west": {"east": {"export": [{"services": ["shop/*"], "rename": "theirs/{1}"}]}},
    }
    async with clusters(tmp_path, links) as hubs:
        await register(hubs["west"], "w-1")
        await register(hubs["west"], "s-1", service="secrets")
        await hubs["east"].until(
            lambda: origins(hubs["east"], "theirs/orders"), lambda found: found == [("west", "w-1", ())]
        )
        await register(hubs["west"], "w-2")
        await hubs["east"].until(lambda: origins(hubs["east"], "theirs/orders"), lambda found: len(found) == 2)
        listed = (await hubs["east"].get("/services"))["services"]
        assert [(one["namespace"], one["name"]) for one in listed] == [("theirs", "orders")]
        assert await origins(hubs["west"], "theirs/orders") == []


async def test_a_full_mesh_of_four_has_everything_once(tmp_path: Path):
    names = ["a", "b", "c", "d"]
    pairs = [(one, other) for index, one in enumerate(names) for other in names[index + 1 :]]
    async with clusters(tmp_path, both_ways(*pairs)) as hubs:
        for number, (name, running) in enumerate(hubs.items()):
            await register(running, f"{name}-{number}")
        expected = [(name, f"{name}-{number}", ()) for number, name in enumerate(names)]
        for running in hubs.values():
            await until_origins(running, expected)


async def test_a_ring_takes_the_shortest_way_and_the_other_one_when_a_link_goes(tmp_path: Path):
    """a - b - c - a, each relaying the others: what a has reaches c at first hand, and through b when they part."""
    links: Links = {
        name: {
            other: {"export": EVERYTHING, "import": EVERYTHING, "relay": [third]}
            for other, third in ((others[0], others[1]), (others[1], others[0]))
        }
        for name, others in {"a": "bc", "b": "ac", "c": "ab"}.items()
    }
    port = free_port()
    async with (
        FaultProxy(f"127.0.0.1:{port}") as proxy,
        clusters(tmp_path, links, {"a": port}, {("c", "a"): proxy.address}) as hubs,
    ):
        await register(hubs["a"], "a-1")
        for running in hubs.values():
            await until_origins(running, [("a", "a-1", ())])
        proxy.cut()
        await hubs["c"].until_state("a", "lost")
        await until_origins(hubs["c"], [("a", "a-1", ("b",))])
        await register(hubs["a"], "a-2")
        # Both are had through b; the first is also known, stale, from a itself.
        await until_origins(hubs["c"], [("a", "a-1", ("b",)), ("a", "a-2", ("b",))])
        assert await origins(hubs["a"]) == [("a", "a-1", ()), ("a", "a-2", ())]
        proxy.heal()
        await until_origins(hubs["c"], [("a", "a-1", ()), ("a", "a-2", ())])


async def test_spokes_see_each_other_through_the_hub_that_they_let_relay(tmp_path: Path):
    spoke = {"export": EVERYTHING, "import": EVERYTHING}
    links: Links = {
        "center": {"north": spoke, "south": spoke},
        "north": {"center": {**spoke, "relay": ["south"]}},
        "south": {"center": spoke},
    }
    async with clusters(tmp_path, links) as hubs:
        await register(hubs["south"], "s-1")
        await register(hubs["north"], "n-1")
        await until_origins(hubs["center"], [("north", "n-1", ()), ("south", "s-1", ())])
        await until_origins(hubs["north"], [("north", "n-1", ()), ("south", "s-1", ("center",))])
        assert await origins(hubs["south"]) == [("south", "s-1", ())]  # it does not let the center relay


async def test_a_lost_peer_takes_nothing_away_and_what_changed_meanwhile_comes_after(tmp_path: Path):
    async with clusters(tmp_path, both_ways(("east", "west"))) as hubs:
        west, east = hubs["west"], hubs["east"]
        await register(west, *(f"w-{n}" for n in range(5)))
        await until_origins(east, [("west", f"w-{n}", ()) for n in range(5)])
        west.end(signal.SIGKILL)
        await east.until_state("west", "lost")
        answer = await east.get("/services/shop/orders")
        assert [one["stale"] for one in answer["instances"]] == [True] * 5
        west.start()
        await east.until_state("west", "synced")
        await until_origins(east, [("west", f"w-{n}", ()) for n in range(5)])
        west.pause()
        await east.until_state("west", "lost")
        west.resume()
        await register(west, "w-9")
        await until_origins(east, [("west", f"w-{n}", ()) for n in (0, 1, 2, 3, 4, 9)])
        # What nobody has vouched for since the west's hub began anew is stale there, and so it is here.
        answer = await east.get("/services/shop/orders")
        assert {one["id"] for one in answer["instances"] if not one["stale"]} == {"w-9"}


async def test_a_stream_that_breaks_goes_on_where_it_was(tmp_path: Path):
    port = free_port()
    async with (
        FaultProxy(f"127.0.0.1:{port}") as proxy,
        clusters(tmp_path, both_ways(("east", "west")), {"west": port}, {("east", "west"): proxy.address}) as hubs,
    ):
        await register(hubs["west"], *(f"w-{n}" for n in range(40)))
        await hubs["east"].until(lambda: origins(hubs["east"]), lambda found: len(found) == 40)
        proxy.cut()
        await hubs["east"].until_state("west", "lost")
        await register(hubs["west"], "w-7", weight=3)
        before = await readers_records(hubs["west"])
        proxy.heal()
        await hubs["east"].until_state("west", "synced")
        await hubs["east"].until(
            lambda: hubs["east"].get("/services/shop/orders"),
            lambda answer: {one["id"]: one["weight"] for one in answer["instances"]}["w-7"] == 3,
        )
        assert before == 0
        assert await readers_records(hubs["west"]) == 1


async def readers_records(running: Hub) -> int:
    """How many records the reader of this hub has been sent on its present stream."""
    (peer,) = (await running.get("/peers"))["peers"]
    return peer["reader"]["records"] if peer["reader"] else 0


async def test_a_summary_is_one_record_a_zone_and_carries_the_healthy_weight(tmp_path: Path):
    links: Links = {
        "east": {"west": {"import": EVERYTHING}},
        "west": {"east": {"export": EVERYTHING, "detail": "summary"}},
    }
    async with clusters(tmp_path, links) as hubs:
        await register(hubs["west"], *(f"w-{n}" for n in range(20)))
        answer = await hubs["east"].until(
            lambda: hubs["east"].get("/services/shop/orders"),
            lambda answer: answer.get("instances", [{}])[0].get("weight") == 2000,
        )
        (summary,) = answer["instances"]
        assert (summary["zone"], summary["health"], summary["ports"][0]["number"]) == ("west/vm", "passing", 8080)
        await register(hubs["west"], "w-0", weight=50)
        await hubs["east"].until(
            lambda: hubs["east"].get("/services/shop/orders"),
            lambda answer: answer["instances"][0]["weight"] == 1950,
        )
        why = (await hubs["east"].get("/services/shop/orders/explain?from=vm&as=mesh"))["instances"][0]["why"]
        assert "a summary of what is in west/vm" in why


async def test_a_retired_cluster_is_forgotten_everywhere(tmp_path: Path):
    spoke = {"export": EVERYTHING, "import": EVERYTHING}
    links: Links = {
        "center": {"north": spoke, "south": spoke},
        "north": {"center": {**spoke, "relay": ["south"]}},
        "south": {"center": spoke},
    }
    async with clusters(tmp_path, links) as hubs:
        await register(hubs["south"], "s-1")
        await until_origins(hubs["north"], [("south", "s-1", ("center",))])
        assert (await hubs["center"].post("/peers/south/forget")).status_code == 409
        hubs["south"].end(signal.SIGKILL)
        await hubs["center"].until_state("south", "lost")
        answer = await hubs["center"].post("/peers/south/forget")
        assert (answer.status_code, answer.json()["instances"]) == (200, 1)
        await until_origins(hubs["center"], [])
        await until_origins(hubs["north"], [])


async def test_what_was_taken_back_while_the_link_was_cut_goes_on_return(tmp_path: Path):
    port = free_port()
    links: Links = {
        "east": {"west": {"import": EVERYTHING}},
        "west": {"east": {"export": [{"services": ["shop/*"]}]}},
    }
    async with (
        FaultProxy(f"127.0.0.1:{port}") as proxy,
        clusters(tmp_path, links, {"west": port}, {("east", "west"): proxy.address}) as hubs,
    ):
        east, west = hubs["east"], hubs["west"]
        await register(west, "w-1")
        await register(west, "c-1", service="carts")
        await until_origins(east, [("west", "c-1", ())], "shop/carts")
        proxy.cut()
        await east.until_state("west", "lost")
        west.end(signal.SIGTERM)
        carts_only = {"name": "east", "address": "127.0.0.1:1", "insecure": True, "export": [{"services": ["shop/c*"]}]}
        west.configure(peers=[carts_only])
        west.start()
        await west.until_state("own", "synced")
        proxy.heal()
        await east.until_state("west", "synced")
        await until_origins(east, [])
        assert await origins(east, "shop/carts") == [("west", "c-1", ())]


async def test_a_peers_service_is_written_into_a_registry_here(tmp_path: Path, etcd: Etcd):
    links = both_ways(("east", "west"))
    layouts = [{"naming": {"prefix": "from-peers", "protocol": "http"}}]
    settings = {"endpoints": [etcd.url], "layouts": layouts}
    async with clusters(tmp_path, links) as hubs:
        east, west = hubs["east"], hubs["west"]
        await register(west, "w-1")
        await until_origins(east, [("west", "w-1", ())])
        east.end(signal.SIGTERM)
        east.configure(
            zones=[{"name": "vm", "reaches": ["west/vm"]}],
            registries=[*OWN, {"name": "etcd", "kind": "etcd", "zone": "vm", "settings": settings}],
            sync=[{"name": "abroad", "from": {"registries": ["west"], "services": ["shop/*"]}, "to": "etcd"}],
        )
        east.start()

        async def written() -> str | None:
            return await asyncio.to_thread(etcd.get, "from-peers/orders/10.3.0.2:8080")

        value = await east.until(written, bool)
        assert json.loads(value)["Addr"] == "10.3.0.2:8080"
        await register(west, "w-2")
        await until_origins(east, [("west", "w-1", ()), ("west", "w-2", ())])
        assert (await west.delete("/instances/shop/orders/w-1")).status_code in (200, 204)
        await east.until(written, lambda value: value is None)
        assert len(await origins(west)) == 1  # the copy is none of west's


async def test_an_address_that_is_taken_is_said_at_the_start(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        at = f"127.0.0.1:{taken.getsockname()[1]}"
        entry = {"name": "west", "address": "127.0.0.1:1", "insecure": True}
        made = Hub(tmp_path, cluster="east", listen={"peer": at}, registries=[], peers=[entry])
        made.start()
        assert await asyncio.to_thread(made.ended) == 2
        assert f"listen.peer: can't listen at {at}" in made.said
