"""The carriage: what edges acknowledge is carried, and kept; plain ports are given, kept, and shared by copies."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from pilot_plus.carriage import Carriage
from pilot_plus.catalog import Holder
from pilot_plus.journal import Journal
from pilot_plus.model import Role, SpiffeId
from pilot_plus.wire import edge_pb2 as pb
from pilot_plus.wire.edge import Edge, with_status
from tests.pilot_plus.servers.join.hub import Known
from tests.pilot_plus.views.world import World, copy, edge

WEB = "mesh/web"


def world() -> World:
    held = {"own": [copy("a", "web", namespace="mesh")]}
    return World(held, [edge("m", "mesh"), edge("e", "legacy")], exports=[{"services": ["*/*"]}])


def reporting(zone: str, name: str, *carried: str, more: bool = False, before: Edge | None = None) -> Edge:
    identity = SpiffeId(trust_domain="east.example", role=Role.EDGE, zone=zone, name=name)
    known = before or Edge(identity=identity, address="10.0.0.1", outside="10.0.0.1", mesh_port=1, http_port=2)
    said = [pb.Acknowledged(resource=pb.Resource(kind=pb.Resource.LISTENER, name=one), version="1") for one in carried]
    return with_status(known, pb.Status(acknowledged=said, more=more))


class Scene:
    def __init__(self, carriage: Carriage, holder: Holder) -> None:
        self.carriage = carriage
        self._holder = holder
        self.touched: set[str] = set()
        self._changed = asyncio.Event()

    async def touch(self, services: frozenset[str]) -> None:
        self.touched |= services
        catalog = self._holder.current
        self._holder.publish(msgspec.structs.replace(catalog, number=catalog.number + 1), services)
        self._changed.set()

    async def until(self, holds: Callable[[], object]) -> None:
        async with asyncio.timeout(10):
            while not holds():
                self._changed.clear()
                await self._changed.wait()


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Scene]:
    made = world()
    async with Journal.open(f"sqlite:///{folder}/hub.db") as journal:
        holder = Holder(made.catalog)
        carriage = Carriage(made.config, holder, journal.documents, Known())
        await carriage.load()
        scene = Scene(carriage, holder)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(carriage.run(scene.touch))
            yield scene
            running.cancel()


async def test_what_an_edge_acknowledges_is_carried_once_it_has_said_everything(tmp_path: Path):
    async with opened(tmp_path) as scene:
        half = reporting("mesh", "m", f"mesh|{WEB}|http", more=True)
        await scene.carriage.put(half)
        assert not scene.carriage.carrying.mesh
        await scene.carriage.put(reporting("mesh", "m", "mesh|mesh/other|http", before=half))
        assert scene.carriage.carrying.mesh == {"east/mesh/m": {WEB, "mesh/other"}}
        await scene.until(lambda: {WEB, "mesh/other"} <= scene.touched)
        await scene.carriage.drop("mesh/m")
        assert not scene.carriage.carrying.mesh


async def test_a_session_that_begins_anew_takes_nothing_away(tmp_path: Path):
    async with opened(tmp_path) as scene:
        whole = reporting("mesh", "m", f"mesh|{WEB}|http")
        await scene.carriage.put(whole)
        fresh = Edge(identity=whole.identity, address=whole.address, outside=whole.outside, mesh_port=1, http_port=2)
        await scene.carriage.put(fresh)
        assert scene.carriage.carrying.mesh == {"east/mesh/m": {WEB}}


async def test_a_plain_port_is_given_where_it_is_needed_and_a_hub_that_starts_again_knows_it(tmp_path: Path):
    async with opened(tmp_path) as scene:
        assert not scene.carriage.carrying.plain_ports
        await scene.carriage.put(reporting("mesh", "m", f"mesh|{WEB}|http"))
        await has_ports(scene)
        ports = scene.carriage.carrying.plain_ports
        assert set(ports) == {("east/legacy", WEB)}
        assert 20000 <= ports["east/legacy", WEB]["http"] <= 29999
        await asyncio.sleep(0.6)  # what is carried is written half a second later at most
    async with opened(tmp_path) as scene:
        assert scene.carriage.carrying.plain_ports == ports
        assert scene.carriage.carrying.mesh == {"east/mesh/m": {WEB}}


async def test_another_copy_of_the_hub_was_first_and_its_number_counts(tmp_path: Path):
    async with opened(tmp_path) as one, opened(tmp_path) as other:
        for scene in (one, other):
            await scene.carriage.put(reporting("mesh", "m", f"mesh|{WEB}|http"))
        await has_ports(one)
        await has_ports(other)
        assert one.carriage.carrying.plain_ports == other.carriage.carrying.plain_ports != {}


async def has_ports(scene: Scene) -> None:
    await scene.until(lambda: scene.carriage.carrying.plain_ports)
