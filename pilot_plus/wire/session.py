"""An edge's session with its hub: prove, register, be welcome; then say what is new and hear what the hub says.

async with open_session(hub, held, registration, now=utc_now) as session:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(session.report(status))      # at least every `session.silence / 3` seconds
        async for word in session.words(): ...         # ends by `ConnectionError` or `Denied`
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Final, TypeVar

from grpc import StatusCode, aio

from pilot_plus.quantities import Address
from pilot_plus.wire import edge_pb2 as pb
from pilot_plus.wire.certificates import Clock, utc_now
from pilot_plus.wire.denied import Denied
from pilot_plus.wire.line import members_line
from pilot_plus.wire.methods import SESSION, failure
from pilot_plus.wire.proof import Purpose, prove
from pilot_plus.wire.trust import Held, Trust, trust_from_wire

T = TypeVar("T")

STATUS_WITHIN: Final = 0.5
"""Seconds that the hub's own status may take, once gRPC has noticed that the session is over."""


class Session:
    """A session that the hub has welcomed."""

    def __init__(self, stream: "Stream", welcome: pb.Welcome) -> None:
        self._stream = stream
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
        await self._stream.write(pb.EdgeReport(status=status))

    async def leave(self) -> None:
        """End in order: the hub takes the edge out of all views at once. For somebody who hears no words.

        Raises:
            ConnectionError: the session is over.
            Denied: the hub has ended it for good.
        """
        await self.say_goodbye()
        while await self._stream.read() is not None:
            pass

    async def say_goodbye(self) -> None:
        """Let the hub end the session in order: `words` ends soon after.

        Raises:
            ConnectionError: the session is over.
            Denied: the hub has ended it for good.
        """
        await self._stream.write(pb.EdgeReport(leaving=pb.Leaving()))

    async def words(self) -> AsyncIterator[pb.HubWord]:
        """What the hub says. Listen all the time: why a session ends is known only behind all words before.

        Cancelling the wait for a word ends the session: that is gRPC's way.

        Raises:
            ConnectionError: the session is over.
            Denied: the hub has ended it for good.
        """
        while (word := await self._stream.read()) is not None:
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
            stream = Stream(call)
            nonce = (await stream.expect("challenge")).challenge.nonce
            audience = held.identity.trust_domain
            proof = prove(held.key, held.chain, Purpose.SESSION, audience=audience, nonce=nonce)
            await stream.write(pb.EdgeReport(proof=proof))
            if registration is not None:
                await stream.write(pb.EdgeReport(registration=registration))
            yield Session(stream, (await stream.expect("welcome")).welcome)
        finally:
            call.cancel()


class Stream:
    """The call below a session: one write at a time, and the hub's own status at its end.

    A write that comes after the hub's status replaces it, in gRPC, by one of its own (grpc/grpc#36066). So the first
    status that isn't that is remembered, when it comes.
    """

    def __init__(self, call: aio.StreamStreamCall) -> None:
        self._call = call
        self._writing = asyncio.Lock()
        self._is_ended = asyncio.Event()
        self._why: Denied | ConnectionError = ConnectionError("the session broke off")
        call.add_done_callback(self._note)

    async def read(self) -> pb.HubWord | None:
        """The next word; None at the end of a session that ended in order."""
        try:
            word = await self._call.read()
        except aio.AioRpcError as error:
            raise await self._ended() from error
        return None if word is aio.EOF else word

    async def write(self, report: pb.EdgeReport) -> None:
        """Say something."""
        try:
            async with self._writing:
                await self._call.write(report)
        except (aio.AioRpcError, asyncio.InvalidStateError) as error:  # the latter: it has ended before
            raise await self._ended() from error

    async def expect(self, kind: str) -> pb.HubWord:
        """The next word, which must be of that kind."""
        word = await self.read()
        if word is None or word.WhichOneof("word") != kind:
            raise Denied(f"the hub doesn't begin with a {kind}: is it of another version?")
        return word

    async def _ended(self) -> Denied | ConnectionError:
        try:
            async with asyncio.timeout(STATUS_WITHIN):
                await self._is_ended.wait()
        except TimeoutError:
            pass  # there is none: the connection is gone
        return self._why

    def _note(self, call: aio.StreamStreamCall) -> None:
        """Called whenever the call gets a status."""
        code = _at_once(call.code())
        if code is not StatusCode.INTERNAL and not self._is_ended.is_set():
            self._why = failure(code, _at_once(call.details()))
            self._is_ended.set()


def _at_once(answer: Coroutine[object, None, T]) -> T:
    """What a coroutine returns that has nothing to wait for, outside of any task."""
    try:
        answer.send(None)
    except StopIteration as done:
        value: T = done.value
        return value
    answer.close()
    raise AssertionError("it had to wait")
