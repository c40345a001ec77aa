"""Kazoo's idea of threads, reduced to one: the connection's own, which can be interrupted at any moment.

Kazoo's ordinary handler has a thread for watches and another for results, so that their order is lost, and blocks
where nobody can wake it. Here nothing is called back but what the connection's thread calls itself.
"""

import errno
import os
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from kazoo.exceptions import ConnectionDropped
from kazoo.handlers.threading import KazooTimeoutError, SequentialThreadingHandler

_READ: Final = select.POLLIN | select.POLLHUP | select.POLLERR
_WRITE: Final = select.POLLOUT | select.POLLHUP | select.POLLERR


class _Open(Protocol):
    def fileno(self) -> int: ...


class Handler(SequentialThreadingHandler):  # type: ignore[misc] # kazoo has no types
    """What kazoo asks of its surroundings; `on_attempt` hears of every failed connection, `on_end` of the thread's."""

    name = "one thread"

    def __init__(
        self,
        tls: ssl.SSLContext | None,
        server_name: str,
        on_attempt: Callable[[str, OSError], None],
        on_end: Callable[[BaseException | None], None],
    ) -> None:
        """Make it; nothing is open yet but the pipe that interrupts."""
        super().__init__()
        self._tls = tls
        self._server_name = server_name
        self._on_attempt = on_attempt
        self._on_end = on_end
        self._interrupted = threading.Event()
        self._wake_reading, self._wake_writing = os.pipe()
        self.last_heard = time.monotonic()
        self.sleep_func = self._interrupted.wait

    def start(self) -> None:
        """No threads to start."""

    def stop(self) -> None:
        """No threads to stop."""

    def spawn(self, func: Callable[..., object], *args: object, **kwargs: object) -> threading.Thread:
        """Start the connection's thread, and say how it ended."""

        def run() -> None:
            error: BaseException | None = None
            try:
                func(*args, **kwargs)
            except BaseException as caught:  # noqa: BLE001 - a thread's last line: whoever waits is told
                error = caught
            self._on_end(error)

        thread = threading.Thread(target=run, name="zookeeper", daemon=True)
        thread.start()
        return thread

    def interrupt(self) -> None:
        """Make everything that waits in the connection's thread fail, now and from now on."""
        if not self._interrupted.is_set():
            self._interrupted.set()
            os.write(self._wake_writing, b"\0")

    def close(self) -> None:
        """Give the pipe back, once the thread has ended."""
        os.close(self._wake_reading)
        os.close(self._wake_writing)

    def select(
        self, reading: Sequence[_Open], writing: Sequence[_Open], _: Sequence[_Open], timeout: float | None = None
    ) -> tuple[list[_Open], list[_Open], list[_Open]]:
        """Wait as `select` does, without its limit of 1024 and without opening a file for each call."""
        poll = select.poll()
        poll.register(self._wake_reading, select.POLLIN)
        wanted: dict[int, _Open] = {}
        for file, events in [(file, _READ) for file in reading] + [(file, _WRITE) for file in writing]:
            wanted[file.fileno()] = file
            poll.register(file.fileno(), events)
        ready = {number for number, _ in poll.poll(None if timeout is None else max(0.0, timeout) * 1000)}
        if self._wake_reading in ready:
            raise ConnectionDropped("closed by us")
        found = [wanted[number] for number in ready]
        return [file for file in found if file in reading], [file for file in found if file in writing], []

    def create_connection(
        self, address: tuple[str, int], hostname: str = "", timeout: float = 10.0, **_: object
    ) -> socket.socket:
        """Connect, with TLS if there is any; kazoo's own options for TLS are not used."""
        try:
            return self._connect(address, hostname, time.monotonic() + timeout)
        except OSError as error:
            self._on_attempt(f"{hostname or address[0]}:{address[1]}", error)
            raise
        except KazooTimeoutError as error:
            self._on_attempt(f"{hostname or address[0]}:{address[1]}", TimeoutError("no answer"))
            raise ConnectionDropped("no answer") from error

    def _connect(self, address: tuple[str, int], hostname: str, deadline: float) -> socket.socket:
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        connection = socket.socket(family, socket.SOCK_STREAM)
        try:
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if (code := connection.connect_ex(address)) not in (0, errno.EINPROGRESS):
                raise OSError(code, os.strerror(code))
            self._await_ready([], [connection], deadline)
            if code := connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise OSError(code, os.strerror(code))
            return self._secured(connection, hostname, deadline)
        except BaseException:
            connection.close()
            raise

    def _secured(self, connection: socket.socket, hostname: str, deadline: float) -> socket.socket:
        if self._tls is None:
            return connection
        secure = self._tls.wrap_socket(
            connection, server_hostname=self._server_name or hostname, do_handshake_on_connect=False
        )
        while True:
            try:
                secure.do_handshake()
            except ssl.SSLWantReadError:
                self._await_ready([secure], [], deadline)
            except ssl.SSLWantWriteError:
                self._await_ready([], [secure], deadline)
            except BaseException:
                secure.close()
                raise
            else:
                return secure

    def _await_ready(self, reading: list[_Open], writing: list[_Open], deadline: float) -> None:
        if not any(self.select(reading, writing, [], deadline - time.monotonic())):
            raise KazooTimeoutError("no answer")
