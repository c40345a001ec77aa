"""The service `pilot_plus.edge.v1.Edge`: joining, renewing, and sessions."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from time import monotonic
from typing import Final, NoReturn

import grpc
from google.protobuf.message import Message
from grpc import StatusCode
from prometheus_client import Counter, Gauge

from pilot_plus import metrics
from pilot_plus.model import SpiffeId
from pilot_plus.servers.join.calls import EXPECTED, Caller, Context, Refusal, caller_of, decoded, encoded, refusal_of
from pilot_plus.servers.join.limits import Failures, Nonces
from pilot_plus.servers.join.ports import Edges, Gate
from pilot_plus.servers.join.roster import GRACE, Roster
from pilot_plus.servers.join.sessions import Sessions
from pilot_plus.wire import edge_pb2 as pb
from pilot_plus.wire.denied import Denied
from pilot_plus.wire.methods import SERVICE
from pilot_plus.wire.proof import NONCE_BYTES, Purpose
from pilot_plus.wire.trust import Roots, credentials_to_wire

log = logging.getLogger(__name__)

JOINS: Final = Counter(
    "pilot_plus_joins", "Certificates that were asked for, by what became of it.", ["result"], registry=metrics.REGISTRY
)
SESSIONS: Final = Gauge("pilot_plus_sessions", "Live sessions of edges and clients.", registry=metrics.REGISTRY)


class JoinService:
    """The service. Open it with `JoinService.open`; its edges stay in step as long as that lasts."""

    def __init__(
        self, gate: Gate, roster: Roster, clock: Callable[[], float] = monotonic, abroad: Callable[[], Roots] = dict
    ) -> None:
        """`abroad`: whom to believe in other clusters."""
        self._gate = gate
        self._abroad = abroad
        self._roster = roster
        self._nonces = Nonces(clock)
        self._failures = Failures(clock)
        self._sessions = Sessions(gate, roster, clock)
        SESSIONS.set_function(lambda: len(roster))

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        gate: Gate,
        edges: Edges,
        *,
        grace: float = GRACE,
        clock: Callable[[], float] = monotonic,
        abroad: Callable[[], Roots] = dict,
    ) -> AsyncIterator["JoinService"]:
        """A service that keeps `edges` in step with the sessions that it holds. Ending it drops no edge."""
        async with asyncio.TaskGroup() as tasks:
            roster = Roster(edges, tasks, grace)
            try:
                yield cls(gate, roster, clock, abroad)
            finally:
                roster.close()

    def say(self, identity: SpiffeId, word: pb.HubWord) -> bool:
        """Say a word to an identity's session (drain, renew); whether it has one."""
        return self._roster.say(str(identity), word)

    def handler(self) -> grpc.GenericRpcHandler:
        """What a gRPC server adds."""
        unary = grpc.unary_unary_rpc_method_handler
        handlers = {
            "Hello": unary(self._guarded(self.hello), None, encoded),
            "Join": unary(self._guarded(self.join), None, encoded),
            "Renew": unary(self._guarded(self.renew), None, encoded),
            "Session": grpc.stream_stream_rpc_method_handler(self._session, None, encoded),
        }
        return grpc.method_handlers_generic_handler(SERVICE, handlers)

    async def hello(self, data: bytes, _: Caller) -> pb.HelloResponse:
        """Prove who we are, and give a nonce."""
        nonce = decoded(data, pb.HelloRequest).nonce
        if len(nonce) != NONCE_BYTES:
            raise Refusal(StatusCode.INVALID_ARGUMENT, f"expected a nonce of {NONCE_BYTES} bytes")
        own = self._nonces.draw()
        return pb.HelloResponse(nonce=own, proof=self._gate.prove_hub(nonce, own))

    async def join(self, data: bytes, caller: Caller) -> pb.Credentials:
        """A token becomes a certificate."""
        if self._failures.must_wait(caller.host):
            raise Refusal(StatusCode.RESOURCE_EXHAUSTED, "too many failures from this host: wait a minute")
        try:
            asked = decoded(data, pb.JoinRequest)
            issued = await self._gate.join(asked.token, asked.csr, asked.name)
        except (Denied, Refusal):
            self._failures.note(caller.host)
            raise
        JOINS.labels("joined").inc()
        return credentials_to_wire(issued, self._gate.trust, self._abroad())

    async def renew(self, data: bytes, caller: Caller) -> pb.Credentials:
        """A certificate becomes a younger one."""
        asked = decoded(data, pb.RenewRequest)
        issued = await self._gate.renew(self._renewing(asked, caller), asked.csr)
        JOINS.labels("renewed").inc()
        return credentials_to_wire(issued, self._gate.trust, self._abroad())

    def _renewing(self, asked: pb.RenewRequest, caller: Caller) -> SpiffeId:
        if caller.secure:
            if caller.identity is None:
                raise Denied(f"the certificate shown can't be renewed: {caller.why}")
            return caller.identity
        if not self._nonces.spend(asked.proof.nonce):
            raise Denied("the proof is not over a fresh nonce of this hub")
        return self._gate.prover(asked.proof, Purpose.RENEW, asked.csr)

    def _guarded(
        self, method: Callable[[bytes, Caller], Awaitable[Message]]
    ) -> Callable[[bytes, Context], Awaitable[Message]]:
        async def answer(data: bytes, context: Context) -> Message:
            caller = caller_of(context, self._gate)
            try:
                return await method(data, caller)
            except EXPECTED as error:
                JOINS.labels("refused").inc()
                await _refuse(context, caller, error)

        return answer

    async def _session(self, _: object, context: Context) -> None:
        caller = caller_of(context, self._gate)
        try:
            await self._sessions.live(caller, context)
        except EXPECTED as error:
            await _refuse(context, caller, error)


async def _refuse(context: Context, caller: Caller, error: Exception) -> NoReturn:
    """End a call with a status; the one place where a failure is logged."""
    refusal = refusal_of(error)
    log.warning("join: a call from %s ends: %s", caller.host, error if isinstance(error, OSError) else refusal.details)
    await context.abort(refusal.code, refusal.details[:1000])
    raise AssertionError("abort returned")
