"""Traffic: backends that say who they are, and a caller that never stops and counts what fails."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self

import httpx

PATIENCE = 60.0


class Backend:
    """An HTTP server that answers with its name."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.port = 0
        self.calls = 0
        self._is_draining = False
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[None] | None, asyncio.StreamWriter] = {}

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        handlers = [task for task in self._connections if task is not None]
        for writer in self._connections.values():
            writer.close()
        if handlers:
            await asyncio.wait(handlers)

    async def drain(self) -> None:
        """End as a well-behaved server does: each connection with its next answer, idle ones after a while."""
        assert self._server is not None
        self._server.close()
        self._is_draining = True
        handlers = [task for task in self._connections if task is not None]
        if handlers:
            await asyncio.wait(handlers, timeout=1)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections[asyncio.current_task()] = writer
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                self.calls += 1
                last = "Connection: close\r\n" if self._is_draining else ""
                answer = f"HTTP/1.1 200 OK\r\n{last}Content-Length: {len(self.name)}\r\n\r\n{self.name}"
                writer.write(answer.encode())
                if last:
                    writer.close()
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()
        finally:
            del self._connections[asyncio.current_task()]


class Traffic:
    """What has been answered, by whom, and what was not."""

    def __init__(self, url: str, host: str) -> None:
        self.answers: Counter[str] = Counter()
        self.failures: list[str] = []
        self._url = url
        self._host = host
        self._news = asyncio.Event()

    async def run(self) -> None:
        async with httpx.AsyncClient(timeout=20) as client:
            while True:
                try:
                    got = await client.get(self._url, headers={"Host": self._host})
                    if got.status_code == 200:
                        self.answers[got.text] += 1
                    else:
                        self.failures.append(f"{got.status_code} {got.text[:200]}")
                except httpx.HTTPError as error:
                    self.failures.append(repr(error))
                self._news.set()
                await asyncio.sleep(0.002)

    async def until_answered_by(self, *names: str) -> None:
        """Go on until each of them has answered ten times more, and nobody else has answered for ten times as long."""
        async with asyncio.timeout(PATIENCE):
            while True:
                before = self.answers.copy()
                while any(self.answers[name] - before[name] < 10 for name in names):
                    self._news.clear()
                    await self._news.wait()
                if (self.answers - before).keys() == set(names):
                    return


@asynccontextmanager
async def traffic(address: str, host: str, workers: int = 4) -> AsyncIterator[Traffic]:
    """Callers that go on until the context ends."""
    made = Traffic(f"http://{address}/", host)
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(made.run()) for _ in range(workers)]
        try:
            yield made
        finally:
            for task in running:
                task.cancel()
