"""The border in the demo: a plain and a meshed zone with an edge each, and calls across, both ways.

127.0.0.2 and 127.0.0.3 stand for the hosts of the edges. Without an Envoy on this machine there is no border.
"""

import asyncio
import os
import signal
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from subprocess import DEVNULL, Popen
from time import monotonic
from typing import Any, Final

import click
import httpx

from pilot_plus.leash import leashed
from pilot_plus.quantities import Address
from pilot_plus.wire.denied import Denied
from pilot_plus.wire.folder import Folder
from pilot_plus.wire.joining import join
from pilot_plus.wire.jointoken import parse_token

SECTIONS: Final = """\
  - {{name: plain, kind: database, zone: plain, settings: {{url: "sqlite:///{folder}/plain.db"}}}}
  - {{name: mesh, kind: database, zone: mesh, settings: {{url: "sqlite:///{folder}/mesh.db"}}}}
"""
EXPORTS: Final = '{services: ["plain/*"], from: [plain], to: [mesh]}, {services: ["mesh/*"], from: [mesh], to: [plain]}'
EDGES: Final = {"plain": "127.0.0.2", "mesh": "127.0.0.3"}
SERVICE: Final = "hello"
MESH_PORT: Final = 15443
CALL_EVERY: Final = 5.0
APPEAR_WITHIN: Final = 60.0
"""Seconds."""


class Border:
    """Two zones, their edges, an application in each, and a caller in each."""

    def __init__(self, client: httpx.AsyncClient, xds: Address, folder: Path) -> None:
        """Stand beside a hub."""
        self._client = client
        self._xds = xds
        self._folder = folder

    async def run(self) -> None:
        """Call across until cancelled, or the hub has gone; end at once where there is no Envoy."""
        with suppress(httpx.HTTPError, ConnectionError, Denied):
            await self._live()

    async def _live(self) -> None:
        async with _applications() as ports, self._edges() as edges:
            for zone, port in ports.items():
                await self._register(zone, port)
            try:
                async with asyncio.timeout(APPEAR_WITHIN):
                    door = await self._door(edges)
            except TimeoutError:
                click.echo("the edges carry nothing: is something else at 127.0.0.2 or 127.0.0.3?", err=True)
                return
            if door is None:
                click.echo(f"there are no edges here: {self._why(edges)}", err=True)
                return
            caller = await self._member()
            while True:
                await _tell("plain → mesh ", f"{door.host}:{door.port}, any host", _ask(door, "any"))
                host = f"{SERVICE}.plain.mesh"
                edge = Address(f"{EDGES['plain']}:{MESH_PORT}")
                await _tell("mesh → plain ", f"{edge}, SNI http.{host}", _ask(edge, host, caller, f"http.{host}"))
                await asyncio.sleep(CALL_EVERY)

    @asynccontextmanager
    async def _edges(self) -> AsyncIterator[list[Popen[bytes]]]:
        """The agents; they end with the demo."""
        agents = [await self._agent(zone, address) for zone, address in EDGES.items()]
        try:
            yield agents
        finally:
            for agent in agents:
                agent.terminate()
            for agent in agents:
                await asyncio.to_thread(agent.wait)

    async def _agent(self, zone: str, address: str) -> Popen[bytes]:
        options = {
            "hub": str(self._xds),
            "zone": zone,
            "address": address,
            "name": f"edge-{zone}",
            "data": str(self._folder / f"edge-{zone}"),
            "drain-time": "1s",
            "concurrency": "1",
            "log-level": "error",
        }
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        command = leashed(sys.executable, "-m", "edge_sidecar", "run", *words, by=signal.SIGTERM)
        environment = {**os.environ, "EDGE_SIDECAR_TOKEN": await self._token(zone, edge=True)}
        with self._log(zone).open("wb") as log:
            # By vfork: uvloop forks, of which gRPC, which the hub runs in other threads, would complain aloud.
            return await asyncio.to_thread(Popen, command, env=environment, stdout=DEVNULL, stderr=log)

    def _log(self, zone: str) -> Path:
        return self._folder / f"edge-{zone}.log"

    def _why(self, edges: list[Popen[bytes]]) -> str:
        """The last words of the first agent that has ended."""
        zone = next(zone for zone, edge in zip(EDGES, edges, strict=True) if edge.poll() is not None)
        said = self._log(zone).read_text(errors="replace").strip().splitlines()
        return said[-1].removeprefix("Error: ") if said else "an agent has ended without a word"

    async def _token(self, zone: str, *, edge: bool) -> str:
        answer = await self._client.post("/api/v1/tokens", json={"zone": zone, "edge": edge})
        return str(answer.raise_for_status().json()["token"])

    async def _register(self, zone: str, port: int) -> None:
        body = {
            "namespace": zone,
            "name": SERVICE,
            "id": f"{SERVICE}-1",
            "address": "127.0.0.1",
            "ports": [{"name": "http", "number": port, "protocol": "http"}],
            "ttl": "24h",
            "registry": zone,
        }
        (await self._client.post("/api/v1/instances", json=body)).raise_for_status()

    async def _door(self, edges: list[Popen[bytes]]) -> Address | None:
        """The plain port of the mesh's service, once both edges carry what they should; None: an agent has ended."""
        while all(edge.poll() is None for edge in edges):
            doors = [await self._seen("mesh", "plain"), await self._seen("plain", "mesh")]
            if all(doors):
                return doors[0]
            await asyncio.sleep(0.2)
        return None

    async def _seen(self, namespace: str, zone: str) -> Address | None:
        answer = await self._client.get(f"/api/v1/services/{namespace}/{SERVICE}", params={"from": zone})
        found: list[Any] = answer.json().get("instances", []) if answer.status_code == 200 else []
        return Address(f"{found[0]['address']}:{found[0]['ports'][0]['number']}") if found else None

    async def _member(self) -> ssl.SSLContext:
        """The TLS of somebody in the mesh who has joined."""
        folder = Folder(self._folder / "caller")
        await join(self._xds, parse_token(await self._token("mesh", edge=False)), "caller", folder)
        context = ssl.create_default_context(cafile=str(folder.current / "bundle.pem"))
        context.check_hostname = False  # an edge proves an identity, and no name of a host
        context.load_cert_chain(folder.current / "chain.pem", folder.current / "key.pem")
        return context


