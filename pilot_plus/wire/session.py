"""An edge's session with its hub: prove, register, be welcome; then say what is new and hear what the hub says.

async with open_session(hub, held, registration, now=utc_now) as session:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(session.report(status))      # at least every `session.silence / 3` seconds
        async for word in session.words(): ...         # ends by `ConnectionError` or `Denied`
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from grpc import aio

from pilot_plus.quantities import Address
from pilot_plus.wire import edge_pb2 as pb
from pilot_plus.wire.certificates import Clock, utc_now
from pilot_plus.wire.denied import Denied
from pilot_plus.wire.line import members_line
from pilot_plus.wire.methods import SESSION, failure
from pilot_plus.wire.proof import Purpose, prove
from pilot_plus.wire.trust import Held, Trust, trust_from_wire


class Session:
    """A session that the hub has welcomed."""

    def __init__(self, call: aio.StreamStreamCall, welcome: pb.Welcome) -> None:
        self._call = call
        self.trust: Trust = trust_from_wire(welcome.trust)
        """Whom to believe, as the hub said in its welcome."""
        self.silence = float(welcome.silence_seconds)
        """Seconds without a report after which the hub ends the session."""

    async def report(self, status: pb.Status) -> None:
        """Say what has changed.

        Raises:
            ConnectionError: the session is over.
            Denied: the hub has ended it for good.
        """
        await _write(self._call, pb.EdgeReport(status=status))

    async def leave(self) -> None:
        """End in order: the hub takes the edge out of all views at once.

        Raises:
            ConnectionError: the session is over.
            Denied: the hub has ended it for good.
        """
        await _write(self._call, pb.EdgeReport(leaving=pb.Leaving()))
        await self._call.done_writing()
        while await _read(self._call) is not None:
            pass

    async def words(self) -> AsyncIterator[pb.HubWord]:
        """What the hub says.

        Raises:
            ConnectionError: the session is over.
            Denied: the hub has ended it for good.
        """
        while (word := await _read(self._call)) is not None:
            yield word
        raise ConnectionError("the hub has ended the session")


@asynccontextmanager
async def open_session(
    hub: Address, held: Held, registration: pb.Registration | None = None, now: Clock = utc_now
) -> AsyncIterator[Session]:
    """Begin a session; leaving the context ends it. An edge registers; a service or a client doesn't.

    Raises:
        ConnectionError: the hub can't be reached.
        Denied: the hub says no, or isn't who it was.
    """
    async with members_line(hub, held, now) as line:
        call = line.channel.stream_stream(SESSION.path, SESSION.encode, SESSION.decode)()
        try:
            nonce = (await _expect(call, "challenge")).challenge.nonce
            audience = held.identity.trust_domain
            proof = prove(held.key, held.chain, Purpose.SESSION, audience=audience, nonce=nonce)
            await _write(call, pb.EdgeReport(proof=proof))
            if registration is not None:
                await _write(call, pb.EdgeReport(registration=registration))
            yield Session(call, (await _expect(call, "welcome")).welcome)
        finally:
            call.cancel()


async def _expect(call: aio.StreamStreamCall, kind: str) -> pb.HubWord:
    word = await _read(call)
    if word is None or word.WhichOneof("word") != kind:
        raise Denied(f"the hub doesn't begin with a {kind}: is it of another version?")
    return word


async def _read(call: aio.StreamStreamCall) -> pb.HubWord | None:
    """The next word; None at the end of a session that ended in order."""
    try:
        word = await call.read()
    except aio.AioRpcError as error:
        raise failure(error) from error
    return None if word is aio.EOF else word


async def _write(call: aio.StreamStreamCall, report: pb.EdgeReport) -> None:
    try:
        await call.write(report)
    except aio.AioRpcError as error:
        raise failure(error) from error
    except aio.UsageError as error:  # the call has ended meanwhile
        raise ConnectionError("the session is over") from error
