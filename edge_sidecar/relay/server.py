"""The relay's own server: aggregated delta discovery for the Envoys of this agent, on a socket in the data folder."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final, cast

import grpc
from envoy.service.discovery.v3 import discovery_pb2 as pb
from google.protobuf.message import DecodeError
from grpc import aio

from edge_sidecar.relay.relay import Relay, Wire
from pilot_plus.wire.discovery import DELTA

_OPTIONS: Final = (("grpc.max_receive_message_length", 64 << 20), ("grpc.so_reuseport", 0))


@asynccontextmanager
async def serving(relay: Relay, place: Path) -> AsyncIterator[None]:
    """Serve at a socket.

    Raises:
        OSError: the socket can't be made.
    """
    service, method = DELTA.strip("/").split("/")
    handler = grpc.stream_stream_rpc_method_handler(_handler(relay), None, None)
    server = aio.server(options=_OPTIONS)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
    await asyncio.to_thread(place.unlink, missing_ok=True)
    try:
        server.add_insecure_port(f"unix:{place}")
    except RuntimeError as error:
        raise OSError(f"no socket can be made at {place}: {error}") from error
    await server.start()
    try:
        yield
    finally:
        await server.stop(0)


def _handler(relay: Relay):  # type: ignore[no-untyped-def]  # noqa: ANN202 - gRPC has no type for it
    async def stream(_: object, context: aio.ServicerContext[bytes, bytes]) -> None:
        wire = relay.attach()
        try:
            with suppress(asyncio.CancelledError, aio.BaseError):
                await _carry(relay, wire, context)
        finally:
            relay.detach(wire)

    return stream


async def _carry(relay: Relay, wire: Wire, context: aio.ServicerContext[bytes, bytes]) -> None:
    async with asyncio.TaskGroup() as tasks:
        writing = tasks.create_task(_write(wire, context))
        while True:
            data = cast(object, await context.read())
            if not isinstance(data, bytes):
                break
            try:
                wire.stream.on_request(pb.DeltaDiscoveryRequest.FromString(data))
            except DecodeError:
                break
            wire.awake.set()
        writing.cancel()


async def _write(wire: Wire, context: aio.ServicerContext[bytes, bytes]) -> None:
    while True:
        await wire.awake.wait()
        wire.awake.clear()
        while (response := wire.stream.next()) is not None:
            await context.write(response)
