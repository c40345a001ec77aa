"""Consul's HTTP API: one request, one answer, and every failure is a `SourceLost` or a `ValueError`."""

import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final, Generic, TypeVar
from urllib.parse import quote

import aiohttp
import msgspec
from aiohappyeyeballs import AddrInfoType
from yarl import URL

from pilot_plus.ports import SourceLost
from registries.consul.settings import ASKING, WRITING, Settings
from registries.tls import client_context

PATIENCE: Final = 6.0
"""Seconds that an answer may take beyond what the query waits for."""
MAX_ANSWER: Final = 256 << 20
"""Bytes; an answer that is larger is no answer."""
MAX_LAG_MS: Final = 10_000
"""A server that has not heard its leader for so long answers with history."""
_IDLE: Final = 90.0
"""Seconds that an unused connection is kept: longer than a long poll, for there may be no room for a new one."""
_ENDED: Final = (
    "it has ended, or it allows fewer connections (its limits.http_max_conns_per_client) than the setting `connections`"
)


class Hangup(SourceLost):
    """Consul closed the connection without an answer: it has ended, or we hold too many."""


T = TypeVar("T")


class Answer(msgspec.Struct, Generic[T], frozen=True):
    """What Consul says, and up to where."""

    body: T
    index: int
    filtered: bool
    """Consul says that it has left out what the token may not read (since 1.11; older ones keep silent)."""


class Agent:
    """One agent's API, asked through a bounded number of connections."""

    def __init__(self, settings: Settings, session: aiohttp.ClientSession) -> None:
        self.settings = settings
        self._session = session
        self._server_name = settings.tls.server_name or None

    async def read(
        self, path: str, kind: type[T], *, index: int = 0, wait: float = 0.0, query: Mapping[str, str] | None = None
    ) -> Answer[T]:
        """Read a list of the catalog: anew, or as soon as it has changed since `index`.

        A new reading is `consistent`: after an election a leader answers others from a state that it may still be
        replaying. A blocking one needs no such proof, for it waits until the state has passed the index.

        Raises:
            SourceLost: no answer, an error, or an answer that no leader stands behind.
            ValueError: Consul can't be asked for such a path.
        """
        mode = {"index": str(index), "wait": f"{wait:g}s"} if index else {"consistent": ""}
        asked = {**(query or {}), **mode}
        async with self.request("GET", path, query=asked, seconds=wait * 17 / 16 + PATIENCE if index else 0) as reply:
            if reply.status == 403:
                raise self._lost(await _complaint(reply))
            if reply.status in (301, 307, 308, 400, 404):
                raise ValueError(f"Consul's HTTP API can't be asked for this name: status {reply.status}")
            body = await self._body(reply)
            answered = _index_of(reply)
        return Answer(self._decoded(path, body, kind), answered, "x-consul-results-filtered-by-acls" in reply.headers)

    @asynccontextmanager
    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: object = None,
        seconds: float = 0.0,
        judged: bool = True,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send one request.

        Raises:
            SourceLost: the connection failed or is closed, no answer came in time, or (if `judged`) Consul has failed.
        """
        if self._session.closed:
            raise self._lost("we have closed the connection")
        asked = dict(query or {})
        if self.settings.datacenter:
            asked["dc"] = self.settings.datacenter
        url = URL(self.settings.url.rstrip("/") + path, encoded=True).with_query(asked)
        data = None if body is None else msgspec.json.encode(body)
        timeout = aiohttp.ClientTimeout(total=seconds or PATIENCE)
        try:
            async with self._session.request(
                method, url, data=data, timeout=timeout, allow_redirects=False, server_hostname=self._server_name
            ) as reply:
                if judged and (reply.status == 429 or reply.status >= 500):
                    raise self._lost(await _complaint(reply))
                yield reply
        except TimeoutError as error:
            raise self._lost(f"no answer within {timeout.total:g} s") from error
        except aiohttp.ClientConnectorError as error:
            raise self._lost(str(error)) from error
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, ConnectionError) as error:
            raise Hangup(f"Consul at {self.settings.url}: closed the connection; {_ENDED}") from error
        except (aiohttp.ClientError, OSError) as error:
            raise self._lost(str(error) or type(error).__name__) from error

    async def text(
        self, method: str, path: str, body: object = None, query: Mapping[str, str] | None = None
    ) -> tuple[int, str]:
        """Send one request; its status, whatever that is, and its answer as text.

        Raises:
            SourceLost: there was no answer.
        """
        async with self.request(method, path, query=query, body=body, judged=False) as reply:
            return reply.status, (await self._body(reply)).decode(errors="replace").strip()

    async def _body(self, reply: aiohttp.ClientResponse) -> bytes:
        if reply.status != 200:
            return await reply.content.read(4096)
        parts = bytearray()
        async for part in reply.content.iter_any():
            parts += part
            if len(parts) > MAX_ANSWER:
                raise self._lost(f"an answer of more than {MAX_ANSWER >> 20} MB")
        return bytes(parts)

    def _decoded(self, path: str, body: bytes, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(body, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise self._lost(f"{path[:100]}: not Consul's JSON: {str(error)[:200]}") from error

    def _lost(self, why: str) -> SourceLost:
        return SourceLost(f"Consul at {self.settings.url}: {why}")


class Lines(msgspec.Struct, frozen=True):
    """One Consul over separate connections, so that no kind of question waits behind another."""

    listing: Agent
    """One: the list, by which Consul's life is told."""
    asking: Agent
    """A few: what is read or written at once."""
    writing: Agent
    """A few, opened with the first write."""
    polling: Agent
    """The rest: long polls."""


