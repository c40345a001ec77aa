"""A hub as its users have it: a process, a configuration file, an address."""

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import httpx

from devservers import free_port
from tests.pilot_plus.cli.calling import Called, Command

PATIENCE = 60.0


class Hub:
    """One hub process, which can be killed and started again on the same journal."""

    within: tuple[str, ...] = ()
    """The words before its command."""

    def __init__(self, folder: Path, **sections: Any) -> None:
        folder.mkdir(exist_ok=True)
        self.url = f"http://127.0.0.1:{free_port()}"
        self.xds = f"127.0.0.1:{free_port()}"
        self._file = folder / "hub.json"
        self._log = folder / "hub.log"
        self._config: dict[str, Any] = {
            "cluster": "east",
            "journal": f"sqlite:///{folder}/hub.db",
            "listen": {"http": self.url.removeprefix("http://"), "xds": self.xds},
        }
        self.configure(**sections)
        self._process: subprocess.Popen[bytes] | None = None

    def configure(self, **sections: Any) -> None:
        """Write its file with other sections; a running hub reads it when it is told to (`reload`)."""
        listen = {**self._config["listen"], **sections.pop("listen", {})}
        self._config |= {**sections, "listen": listen}
        self._file.write_text(json.dumps(self._config))

    def reload(self, **sections: Any) -> None:
        self.configure(**sections)
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    @property
    def said(self) -> str:
        """Its log."""
        return self._log.read_text()

    async def call(self, *words: str) -> Called:
        """The command, beside this hub."""
        return await Command(self.url)(*words)

    def start(self) -> None:
        with self._log.open("ab") as log:
            command = [*self.within, sys.executable, "-m", "pilot_plus.cli", "run", "-c", str(self._file)]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def forget(self) -> None:
        """Remove its journal; it is not running."""
        for file in self._file.parent.glob("hub.db*"):
            file.unlink()

    def pause(self) -> None:
        """It is there, and says nothing."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def ended(self) -> int:
        """Wait until it has ended by itself; its exit code."""
        assert self._process is not None
        return self._process.wait(60)

    def end(self, number: signal.Signals) -> int:
        assert self._process is not None
        self._process.send_signal(number)
        return self._process.wait(60)

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    async def get(self, path: str) -> Any:
        async with httpx.AsyncClient(base_url=self.url, timeout=PATIENCE) as client:
            return (await client.get(f"/api/v1{path}")).json()

    async def post(self, path: str, body: Any = None) -> httpx.Response:
        async with httpx.AsyncClient(base_url=self.url, timeout=PATIENCE) as client:
            return await client.post(f"/api/v1{path}", json=body)

    async def patch(self, path: str, body: Any) -> httpx.Response:
        async with httpx.AsyncClient(base_url=self.url, timeout=PATIENCE) as client:
            return await client.patch(f"/api/v1{path}", json=body)

    async def put(self, path: str) -> httpx.Response:
        async with httpx.AsyncClient(base_url=self.url, timeout=PATIENCE) as client:
            return await client.put(f"/api/v1{path}")

    async def delete(self, path: str) -> httpx.Response:
        async with httpx.AsyncClient(base_url=self.url, timeout=PATIENCE) as client:
            return await client.delete(f"/api/v1{path}")

    async def registry(self, name: str) -> Any:
        return next(one for one in (await self.get("/registries"))["registries"] if one["name"] == name)

    async def addresses(self, service: str) -> list[str]:
        answer = await self.get(f"/services/{service}")
        return sorted(one["address"] for one in answer.get("instances", ()))

    async def until(self, ask: Callable[[], Any], is_so: Callable[[Any], bool]) -> Any:
        """Ask again and again until it is so, with a bound."""
        answer: Any = None
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    try:
                        answer = await ask()
                        if is_so(answer):
                            return answer
                    except httpx.TransportError as error:
                        answer = error
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"not within {PATIENCE} s; at last {answer}\n{self.said[-3000:]}") from None

    async def until_kept(self, registry: str, count: int) -> None:
        """Its journal, a file, holds so many records of a registry: what was just shown may not be there yet."""
        held = "SELECT count(*) FROM journal_records JOIN journal_registries USING (registry, generation)"

        async def kept() -> int:
            with closing(sqlite3.connect(f"file:{self._file.parent}/hub.db?mode=ro", uri=True)) as connection:
                found: int = connection.execute(f"{held} WHERE registry = ?", (registry,)).fetchone()[0]
            return found

        await self.until(kept, lambda found: found == count)

    async def until_state(self, registry: str, state: str) -> Any:
        return await self.until(lambda: self.registry(registry), lambda one: one["state"] == state)

    async def until_addresses(self, service: str, addresses: list[str]) -> None:
        await self.until(lambda: self.addresses(service), lambda found: found == sorted(addresses))

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(60)


@asynccontextmanager
async def hub(folder: Path, **sections: Any) -> AsyncIterator[Hub]:
    """A running hub."""
    made = Hub(folder, **sections)
    made.start()
    try:
        yield made
    finally:
        made.close()
