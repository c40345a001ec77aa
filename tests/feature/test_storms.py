"""Everybody at once: all watchers come back after the hub was killed, and nobody is told less than there is."""

import asyncio
import json
import signal
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from devservers import Etcd
from tests.feature.hub import Hub, hub
from tests.feature.test_one_live_catalog import ZONES, addresses_in, etcd_registry, write

WATCHERS = 200
SERVICES = 20


async def all_told(running: Hub, since: str) -> tuple[str, set[str]]:
    """Watch until everything that is known at the beginning has been told; where to go on, and the services."""
    place = urlsplit(running.url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    writer.write(f"GET /api/v1/watch?since={since} HTTP/1.1\r\nHost: {place.netloc}\r\n\r\n".encode())
    told: set[str] = set()
    try:
        while line := (await reader.readline()).decode():
            if not line.startswith("data: "):
                continue
            event = json.loads(line[6:])
            told.update(service["name"] for service in event.get("services", ()))
            if not event.get("more"):
                return event["revision"], told
        raise AssertionError("the hub ended the watch")
    finally:
        writer.close()


async def test_all_watchers_reconnect_at_once_and_each_is_told_everything(tmp_path: Path, etcd: Etcd):
    names = {f"storm-{n}" for n in range(SERVICES)}
    for name in names:
        write(etcd, name, *addresses_in(3))
    async with hub(tmp_path, zones=ZONES, registries=[etcd_registry(etcd)]) as running:
        await running.until_state("etcd", "synced")
        before = await asyncio.gather(*(all_told(running, "") for _ in range(WATCHERS)))
        assert all(told >= names for _, told in before)
        running.end(signal.SIGKILL)
        running.start()
        await running.until_state("etcd", "synced")
        async with asyncio.timeout(30), httpx.AsyncClient(base_url=running.url) as asker:
            # Their revisions are of another run: to resume would be to skip silently.
            again = asyncio.gather(*(all_told(running, revision) for revision, _ in before))
            while not again.done():
                assert (await asker.get("/healthz")).status_code == 200
            assert all(told >= names for _, told in await again)
