"""The discovery services: aggregated discovery in both forms, and the same one type at a time."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from time import monotonic
from typing import Final, NamedTuple, cast

import grpc
import msgspec
from google.protobuf.json_format import MessageToDict
from grpc import StatusCode, aio

from pilot_plus.servers.join.calls import Caller, Context, Refusal, caller_of, refusal_of
from pilot_plus.servers.join.limits import Bucket
from pilot_plus.servers.join.ports import Gate
from pilot_plus.servers.xds import counts
from pilot_plus.servers.xds.client import Client
from pilot_plus.servers.xds.forms import Form
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


class Service(NamedTuple):
    """A service of xDS: its methods, and the type that a request means which names none."""

    state: str
    delta: str
    type: str = ""


SERVICES: Final[Mapping[str, Service]] = {
    f"{_PREFIX}.discovery.v3.AggregatedDiscoveryService": Service(
        "StreamAggregatedResources", "DeltaAggregatedResources"
    ),
    f"{_PREFIX}.cluster.v3.ClusterDiscoveryService": Service("StreamClusters", "DeltaClusters", Type.CLUSTER),
    f"{_PREFIX}.endpoint.v3.EndpointDiscoveryService": Service("StreamEndpoints", "DeltaEndpoints", Type.ENDPOINTS),
    f"{_PREFIX}.listener.v3.ListenerDiscoveryService": Service("StreamListeners", "DeltaListeners", Type.LISTENER),
    f"{_PREFIX}.route.v3.RouteDiscoveryService": Service("StreamRoutes", "DeltaRoutes", Type.ROUTES),
    f"{_PREFIX}.secret.v3.SecretDiscoveryService": Service("StreamSecrets", "DeltaSecrets", Type.SECRET),
}

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

        def method(form: Form, type_: str) -> grpc.RpcMethodHandler:
            async def discover(_: object, context: Context) -> None:
                await self._answered(form, Requests(context, form, type_))

            return grpc.stream_stream_rpc_method_handler(discover)

        return tuple(
            grpc.method_handlers_generic_handler(
                name, {one.state: method(Form.STATE, one.type), one.delta: method(Form.DELTA, one.type)}
            )
            for name, one in SERVICES.items()
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

    async def _answered(self, form: Form, requests: "Requests") -> None:
        """A whole stream; the one place where it fails."""
        context, failed = requests.context, None
        self._open += 1
        try:
            failed = await self._live(form, requests)
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

    async def _live(self, form: Form, requests: "Requests") -> Exception | None:
        """A stream from its first request on; what was wrong with a later one, if that ended it."""
        if self._open > STREAMS:
            raise Refusal(StatusCode.RESOURCE_EXHAUSTED, "this hub holds as many streams as it can")
        context = requests.context
        caller = caller_of(context, self._gate)
        if caller.secure and caller.identity is None:
            raise Denied(f"discovery needs a certificate: {caller.why}")
        try:
            async with asyncio.timeout(BEGIN_WITHIN):
                first = await requests.next()
        except TimeoutError as error:
            details = f"the stream said nothing within {BEGIN_WITHIN:.0f} s"
            raise Refusal(StatusCode.DEADLINE_EXCEEDED, details) from error
        if first is None:
            return None
        claim = self._claim(first, caller)
        await self._ready()
        client = self._roster.enter(claim, caller.host, caller.identity, form)
        try:
            async with self._entering:
                await client.take(first)
                await asyncio.sleep(0)
            del first, claim, caller  # a stream may last for months
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._write(client, context))
                failed = await self._hear(client, requests)
                client.end()  # the writer ends by itself: gRPC can't end a stream while a write is under way
        finally:
            self._roster.leave(client)
        return failed

    async def _hear(self, client: Client, requests: "Requests") -> ValueError | None:
        """Take what the client says, until it says no more, or something that can't be."""
        pace = Bucket(REQUESTS_A_SECOND, REQUESTS_AT_ONCE, self._clock)
        try:
            while (request := await requests.next()) is not None:
                if await client.take(request):
                    counts.answered(request)
                del request
                if wait := pace.take():
                    await asyncio.sleep(wait)
        except ValueError as error:
            return error
        return None

    async def _write(self, client: Client, context: Context) -> None:
        while not client.is_over:
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


class Requests:
    """The requests of a stream, as they come."""

    def __init__(self, context: Context, form: Form, type_: str) -> None:
        """`type_`: what a request means that names no type; empty where it must name one."""
        self.context = context
        self._read = _READ[form]
        self._type = type_

    async def next(self) -> StateRequest | DeltaRequest | None:
        """The next one; None at the end of the stream.

        Raises:
            ValueError: something came that is no request.
        """
        data = cast(object, await self.context.read())
        if not isinstance(data, bytes):
            return None
        request = self._read(data)
        return request if request.type else msgspec.structs.replace(request, type=self._type)


def leaf_of(group: ExceptionGroup[Exception]) -> Exception:
    """The first error in a group of groups."""
    first = group.exceptions[0]
    return leaf_of(first) if isinstance(first, ExceptionGroup) else first
