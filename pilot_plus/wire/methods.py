"""The methods of `pilot_plus.edge.v1.Edge`, by their paths: generated stubs would bring nothing but another dialect."""

from typing import Final, Generic, TypeVar

import grpc
from google.protobuf.message import Message
from grpc import StatusCode, aio

from pilot_plus.wire import edge_pb2 as pb
from pilot_plus.wire.denied import Denied

Q = TypeVar("Q", bound=Message)
A = TypeVar("A", bound=Message)

SERVICE: Final = "pilot_plus.edge.v1.Edge"
MAX_MESSAGE: Final = 256 << 10
"""Bytes of a message to the hub. What an edge with thousands of listeners says first comes in several reports."""
CALL_TIMEOUT: Final = 10.0
"""Seconds."""

_FOR_GOOD: Final = (StatusCode.PERMISSION_DENIED, StatusCode.UNAUTHENTICATED, StatusCode.INVALID_ARGUMENT)


class Method(Generic[Q, A]):
    """A method: its name, and the types of question and answer."""

    def __init__(self, name: str, question: type[Q], answer: type[A]) -> None:
        self.name = name
        self.path = f"/{SERVICE}/{name}"
        self.question = question
        self.answer = answer

    def encode(self, question: Q) -> bytes:
        """The bytes of a question."""
        return question.SerializeToString()

    def decode(self, data: bytes) -> A:
        """An answer."""
        return self.answer.FromString(data)

    async def call(self, channel: aio.Channel, question: Q) -> A:
        """Ask, once.

        Raises:
            Denied: the answer is no.
            ConnectionError: there was no answer, or none that says anything for good.
        """
        ask = channel.unary_unary(self.path, self.encode, self.decode)
        try:
            answer: A = await ask(question, timeout=CALL_TIMEOUT)
        except aio.AioRpcError as error:
            raise failure(error.code(), error.details()) from error
        return answer


HELLO: Final = Method("Hello", pb.HelloRequest, pb.HelloResponse)
JOIN: Final = Method("Join", pb.JoinRequest, pb.Credentials)
RENEW: Final = Method("Renew", pb.RenewRequest, pb.Credentials)
SESSION: Final = Method("Session", pb.EdgeReport, pb.HubWord)


def failure(code: StatusCode, details: str | None) -> Denied | ConnectionError:
    """What the status of a call that ended means to somebody who joins."""
    details = (details or "no reason given")[:500]
    if code in _FOR_GOOD:
        return Denied(f"the hub says no: {details}")
    if code is StatusCode.UNIMPLEMENTED:
        return Denied("this address speaks gRPC, but is no hub's xDS address")
    return ConnectionError(f"the hub does not answer ({code.name.lower()}): {details}")


def channel_options(hub_name: str = "") -> grpc.aio.ChannelArgumentType:
    """Options of a channel to the hub, which is known by `hub_name`, or the name that is dialled."""
    options: list[tuple[str, str | int]] = [
        ("grpc.keepalive_time_ms", 10_000),
        ("grpc.keepalive_timeout_ms", 5_000),
        ("grpc.enable_retries", 0),
        ("grpc.use_local_subchannel_pool", 1),  # or a new channel would inherit the back-off of one that was lost
        ("grpc.enable_http_proxy", 0),
    ]
    return [*options, ("grpc.ssl_target_name_override", hub_name)] if hub_name else options
