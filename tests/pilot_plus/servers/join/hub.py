"""A hub's xDS address for tests: the service on a real gRPC server, in plaintext or over mutual TLS, on loopback."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from grpc import aio

from pilot_plus.quantities import Address
from pilot_plus.servers.join import JoinService
from pilot_plus.wire.edge import Edge
from pilot_plus.wire.serving import server_credentials
from tests.pilot_plus.identity.company import Company


class Known:
    """Edges as the hub would know them, with every change that was made."""

    def __init__(self) -> None:
        self.edges: dict[str, Edge] = {}
        self.log: list[str] = []
        self._changed = asyncio.Event()

    async def put(self, edge: Edge) -> None:
        self.edges[edge.key] = edge
        self._note(f"put {edge.key}")

    async def lose(self, key: str) -> None:
        self.edges.pop(key, None)
        self._note(f"lose {key}")

    async def drop(self, key: str) -> None:
        self.edges.pop(key, None)
        self._note(f"drop {key}")

    def _note(self, what: str) -> None:
        self.log.append(what)
        self._changed.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not holds():
                self._changed.clear()
                await self._changed.wait()


class Hub:
    def __init__(self, company: Company, service: JoinService, known: Known, address: Address) -> None:
        self.company = company
        self.service = service
        self.known = known
        self.address = address
        self.now = company.clock


@asynccontextmanager
async def hub_of(company: Company, *, secure: bool = True, grace: float = 0.2) -> AsyncIterator[Hub]:
    known = Known()
    async with JoinService.open(company.gate, known, grace=grace) as service:
        server = aio.server()
        server.add_generic_rpc_handlers((service.handler(),))
        if secure:
            port = server.add_secure_port("127.0.0.1:0", server_credentials(company.authority.serving))
        else:
            port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            yield Hub(company, service, known, Address(f"127.0.0.1:{port}"))
        finally:
            await server.stop(0)
