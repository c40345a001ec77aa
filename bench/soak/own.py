"""Our own registry in a soak: registered over HTTP with the hub that may die, and nothing acknowledged may be lost."""

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from typing import Any, Final
from urllib.parse import quote

import aiohttp
import asyncpg

from pilot_plus.model import Health
from tests.contract.backend import Sample

NAMESPACE: Final = "own"
_QUERY: Final = f"SELECT name, record FROM registry_instances WHERE namespace = '{NAMESPACE}'"
_WITHIN: Final = aiohttp.ClientTimeout(5)


class Own:
    """Written as applications write it; read with a plain client of the database."""

    holds_metadata = True
    holds_health = True
    weight_step = 1

    def __init__(self, url: str, journal: str) -> None:
        """The hub's URL, and its database's."""
        self._url = f"{url}/api/v1/instances"
        self._journal = journal
        self._acknowledged: dict[tuple[str, str], Sample | None] = {}
        """What the hub has said yes to: there, or removed (None). What nobody knows is not in it."""

    async def write(self, *samples: Sample) -> None:
        """Register."""
        async with aiohttp.ClientSession(timeout=_WITHIN) as session:
            for one in samples:
                self._acknowledged.pop((one.service, one.address), None)
                async with session.post(self._url, json=_body(one)) as response:
                    response.raise_for_status()
                self._acknowledged[one.service, one.address] = one

    async def remove(self, *samples: Sample) -> None:
        """Deregister."""
        async with aiohttp.ClientSession(timeout=_WITHIN) as session:
            for one in samples:
                self._acknowledged.pop((one.service, one.address), None)
                async with session.delete(self._path(one)) as response:
                    if response.status != 404:
                        response.raise_for_status()
                self._acknowledged[one.service, one.address] = None

    async def truth(self) -> set[Sample]:
        """What was acknowledged; and, where an answer was lost, what the database says. Everybody's heart beats."""
        there = {(one.service, one.address): one for one in map(_sample, await self._rows())}
        known = {**there, **self._acknowledged}
        found = {one for one in known.values() if one is not None}
        async with aiohttp.ClientSession(timeout=_WITHIN) as session:
            for one in found:
                async with session.put(f"{self._path(one)}/heartbeat"):
                    pass
        return found

    def _path(self, one: Sample) -> str:
        return f"{self._url}/{NAMESPACE}/{quote(one.service, safe='')}/{quote(one.address, safe='')}"

    async def _rows(self) -> Sequence[Any]:
        if self._journal.startswith("sqlite"):
            with closing(sqlite3.connect(self._journal.removeprefix("sqlite:///"))) as connection:
                return connection.execute(_QUERY).fetchall()
        connection = await asyncpg.connect(self._journal)
        try:
            return [tuple(row) for row in await connection.fetch(_QUERY)]
        finally:
            await connection.close()


def _body(one: Sample) -> dict[str, Any]:
    return {
        "namespace": NAMESPACE,
        "name": one.service,
        "id": one.address,
        "address": one.address,
        "ports": [{"name": "http", "number": one.port, "protocol": "http"}],
        "ttl": "24h",
        "weight": one.weight,
        "health": one.health,
        "metadata": dict(one.metadata),
    }


def _sample(row: Sequence[str]) -> Sample:
    name, record = row[0], json.loads(row[1])
    metadata = tuple(sorted(record.get("metadata", {}).items()))
    health, port = Health(record.get("health", "passing")), record["ports"][0]["number"]
    return Sample(name, record["address"], port, record.get("weight", 100), metadata, health)
