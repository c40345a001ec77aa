"""The discovery services: aggregated discovery in both forms, and the same one type at a time."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from time import monotonic
from typing import Final, cast

import grpc
from google.protobuf.json_format import MessageToDict
from grpc import StatusCode, aio

from pilot_plus.servers.join.calls import Caller, Context, Refusal, caller_of, refusal_of
from pilot_plus.servers.join.limits import Bucket
from pilot_plus.servers.join.ports import Gate
from pilot_plus.servers.xds import counts
from pilot_plus.servers.xds.client import Client
from pilot_plus.servers.xds.forms import WHOLE, Form
from pilot_plus.servers.xds.requests import DeltaRequest, StateRequest, delta_request, state_request
from pilot_plus.servers.xds.roster import AT_ONCE, Roster
from pilot_plus.views.xds.node import Client as Claim
from pilot_plus.views.xds.node import check_claims, client_of
from pilot_plus.views.xds.resource import Type
from pilot_plus.wire.denied import Denied

log = logging.getLogger(__name__)

BEGIN_WITHIN: Final = 15.0
"""Seconds in which a stream must say who it is."""
STREAMS: Final = 20_000
ENTER_AT_ONCE: Final = 16
"""Clients whose first request is taken before others have their turn: all of them may wait for a hub that starts."""
REQUESTS_A_SECOND: Final = 500.0
REQUESTS_AT_ONCE: Final = 50_000.0
"""A client with thousands of clusters asks for each as it comes; one that goes on and on is slowed down."""

_PREFIX: Final = "envoy.service"
SERVICES: Final[Mapping[str, tuple[str, str]]] = {
    f"{_PREFIX}.discovery.v3.AggregatedDiscoveryService": ("StreamAggregatedResources", "DeltaAggregatedResources"),
    f"{_PREFIX}.cluster.v3.ClusterDiscoveryService": ("StreamClusters", "DeltaClusters"),
    f"{_PREFIX}.endpoint.v3.EndpointDiscoveryService": ("StreamEndpoints", "DeltaEndpoints"),
    f"{_PREFIX}.listener.v3.ListenerDiscoveryService": ("StreamListeners", "DeltaListeners"),
    f"{_PREFIX}.route.v3.RouteDiscoveryService": ("StreamRoutes", "DeltaRoutes"),
    f"{_PREFIX}.secret.v3.SecretDiscoveryService": ("StreamSecrets", "DeltaSecrets"),
}
"""Each service, with its methods for the state of the world and for delta."""

_READ: Final[Mapping[Form, Callable[[bytes], StateRequest | DeltaRequest]]] = {
    Form.STATE: state_request,
    Form.DELTA: delta_request,
}


class Discovery:
    """The services, over a roster of clients."""

    def __init__(
        self,
        roster: Roster,
        gate: Gate,
        cluster: str,
        is_zone: Callable[[str], bool],
        ready: Callable[[], Awaitable[object]],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """`is_zone`: whether somebody may look from a zone of this whole name. `ready`: until when clients wait."""
        self._roster = roster
        self._gate = gate
        self._cluster = cluster
        self._is_zone = is_zone
        self._ready = ready
        self._clock = clock
        self._open = 0
        self._entering = asyncio.Semaphore(ENTER_AT_ONCE)
        counts.STREAMS.set_function(lambda: len(roster.clients))

    def handlers(self) -> tuple[grpc.GenericRpcHandler, ...]:
        """What a gRPC server adds."""

        def method(form: Form) -> grpc.RpcMethodHandler:
            async def discover(_: object, context: Context) -> None:
                await self._answered(form, context)

            return grpc.stream_stream_rpc_method_handler(discover)

        return tuple(
            grpc.method_handlers_generic_handler(name, {state: method(Form.STATE), delta: method(Form.DELTA)})
            for name, (state, delta) in SERVICES.items()
        )

    async def keep(self) -> None:
        """Run as long as the services are used: ends the streams of those who were taken back."""
        trust = self._gate.trust
        while True:
            trust = await self._gate.next_trust(trust)
            for index, client in enumerate(list(self._roster.clients), 1):
                if client.identity is not None:
                    client.doubt()
                if index % AT_ONCE == 0:
                    await asyncio.sleep(0)

    async def _answered(self, form: Form, context: Context) -> None:
        """A whole stream; the one place where it fails."""
        failed: Exception | None = None
        self._open += 1
        try:
            await self._live(form, context)
        except* (Refusal, Denied, ValueError) as group:
            failed = leaf_of(group)
        except* aio.BaseError:
            pass  # the connection is gone
        finally:
            self._open -= 1
        if failed is not None:
            refusal = refusal_of(failed)
            log.warning("xds: a stream from %s ends: %s", context.peer(), refusal.details[:500])
            await context.abort(refusal.code, refusal.details[:1000])

    async def _live(self, form: Form, context: Context) -> None:
        if self._open > STREAMS:
            raise Refusal(StatusCode.RESOURCE_EXHAUSTED, "this hub holds as many streams as it can")
        caller = caller_of(context, self._gate)
        if caller.secure and caller.identity is None:
            raise Denied(f"discovery needs a certificate: {caller.why}")
        try:
            async with asyncio.timeout(BEGIN_WITHIN):
                first = await _read(form, context)
        except TimeoutError as error:
            details = f"the stream said nothing within {BEGIN_WITHIN:.0f} s"
            raise Refusal(StatusCode.DEADLINE_EXCEEDED, details) from error
        if first is None:
            return
        claim = self._claim(first, caller)
        await self._ready()
        client = self._roster.enter(claim, caller.host, caller.identity, form)
        try:
            async with self._entering:
                await self._take(client, first)
                await asyncio.sleep(0)
            del first, claim, caller  # a stream may last for months
            async with asyncio.TaskGroup() as tasks:
                writing = tasks.create_task(self._write(client, context))
                await self._hear(client, context)
                writing.cancel()
        finally:
            self._roster.leave(client)

    async def _hear(self, client: Client, context: Context) -> None:
        pace = Bucket(REQUESTS_A_SECOND, REQUESTS_AT_ONCE, self._clock)
        while (request := await _read(client.stream.form, context)) is not None:
            await self._take(client, request)
            del request
            if wait := pace.take():
                await asyncio.sleep(wait)

    async def _take(self, client: Client, request: StateRequest | DeltaRequest) -> None:
        if request.may_want_all and request.type in WHOLE:
            for _ in client.supply.prepare(Type(request.type)):
                await asyncio.sleep(0)
        if client.stream.request(request, self._clock()):
            counts.answered(request)
        if client.stream.has_work():
            client.wake()

    async def _write(self, client: Client, context: Context) -> None:
        while True:
            responses = await client.responses()
            if client.is_doubted:
                client.is_doubted = False
                caller = caller_of(context, self._gate)
                if caller.identity != client.identity:
                    raise Denied(f"the certificate that the stream began with is nobody's any more: {caller.why}")
            for response in responses:
                await context.write(response.body)
                counts.sent(response)

    def _claim(self, first: StateRequest | DeltaRequest, caller: Caller) -> Claim:
        """Who the client is.

        Raises:
            Denied: its certificate proves somebody else.
            ValueError: it doesn't say, or something that can't be.
        """
        if first.node is None:
            raise ValueError("the first request has no `node`")
        claim = client_of(first.node.id, MessageToDict(first.node.metadata), self._cluster)
        if not self._is_zone(claim.profile.viewer.zone):
            raise ValueError(f"there is no zone {claim.profile.viewer.zone[:200]!r}")
        if caller.identity is not None:
            try:
                check_claims(claim, caller.identity, self._cluster)
            except ValueError as error:
                raise Denied(str(error)) from error
        return claim


async def _read(form: Form, context: Context) -> StateRequest | DeltaRequest | None:
    """The next request; None at the end of the stream."""
    data = cast(object, await context.read())
    return _READ[form](data) if isinstance(data, bytes) else None


def leaf_of(group: ExceptionGroup[Exception]) -> Exception:
    """The first error in a group of groups."""
    first = group.exceptions[0]
    return leaf_of(first) if isinstance(first, ExceptionGroup) else first
