"""A company with zones that can't dial each other: a hub process, an edge at each zone, applications behind them.

Loopback addresses stand for hosts.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from devservers import free_port
from pilot_plus.quantities import Address
from pilot_plus.wire.folder import Folder
from pilot_plus.wire.joining import join
from pilot_plus.wire.jointoken import parse_token
from tests.edge_sidecar.agent import NET, Agent, agent_of
from tests.feature.hub import Hub, hub

ZONES = ("legacy", "vm", "mesh")
ADDRESSES = {"legacy": f"{NET}.2.1", "vm": f"{NET}.3.1", "mesh": f"{NET}.4.1"}
EXPORTS = [{"services": ["*/*"], "from": [zone], "to": [other for other in ZONES if other != zone]} for zone in ZONES]


class Company:
    """A hub and what surrounds it."""

    def __init__(self, hub: Hub, xds: Address, folder: Path, stack: AsyncExitStack) -> None:
        self.hub = hub
        self.xds = xds
        self.folder = folder
        self._stack = stack

    async def token(self, *words: str) -> str:
        called = await self.hub.call("token", "create", *words)
        assert called.code == 0, called.err
        return called.out.strip()

    async def edge(
        self, zone: str, address: str = "", *options: str, name: str = "", within: tuple[str, ...] = ()
    ) -> Agent:
        """Start an edge, and wait until the hub says that it is ready."""
        name = name or f"edge-{zone}"
        token = await self.token("--edge", "--zone", zone)
        options = ("--name", name, *options)
        place, address = self.folder / name, address or ADDRESSES[zone]
        opened = agent_of(self.xds, token, place, *options, address=address, zone=zone, within=within)
        agent = await self._stack.enter_async_context(opened)
        await self.until_edge(name, "ready")
        return agent

    async def bootstrap(self, kind: str, *words: str) -> Any:
        """What an Envoy or a gRPC client of the mesh begins with."""
        called = await self.hub.call("bootstrap", kind, "--hub", str(self.xds), "--zone", "mesh", *words)
        assert called.code == 0, called.err
        return called.json

    async def edge_again(self, zone: str) -> Agent:
        """Start the agent of a zone's edge again, on the data that it has, whether there is a hub or not."""
        name = f"edge-{zone}"
        place = self.folder / name
        opened = agent_of(self.xds, "", place, "--name", name, address=ADDRESSES[zone], zone=zone)
        return await self._stack.enter_async_context(opened)

    async def until_edge(self, name: str, state: str | None) -> None:
        """Wait until the hub shows an edge so; None: not at all."""

        async def state_of() -> Any:
            edges = (await self.hub.get("/edges"))["edges"]
            return next((one["state"] for one in edges if one["name"] == name), None)

        await self.hub.until(state_of, lambda found: found == state)

    async def register(
        self, service: str, address: str, port: int, protocol: str, *, name: str = "", id_: str = "", zone: str = ""
    ) -> None:
        namespace, _, short = service.partition("/")
        body = {
            "namespace": namespace,
            "name": short,
            "id": id_ or f"{short}-{port}",
            "address": address,
            "ports": [{"name": name or protocol, "number": port, "protocol": protocol}],
            "ttl": "24h",
            "registry": zone or namespace,
        }
        answer = await self.hub.post("/instances", body)
        assert answer.status_code < 300, answer.text

    async def deregister(self, service: str, id_: str) -> None:
        called = await self.hub.call("deregister", service, id_)
        assert called.code == 0, called.err

    async def seen(self, service: str, zone: str, speaks: str = "") -> list[tuple[str, int]]:
        """The addresses at which a zone's callers see a service."""
        namespace, _, name = service.partition("/")
        query = f"?from={zone}" + (f"&as={speaks}" if speaks else "")
        answer = await self.hub.get(f"/services/{namespace}/{name.replace('/', '%2F')}{query}")
        return sorted((one["address"], port["number"]) for one in answer.get("instances", ()) for port in one["ports"])

    async def until_seen(self, service: str, zone: str, count: int = 1, speaks: str = "") -> list[tuple[str, int]]:
        found: list[tuple[str, int]] = await self.hub.until(
            lambda: self.seen(service, zone, speaks), lambda found: len(found) == count
        )
        return found

    async def identity(self, zone: str, name: str, *options: str) -> ssl.SSLContext:
        """The TLS of somebody who has joined as a client of a zone."""
        token = parse_token(await self.token("--zone", zone, *options))
        folder = Folder(self.folder / f"client-{zone}-{name}")
        await join(self.xds, token, name, folder)
        context = ssl.create_default_context(cafile=str(folder.current / "bundle.pem"))
        context.check_hostname = False
        context.load_cert_chain(folder.current / "chain.pem", folder.current / "key.pem")
        return context


@asynccontextmanager
async def company_of(
    folder: Path, *, at: str = "127.0.0.1", until: str = "mesh", **sections: Any
) -> AsyncIterator[Company]:
    xds = Address(f"{at}:{free_port()}")
    base = {
        "zones": [{"name": "legacy"}, {"name": "vm"}, {"name": "mesh", "meshed": True}],
        "registries": [
            {
                "name": zone,
                "kind": "database",
                "zone": zone,
                "settings": {"url": f"sqlite:///{folder}/{zone}.db"},
            }
            for zone in ZONES
        ],
        "exports": EXPORTS,
    }
    listen = {"http": f"127.0.0.1:{free_port()}", "xds": str(xds), **sections.pop("listen", {})}
    async with AsyncExitStack() as stack, hub(folder / "hub", **{**base, **sections, "listen": listen}) as running:
        running.url = f"http://{listen['http']}"
        await running.until_state(until, "synced")
        yield Company(running, xds, folder, stack)


async def ask(
    address: str,
    port: int,
    host: str,
    *,
    tls: ssl.SSLContext | None = None,
    sni: str = "",
    path: str = "/",
    head: str = "",
) -> tuple[int, str]:
    """The status of an answer, and its body; `ConnectionError` if there is none."""
    request = f"GET {path} HTTP/1.1\r\nhost: {host}\r\n{head}connection: close\r\n\r\n"
    said = await say(address, port, request, tls, sni)
    status, _, rest = said.partition("\r\n")
    if not status:
        raise ConnectionResetError("closed without an answer")
    return int(status.split()[1]), rest.partition("\r\n\r\n")[2]


async def say(address: str, port: int, text: str, tls: ssl.SSLContext | None = None, sni: str = "") -> str:
    """Say something, and hear everything until the other side closes."""
    async with asyncio.timeout(60):
        reader, writer = await asyncio.open_connection(address, port, ssl=tls, server_hostname=sni if tls else None)
        try:
            writer.write(text.encode())
            return (await reader.read()).decode(errors="replace")
        finally:
            writer.transport.abort()
