"""The body of a request: taken in whole, within bounds, and read as the shape that its route needs."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar

import msgspec

from pilot_plus.servers.api.problem import Problem
from pilot_plus.servers.api.route import JSON, Ask

S = TypeVar("S", bound=msgspec.Struct)

LONGEST: Final = 64 << 10
UNSAID: Final = (b"", b"application/x-www-form-urlencoded")
"""What plain clients (`curl -d`) send when nobody has told them what the body is: it is taken for the JSON that it must
be. That a page of another site could send a form is no matter here: its `Origin` is refused."""
WITHIN: Final = 10.0
"""Seconds for a body to arrive."""


async def received(headers: Mapping[bytes, bytes], receive: Callable[[], Awaitable[Mapping[str, Any]]]) -> bytes:
    """The body of a request that needs one, whole.

    Raises:
        Problem: 408, 413, 415.
    """
    kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if kind not in (JSON, *UNSAID):
        raise Problem(415, f"content-type: expected application/json, found {kind.decode('latin-1')[:100]!r}")
    body = bytearray()
    try:
        async with asyncio.timeout(WITHIN):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Problem(400, "the body ended too early")
                body += message.get("body", b"")
                if len(body) > LONGEST:
                    raise Problem(413, f"the body is longer than {LONGEST} bytes")
                if not message.get("more_body"):
                    return bytes(body)
    except TimeoutError as error:
        raise Problem(408, f"the body did not arrive within {WITHIN:.0f} s", ((b"connection", b"close"),)) from error


def read(ask: Ask, shape: type[S]) -> S:
    """What the body of a request says.

    Raises:
        Problem: 400, and what is wrong where.
    """
    try:
        return msgspec.json.decode(ask.body, type=shape)
    except RecursionError as error:
        raise Problem(400, "the body is nested too deeply") from error
    except (msgspec.MsgspecError, ValueError) as error:
        raise Problem(400, f"the body can't be used: {error}"[:1000]) from error
