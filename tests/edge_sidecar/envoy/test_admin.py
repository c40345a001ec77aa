"""The admin socket: an answer in pieces arrives in pieces, and one that breaks off is none."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from edge_sidecar.envoy.admin import Admin, Look

CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


@asynccontextmanager
async def answering(said: bytes) -> AsyncIterator[Admin]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        await writer.drain()
        writer.close()

    place = Path("admin.sock")
    async with await asyncio.start_unix_server(serve, place):
        yield Admin(place)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The path of a socket is short."""
    monkeypatch.chdir(tmp_path)


async def test_metrics_come_piece_by_piece():
    large = b"x" * 200_000
    pieces: list[bytes] = []
    async with answering(CHUNKED + b"3\r\nabc\r\n30d40\r\n" + large + b"\r\n0\r\n\r\n") as admin:
        await admin.metrics(pieces.append)
    assert b"".join(pieces) == b"abc" + large
    assert max(map(len, pieces)) <= 1 << 16


@pytest.mark.parametrize(
    "said", [b"", b"HTTP/1.1 200 OK", CHUNKED + b"5\r\nab", CHUNKED + b"no\r\nab", b"HTTP/1.1 500 No\r\n\r\n{}"]
)
async def test_an_answer_that_breaks_off_is_none(said: bytes):
    async with answering(said) as admin:
        with pytest.raises(OSError, match=r"admin\.sock"):
            await admin.look()


async def test_a_look_counts_the_connections_of_listeners_and_what_is_not_ready_yet():
    figures = {
        "listener.127.0.0.1_15443.downstream_cx_active": 3,
        "listener.127.0.0.1_15443.worker_0.downstream_cx_active": 3,
        "listener.admin.downstream_cx_active": 1,
        "cluster_manager.warming_clusters": 1,
    }
    body = json.dumps({"stats": [{"name": name, "value": value} for name, value in figures.items()]})
    async with answering(b"HTTP/1.1 200 OK\r\n\r\n" + body.encode()) as admin:
        assert await admin.look() == Look(connections=3, is_warm=False)
