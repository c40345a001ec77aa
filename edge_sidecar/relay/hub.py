"""The relay's line to the hub: aggregated delta discovery as a client."""

import asyncio
from collections.abc import Mapping

from envoy.service.discovery.v3 import discovery_pb2 as pb
from grpc import aio

from edge_sidecar.relay.relay import Relay
from pilot_plus.quantities import Address
from pilot_plus.wire.certificates import Clock, utc_now
from pilot_plus.wire.denied import Denied
from pilot_plus.wire.discovery import DELTA
from pilot_plus.wire.line import members_line
from pilot_plus.wire.methods import failure
from pilot_plus.wire.trust import Held


async def follow(hub: Address, held: Held, node: Mapping[str, object], relay: Relay, now: Clock = utc_now) -> None:
    """Follow what the hub says, until that ends.

    Raises:
        ConnectionError: the hub can't be reached, or has ended the stream.
        Denied: the hub says no.
    """
    async with members_line(hub, held, now) as line:
        call = line.channel.stream_stream(
            DELTA, pb.DeltaDiscoveryRequest.SerializeToString, pb.DeltaDiscoveryResponse.FromString
        )()
        try:
            for request in relay.connected(node):
                await call.write(request)
            async with asyncio.TaskGroup() as tasks:
                speaking = tasks.create_task(_speak(call, relay))
                try:
                    await _hear(call, relay)
                finally:
                    speaking.cancel()
        except* (aio.AioRpcError, asyncio.InvalidStateError) as group:
            raise _why(group) from group
        finally:
            call.cancel()


async def _hear(call: aio.StreamStreamCall, relay: Relay) -> None:
    while (response := await call.read()) is not aio.EOF:
        relay.said(response)
    raise aio.AioRpcError(await call.code(), aio.Metadata(), aio.Metadata(), await call.details())


async def _speak(call: aio.StreamStreamCall, relay: Relay) -> None:
    while True:
        await relay.hub_awake.wait()
        for request in relay.to_hub():
            await call.write(request)


def _why(group: BaseExceptionGroup[BaseException]) -> Denied | ConnectionError:
    """One reason for all that failed at once."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            return _why(error)
        if isinstance(error, aio.AioRpcError):
            return failure(error.code(), error.details())
    return ConnectionError("the stream broke off")
