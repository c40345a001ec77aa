"""The admin socket of an Envoy, over HTTP: is it ready, what does it count, let it drain."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote

TIMEOUT: Final = 5.0
"""Seconds."""


FIGURES: Final = (
    r"^(listener\..*\.downstream_cx_active"
    r"|listener_manager\.total_listeners_warming|cluster_manager\.warming_clusters)$"
)


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

    async def figures(self, pattern: str = FIGURES) -> Mapping[str, int]:
        """What it counts under names that match; by default, what the agent looks at.

        Raises:
            OSError: it doesn't answer.
        """
        text = await self._ask("GET", f"/stats?format=json&filter={quote(pattern)}")
        try:
            found = json.loads(text)["stats"]
            return {one["name"]: int(one["value"]) for one in found if "value" in one}
        except (ValueError, KeyError, TypeError) as error:
            raise OSError(f"{self._place}: no figures: {error}") from error

    async def connections(self) -> int:
        """Connections that are open to listeners of the edge.

        Raises:
            OSError: it doesn't answer.
        """
        figures = await self.figures()
        return sum(value for name, value in figures.items() if name.startswith("listener.") and _is_ours(name))

    async def metrics(self) -> str:
        """All that it counts and has used, as Prometheus reads it.

        Raises:
            OSError: it doesn't answer.
        """
        return await self._ask("GET", "/stats/prometheus?usedonly")

    async def reopen_logs(self) -> None:
        """Open the access log anew: the one that it had was moved away.

        Raises:
            OSError: it doesn't answer.
        """
        await self._ask("POST", "/reopen_logs")

    async def is_warm(self) -> bool:
        """Whether all that it has accepted is in use.

        Raises:
            OSError: it doesn't answer.
        """
        figures = await self.figures()
        return not any(value for name, value in figures.items() if name.endswith("_warming"))

    async def _ask(self, method: str, path: str) -> str:
        """The body of an answer with the status 200."""
        try:
            async with asyncio.timeout(TIMEOUT):
                reader, writer = await asyncio.open_unix_connection(self._place)
                try:
                    writer.write(f"{method} {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n".encode())
                    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
                finally:
                    writer.close()
        except TimeoutError as error:
            raise ConnectionError(f"{self._place}: no answer within {TIMEOUT:.0f} s") from error
        if b"transfer-encoding: chunked" in head.lower():
            body = _joined(body)
        status = head.partition(b"\r\n")[0].decode(errors="replace")
        if " 200" not in status and path != "/ready":
            raise ConnectionError(f"{self._place}: {path} is answered by {status!r}")
        return body.decode(errors="replace")


def _is_ours(name: str) -> bool:
    return name.endswith(".downstream_cx_active") and ".worker_" not in name and not name.startswith("listener.admin")


def _joined(chunks: bytes) -> bytes:
    """A body that came in chunks; Envoy speaks no HTTP/1.0, which has none."""
    body = b""
    while True:
        size, _, rest = chunks.partition(b"\r\n")
        length = int(size or b"0", 16)
        if length == 0:
            return body
        body, chunks = body + rest[:length], rest[length + 2 :]
