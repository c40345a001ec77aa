"""The proxy's faults, seen by a client of a server that answers everything with its echo."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from devservers import FaultProxy

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while chunk := await reader.read(65_536):
            writer.write(chunk)
            await writer.drain()
    except ConnectionError:
        pass  # cut: what this is all about
    finally:
        writer.close()


@pytest.fixture
async def proxy() -> AsyncIterator[FaultProxy]:
    async with await asyncio.start_server(echo, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with FaultProxy(f"127.0.0.1:{port}") as proxy:
            yield proxy


@asynccontextmanager
async def connected(proxy: FaultProxy) -> AsyncIterator[Stream]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def say(stream: Stream, text: bytes) -> bytes:
    reader, writer = stream
    writer.write(text)
    async with asyncio.timeout(20):
        return await reader.readexactly(len(text))


async def test_forwards_and_counts(proxy: FaultProxy) -> None:
    async with connected(proxy) as one, connected(proxy) as two:
        assert await say(one, b"hello") == b"hello"
        assert await say(two, b"x" * 1_000_000) == b"x" * 1_000_000
        assert (proxy.connections, proxy.open_connections) == (2, 2)
        assert (proxy.bytes_to_server, proxy.bytes_to_client) == (1_000_005, 1_000_005)


async def test_an_orderly_end_passes_through(proxy: FaultProxy) -> None:
    async with connected(proxy) as (reader, writer):
        writer.write(b"last words")
        writer.write_eof()
        async with asyncio.timeout(20):
            assert await reader.read() == b"last words"


async def test_cut_resets_and_refuses_until_healed(proxy: FaultProxy) -> None:
    async with connected(proxy) as stream:
        await say(stream, b"hello")
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            await say(stream, b"hello")
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", proxy.port)
    proxy.heal()
    async with connected(proxy) as stream:
        assert await say(stream, b"again") == b"again"


async def test_reset_lets_clients_come_back_at_once(proxy: FaultProxy) -> None:
    async with connected(proxy) as stream:
        await say(stream, b"hello")
        proxy.reset()
        with pytest.raises(ConnectionResetError):
            await say(stream, b"hello")
    async with connected(proxy) as stream:
        assert await say(stream, b"again") == b"again"


async def test_a_stalled_connection_stays_open_and_delivers_when_healed(proxy: FaultProxy) -> None:
    async with connected(proxy) as old:
        await say(old, b"hello")
        proxy.stall()
        async with connected(proxy) as new:
            old[1].write(b"old")
            new[1].write(b"new")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await old[0].read(3)
            proxy.heal()
            async with asyncio.timeout(20):
                assert await old[0].readexactly(3) == b"old"
                assert await new[0].readexactly(3) == b"new"


async def test_cut_after_delivers_so_many_bytes_and_no_more(proxy: FaultProxy) -> None:
    proxy.cut_after(100)
    async with connected(proxy) as (reader, writer):
        writer.write(b"x" * 1_000)
        received = b""
        async with asyncio.timeout(20):
            with contextlib.suppress(ConnectionResetError):
                while True:
                    received += await reader.readexactly(1)
        assert received == b"x" * 100


async def test_delay_comes_to_both_ways(proxy: FaultProxy) -> None:
    async with connected(proxy) as stream:
        await say(stream, b"hello")
        proxy.delay(0.1)
        began = time.monotonic()
        await say(stream, b"hello")
        assert time.monotonic() - began >= 0.19


async def test_delay_does_not_lower_the_throughput(proxy: FaultProxy) -> None:
    async with connected(proxy) as stream:
        proxy.delay(0.5)  # a pause for each piece would be a quarter of a minute
        async with asyncio.timeout(10):
            await say(stream, b"x" * 2_000_000)


async def test_limit_slows_down(proxy: FaultProxy) -> None:
    async with connected(proxy) as stream:
        proxy.limit(100_000)
        began = time.monotonic()
        await say(stream, b"x" * 20_000)
        assert time.monotonic() - began >= 0.18


async def test_a_target_that_is_down_resets_the_client() -> None:
    async with FaultProxy("127.0.0.1:1") as proxy, connected(proxy) as (reader, _):
        with pytest.raises(ConnectionResetError):
            await reader.read()


async def test_leaving_it_cuts_what_is_stalled() -> None:
    async with FaultProxy("127.0.0.1:1") as proxy:
        proxy.stall()
        async with connected(proxy) as (reader, _):
            await asyncio.sleep(0)
            await proxy.__aexit__(None, None, None)
            with pytest.raises(ConnectionError):
                await reader.readexactly(1)
