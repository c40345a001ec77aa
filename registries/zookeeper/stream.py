"""Kazoo's connection, taught from outside to carry many requests at once, and to hand over every watch event.

Four methods of the connection are replaced on the instance (kazoo is pinned, and `tests/registries/zookeeper` holds
a test of each): kazoo sends one request and reads one answer for each turn of its loop, and knows no recursive watch.
"""

import ssl
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from kazoo.client import KazooClient
from kazoo.exceptions import ConnectionDropped
from kazoo.protocol import serialization as jute
from kazoo.protocol.connection import AUTH_XID

from registries.zookeeper.handler import Handler

IN_FLIGHT: Final = 500
"""Requests that are sent together. 20,000 at once would stall the event loop for a third of a second."""
_PIECE: Final = 1 << 18


class Stream:
    """What stands between kazoo's connection and its socket."""

    def __init__(self, client: KazooClient, handler: Handler, on_event: Callable[[int, str], None]) -> None:
        """Replace the four methods."""
        # kazoo has no types, and what we touch of it is private: one `Any` each keeps that in this file.
        self._client: Any = client
        self._connection: Any = client._connection
        self._handler = handler
        self._on_event = on_event
        self._buffer = bytearray()
        self._socket: object = None
        self._read_one: Callable[[float], object] = self._connection._read_socket
        self._connection._read = self._read
        self._connection._read_socket = self._read_socket
        self._connection._send_request = self._send_requests
        self._connection._read_watch_event = self._read_watch_event

    def wake(self) -> None:
        """Tell the connection's thread that there is something to send."""
        if (wake := self._connection._write_sock) is not None:
            wake.send(b"\0")

    def _send_requests(self, _: float, timeout: float) -> None:
        """Send what is queued, in one piece."""
        self._connection._read_sock.recv(_PIECE)
        queue: deque[tuple[Any, object]] = self._client._queue
        frames = bytearray()
        for _turn in range(min(len(queue), IN_FLIGHT)):
            request, reply = queue.popleft()
            frames += self._framed(request, reply)
        if queue:
            self.wake()
        if frames:
            self._connection._write(bytes(frames), timeout)

    def _framed(self, request: Any, reply: object) -> bytes:
        if request.type == jute.Auth.type:
            xid = AUTH_XID
        else:
            self._connection._xid = xid = (self._connection._xid % 2147483647) + 1
        self._client._pending.append((request, reply, xid))
        body = bytes(jute.int_int_struct.pack(xid, request.type)) + bytes(request.serialize())
        return bytes(jute.int_struct.pack(len(body))) + body

    def _read_socket(self, timeout: float) -> object:
        """Read every answer and event that has come."""
        response = self._read_one(timeout)
        while response is None and self._holds_a_frame():
            response = self._read_one(timeout)
        return response

    def _holds_a_frame(self) -> bool:
        held: int = len(self._buffer) - jute.int_struct.size
        return held >= 0 and held >= int.from_bytes(self._buffer[: jute.int_struct.size])

    def _read(self, length: int, timeout: float) -> bytes:
        """Return so many bytes, reading ahead."""
        connection = self._connection
        if connection._socket is not self._socket:
            self._socket = connection._socket
            self._buffer.clear()
        with connection._socket_error_handling():
            while len(self._buffer) < length:
                self._receive(connection._socket, timeout)
        piece = bytes(memoryview(self._buffer)[:length])
        del self._buffer[:length]
        return piece

    def _receive(self, socket: Any, timeout: float) -> None:
        has_more = hasattr(socket, "pending") and socket.pending() > 0  # TLS has read what no `select` can see
        if not has_more and not self._handler.select([socket], [], [], timeout)[0]:
            raise self._handler.timeout_exception("socket time-out during read")
        try:
            piece = socket.recv(_PIECE)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        if not piece:
            raise ConnectionDropped("the server closed the connection")
        self._handler.last_heard = time.monotonic()
        self._buffer += piece

    def _read_watch_event(self, data: bytes, offset: int) -> None:
        watch, _ = jute.Watch.deserialize(data, offset)
        self._on_event(watch.type, self._client.unchroot(watch.path))
