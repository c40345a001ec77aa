"""The play: sample services that live in our own registry, by heartbeats, and what happens to them."""

import asyncio
from itertools import cycle
from typing import Final, NamedTuple
from urllib.parse import quote

import httpx

TTL: Final = 6
"""Seconds that an actor lives without a heartbeat."""
BEAT: Final = 2.0
SCENE: Final = 2.5
"""Seconds between two heartbeats, and between two scenes."""


class Actor(NamedTuple):
    """An instance in the play."""

    service: str
    id: str
    address: str
    port: int
    protocol: str = "http"


CAST: Final = {
    actor.id: actor
    for actor in (
        Actor("orders", "orders-1", "10.3.0.11", 8080),
        Actor("orders", "orders-2", "10.3.0.12", 8080),
        Actor("orders", "orders-3", "10.3.0.13", 8080),
        Actor("payments", "payments-1", "10.3.0.21", 9000, "grpc"),
        Actor("payments", "payments-2", "10.3.0.22", 9000, "grpc"),
        Actor("web", "web-1", "10.3.0.31", 80),
        Actor("web", "web-2", "10.3.0.32", 80),
    )
}
SCENES: Final = (
    ("enter", "web-2"),
    ("drain", "orders-2"),
    ("leave", "orders-2"),
    ("crash", "payments-2"),
    ("weigh", "orders-3"),
    ("enter", "orders-2"),
    ("fail", "orders-1"),
    ("enter", "payments-2"),
    ("enter", "orders-1"),
    ("enter", "orders-3"),
    ("leave", "web-2"),
)


class Play:
    """Everybody on stage, and one scene after the other."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        """Play in front of a hub."""
        self._client = client
        self._on_stage: set[str] = set()

    async def run(self) -> None:
        """Play until cancelled."""
        for id_ in sorted(CAST.keys() - {"web-2"}):
            await self.enter(CAST[id_])
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._live())
            for scene, id_ in cycle(SCENES):
                await asyncio.sleep(SCENE)
                await self._play(scene, CAST[id_])

    async def _play(self, scene: str, actor: Actor) -> None:
        match scene:
            case "enter":
                await self.enter(actor)
            case "leave":
                self._on_stage.discard(actor.id)
                await self._client.delete(_path(actor))
            case "crash":  # says nothing any more: its time runs out
                self._on_stage.discard(actor.id)
            case "drain":
                await self._client.patch(_path(actor), json={"health": "draining"})
            case "fail":
                await self._client.patch(_path(actor), json={"health": "critical"})
            case "weigh":
                await self._client.patch(_path(actor), json={"weight": 30})

    async def enter(self, actor: Actor) -> None:
        """Register an actor, or register it anew."""
        body = {
            "namespace": "shop",
            "name": actor.service,
            "id": actor.id,
            "address": actor.address,
            "ports": [{"name": actor.protocol, "number": actor.port, "protocol": actor.protocol}],
            "ttl": f"{TTL}s",
            "metadata": {"team": "shop"},
        }
        (await self._client.post("/api/v1/instances", json=body)).raise_for_status()
        self._on_stage.add(actor.id)

    async def _live(self) -> None:
        """Heartbeats of everybody on stage."""
        while True:
            await asyncio.sleep(BEAT)
            for id_ in sorted(self._on_stage):
                await self._client.put(f"{_path(CAST[id_])}/heartbeat")


def _path(actor: Actor) -> str:
    return f"/api/v1/instances/shop/{actor.service}/{quote(actor.id, safe='')}"
