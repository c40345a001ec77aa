"""The API server's HTTP, and nothing of what it means: answers, lines of a watch, and every failure as `SourceLost`."""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Final
from weakref import WeakSet

import aiohttp
import msgspec

from pilot_plus.ports import SourceLost
from registries.kubernetes.kubeconfig import Access
from registries.kubernetes.objects import Status, read

SILENCE: Final = 10.0
"""Seconds without a byte after which an answer is given up."""
MAX_ANSWER: Final = 256 << 20
MAX_LINE: Final = 8 << 20
"""The API server keeps no object above 3 MiB."""

Params = Mapping[str, str]

_KEEPING: Final = (("TCP_KEEPIDLE", 5), ("TCP_KEEPINTVL", 3), ("TCP_KEEPCNT", 3), ("TCP_USER_TIMEOUT", 14_000))
_TURNS: Final = 10
"""Of the event loop, for a transport to notice that its socket has ended."""


class Answer(msgspec.Struct, frozen=True):
    """What the API server said to one request."""

    status: int
    body: bytes

    @property
    def why(self) -> str:
        """The status, and the server's reason, for people."""
        return f"HTTP {self.status}{_reason(self.body)}"


class Client:
    """Requests to one API server, with our credentials."""

    def __init__(self, session: aiohttp.ClientSession, access: Access) -> None:
        self._session = session
        self._access = access

    async def ask(
        self,
        method: str,
        path: str,
        params: Params | None = None,
        *,
        body: bytes | None = None,
        content: str = "application/json",
        silence: float = SILENCE,
    ) -> Answer:
        """One request and its whole answer, whatever its status.

        Raises:
            SourceLost: there is no answer, or it is endless.
        """
        with _mapped(path):
            async with self._send(method, path, params, body, content, silence) as response:
                return Answer(response.status, await _whole(response))

    async def get(self, path: str, params: Params | None = None, *, silence: float = SILENCE) -> bytes:
        """The body of a successful answer.

        Raises:
            SourceLost: there is none.
        """
        answer = await self.ask("GET", path, params, silence=silence)
        if answer.status != 200:
            raise SourceLost(f"{path}: {answer.why}")
        return answer.body

    async def lines(self, path: str, params: Params, *, silence: float) -> AsyncIterator[list[bytes]]:
        """The lines of a stream, as many at a time as are there; ends where the server ends it in order.

        `silence`: seconds without a byte after which it is given up.

        Raises:
            SourceLost: it is refused, breaks off, or holds a line without end.
        """
        with _mapped(path):
            async with self._send("GET", path, params, None, "", silence) as response:
                if response.status != 200:
                    raise SourceLost(f"{path}: watch: {Answer(response.status, await _whole(response)).why}")
                rest = b""
                async for chunk in response.content.iter_any():
                    *lines, rest = (rest + chunk if rest else chunk).split(b"\n")
                    if len(rest) > MAX_LINE:
                        raise SourceLost(f"{path}: watch: a line has more than {MAX_LINE} bytes")
                    if lines:
                        yield lines
                if rest.strip():
                    raise SourceLost(f"{path}: watch: it broke off in the middle of an event")

    @asynccontextmanager
    async def _send(
        self, method: str, path: str, params: Params | None, body: bytes | None, content: str, silence: float
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """A request; a refused token is asked for once more, for it may have been replaced."""
        for refused in (False, True):
            headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
            if token := await self._access.credentials.token(refused=refused):
                headers["Authorization"] = f"Bearer {token}"
            if body is not None:
                headers["Content-Type"] = content
            async with self._session.request(
                method,
                self._access.server / path.lstrip("/"),
                params=params,
                data=body,
                headers=headers,
                allow_redirects=False,
                server_hostname=self._access.server_name or None,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=silence),
            ) as response:
                if response.status != 401 or refused:
                    yield response
                    return


@asynccontextmanager
async def client(access: Access) -> AsyncIterator[Client]:
    """A client with connections of its own."""
    sockets = _Sockets()
    connector = aiohttp.TCPConnector(limit=0, ssl=access.tls or True, socket_factory=sockets.make)
    try:
        async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:
            yield Client(session, access)
    finally:
        await sockets.end()


class _Sockets:
    """The sockets of a client."""

    def __init__(self) -> None:
        self._made: WeakSet[socket.socket] = WeakSet()

    def make(self, address: tuple[int, int, int, str, tuple[object, ...]]) -> socket.socket:
        """A socket that notices within 15 s that the other machine is gone, watch or no watch."""
        family, kind, protocol, *_ = address
        made = socket.socket(family, kind, protocol)
        made.setblocking(False)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _KEEPING:
            if hasattr(socket, option):
                made.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
        self._made.add(made)
        return made

    async def end(self) -> None:
        """End those that are left: asyncio forgets a connection that is given up just before its TLS begins."""
        for made in list(self._made):
            with suppress(OSError):
                made.shutdown(socket.SHUT_RDWR)
        for _ in range(_TURNS):
            if all(made.fileno() < 0 for made in self._made):
                return
            await asyncio.sleep(0)


class _mapped:  # noqa: N801 - read as a statement: with _mapped(path)
    """Turns what aiohttp raises into `SourceLost`."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        match error:
            case TimeoutError():
                raise SourceLost(f"{self._path}: no answer in time") from error
            case aiohttp.ClientError() | OSError() | ValueError():
                raise SourceLost(f"{self._path}: {str(error)[:300] or type(error).__name__}") from error


async def _whole(response: aiohttp.ClientResponse) -> bytes:
    parts, size = [], 0
    async for chunk in response.content.iter_any():
        parts.append(chunk)
        size += len(chunk)
        if size > MAX_ANSWER:
            raise SourceLost(
                f"{response.url.path}: the answer has more than {MAX_ANSWER} bytes; lower settings.page_size"
            )
    return b"".join(parts)


def _reason(body: bytes) -> str:
    """What a `Status` object says, on one line."""
    try:
        message = read(body, Status).message
    except ValueError:
        return ""
    printable = "".join(c if c.isprintable() else " " for c in message[:300])
    return f": {printable}" if printable else ""
