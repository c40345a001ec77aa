"""One endpoint of etcd: a channel, a token, calls, and errors said for people.

Tokens die with the server that gave them: a call that is refused for its token gets a new one and is made once more,
which is all that is ever tried again here.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, Generic, TypeAlias

import grpc
from grpc import StatusCode, aio

from pilot_plus.ports import SourceLost
from registries.etcd import wire_pb2 as wire
from registries.etcd.methods import AUTHENTICATE, RANGE, A, Method, Q
from registries.etcd.settings import Endpoint, Settings
from registries.tls import Tls, read_pem

MAX_RECEIVE: Final = 32 << 20
"""Bytes of one answer; a page that would be larger is asked for in smaller ones."""

_OPTIONS: Final = (
    ("grpc.max_receive_message_length", MAX_RECEIVE),
    ("grpc.max_send_message_length", -1),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.enable_retries", 0),
    ("grpc.use_local_subchannel_pool", 1),  # or a new channel would inherit the back-off of the one that was lost
    ("grpc.enable_http_proxy", 0),
)
_SYSTEM_AUTHORITIES: Final = "/etc/ssl/certs/ca-certificates.crt"
_SETTLING: Final = 0.01
"""Seconds for grpc's own task of a cancelled stream, which nothing can wait for, to see its end."""
_TOKEN_DIED: Final = ("invalid auth token", "revision of auth store is old")


Begun: TypeAlias = aio.UnaryUnaryCall
"""A call that was sent, whose answer nobody has taken yet."""


class Declined(SourceLost):
    """A call came back with an error. Whoever can do something about its code catches it; for others, all is lost."""

    def __init__(self, message: str, code: StatusCode, details: str) -> None:
        super().__init__(message)
        self.code = code
        self.details = details


class Client:
    """Calls to one endpoint."""

    def __init__(self, channel: aio.Channel, target: str, settings: Settings) -> None:
        self._channel = channel
        self._target = target
        self._settings = settings
        self._token = ""

    def __repr__(self) -> str:
        return f"<Client of {self._target}>"

    async def authenticate(self) -> None:
        """Get a token for the user of the settings, if there is one and the server knows users.

        Raises:
            SourceLost: the server refuses the user, or can't be reached.
        """
        self._token = ""
        if not self._settings.username:
            return
        who = wire.AuthenticateRequest(name=self._settings.username, password=self._settings.password)
        try:
            answer = await self._call_once(AUTHENTICATE, who)
        except Declined as error:
            if error.code is StatusCode.FAILED_PRECONDITION:  # this server has no authentication
                return
            raise
        self._token = answer.token

    async def call(self, method: Method[Q, A], request: Q) -> A:
        """Call a method.

        Raises:
            Declined: an error came back, or no answer in time.
        """
        return await self.finish(self.begin(method, request), method, request)

    def begin(self, method: Method[Q, A], request: Q) -> Begun:
        """Send a call, to be awaited with `finish`, so that the server works while we do."""
        start = self._channel.unary_unary(method.path, method.encode, method.decode)
        return start(request, timeout=self._settings.timeout_seconds, metadata=self._metadata())

    async def finish(self, begun: Begun, method: Method[Q, A], request: Q) -> A:
        """The answer of a call that was begun.

        Raises:
            Declined: as `call`.
        """
        try:
            return await self._answer(begun)
        except Declined as error:
            if not (self._settings.username and _is_dead_token(error)):
                raise
        await self.authenticate()
        return await self._call_once(method, request)

    @asynccontextmanager
    async def stream(self, method: Method[Q, A], requests: AsyncIterator[Q]) -> AsyncIterator["Stream[A]"]:
        """Open a stream that sends what `requests` yields; leaving closes it."""
        open_stream = self._channel.stream_stream(method.path, method.encode, method.decode)
        call = open_stream(requests, metadata=self._metadata())
        try:
            yield Stream(self, call)
        finally:
            call.cancel()
            await asyncio.sleep(_SETTLING)

    def lost(self, error: aio.AioRpcError) -> Declined:
        """What a failed call means, for people."""
        details = " ".join((error.details() or "").split())[:300]
        said = _for_people(error.code(), details, self._settings)
        return Declined(f"etcd at {self._target}: {said}", error.code(), details)

    def silent(self, seconds: float) -> SourceLost:
        """What silence means."""
        return SourceLost(f"etcd at {self._target}: no sign of life for {seconds:g} s")

    def ended(self, why: str) -> SourceLost:
        """The loss of something that was going on well until now."""
        return SourceLost(f"etcd at {self._target}: {why}")

    async def _call_once(self, method: Method[Q, A], request: Q) -> A:
        return await self._answer(self.begin(method, request))

    async def _answer(self, begun: Begun) -> A:
        try:
            answer: A = await begun
        except aio.AioRpcError as error:
            raise self.lost(error) from error
        return answer

    def _metadata(self) -> tuple[tuple[str, str], ...]:
        # A member that is cut off from its cluster says so instead of being silent.
        leader = ("hasleader", "true")
        return (leader, ("token", self._token)) if self._token else (leader,)


