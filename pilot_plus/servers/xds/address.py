"""The xDS address: one gRPC server for discovery and for joining, in plaintext on loopback or over mutual TLS."""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Final

import grpc
import msgspec
from grpc import aio

from pilot_plus.config import Config, ConfigError
from pilot_plus.quantities import Address
from pilot_plus.wire.look import is_loopback
from pilot_plus.wire.serving import Serving, server_credentials

GRACE: Final = 0.2
"""Seconds that calls under way have when the hub ends: streams come back to whoever serves next."""

OPTIONS: Final = (
    # A storm of connects must lose none: gRPC turns calls away that wait to be taken, beyond a limit that is too low.
    ("grpc.server.max_pending_requests", 100_000),
    ("grpc.server.max_pending_requests_hard_limit", 200_000),
    ("grpc.max_receive_message_length", 4 << 20),
    ("grpc.max_metadata_size", 16 << 10),
    ("grpc.max_concurrent_streams", 64),
    ("grpc.so_reuseport", 0),  # a second hub on the same address must fail, not take half of the clients
    ("grpc.tsi.max_frame_size", 4096),  # smaller TLS records: 25 KB less for each connection
    ("grpc.enable_channelz", 0),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
)


def is_plaintext(config: Config) -> bool:
    """Whether the address speaks plaintext: on loopback, unless the configuration wants TLS there too.

    Raises:
        ConfigError: there is no such address.
    """
    if config.listen.xds is None:
        raise ConfigError("listen.xds: not there")
    return is_loopback(config.listen.xds.host) and not config.identity.tls and config.listen.tls is None


class Door(msgspec.Struct, frozen=True):
    """A gRPC server that has its address, and does not serve yet."""

    server: aio.Server
    address: Address


def bind(address: Address, shown: Callable[[], Serving] | None, *, key: str = "listen.xds") -> Door:
    """Take an address; port 0 takes any that is free.

    `shown`: what the hub shows over mutual TLS; None: plaintext. `key`: where the configuration names the address.

    Raises:
        ConfigError: somebody else listens there, or the address is not this machine's.
    """
    server = aio.server(options=OPTIONS)
    try:
        if shown is None:
            port = server.add_insecure_port(address)
        else:
            port = server.add_secure_port(address, server_credentials(shown))
    except RuntimeError as error:
        raise ConfigError(f"{key}: can't listen at {address}: it is taken, or not this machine's") from error
    return Door(server, Address(f"{address.rpartition(':')[0]}:{port}"))


@asynccontextmanager
async def serving(door: Door, handlers: Iterable[grpc.GenericRpcHandler]) -> AsyncIterator[None]:
    """Serve until the context ends."""
    door.server.add_generic_rpc_handlers(tuple(handlers))
    await door.server.start()
    try:
        yield
    finally:
        await door.server.stop(GRACE)
