"""The protocol: uvicorn's, with limits on what a client may do before its request is there."""

from asyncio import TimerHandle, Transport
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from pilot_plus.servers.api.app import ABORT

HEAD_BYTES: Final = 64 << 10
HEADERS: Final = 100
HEAD_WITHIN: Final = 10.0
"""Seconds for a request's head to arrive, once it has begun."""

_TOO_LARGE: Final = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class LimitedProtocol(HttpToolsProtocol):
    """Cuts off heads that are too long, have too many lines, or never end."""

    _head_bytes = 0
    _in_head = True
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
        """Take more of a head, if it is not too much; or of a body."""
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES:
                self._refuse()
                return
        super().data_received(data)
        if self._in_head and self._head_bytes and self._deadline is None:
            self._deadline = self.loop.call_later(HEAD_WITHIN, self._give_up)

    def on_message_begin(self) -> None:
        """A head begins."""
        super().on_message_begin()
        self._in_head, self._head_bytes = True, 1
        self.scope["extensions"] = {ABORT: {"now": self.transport.abort}}

    def on_header(self, name: bytes, value: bytes) -> None:
        """One line of it."""
        if len(self.headers) >= HEADERS:
            raise ValueError(f"more than {HEADERS} headers")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is there."""
        self._in_head, self._head_bytes = False, 0
        self._cancel_deadline()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The next bytes are another head."""
        super().on_message_complete()
        self._in_head = True

    def _refuse(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(_TOO_LARGE)
            self.transport.close()

    def _give_up(self) -> None:
        self._deadline = None
        if not self.transport.is_closing():
            self.transport.close()

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
