"""Probing: what can be said of a configuration before a hub runs with it; `check` asks."""

import asyncio
import ssl
from collections.abc import Coroutine, Mapping
from typing import Final

from pilot_plus.config import Config, ConfigError, Peer
from pilot_plus.hub.sources import OWN_KIND, peers_of, sources_of
from pilot_plus.ingest import Watched
from pilot_plus.ports import SourceLost
from pilot_plus.servers.api import Door
from pilot_plus.sql import open_store, place_of

PATIENCE: Final = 10.0
"""Seconds for each connection."""


def refuse_what_cannot_run(config: Config, *, insecure: bool = False) -> None:
    """Refuse what `run` would refuse before it starts anything.

    Raises:
        ConfigError: what it is, with the key in front.
    """
    sources_of(config)
    try:
        place_of(config.journal)
    except ValueError as error:
        raise ConfigError(f"journal: {str(error).removeprefix('url: ')}") from error
    if tls := config.listen.tls:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tls.cert, tls.key)
        except OSError as error:  # an SSLError is one
            raise ConfigError(f"listen.tls: {tls.cert} and {tls.key} can't be used: {error}") from error
    Door(config, insecure=insecure)


def what_is_not_there(config: Config) -> list[str]:
    """The sections whose feature doesn't exist yet: they are reported, and not refused."""
    return ["listen.dns"] if config.listen.dns else []


async def probe(config: Config) -> Mapping[str, str]:
    """Try every connection: for the journal, each registry and each peer why not; empty where it went well."""
    shares = any(one.kind == OWN_KIND and "url" not in one.settings for one in config.registries)
    tries: dict[str, Coroutine[None, None, str]] = {} if shares else {"the journal": _journal(config)}
    tries |= {name: _read(source) for name, source in {**sources_of(config), **peers_of(config, None)}.items()}
    tries |= {one.name: _answers(one) for one in config.peers if not one.insecure}
    async with asyncio.TaskGroup() as tasks:
        tried = {name: tasks.create_task(_in_time(trying)) for name, trying in tries.items()}
    return {name: task.result() for name, task in tried.items()}


async def _in_time(trying: Coroutine[None, None, str]) -> str:
    try:
        async with asyncio.timeout(PATIENCE):
            return await trying
    except (SourceLost, OSError) as error:
        return str(error) or f"no answer within {PATIENCE:.0f} s"


async def _read(source: Watched) -> str:
    async with source.open() as opened:
        async for _ in opened.watch():
            return ""
    return "it said nothing"


async def _journal(config: Config) -> str:
    async with open_store(config.journal):
        return ""


async def _answers(one: Peer) -> str:
    """Whether somebody listens there; who it is shows when hubs meet, with a key that `check` doesn't touch."""
    _, writer = await asyncio.open_connection(one.address.host, one.address.port)
    writer.transport.abort()
    return ""
