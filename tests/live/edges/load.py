"""Load: callers that ask one after the other, on connections that they keep as long as they may, and count."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Load:
    """What became of the requests so far."""

    def __init__(self, address: str, port: int) -> None:
        self.answers: Counter[str] = Counter()
        self.failures: list[str] = []
        self._place = (address, port)
        self._one_more = asyncio.Event()

    async def call(self) -> None:
        """Ask for ever."""
        while True:
            try:
                await self._converse()
            except (OSError, asyncio.IncompleteReadError) as error:
                self.failures.append(repr(error))
            await asyncio.sleep(0.002)

    async def until_more(self, answers: int) -> None:
        """Until so many more requests have been answered or failed."""
        wanted = self.total + answers
        async with asyncio.timeout(60):
            while self.total < wanted:
                self._one_more.clear()
                await self._one_more.wait()

    @property
    def total(self) -> int:
        return self.answers.total() + len(self.failures)

    async def _converse(self) -> None:
        """One connection, until the other side wants no more of it."""
        reader, writer = await asyncio.open_connection(*self._place)
        try:
            while True:
                writer.write(b"GET / HTTP/1.1\r\nhost: any\r\n\r\n")
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
                body = (await reader.readexactly(length)).decode()
                if " 200 " in head.partition("\r\n")[0]:
                    self.answers[body] += 1
                else:
                    self.failures.append(f"{head.partition(chr(13))[0]} {body}")
                self._one_more.set()
                if "connection: close" in head:
                    return
                await asyncio.sleep(0.002)
        finally:
            writer.transport.abort()


@asynccontextmanager
async def load_on(address: str, port: int, callers: int = 8) -> AsyncIterator[Load]:
    load = Load(address, port)
    async with asyncio.TaskGroup() as tasks:
        calling = [tasks.create_task(load.call()) for _ in range(callers)]
        try:
            yield load
        finally:
            for one in calling:
                one.cancel()
