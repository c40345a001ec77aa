"""Random histories of several hubs, each with the same end: after healing, every hub has what all clusters hold.

    registers and deregisters in any cluster; links cut, stalled and healed; hubs killed, paused and started again

The same seed is the same history. `model` is what each cluster's own registry must hold at the end.
"""

import asyncio
import random
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

from devservers import FaultProxy, free_port
from tests.feature.hub import Hub, hub

CLUSTERS: Final = ("a", "b", "c")
EVERYTHING: Final = [{"services": ["*/*"]}]
BASE: Final = 12
"""Instances that stay in each cluster, so that no history looks like a mass removal."""


class Net:
    """Hubs in a full mesh, each relaying the others, with a proxy on every link."""

    def __init__(self, hubs: Mapping[str, Hub], proxies: Mapping[tuple[str, str], FaultProxy]) -> None:
        self.hubs = hubs
        self.proxies = proxies
        self.model: dict[str, dict[str, int]] = {name: {} for name in hubs}
        """By cluster: the weight of each instance."""
        self.paused: set[str] = set()
        self.down: set[str] = set()

    async def register(self, cluster: str, id_: str, weight: int) -> None:
        """Register in the cluster's own registry, if its hub is there to take it."""
        address = f"10.{CLUSTERS.index(cluster)}.0.{number(id_)}"
        body = {
            "namespace": "shop", "name": "orders", "id": id_, "address": address,
            "ports": [{"name": "http", "number": 8080, "protocol": "http"}], "ttl": "1h", "weight": weight,
        }  # fmt: skip
        if cluster not in self.down | self.paused:
            (await self.hubs[cluster].post("/instances", body)).raise_for_status()
            self.model[cluster][id_] = weight

    async def deregister(self, cluster: str, id_: str) -> None:
        if cluster not in self.down | self.paused and self.model[cluster].pop(id_, None) is not None:
            await self.hubs[cluster].delete(f"/instances/shop/orders/{id_}")

    async def kill(self, cluster: str) -> None:
        if cluster not in self.down | self.paused:
            await asyncio.to_thread(self.hubs[cluster].end, signal.SIGKILL)
            self.down.add(cluster)

    async def start(self, cluster: str) -> None:
        if cluster in self.down:
            self.hubs[cluster].start()
            await self.hubs[cluster].until_state("own", "synced")
            self.down.discard(cluster)

    def pause(self, cluster: str) -> None:
        if cluster not in self.down | self.paused:
            self.hubs[cluster].pause()
            self.paused.add(cluster)

    def resume(self, cluster: str) -> None:
        if cluster in self.paused:
            self.hubs[cluster].resume()
            self.paused.discard(cluster)

    async def heal(self) -> None:
        """End every fault."""
        for proxy in self.proxies.values():
            proxy.heal()
        for cluster in CLUSTERS:
            self.resume(cluster)
            await self.start(cluster)

    async def until_all_agree(self) -> None:
        """Wait until every hub has what all clusters hold, each instance at first hand."""
        expected = sorted((name, id_, weight, ()) for name, held in self.model.items() for id_, weight in held.items())
        for running in self.hubs.values():
            await running.until(partial(held_by, running), lambda found: found == expected)


def number(id_: str) -> int:
    return int(id_.rpartition("-")[2]) + 1


async def held_by(running: Hub) -> list[tuple[str, str, int, Sequence[str]]]:
    """Cluster, id, weight and hops of what a hub lists."""
    answer: Any = await running.get("/services/shop/orders")
    return sorted(
        (one["origin"]["cluster"], one["id"], one["weight"], tuple(one["origin"]["hops"]))
        for one in answer.get("instances", ())
    )


@asynccontextmanager
async def net(folder: Path) -> AsyncIterator[Net]:
    """Three hubs that know each other."""
    ports = {name: free_port() for name in CLUSTERS}
    async with AsyncExitStack() as stack:
        proxies = {
            (one, other): await stack.enter_async_context(FaultProxy(f"127.0.0.1:{ports[other]}"))
            for one in CLUSTERS
            for other in CLUSTERS
            if one != other
        }
        hubs = {}
        for name in CLUSTERS:
            others = [other for other in CLUSTERS if other != name]
            peers = [
                {
                    "name": other,
                    "address": proxies[name, other].address,
                    "insecure": True,
                    "export": EVERYTHING,
                    "import": EVERYTHING,
                    "relay": [third for third in others if third != other],
                }
                for other in others
            ]
            made = hub(
                folder / name,
                cluster=name,
                listen={"peer": f"127.0.0.1:{ports[name]}"},
                zones=[{"name": "vm"}],
                registries=[{"name": "own", "kind": "database", "zone": "vm"}],
                peers=peers,
            )
            hubs[name] = await stack.enter_async_context(made)
        made_net = Net(hubs, proxies)
        for name in CLUSTERS:
            await hubs[name].until_state("own", "synced")
            for n in range(BASE):
                await made_net.register(name, f"base-{n}", 100)
        yield made_net


async def live(made: Net, seed: int, steps: int) -> list[str]:
    """Carry out a history; what was done, for whoever has to understand it."""
    chance = random.Random(seed)
    done = []
    for _ in range(steps):
        cluster, id_ = chance.choice(CLUSTERS), f"i-{chance.randrange(100, 106)}"
        link = chance.choice(sorted(made.proxies))
        act, weight = chance.choice(ACTS), chance.randrange(1, 9)
        done.append(f"{act} {cluster} {id_} {'>'.join(link)} {weight}")
        match act:
            case "register":
                await made.register(cluster, id_, weight)
            case "deregister":
                await made.deregister(cluster, id_)
            case "cut":
                made.proxies[link].cut()
            case "stall":
                made.proxies[link].stall()
            case "mend":
                made.proxies[link].heal()
            case "kill":
                await made.kill(cluster)
            case "start":
                await made.start(cluster)
            case "pause":
                made.pause(cluster)
            case "resume":
                made.resume(cluster)
        await asyncio.sleep(chance.choice((0.0, 0.05, 0.2)))
    return done


ACTS: Final = (
    *("register",) * 6,
    *("deregister",) * 3,
    *("mend",) * 3,
    *("cut",) * 2,
    "stall",
    "kill",
    *("start",) * 2,
    "pause",
    *("resume",) * 2,
)
