"""A TCP proxy that breaks connections on purpose: cut, stalled, slow, or half delivered."""

import asyncio
import contextlib
import socket
import struct
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from devservers.network import HOST, free_port

_CHUNK = 65_536
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_IN_FLIGHT = 64  # chunks in a direction
_SLICE = 0.02  # seconds of a limited rate that go out at once


@dataclass(eq=False)
class _Connection:
    """One client's connection while it is open."""

    client: socket.socket
    allowance: int | None  # bytes from the server that still pass
    is_cut: bool = False
    task: asyncio.Task[None] | None = None


@dataclass(frozen=True, eq=False)
class _Way:
    """One direction of a connection."""

    writer: asyncio.StreamWriter
    connection: _Connection
    is_to_client: bool


class FaultProxy:
    """Forwards `address` to a target (HOST:PORT), until told otherwise; `heal()` ends every fault.

    Faults take effect at once and need no await. The counters go on over faults.
    """

    def __init__(self, target: str) -> None:
        """Choose a port; it stays the same for the life of the object."""
        host, _, port = target.rpartition(":")
        self._target = host, int(port)
        self.port = free_port()
        self.connections = 0
        self.bytes_to_server = 0
        self.bytes_to_client = 0
        self._open: set[_Connection] = set()
        self._listener: socket.socket | None = None
        self._flowing = asyncio.Event()
        self._delay = 0.0
        self._rate: float | None = None
        self._allowance: int | None = None

    def __repr__(self) -> str:
        """Show the way and the faults."""
        faults = {"cut": self._listener is None, "stalled": not self._flowing.is_set(), "slow": bool(self._delay)}
        state = ", ".join(name for name, is_on in faults.items() if is_on) or "healthy"
        return f"<FaultProxy {self.address} to {self._target[0]}:{self._target[1]}, {state}>"

    @property
    def address(self) -> str:
        """HOST:PORT."""
        return f"{HOST}:{self.port}"

    @property
    def open_connections(self) -> int:
        """How many clients are connected now."""
        return len(self._open)

    def cut(self) -> None:
        """Reset every connection and refuse new ones."""
        self._close_listener()
        self.reset()

    def reset(self) -> None:
        """Reset every connection; new ones are welcome."""
        for connection in list(self._open):
            connection.is_cut = True
            if connection.task:
                connection.task.cancel()

    def stall(self) -> None:
        """Accept, keep everything open, and forward nothing: a black hole. What was sent arrives after `heal()`."""
        self._flowing.clear()

    def delay(self, seconds: float) -> None:
        """Deliver every byte this much later, in both directions."""
        self._delay = seconds

    def limit(self, bytes_per_second: float) -> None:
        """Deliver no faster than this, in each direction of each connection."""
        self._rate = bytes_per_second

    def cut_after(self, count: int) -> None:
        """Reset every connection, old or new, once this many more bytes from the server have passed on it."""
        self._allowance = count
        for connection in self._open:
            connection.allowance = count

    def heal(self) -> None:
        """End every fault."""
        self._delay, self._rate, self._allowance = 0.0, None, None
        for connection in self._open:
            connection.allowance = None
        self._flowing.set()
        self._open_listener()

    async def __aenter__(self) -> Self:
        """Listen."""
        self.heal()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        """Reset every connection and stop listening."""
        tasks = [connection.task for connection in self._open if connection.task]
        self.cut()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _open_listener(self) -> None:
        if self._listener is None:
            self._listener = socket.create_server((HOST, self.port), backlog=1024)
            self._listener.setblocking(False)
            asyncio.get_running_loop().add_reader(self._listener, self._accept, self._listener)

    def _close_listener(self) -> None:
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
            self._listener = None

    def _accept(self, listener: socket.socket) -> None:
        try:
            client, _ = listener.accept()
        except OSError:
            return  # it went away while it waited
        client.setblocking(False)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connections += 1
        connection = _Connection(client, self._allowance)
        self._open.add(connection)
        # Not a TaskGroup: the proxy may be entered in one task and left in another, as test fixtures do. It
        # holds every task in `_open`, cancels it in `cut`, and waits for it when it is left.
        connection.task = asyncio.get_running_loop().create_task(self._serve(connection))
        connection.task.add_done_callback(lambda _: self._forget(connection))

    def _forget(self, connection: _Connection) -> None:
        self._open.discard(connection)
        connection.client.close()  # of a task that was cancelled before it began

    async def _serve(self, connection: _Connection) -> None:
        writers: list[asyncio.StreamWriter] = []
        try:
            from_client, to_client = await asyncio.open_connection(sock=connection.client)
            writers.append(to_client)
            await self._flowing.wait()
            from_server, to_server = await asyncio.open_connection(*self._target)
            writers.append(to_server)
            async with asyncio.TaskGroup() as ways:
                ways.create_task(self._pipe(from_client, _Way(to_server, connection, is_to_client=False)))
                ways.create_task(self._pipe(from_server, _Way(to_client, connection, is_to_client=True)))
        except* OSError:
            connection.is_cut = True  # one side was reset, so is the other
        finally:
            for writer in writers:
                _hang_up(writer, connection.is_cut)

    async def _pipe(self, reader: asyncio.StreamReader, way: _Way) -> None:
        """Carry one direction to its end; what is on its way is bounded by the queue."""
        way.writer.transport.set_write_buffer_limits(0)  # so that drained means sent
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_IN_FLIGHT)
        async with asyncio.TaskGroup() as ends:
            ends.create_task(self._take_in(reader, queue))
            ends.create_task(self._give_out(queue, way))

    async def _take_in(self, reader: asyncio.StreamReader, queue: asyncio.Queue[tuple[float, bytes]]) -> None:
        chunk = b"-"
        while chunk:
            chunk = await reader.read(_CHUNK)
            await queue.put((asyncio.get_running_loop().time() + self._delay, chunk))

    async def _give_out(self, queue: asyncio.Queue[tuple[float, bytes]], way: _Way) -> None:
        while True:
            due, chunk = await queue.get()
            await asyncio.sleep(due - asyncio.get_running_loop().time())
            if not chunk:
                await self._flowing.wait()
                way.writer.write_eof()
                return
            while chunk:
                size = max(1, int(self._rate * _SLICE)) if self._rate else len(chunk)
                await self._flowing.wait()
                await self._deliver(chunk[:size], way)
                chunk = chunk[size:]

    async def _deliver(self, piece: bytes, way: _Way) -> None:
        allowance = way.connection.allowance if way.is_to_client else None
        piece = piece[:allowance]
        way.writer.write(piece)
        await way.writer.drain()
        if not way.is_to_client:
            self.bytes_to_server += len(piece)
        else:
            self.bytes_to_client += len(piece)
        if allowance is not None:
            way.connection.allowance = allowance - len(piece)
            if way.connection.allowance == 0:
                raise ConnectionResetError("the allowance of this connection is used up")
        if self._rate:
            await asyncio.sleep(len(piece) / self._rate)


def _hang_up(writer: asyncio.StreamWriter, is_cut: bool) -> None:
    if is_cut:
        with contextlib.suppress(OSError):
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        writer.transport.abort()
    else:
        writer.close()