@asynccontextmanager
async def open_lines(settings: Settings) -> AsyncIterator[Lines]:
    """Open the API; leaving it closes every connection."""
    async with (
        _session(settings, 1) as listing,
        _session(settings, ASKING) as asking,
        _session(settings, WRITING) as writing,
        _session(settings, settings.polls) as polling,
    ):
        yield Lines(*(Agent(settings, session) for session in (listing, asking, writing, polling)))


@asynccontextmanager
async def _session(settings: Settings, connections: int) -> AsyncIterator[aiohttp.ClientSession]:
    context = client_context(settings.tls) if settings.url.startswith("https") else True
    connector = aiohttp.TCPConnector(
        limit=connections, keepalive_timeout=_IDLE, socket_factory=_watched_socket, ssl=context
    )
    # Consul compresses where it may, which costs it more than a local network does.
    headers = {"Accept-Encoding": "identity", **({"X-Consul-Token": settings.token} if settings.token else {})}
    jar = aiohttp.DummyCookieJar()
    async with aiohttp.ClientSession(connector=connector, headers=headers, cookie_jar=jar) as session:
        # aiohttp sends a GET again when its connection breaks: that would hide a restart, and with it a loss.
        session._retry_connection = False  # noqa: SLF001 - it has no public name; a test watches over it
        yield session


def segment(name: str) -> str:
    """A name as one part of a path."""
    return quote(name, safe="")


def _watched_socket(address: AddrInfoType) -> socket.socket:
    """A socket whose peer is noticed when it is cut off, also while a long poll is silent."""
    family, kind, protocol, _, _ = address
    opened = socket.socket(family, kind, protocol)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 5), ("TCP_KEEPINTVL", 3), ("TCP_KEEPCNT", 2), ("TCP_USER_TIMEOUT", 11_000)):
        if hasattr(socket, option):
            opened.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    return opened


def _index_of(reply: aiohttp.ClientResponse) -> int:
    """The index of an answer that a leader stands behind."""
    headers = reply.headers
    if headers.get("x-consul-knownleader") != "true":
        raise SourceLost("Consul answered without a known leader: that is no truth")
    lag, index = headers.get("x-consul-lastcontact", "0"), headers.get("x-consul-index", "")
    if not (lag.isdecimal() and index.isdecimal() and len(index) < 20 and len(lag) < 20):
        raise SourceLost(f"no Consul: X-Consul-Index {index[:40]!r}, X-Consul-LastContact {lag[:40]!r}")
    if int(lag) > MAX_LAG_MS:
        raise SourceLost(f"the Consul server that answers has not heard its leader for {int(lag) / 1000:.0f} s")
    return int(index)


async def _complaint(reply: aiohttp.ClientResponse) -> str:
    text = (await reply.content.read(300)).decode(errors="replace").strip()
    meaning = {403: "refuses the token", 429: "limits our rate"}.get(reply.status, f"answered with {reply.status}")
    return f"{meaning}: {text!r}"
