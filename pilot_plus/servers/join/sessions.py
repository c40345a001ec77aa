"""Sessions: the hub challenges, somebody proves who they are; an edge registers; then both say what is new.

What runs while a session lives may each end it: hearing reports, saying words, and following whom to
believe. It also ends with the certificate that it began with: who has renewed it meanwhile comes back at once.
"""

import asyncio
import secrets
from collections.abc import Callable
from datetime import datetime
from typing import Final

from grpc import StatusCode, aio

from pilot_plus.model import Role, SpiffeId
from pilot_plus.servers.join.calls import Caller, Context, Pen, Refusal, read
from pilot_plus.servers.join.limits import Bucket
from pilot_plus.servers.join.ports import Gate
from pilot_plus.servers.join.roster import Roster
from pilot_plus.servers.join.seat import LEFT, LOST, Ending, Seat
from pilot_plus.wire import edge_pb2 as pb
from pilot_plus.wire.certificates import Clock, read_certificate, serial, utc_now
from pilot_plus.wire.denied import Denied
from pilot_plus.wire.edge import Edge, edge_from_wire, with_status
from pilot_plus.wire.proof import NONCE_BYTES, Purpose
from pilot_plus.wire.trust import trust_to_wire

BEGIN_WITHIN: Final = 10.0
"""Seconds in which a session must have begun."""
SILENCE: Final = 15
"""Seconds without a report after which a session is over: the other side hangs, or the network is gone."""
REPORTS_A_SECOND: Final = 10.0
REPORTS_AT_ONCE: Final = 200.0


class Sessions:
    """Lives sessions, and keeps the roster."""

    def __init__(self, gate: Gate, roster: Roster, clock: Callable[[], float], now: Clock = utc_now) -> None:
        self._gate = gate
        self._roster = roster
        self._clock = clock
        self._now = now

    async def live(self, caller: Caller, context: Context) -> None:
        """A whole session.

        Raises:
            Denied: whoever it is may have none.
            Refusal: it was ended from here.
            ValueError: what was said can't be.
        """
        try:
            async with asyncio.timeout(BEGIN_WITHIN):
                seat, until = await self._begun(caller, context)
        except TimeoutError as error:
            raise Refusal(StatusCode.DEADLINE_EXCEEDED, f"no session began within {BEGIN_WITHIN:.0f} s") from error
        await self._roster.enter(seat)
        ending = LOST
        try:
            ending = await self._lived(seat, context, (until - self._now()).total_seconds())
        finally:
            self._roster.leave(seat, ending)
        if ending.code is not StatusCode.OK:
            raise Refusal(ending.code, ending.details)

    async def _begun(self, caller: Caller, context: Context) -> tuple[Seat, datetime]:
        """The seat of whoever has proved who they are, and when their certificate ends."""
        if self._roster.is_full:
            raise Refusal(StatusCode.RESOURCE_EXHAUSTED, "this hub holds as many sessions as it can")
        if caller.secure and caller.identity is None:
            raise Denied(f"a session needs a certificate: {caller.why}")
        nonce = secrets.token_bytes(NONCE_BYTES)
        await context.write(pb.HubWord(challenge=pb.Challenge(nonce=nonce)))
        proof = (await _expected(context, "proof")).proof
        if not secrets.compare_digest(proof.nonce, nonce):
            raise Denied("the proof is not over the nonce of this session")
        identity = self._gate.prover(proof, Purpose.SESSION)
        if caller.identity not in {None, identity}:
            raise Denied(f"the connection is {caller.identity}'s, the proof {identity}'s")
        leaf = read_certificate(proof.chain[0])
        return Seat(identity, await _registered(identity, context), serial(leaf)), leaf.not_valid_after_utc

    async def _lived(self, seat: Seat, context: Context, lifetime: float) -> Ending:
        trust = seat.trust = self._gate.trust
        welcome = pb.Welcome(spiffe_id=str(seat.identity), trust=trust_to_wire(trust), silence_seconds=SILENCE)
        seat.say(pb.HubWord(welcome=welcome))
        pen = Pen(context)
        async with asyncio.TaskGroup() as tasks:
            parts = (self._hear(seat, context), _speak(seat, pen), self._follow(seat), _expire(seat, lifetime))
            living = [tasks.create_task(part) for part in parts]
            ending = await seat.ended()
            await pen.rest()
            for part in living:
                part.cancel()
        return ending

    async def _hear(self, seat: Seat, context: Context) -> None:
        pace = Bucket(REPORTS_A_SECOND, REPORTS_AT_ONCE, self._clock)
        try:
            while True:
                async with asyncio.timeout(SILENCE):
                    report = await read(context, pb.EdgeReport)
                if report is None or report.HasField("leaving"):
                    seat.end(LOST if report is None else LEFT)
                    return
                if report.HasField("status") and seat.edge is not None:
                    before, seat.edge = seat.edge, with_status(seat.edge, report.status)
                    if seat.edge != before:
                        await self._roster.changed(seat)
                await asyncio.sleep(pace.take())
        except TimeoutError:
            seat.end(Ending(code=StatusCode.DEADLINE_EXCEEDED, details=f"nothing was heard for {SILENCE} s"))
        except Refusal as error:
            seat.end(Ending(code=error.code, details=error.details))
        except ValueError as error:
            seat.end(Ending(code=StatusCode.INVALID_ARGUMENT, details=str(error)))
        except aio.BaseError:  # the connection is gone
            seat.end(LOST)

    async def _follow(self, seat: Seat) -> None:
        """Say whom to believe when that changes; end with an identity that was revoked."""
        trust = self._gate.trust
        while not (str(seat.identity) in trust.revoked_ids or seat.serial in trust.revoked_serials):
            if trust is not seat.trust:
                seat.trust = trust
                seat.say(pb.HubWord(trust=trust_to_wire(trust)))
            trust = await self._gate.next_trust(trust)
        details = f"{seat.identity} was revoked"
        seat.end(Ending(gone=True, code=StatusCode.PERMISSION_DENIED, details=details))


async def _expire(seat: Seat, lifetime: float) -> None:
    await asyncio.sleep(lifetime)
    details = "the certificate that the session began with has ended"
    seat.end(Ending(code=StatusCode.ABORTED, details=details))


async def _speak(seat: Seat, pen: Pen) -> None:
    try:
        while True:
            for word in await seat.words():
                await pen.write(word)
    except aio.BaseError:  # the connection is gone
        seat.end(LOST)


async def _registered(identity: SpiffeId, context: Context) -> Edge | None:
    if identity.role is not Role.EDGE:
        return None
    return edge_from_wire(identity, (await _expected(context, "registration")).registration)


async def _expected(context: Context, kind: str) -> pb.EdgeReport:
    report = await read(context, pb.EdgeReport)
    if report is None or report.WhichOneof("report") != kind:
        raise Refusal(StatusCode.INVALID_ARGUMENT, f"expected a {kind} first")
    return report
