"""The protocol: uvicorn's, with limits on what a client may do before its request is there."""

from asyncio import TimerHandle, Transport
from typing import Final, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from pilot_plus.servers.api.app import ABORT, Api
from pilot_plus.servers.api.problem import Problem

HEAD_BYTES: Final = 64 << 10
HEADERS: Final = 100
HEAD_WITHIN: Final = 10.0
"""Seconds for a request's head to arrive, once it has begun."""


class LimitedProtocol(HttpToolsProtocol):
    """Cuts off heads that are too long, have too many lines, or never end."""

    _head_bytes = 0
    """Bytes of a head that has begun and not ended."""
    _heads = 0
    """How many heads are complete."""
    _in_head = True
    _lines_bytes = 0
    """Bytes of the head's lines so far."""
    _is_too_large = False
    _deadline: TimerHandle | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Give a client so long to say what it wants."""
        super().connection_made(transport)
        self._deadline = self.loop.call_later(HEAD_WITHIN, self._give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the deadline."""
        self._cancel_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take more of a head, if it is not too much; or of a body, which may come together with it."""
        before = self._heads if self._in_head else -1
        super().data_received(data)
        if not self._in_head or self.transport.is_closing():
            return
        self._head_bytes += len(data) if before == self._heads else 0
        if self._head_bytes > HEAD_BYTES:
            self._is_too_large = True
            self.send_400_response("")
        elif self._head_bytes and self._deadline is None:
            self._deadline = self.loop.call_later(HEAD_WITHIN, self._give_up)

    def on_message_begin(self) -> None:
        """A head begins."""
        super().on_message_begin()
        self._in_head, self._head_bytes, self._lines_bytes = True, 1, 0
        self.scope["extensions"] = {ABORT: {"now": self.transport.abort}}

    def on_url(self, url: bytes) -> None:
        """A part of what is asked for."""
        self._take_line(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """One line of it."""
        self._take_line(name, value)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is there."""
        self._in_head, self._head_bytes = False, 0
        self._heads += 1
        self._cancel_deadline()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The next bytes are another head."""
        super().on_message_complete()
        self._in_head = True

    def send_400_response(self, msg: str) -> None:
        """Say what is wrong with what is no request, in the form of every other problem, and close."""
        if self.transport.is_closing():
            return
        problem = Problem(400, "what came is no request of HTTP/1.1")
        if self._is_too_large:
            problem = Problem(431, f"a head has at most {HEADERS} lines and {HEAD_BYTES >> 10} KB")
        self.transport.write(cast("Api", self.app).refusal(problem))
        self.transport.close()

    def _take_line(self, *parts: bytes) -> None:
        self._lines_bytes += sum(map(len, parts))
        if len(self.headers) >= HEADERS or self._lines_bytes > HEAD_BYTES:
            self._is_too_large = True
            raise ValueError("the head is too large")

    def _give_up(self) -> None:
        self._deadline = None
        if not self.transport.is_closing():
            self.transport.close()

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
