"""Zones that truly can't dial each other: only what goes by their edges arrives."""

import asyncio
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.live.edges import namespaces
from tests.live.edges.company import company_of
from tests.live.edges.namespaces import APP, EDGES, HUB, within

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(not namespaces.can_be_made(), reason="this machine lets us make no network namespace"),
]

PORT = 8000
SERVE = f"""
import http.server
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("content-length", "6")
        self.end_headers()
        self.wfile.write(b"orders")
server = http.server.ThreadingHTTPServer(({APP!r}, {PORT}), Answer)
print("ready", flush=True)
server.serve_forever()
"""
ASK = """
import sys, urllib.request
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
print(opener.open(f"http://{sys.argv[1]}/", timeout=20).read().decode())
"""


@asynccontextmanager
async def application() -> AsyncIterator[None]:
    command = (*within("legacy"), sys.executable, "-c", SERVE)
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE)
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready\n"
    try:
        yield
    finally:
        process.kill()
        await process.wait()


async def ask_from(zone: str, place: str) -> str:
    """What somebody in a zone hears there; nothing if it can't be reached."""
    command = (*within(zone), sys.executable, "-c", ASK, place)
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE)
    out, _ = await process.communicate()
    return out.decode().strip()


async def test_a_plain_zone_reaches_another_by_the_edges_alone_and_the_hub_by_tls(tmp_path: Path):
    with namespaces.zones():
        async with company_of(tmp_path, at=HUB) as company, application():
            await company.register("legacy/orders", APP, PORT, "http")
            for zone, address in EDGES.items():
                await company.edge(zone, address, within=within(zone))
            ((address, port),) = await company.until_seen("legacy/orders", "vm")
            assert address == EDGES["vm"]
            assert await ask_from("legacy", f"{APP}:{PORT}") == "orders"
            assert await ask_from("vm", f"{APP}:{PORT}") == ""
            assert await ask_from("vm", f"{address}:{port}") == "orders"