@asynccontextmanager
async def _applications() -> AsyncIterator[dict[str, int]]:
    """An application in each zone, which says where it is; their ports."""

    def answering(zone: str) -> Any:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            text = f"hello from {zone}"
            try:
                while await reader.readuntil(b"\r\n\r\n"):
                    writer.write(f"HTTP/1.1 200 OK\r\ncontent-length: {len(text)}\r\n\r\n{text}".encode())
            except (OSError, asyncio.IncompleteReadError):
                pass
            finally:
                writer.transport.abort()

        return serve

    servers = {zone: await asyncio.start_server(answering(zone), "127.0.0.1", 0) for zone in EDGES}
    try:
        yield {zone: server.sockets[0].getsockname()[1] for zone, server in servers.items()}
    finally:
        for server in servers.values():
            server.close()


async def _ask(place: Address, host: str, tls: ssl.SSLContext | None = None, sni: str | None = None) -> str:
    """What is answered: the status and the body."""
    reader, writer = await asyncio.open_connection(place.host, place.port, ssl=tls, server_hostname=sni)
    try:
        writer.write(f"GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n".encode())
        head, _, body = (await reader.read()).decode(errors="replace").partition("\r\n\r\n")
        return f"{head.partition(' ')[2].partition(' ')[0]} {body}"
    finally:
        writer.transport.abort()


async def _tell(way: str, place: str, call: Any) -> None:
    """Print how a call went."""
    began = monotonic()
    try:
        async with asyncio.timeout(CALL_EVERY):
            said = await call
    except (OSError, TimeoutError) as error:
        said = f"failed: {error or 'no answer'}"
    took = (monotonic() - began) * 1000
    click.echo(click.style(f"         {way} {place}: {said} ({took:.0f} ms)", fg="cyan"))
