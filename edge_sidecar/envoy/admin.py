"""The admin socket of an Envoy, over HTTP: is it ready, what does it count, let it drain."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote

import msgspec

TIMEOUT: Final = 5.0
"""Seconds."""
_PIECE: Final = 1 << 16


FIGURES: Final = (
    r"^(listener\..*\.downstream_cx_active"
    r"|listener_manager\.total_listeners_warming|cluster_manager\.warming_clusters)$"
)


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """How an Envoy is."""

    connections: int
    """Those that are open to listeners of the edge."""
    is_warm: bool
    """Whether all that it has accepted is in use."""


class Admin:
    """An Envoy's admin socket."""

    def __init__(self, place: Path) -> None:
        self._place = place

    def __repr__(self) -> str:
        return f"<Admin {self._place}>"

    async def is_ready(self) -> bool:
        """Whether it has all that it asked for and takes connections."""
        try:
            return (await self._ask("GET", "/ready")).strip() == "LIVE"
        except OSError:
            return False

    async def drain(self) -> None:
        """Take no new connections, and ask those that are open to go.

        Raises:
            OSError: it doesn't answer.
        """
        await self._ask("POST", "/drain_listeners?graceful&skip_exit")  # answers say goodbye from now on
        await self._ask("POST", "/drain_listeners")  # the first alone leaves the doors open, until Envoy ends

    async def figures(self, pattern: str = FIGURES, type_: str = "Gauges") -> Mapping[str, int]:
        """What it counts under names that match; by default, what the agent looks at.

        Each name of that type costs Envoy a match.

        Raises:
            OSError: it doesn't answer.
        """
        text = await self._ask("GET", f"/stats?format=json&type={type_}&filter={quote(pattern)}")
        try:
            found = json.loads(text)["stats"]
            return {one["name"]: int(one["value"]) for one in found if "value" in one}
        except (ValueError, KeyError, TypeError) as error:
            raise OSError(f"{self._place}: no figures: {error}") from error

    async def look(self) -> "Look":
        """What the agent must know of it.

        Raises:
            OSError: it doesn't answer.
        """
        figures = await self.figures()
        return Look(
            connections=sum(value for name, value in figures.items() if _is_ours(name)),
            is_warm=not any(value for name, value in figures.items() if "warming" in name),
        )

    async def metrics(self, write: Callable[[bytes], object]) -> None:
        """All that it counts and has used, as Prometheus reads it, piece by piece: it may be tens of megabytes.

        Raises:
            OSError: it doesn't answer.
        """
        await self._converse("GET", "/stats/prometheus?usedonly", write)

    async def reopen_logs(self) -> None:
        """Open the access log anew: the one that it had was moved away.

        Raises:
            OSError: it doesn't answer.
        """
        await self._ask("POST", "/reopen_logs")

    async def _ask(self, method: str, path: str) -> str:
        """The body of an answer with the status 200."""
        pieces: list[bytes] = []
        await self._converse(method, path, pieces.append)
        return b"".join(pieces).decode(errors="replace")

    async def _converse(self, method: str, path: str, write: Callable[[bytes], object]) -> None:
        try:
            async with asyncio.timeout(TIMEOUT):
                reader, writer = await asyncio.open_unix_connection(self._place)
                try:
                    writer.write(f"{method} {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n".encode())
                    head = (await reader.readuntil(b"\r\n\r\n")).lower()
                    status = head.partition(b"\r\n")[0].decode(errors="replace")
                    if " 200" not in status and path != "/ready":
                        raise ConnectionError(f"{self._place}: {path} is answered by {status!r}")
                    async for piece in _body(reader, is_chunked=b"transfer-encoding: chunked" in head):
                        write(piece)
                finally:
                    writer.close()
        except TimeoutError as error:
            raise ConnectionError(f"{self._place}: no answer within {TIMEOUT:.0f} s") from error
        except (EOFError, ValueError, asyncio.LimitOverrunError) as error:
            raise ConnectionError(f"{self._place}: the answer to {path} broke off") from error


def _is_ours(name: str) -> bool:
    return name.endswith("_cx_active") and ".worker_" not in name and not name.startswith("listener.admin")


async def _body(reader: asyncio.StreamReader, *, is_chunked: bool) -> AsyncIterator[bytes]:
    """The body of an answer, after which the other side closes; Envoy speaks no HTTP/1.0, which has no chunks."""
    while not is_chunked:
        piece = await reader.read(_PIECE)
        if not piece:
            return
        yield piece
    while size := int(await reader.readuntil(b"\r\n"), 16):
        while size:
            piece = await reader.readexactly(min(size, _PIECE))
            size -= len(piece)
            yield piece
        await reader.readexactly(2)
