"""The fake API server, running: in this process, or as one of its own that can be killed and stopped."""

import os
import signal
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from aiohttp import web

from tests.kube.api import Api, Settings
from tests.kube.faults import Faults
from tests.kube.rights import ADMIN
from tests.kube.store import Store


@asynccontextmanager
async def serving(
    store: Store, settings: Settings, *, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[Api, str]]:
    """The server on this loop, and its URL."""
    api = Api(store, settings)
    runner = web.AppRunner(api.app(), shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, ssl_context=tls).start()
        found = runner.addresses[0][1]
        yield api, f"{'https' if tls else 'http'}://{host}:{found}"
    finally:
        await runner.cleanup()
        store.close()


class Process:
    """The server as a process."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self._folder = folder
        self._arguments = arguments
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, on the port that it had before, and wait until it answers."""
        command = [sys.executable, "-m", "tests.kube", "--port", str(self.port), "--data", str(self.data)]
        self._process = subprocess.Popen([*command, *self._arguments], stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the fake API server did not start"
        self.port = int(line)

    @property
    def data(self) -> Path:
        """Its file."""
        return self._folder / "kube.jsonl"

    def forget(self) -> None:
        """Remove its data, while it doesn't run."""
        self.data.unlink(missing_ok=True)

    def kill(self) -> None:
        """SIGKILL, and wait."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None

    def pause(self) -> None:
        """SIGSTOP."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)


class Kubectl:
    """The plain client of tests: what `kubectl` does, over HTTP."""

    def __init__(self, url: str, token: str = ADMIN, tls: ssl.SSLContext | None = None) -> None:
        self.url = url
        self._token = token
        self.tls = tls

    async def ask(self, method: str, path: str, body: Any = None, **params: str) -> tuple[int, Any]:
        """One request on a connection of its own; status and decoded body."""
        content = "application/apply-patch+yaml" if method == "APPLY" else "application/json"
        if method == "MERGE":
            content = "application/merge-patch+json"
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": content, "User-Agent": "kubectl/v1.33"}
        if not self._token:
            del headers["Authorization"]
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=self.tls or True)) as session,
            session.request(
                "PATCH" if method in ("APPLY", "MERGE") else method,
                self.url + path,
                params=params,
                data=None if body is None else msgspec.json.encode(body),
                headers=headers,
            ) as response,
        ):
            return response.status, msgspec.json.decode(await response.read())

    async def done(self, method: str, path: str, body: Any = None, **params: str) -> Any:
        """A request that has to succeed."""
        status, answer = await self.ask(method, path, body, **params)
        assert status < 300, answer
        return answer

    async def faults(self, **faults: Any) -> None:
        """Make the fake go wrong; without arguments, right again."""
        await self.done("PUT", "/_fake/faults", msgspec.to_builtins(Faults(**faults)))


def kubeconfig(url: str, *, token: str = ADMIN, **cluster: Any) -> str:
    """A kubeconfig for a server, as text (JSON is YAML)."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "fake", "cluster": {"server": url, **cluster}}],
        "users": [{"name": "tester", "user": {"token": token} if token else {}}],
        "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "tester"}}],
        "current-context": "fake",
    }
    return msgspec.json.encode(config).decode()