class Stream(Generic[A]):
    """The answers of a stream."""

    def __init__(self, client: Client, call: aio.StreamStreamCall) -> None:
        self._client = client
        self._call = call

    async def read(self, within: float) -> A:
        """The next answer.

        Raises:
            SourceLost: the stream has ended, or nothing came within so many seconds.
        """
        try:
            async with asyncio.timeout(within):
                answer = await self._call.read()
        except TimeoutError as error:
            raise self._client.silent(within) from error
        except aio.AioRpcError as error:
            raise self._client.lost(error) from error
        if answer is aio.EOF:
            raise self._client.ended("the server closed the stream")
        taken: A = answer
        return taken


@asynccontextmanager
async def open_client(settings: Settings, probe: wire.RangeRequest) -> AsyncIterator[Client]:
    """The first endpoint that lets us in and answers `probe`.

    Raises:
        SourceLost: none does; the message says why for each.
    """
    reasons: list[str] = []
    for place in settings.places:
        async with _channel(place, settings.tls) as channel:
            client = Client(channel, place.target, settings)
            try:
                await client.authenticate()
                await client.call(RANGE, probe)
            except SourceLost as error:
                reasons.append(str(error))
                continue
            yield client
            return
    raise SourceLost("; ".join(reasons))


def _channel(place: Endpoint, tls: Tls) -> aio.Channel:
    if not place.secure:
        return aio.insecure_channel(place.target, options=_OPTIONS)
    credentials = grpc.ssl_channel_credentials(
        root_certificates=read_pem(tls.ca) or _system_authorities(),
        private_key=read_pem(tls.key or tls.cert),
        certificate_chain=read_pem(tls.cert),
    )
    name = (("grpc.ssl_target_name_override", tls.server_name),) if tls.server_name else ()
    return aio.secure_channel(place.target, credentials, options=(*_OPTIONS, *name))


def _system_authorities() -> bytes | None:
    """The machine's own, where it keeps them as Debian does; else grpc's."""
    path = Path(_SYSTEM_AUTHORITIES)
    return path.read_bytes() if path.is_file() else None


def _is_dead_token(error: Declined) -> bool:
    return error.code is StatusCode.UNAUTHENTICATED or any(sign in error.details for sign in _TOKEN_DIED)


def _for_people(code: StatusCode, details: str, settings: Settings) -> str:
    if "authentication failed" in details:
        return f"it refuses user {settings.username!r}: wrong username or password"
    if "user name is empty" in details:
        return "it wants a user: set username and password"
    if code is StatusCode.PERMISSION_DENIED:
        return f"user {settings.username!r} may not do that: {details}"
    if code is StatusCode.DEADLINE_EXCEEDED:
        return f"no answer within {settings.timeout_seconds:g} s"
    return f"{code.name.lower()}: {details}"
