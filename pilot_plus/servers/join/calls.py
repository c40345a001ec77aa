"""A call as gRPC brings it: bytes, and a context. Here they become messages, callers and statuses; nothing crashes."""

import asyncio
from contextlib import suppress
from typing import Final, TypeAlias, TypeVar, cast

import msgspec
from google.protobuf.message import DecodeError, Message
from grpc import StatusCode, aio

from pilot_plus.model import SpiffeId
from pilot_plus.servers.join.ports import Gate
from pilot_plus.wire.denied import Denied
from pilot_plus.wire.methods import MAX_MESSAGE

M = TypeVar("M", bound=Message)
Context: TypeAlias = aio.ServicerContext[bytes, Message]


REST_WITHIN: Final = 1.0
"""Seconds that a message under way has before its stream is ended without regard for it."""


class Pen:
    """Writes to a stream. gRPC can't end one while a write is under way: it would stay open for ever."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._writing = asyncio.Lock()

    async def write(self, message: Message) -> None:
        """Write a message."""
        async with self._writing:
            await self._context.write(message)

    async def rest(self) -> None:
        """Wait until nothing is under way. Who writes is to be cancelled right after it."""
        with suppress(TimeoutError):
            async with asyncio.timeout(REST_WITHIN), self._writing:
                pass


class Refusal(Exception):  # noqa: N818 - an answer, not a programming error
    """How a call ends other than well."""

    def __init__(self, code: StatusCode, details: str) -> None:
        super().__init__(details)
        self.code = code
        self.details = details


class Caller(msgspec.Struct, frozen=True):
    """Who calls, as far as the connection says."""

    host: str
    secure: bool
    identity: SpiffeId | None
    """None: in plaintext anybody, over TLS a stranger."""
    why: str = ""
    """Why the certificate that was shown is nobody's."""


def caller_of(context: Context, gate: Gate) -> Caller:
    """Who calls."""
    host = context.peer().rpartition(":")[0]
    shown = context.auth_context()
    if b"ssl" not in shown.get("transport_security_type", ()):
        return Caller(host, secure=False, identity=None)
    try:
        return Caller(host, secure=True, identity=gate.bearer(chain_of(context)))
    except Denied as error:
        return Caller(host, secure=True, identity=None, why=str(error))


def chain_of(context: Context) -> bytes:
    """The certificates that a caller shows, in PEM, its own first; empty if it shows none.

    On a server, TLS libraries leave the caller's own certificate out of what they call its chain.
    """
    shown = context.auth_context()
    leaf, chain = (next(iter(shown.get(name) or ()), b"") for name in ("x509_pem_cert", "x509_pem_cert_chain"))
    return chain if chain.startswith(leaf) else leaf + chain


def decoded(data: bytes, kind: type[M]) -> M:
    """A message.

    Raises:
        Refusal: it is none, or too large.
    """
    if len(data) > MAX_MESSAGE:
        raise Refusal(StatusCode.INVALID_ARGUMENT, f"a message of {len(data)} bytes, more than {MAX_MESSAGE}")
    try:
        return kind.FromString(data)
    except (DecodeError, RecursionError) as error:
        raise Refusal(StatusCode.INVALID_ARGUMENT, f"no {kind.DESCRIPTOR.name}") from error


def encoded(message: Message) -> bytes:
    """The bytes of a message."""
    return message.SerializeToString()


def refusal_of(error: Exception) -> Refusal:
    """The status for an expected failure. What the store says stays here: it may name places."""
    match error:
        case Refusal():
            return error
        case Denied():
            return Refusal(StatusCode.PERMISSION_DENIED, str(error))
        case ValueError():
            return Refusal(StatusCode.INVALID_ARGUMENT, str(error))
    return Refusal(StatusCode.UNAVAILABLE, "the hub can't do that now: try again")


EXPECTED: Final = (Refusal, Denied, ValueError, OSError)


async def read(context: Context, kind: type[M]) -> M | None:
    """The next message of a stream; None at its end.

    Raises:
        Refusal: it is no such message.
    """
    data = cast(object, await context.read())
    return decoded(data, kind) if isinstance(data, bytes) else None
