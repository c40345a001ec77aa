"""Meeting: a hub introduces itself to another one, with the token that it was given there."""

from typing import Final

from grpc import StatusCode, aio

from pilot_plus.quantities import Address
from pilot_plus.wire import peer_pb2 as pb
from pilot_plus.wire.certificates import Clock
from pilot_plus.wire.denied import Denied
from pilot_plus.wire.jointoken import JoinToken
from pilot_plus.wire.line import strangers_line

MEET: Final = "/pilot_plus.peer.v1.Peer/Meet"
_TIMEOUT: Final = 10.0
_FOR_GOOD: Final = (StatusCode.PERMISSION_DENIED, StatusCode.UNAUTHENTICATED, StatusCode.INVALID_ARGUMENT)


async def meet(hub: Address, token: JoinToken, ourselves: pb.Introduction, now: Clock) -> pb.Introduction:
    """Introduce ourselves; the other hub's introduction.

    Raises:
        Denied: it is another hub than the token's, it speaks no TLS, or it says no.
        ConnectionError: it can't be reached.
    """
    said = pb.Introduction(token=token.text)
    said.MergeFrom(ourselves)
    async with strangers_line(hub, token.fingerprint, now) as line:
        if not line.secure:
            raise Denied(f"{hub} speaks no TLS: all of its peers are `insecure`")
        ask = line.channel.unary_unary(MEET, pb.Introduction.SerializeToString, pb.Introduction.FromString)
        try:
            answer: pb.Introduction = await ask(said, timeout=_TIMEOUT)
        except aio.AioRpcError as error:
            said_so = f"{hub}: {error.details() or error.code().name.lower()}"
            raise (Denied if error.code() in _FOR_GOOD else ConnectionError)(said_so) from error
    return answer
