"""Raw clients of xDS, many at once: each asks for clusters and endpoints by name, and accepts whatever comes."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import grpc
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest, DeltaDiscoveryResponse
from grpc import aio

from pilot_plus.views.xds.resource import Type
from pilot_plus.wire.certificates import key_pem, pem
from pilot_plus.wire.trust import Held

METHOD = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
OPTIONS = (("grpc.use_local_subchannel_pool", 1), ("grpc.initial_reconnect_backoff_ms", 100))
Hear = Callable[[bytes], None]


def channel_to(address: str, held: Held | None) -> aio.Channel:
    if held is None:
        return aio.insecure_channel(address, OPTIONS)
    trust = held.trust
    credentials = grpc.ssl_channel_credentials(pem(trust.anchors), key_pem(held.key), pem(held.chain))
    return aio.secure_channel(address, credentials, (*OPTIONS, ("grpc.ssl_target_name_override", trust.hub_name)))


def requests_of(id_: str, names: Sequence[str], types: Sequence[Type]) -> list[bytes]:
    made = []
    for index, type_ in enumerate(types):
        said = DeltaDiscoveryRequest(type_url=type_, resource_names_subscribe=names)
        if not index:
            said.node.id = id_
            said.node.metadata.update({"pilot-plus": {"zone": "vm"}})
        made.append(said.SerializeToString())
    return made


class Stream:
    """One client; `done` when it has accepted so many responses."""

    def __init__(self, first: Sequence[bytes], wanted: int, hear: Hear | None = None) -> None:
        self.done = asyncio.Event()
        self.bytes = 0
        self.heard: list[bytes] = []
        self._first = first
        self._wanted = wanted
        self._hear = hear

    async def run(self, channel: aio.Channel) -> None:
        call = channel.stream_stream(METHOD)(wait_for_ready=True)
        for request in self._first:
            await call.write(request)
        got = 0
        while isinstance(data := await call.read(), bytes):
            if self._hear:
                self._hear(data)
            response = DeltaDiscoveryResponse.FromString(data)
            self.bytes += len(data)
            got += 1
            if got <= self._wanted:
                self.heard.append(data)
            answer = DeltaDiscoveryRequest(type_url=response.type_url, response_nonce=response.nonce)
            await call.write(answer.SerializeToString())
            if got == self._wanted:
                self.done.set()
        raise RuntimeError(f"a stream ended: {await call.code()} {await call.details()}")


@asynccontextmanager
async def streams(
    address: str, count: int, first: Sequence[bytes], wanted: int, held: Held | None = None, hear: Hear | None = None
) -> AsyncIterator[tuple[list[Stream], float]]:
    """So many clients, and the seconds until the last of them had accepted what it wanted."""
    made = [Stream(first, wanted, hear) for _ in range(count)]
    async with AsyncExitStack() as stack:
        channels = [await stack.enter_async_context(channel_to(address, held)) for _ in made]
        async with asyncio.TaskGroup() as tasks:
            begun = time.perf_counter()
            running = [tasks.create_task(one.run(channel)) for one, channel in zip(made, channels, strict=True)]
            async with asyncio.timeout(180):
                for one in made:
                    await one.done.wait()
            yield made, time.perf_counter() - begun
            for task in running:
                task.cancel()


def port_in(data: bytes) -> int:
    """The port of the first endpoint of the first resource."""
    response = DeltaDiscoveryResponse.FromString(data)
    if response.type_url != Type.ENDPOINTS or not response.resources:
        return 0
    assignment = ClusterLoadAssignment.FromString(response.resources[0].resource.value)
    ports = [e.endpoint.address.socket_address.port_value for g in assignment.endpoints for e in g.lb_endpoints]
    return max(ports, default=0)
