"""A hub's xDS address for tests: discovery over a shelf, on a real gRPC server, and raw clients of it."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

import grpc
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest, DeltaDiscoveryResponse
from grpc import aio

from pilot_plus.quantities import Address
from pilot_plus.servers.xds.address import bind, serving
from pilot_plus.servers.xds.roster import Roster
from pilot_plus.servers.xds.service import Discovery
from pilot_plus.wire.certificates import key_pem, pem
from pilot_plus.wire.trust import Held
from tests.pilot_plus.identity.company import Company
from tests.pilot_plus.servers.xds.shelf import Shelf

ADS = "/envoy.service.discovery.v3.AggregatedDiscoveryService"


class Hub:
    def __init__(self, company: Company, shelf: Shelf, roster: Roster) -> None:
        self.company = company
        self.shelf = shelf
        self.roster = roster
        self.address = Address("127.0.0.1:0")

    @asynccontextmanager
    async def channel(self, held: Held | None = None) -> AsyncIterator[aio.Channel]:
        options = (("grpc.use_local_subchannel_pool", 1),)
        if held is None:
            channel = aio.insecure_channel(self.address, options)
        else:
            trust = held.trust
            credentials = grpc.ssl_channel_credentials(pem(trust.anchors), key_pem(held.key), pem(held.chain))
            named = (*options, ("grpc.ssl_target_name_override", trust.hub_name))
            channel = aio.secure_channel(self.address, credentials, named)
        async with channel:
            yield channel


class Delta:
    """A raw client of the delta form."""

    def __init__(self, channel: aio.Channel, method: str = f"{ADS}/DeltaAggregatedResources") -> None:
        self.call = channel.stream_stream(method)()

    async def ask(self, type_: str, *names: str, node: dict[str, Any] | None = None, id_: str = "web-7") -> None:
        said = DeltaDiscoveryRequest(type_url=type_, resource_names_subscribe=names)
        if node is not None:
            said.node.id = id_
            said.node.metadata.update({"pilot-plus": node})
        await self.call.write(said.SerializeToString())

    async def answer(self, response: DeltaDiscoveryResponse, error: str = "") -> None:
        said = DeltaDiscoveryRequest(type_url=response.type_url, response_nonce=response.nonce)
        if error:
            said.error_detail.message = error
        await self.call.write(said.SerializeToString())

    async def hear(self) -> DeltaDiscoveryResponse:
        data = await self.call.read()
        assert isinstance(data, bytes), await self.ended()
        return DeltaDiscoveryResponse.FromString(data)

    async def ended(self) -> tuple[grpc.StatusCode, str]:
        return await self.call.code(), await self.call.details() or ""


async def _at_once() -> None:
    pass


@asynccontextmanager
async def hub_of(company: Company, *, secure: bool = False, zones: Iterable[str] = ("east/vm",)) -> AsyncIterator[Hub]:
    shelf = Shelf()
    roster = Roster(shelf, monotonic)
    hub = Hub(company, shelf, roster)
    discovery = Discovery(roster, company.gate, "east", frozenset(zones).__contains__, _at_once)
    shown = company.authority.serving if secure else None
    door = bind(Address("127.0.0.1:0"), shown)
    hub.address = door.address
    async with asyncio.TaskGroup() as tasks, serving(door, discovery.handlers()):
        keeping = tasks.create_task(discovery.keep())
        yield hub
        keeping.cancel()
