"""Edges: how soon they carry a thousand services, what a change behind one costs a caller, what an idle agent costs.

A hub, real Envoys, an application; all on loopback. Printed are seconds and milliseconds as they come, for on a machine
that is busy they say more of the machine: compare runs, and the two halves of one run.
"""

import asyncio
import tempfile
import time
from pathlib import Path
from statistics import median, quantiles

import httpx
import psutil

from tests.edge_sidecar.agent import Agent
from tests.live.edges.applications import serving, web
from tests.live.edges.company import Company, company_of

SERVICES = 1000
CHANGES = 100
IDLE = 10.0


async def main() -> None:
    with tempfile.TemporaryDirectory(prefix="bench-edge-") as folder:
        async with company_of(Path(folder)) as company:
            await changes(company)
            await thousand(company)


async def thousand(company: Company) -> None:
    """A thousand services, an agent that starts again, and its idle life."""
    async with serving(web("a")) as port:
        for number in range(SERVICES):
            await company.register(f"vm/svc{number}", "127.0.0.1", port, "http", id_="a")
        began = time.monotonic()
        agent = await company.edge("vm")
        await carries(agent, SERVICES)
        print(f"{SERVICES} services, from the agent's first start until all are carried   {since(began)}")
        at = time.monotonic()
        await company.register("vm/one-more", "127.0.0.1", port, "http", id_="a")
        await carries(agent, SERVICES + 1)
        print(f"one more of them, until it is carried                                 {since(at)}")
        assert await agent.stop() == 0
        began = time.monotonic()
        agent = await company.edge_again("vm")
        await agent.until(lambda status: status.get("envoy_serves") and status.get("pid") == agent.process.pid, 60)
        print(f"the same, from the agent's second start until its Envoy serves        {since(began)}")
        await carries(agent, SERVICES + 1)
        await idle(agent)


async def idle(agent: Agent) -> None:
    process = psutil.Process(agent.process.pid)
    before = process.cpu_times()
    await asyncio.sleep(IDLE)
    after = process.cpu_times()
    used = (after.user + after.system - before.user - before.system) / IDLE
    print(f"the idle agent                    {used:.2%} of a core, {process.memory_info().rss >> 20} MB resident")


async def changes(company: Company) -> None:
    """An instance behind a remote edge is replaced by another one: until a caller's next request goes right."""
    async with serving(web("a")) as a, serving(web("b")) as b:
        ports = {"a": a, "b": b}
        await company.register("legacy/orders", "127.0.0.1", a, "http", id_="one")
        await company.edge("legacy")
        await company.edge("mesh")
        (door,) = await company.until_seen("legacy/orders", "mesh", 1, "plain")
        took = []
        async with httpx.AsyncClient(base_url=company.hub.url) as client:
            for number in range(CHANGES):
                wanted = "ba"[number % 2]
                body = registration(ports[wanted])
                reader, writer = await asyncio.open_connection(*door)
                began = time.monotonic()
                (await client.post("/api/v1/instances", json=body)).raise_for_status()
                while await asked(reader, writer) != wanted:  # noqa: ASYNC110
                    await asyncio.sleep(0.001)
                took.append((time.monotonic() - began) * 1000)
                writer.transport.abort()
        print(
            f"a change behind a remote edge, from the call that registers it to the right answer: "
            f"p50 {median(took):.0f} ms, p99 {quantiles(took, n=100)[98]:.0f} ms of {CHANGES}"
        )


def registration(port: int) -> dict[str, object]:
    ports = [{"name": "http", "number": port, "protocol": "http"}]
    named = {"namespace": "legacy", "name": "orders", "id": "one", "registry": "legacy"}
    return {**named, "address": "127.0.0.1", "ports": ports, "ttl": "24h"}


async def asked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
    writer.write(b"GET / HTTP/1.1\r\nhost: any\r\n\r\n")
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    return (await reader.readexactly(int(head.partition("content-length: ")[2].partition("\r\n")[0]))).decode()


async def carries(agent: Agent, count: int) -> None:
    await agent.until(lambda status: len(status.get("carries", ())) >= count, 120)


def since(began: float) -> str:
    return f"{time.monotonic() - began:.2f} s"


if __name__ == "__main__":
    asyncio.run(main())
