"""What a request through two edges costs that a hub has configured, against two Envoys with the same configuration
given statically: CPU of both Envoys, throughput, p99.

A plain caller of one zone calls a plain zone beyond: HTTP/1.1, then HTTP/2 over mutual TLS, then HTTP/1.1 again, a body
of 1 KiB. Both pairs have the same application, identities and machine, and take turns (A B B A). Throughput is what 16
callers on kept connections reach, in one process of Python: it is the machine's and the caller's more than Envoy's.
"""

import argparse
import asyncio
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median
from typing import NamedTuple

from google.protobuf.json_format import MessageToDict

from bench.harness.figures import conditions, cpu_of, quantile
from bench.harness.frozen import envoy_with, frozen, without
from devservers.envoy import Envoy
from devservers.network import free_port
from tests.edge_sidecar.agent import NET
from tests.edge_sidecar.resources import answering
from tests.live.edges.company import ADDRESSES, Company, company_of

CALLERS = 16
BODY = "x" * 1024
MOVED = {ADDRESSES["legacy"]: f"{NET}.12.1", ADDRESSES["vm"]: f"{NET}.13.1"}
QUESTION = b"GET / HTTP/1.1\r\nhost: any\r\n\r\n"


class Side(NamedTuple):
    name: str
    door: tuple[str, int]
    envoys: tuple[int, ...]


class Leg(NamedTuple):
    """One turn of one side. Turns are short, so that what else goes on falls on both."""

    cpu_us: float
    rate: float
    p99_ms: float


class Caller(asyncio.Protocol):
    """Asks again as soon as it is answered."""

    def __init__(self, took: list[float], until: float) -> None:
        self._took = took
        self._until = until
        self._size = 0
        self._missing = 0
        self.ended = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._ask()

    def data_received(self, data: bytes) -> None:
        if not self._missing:
            head, found, _ = data.partition(b"\r\n\r\n")
            assert found, "a head in one piece"
            assert b" 200 " in head[:16], head
            self._missing = len(head) + 4 + len(BODY)
        self._missing -= len(data)
        if self._missing:
            return
        now = time.perf_counter()
        self._took.append(now - self._asked)
        if now < self._until:
            self._ask()
        else:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(exc)

    def _ask(self) -> None:
        self._asked = time.perf_counter()
        self._transport.write(QUESTION)


async def leg_of(side: Side, seconds: float) -> Leg:
    took: list[float] = []
    loop = asyncio.get_running_loop()
    before, began = sum(map(cpu_of, side.envoys)), time.perf_counter()
    callers = [
        (await loop.create_connection(lambda: Caller(took, began + seconds), *side.door))[1] for _ in range(CALLERS)
    ]
    await asyncio.gather(*(caller.ended for caller in callers))
    used = sum(map(cpu_of, side.envoys)) - before
    return Leg(used / len(took) * 1e6, len(took) / (time.perf_counter() - began), quantile(took, 0.99) * 1e3)


async def compare(ours: Side, theirs: Side, rounds: int, seconds: float) -> None:
    for side in (ours, theirs):
        await leg_of(side, seconds)  # warms it up
    legs: dict[str, list[Leg]] = {ours.name: [], theirs.name: []}
    for number in range(rounds):
        for side in ((ours, theirs), (theirs, ours))[number % 2]:
            legs[side.name].append(await leg_of(side, seconds))
    for index, (what, unit) in enumerate((("CPU a request", "us"), ("throughput", "/s"), ("p99", "ms"))):
        mine, others = ([leg[index] for leg in legs[side.name]] for side in (ours, theirs))
        ratios = sorted(a / b for a, b in zip(mine, others, strict=True))
        low, high = quantile(ratios, 0.25), quantile(ratios, 0.75)
        print(
            f"  {what:14} {median(mine):8.1f} {unit} against {median(others):8.1f} {unit}, "
            f"ratio {median(ratios):.3f} (middle half {low:.3f} to {high:.3f})",
            flush=True,
        )


async def pair(stack: AsyncExitStack, company: Company, name: str, *missing: str) -> Side:
    """Two Envoys that do what the edges do, but for parts that are `missing`."""
    envoys = []
    for zone in ("legacy", "vm"):
        data = company.folder / f"edge-{zone}" / "data"
        content = await frozen(data, MOVED)
        for part in missing:
            content = without(part, content)
        place = company.folder / f"{name}-{zone}"
        envoys.append(await stack.enter_async_context(envoy_with(content, place, data / "identity")))
    (_, port), *_ = await company.seen("legacy/app", "vm")
    return Side(name, (MOVED[ADDRESSES["vm"]], port), tuple(envoys))


def application(port: int) -> dict[str, object]:
    listener = MessageToDict(answering("app", "127.0.0.1", port, BODY), preserving_proto_field_name=True)
    return {"static_resources": {"listeners": [listener]}}


async def main(rounds: int, seconds: float) -> None:
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="bench-edge-") as folder, Envoy(application(port)):
        async with company_of(Path(folder)) as company:
            await company.register("legacy/app", "127.0.0.1", port, "http")
            edges = [await company.edge(zone) for zone in ("legacy", "vm")]
            (door,) = await company.until_seen("legacy/app", "vm")
            ours = Side("edges", door, tuple(pid for edge in edges for pid in edge.envoys()))
            for name, missing in (("the same, static", ()), ("the same, static, without access logs", ("access_log",))):
                print(f"two edges against two Envoys: {name}; {rounds} rounds of {seconds:g} s; {conditions()}")
                async with AsyncExitStack() as stack:
                    await compare(ours, await pair(stack, company, name.replace(" ", "-"), *missing), rounds, seconds)


if __name__ == "__main__":
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--rounds", type=int, default=60)
    words.add_argument("--seconds", type=float, default=0.5)
    asked = words.parse_args()
    asyncio.run(main(asked.rounds, asked.seconds))
