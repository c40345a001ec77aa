"""`GET` of one service of 20 instances over 32 connections, against Consul's `/v1/health/service` with the same data.

    python -m bench asking [--seconds 4] [--turns 8]

What counts is the CPU that a server spends on a request: 1 / CPU is what one of its cores answers.
"""

import argparse
import asyncio
import tempfile
from pathlib import Path
from statistics import median

from bench.harness import filled
from bench.harness.figures import conditions, cpu_of
from devservers import Consul
from tests.feature.hub import hub

CONNECTIONS = 32
INSTANCES = 20


class Asker(asyncio.Protocol):
    """One connection that asks again as soon as it is answered. Answers are all of one length, but for a few bytes."""

    def __init__(self, request: bytes, stop: asyncio.Event) -> None:
        self.request = request
        self.stop = stop
        self.answers = 0
        self._buffer = b""
        self._transport: asyncio.Transport | None = None
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        lower = head.lower()
        if not lower.startswith(b"http/1.1 200"):
            raise RuntimeError(head.decode())
        if (at := lower.find(b"content-length:")) >= 0:
            is_whole = len(body) >= int(lower[at + 15 :].split(b"\r\n", 1)[0])
        else:
            is_whole = body.endswith(b"0\r\n\r\n")  # Consul answers in chunks
        if not is_whole:
            return
        self.answers += 1
        self._buffer = b""
        assert self._transport is not None
        if self.stop.is_set():
            self._transport.close()
            self.done.set_result(None)
        else:
            self._transport.write(self.request)


async def asked(host: str, port: int, path: str, pid: int, seconds: float) -> tuple[float, float]:
    """CPU seconds of the server for a request, and requests a second."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    request = f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nAccept-Encoding: identity\r\n\r\n".encode()
    made = [await loop.create_connection(lambda: Asker(request, stop), host, port) for _ in range(CONNECTIONS)]
    askers = [asker for _, asker in made]
    await asyncio.sleep(0.5)
    before, answered = cpu_of(pid), sum(asker.answers for asker in askers)
    await asyncio.sleep(seconds)
    spent, count = cpu_of(pid) - before, sum(asker.answers for asker in askers) - answered
    stop.set()
    async with asyncio.timeout(10):
        await asyncio.gather(*(asker.done for asker in askers))
    return spent / count, count / seconds


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--turns", type=int, default=8)
    arguments = parser.parse_args()
    print(f"asking: one service of {INSTANCES} instances, {CONNECTIONS} connections; {conditions()}")
    with Consul(durable=False) as server, tempfile.TemporaryDirectory() as folder:
        async with filled.consul_writer(server) as writer:
            await writer.fill(1, INSTANCES)
        registries = [filled.consul_registry(server)]
        async with hub(Path(folder), zones=[{"name": "vm"}], registries=registries) as running:
            await running.until(lambda: running.registry("consul"), lambda one: one["instances"] >= INSTANCES)
            port = int(running.url.rpartition(":")[2])
            theirs, ours = [], []
            for turn in range(arguments.turns):
                if turn % 4 in (1, 2):
                    path = f"/api/v1/services/vm/{filled.CHANGING}"
                    ours.append(await asked("127.0.0.1", port, path, running.pid, arguments.seconds))
                else:
                    path = f"/v1/health/service/{filled.CHANGING}"
                    theirs.append(await asked("127.0.0.1", server.port, path, server.pid, arguments.seconds))
    for name, found in (("Consul", theirs), ("hub", ours)):
        cpu, rate = median(one[0] for one in found), median(one[1] for one in found)
        print(
            f"  {name:>6}: {cpu * 1e6:6.1f} µs of CPU a request, so {1 / cpu:8.0f} a second and core ({rate:.0f} seen)"
        )
    print(f"  ratio {median(one[0] for one in theirs) / median(one[0] for one in ours):.2f}")


if __name__ == "__main__":
    asyncio.run(main())
