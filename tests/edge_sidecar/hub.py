"""A hub for agents, as far as they see it: the real joining service, and xDS that says what a test wants.

Its discovery is deliberately dumb: it sends what it was told to, and remembers what it heard.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import grpc
from envoy.service.discovery.v3 import discovery_pb2 as pb
from google.protobuf.message import Message
from grpc import aio

from pilot_plus.quantities import Address
from pilot_plus.servers.join import JoinService
from pilot_plus.wire.discovery import DELTA, WILDCARD, Type
from tests.pilot_plus.identity.company import Company
from tests.pilot_plus.servers.join.hub import Known


class Discovery:
    """Resources by type and name, for every client alike."""

    def __init__(self) -> None:
        self.resources: dict[Type, dict[str, tuple[str, Message]]] = {type_: {} for type_ in Type}
        self.heard: list[pb.DeltaDiscoveryRequest] = []
        self.sent: list[pb.DeltaDiscoveryResponse] = []
        self._streams: set[_Client] = set()
        self._changed = asyncio.Event()

    def put(self, type_: Type, name: str, message: Message, version: str) -> None:
        self.resources[type_][name] = (version, message)
        for stream in self._streams:
            stream.changed(type_, name)

    def drop(self, type_: Type, name: str) -> None:
        del self.resources[type_][name]
        for stream in self._streams:
            stream.changed(type_, name)

    async def until(self, holds: Callable[[], object]) -> None:
        async with asyncio.timeout(15):
            while not holds():
                self._changed.clear()
                await self._changed.wait()

    def handler(self) -> grpc.GenericRpcHandler:
        service, method = DELTA.strip("/").split("/")
        stream = grpc.stream_stream_rpc_method_handler(
            self._stream, pb.DeltaDiscoveryRequest.FromString, pb.DeltaDiscoveryResponse.SerializeToString
        )
        return grpc.method_handlers_generic_handler(service, {method: stream})

    async def _stream(self, _: object, context: aio.ServicerContext) -> None:
        client = _Client(self)
        self._streams.add(client)
        try:
            async with asyncio.TaskGroup() as tasks:
                writing = tasks.create_task(self._write(client, context))
                while (request := await context.read()) is not aio.EOF:
                    self.heard.append(request)
                    client.on_request(request)
                    self._changed.set()
                writing.cancel()
        finally:
            self._streams.discard(client)

    async def _write(self, client: "_Client", context: aio.ServicerContext) -> None:
        while True:
            response = await client.due.get()
            self.sent.append(response)
            await context.write(response)


class _Client:
    def __init__(self, discovery: Discovery) -> None:
        self.due: asyncio.Queue[pb.DeltaDiscoveryResponse] = asyncio.Queue()
        self._discovery = discovery
        self._names: dict[Type, set[str]] = {}
        self._count = 0

    def on_request(self, request: pb.DeltaDiscoveryRequest) -> None:
        type_ = Type(request.type_url)
        known = dict(request.initial_resource_versions)
        asked = set(request.resource_names_subscribe)
        self._names.setdefault(type_, set()).update(asked)
        self._names[type_].difference_update(request.resource_names_unsubscribe)
        if asked:
            there = self._discovery.resources[type_]
            names = there.keys() | known.keys() if "*" in asked else asked
            self._send(type_, {name for name in names if name not in there or known.get(name) != there[name][0]})

    def changed(self, type_: Type, name: str) -> None:
        if name in self._names.get(type_, ()) or (type_ in WILDCARD and type_ in self._names):
            self._send(type_, {name})

    def _send(self, type_: Type, names: set[str]) -> None:
        self._count += 1
        response = pb.DeltaDiscoveryResponse(type_url=type_, nonce=str(self._count))
        for name in sorted(names):
            found = self._discovery.resources[type_].get(name)
            if found is None:
                response.removed_resources.append(name)
            else:
                one = response.resources.add(name=name, version=found[0])
                one.resource.Pack(found[1])
        self.due.put_nowait(response)


class Hub:
    def __init__(self, company: Company, service: JoinService, known: Known, discovery: Discovery, port: int) -> None:
        self.company = company
        self.service = service
        self.known = known
        self.discovery = discovery
        self.address = Address(f"127.0.0.1:{port}")


@asynccontextmanager
async def hub_of(company: Company, discovery: Discovery, port: int = 0) -> AsyncIterator[Hub]:
    """A hub in plaintext on loopback; leaving the context is its sudden end."""
    known = Known()
    async with JoinService.open(company.gate, known, grace=0.2) as service:
        server = aio.server(options=[("grpc.so_reuseport", 0)])
        server.add_generic_rpc_handlers((service.handler(), discovery.handler()))
        port = server.add_insecure_port(f"127.0.0.1:{port}")
        await server.start()
        try:
            yield Hub(company, service, known, discovery, port)
        finally:
            await server.stop(0)
