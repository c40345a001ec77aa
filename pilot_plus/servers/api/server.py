"""The server: the API on a socket, for as long as the hub runs."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import uvicorn

from pilot_plus.config import Config, ConfigError, ListenTls
from pilot_plus.quantities import Address
from pilot_plus.servers.api.app import Api
from pilot_plus.servers.api.protocol import LimitedProtocol

CONNECTIONS: Final = 10_000
KEEP_ALIVE: Final = 75
GRACE: Final = 2
"""Seconds. How long an idle connection stays, and how long requests under way may take when the hub ends."""


def listening_socket(address: Address) -> socket.socket:
    """A socket that listens at an address; port 0 takes any that is free.

    Raises:
        ConfigError: somebody else is there, or the address is not this machine's.
    """
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address.host, address.port))
        sock.listen(2048)
    except OSError as error:
        sock.close()
        raise ConfigError(f"listen.http: can't listen at {address}: {error.strerror or error}") from error
    sock.setblocking(False)
    return sock


@asynccontextmanager
async def serving(api: Api, config: Config, sock: socket.socket) -> AsyncIterator[None]:
    """Serve the API on a listening socket until the context ends; then finish what is under way, and close."""
    server = _server_of(api, config)
    async with asyncio.TaskGroup() as tasks:
        started = asyncio.Event()
        task = tasks.create_task(_serve(server, sock, started), name="http")
        await started.wait()
        try:
            yield
        finally:
            api.close()
            task.cancel()


async def _serve(server: uvicorn.Server, sock: socket.socket, started: asyncio.Event) -> None:
    """What `uvicorn.Server.serve` does, but for the signals, which are the hub's, and an end by cancellation."""
    server.config.load()
    server.lifespan = server.config.lifespan_class(server.config)
    await server.startup(sockets=[sock])
    started.set()
    try:
        await server.main_loop()
    finally:
        await server.shutdown(sockets=[sock])


def _server_of(api: Api, config: Config) -> uvicorn.Server:
    tls: ListenTls | None = config.listen.tls
    return uvicorn.Server(
        uvicorn.Config(
            api,
            http=LimitedProtocol,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            log_level="critical",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            limit_concurrency=CONNECTIONS,
            timeout_keep_alive=KEEP_ALIVE,
            timeout_graceful_shutdown=GRACE,
            ssl_certfile=tls.cert if tls else None,
            ssl_keyfile=tls.key if tls else None,
        )
    )
