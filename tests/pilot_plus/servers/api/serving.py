"""A hub's API on a real socket of this machine."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pilot_plus.quantities import Address
from pilot_plus.servers.api import listening_socket, serving
from tests.pilot_plus.servers.api.hub import Hub


@asynccontextmanager
async def served(hub: Hub) -> AsyncIterator[int]:
    """The port that it listens at."""
    sock = listening_socket(Address("127.0.0.1:0"))
    port: int = sock.getsockname()[1]
    async with serving(hub.api, hub.config, sock):
        yield port
