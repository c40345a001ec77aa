"""Across clusters: a caller of east reaches what lies behind an edge of west, each proving itself by its own root."""

import asyncio
import json
import os
import sqlite3
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from devservers.envoy import Envoy
from devservers.network import free_port
from pilot_plus.identity.leaves import new_leaf
from pilot_plus.model import parse_spiffe
from pilot_plus.wire.certificates import key_pem, new_key, pem, read_key, read_pem
from tests.live.edges.applications import greeter, serving, web
from tests.live.edges.company import ADDRESSES, Company, ask, company_of, say
from tests.live.edges.test_flows import ask_patiently, grpc_echo

pytestmark = pytest.mark.live

WEST = ADDRESSES["legacy"]
EVERYTHING = [{"services": ["*/*"]}]


def section(cluster: str, peer: str, at: str, *, listen: str, detail: str) -> dict[str, Any]:
    entry = {"name": peer, "address": at, "export": EVERYTHING, "import": EVERYTHING, "detail": detail}
    return {"cluster": cluster, "listen": {"peer": listen}, "peers": [entry]}


@asynccontextmanager
async def two_clusters(folder: Path, detail: str) -> AsyncIterator[tuple[Company, Company]]:
    """East and west, which have met, with an edge at the plain zone of each."""
    east_at, west_at = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    of_east = section("east", "west", west_at, listen=east_at, detail=detail)
    of_west = section("west", "east", east_at, listen=west_at, detail=detail)
    for name in ("east", "west"):
        (folder / name).mkdir()
    async with company_of(folder / "east", **of_east) as east, company_of(folder / "west", **of_west) as west:
        token = (await west.hub.call("peer", "token", "east")).out.strip()
        assert (await east.hub.call("peer", "join", "west", token)).code == 0
        await west.edge("legacy")
        await east.edge("vm")
        await east.hub.until_state("west", "synced")
        await west.hub.until_state("east", "synced")
        yield east, west


@pytest.mark.parametrize("detail", ["instances", "summary"])
async def test_callers_of_east_reach_a_plain_zone_of_west_through_its_edge(tmp_path: Path, detail: str):
    async with (
        two_clusters(tmp_path, detail) as (east, west),
        serving(web("orders")) as orders,
        serving(greeter("hello from redis")) as redis,
        grpc_echo() as echoing,
    ):
        await west.register("legacy/orders", "127.0.0.1", orders, "http")
        await west.register("legacy/redis", "127.0.0.1", redis, "tcp", name="redis")
        await west.register("legacy/echo", "127.0.0.1", echoing, "grpc")
        assert await east.until_seen("legacy/orders", "mesh") == [(WEST, 15443)]
        outbound = free_port()
        token = await east.token("--zone", "mesh")
        words = ("--outbound", f"127.0.0.1:{outbound}", "--token", token, "--data", str(tmp_path / "envoy"))
        with Envoy(await east.bootstrap("envoy", *words)):
            assert await ask_patiently("127.0.0.1", outbound, "orders.legacy.mesh") == (200, "orders")

        # without a proxy
        await east.until_seen("legacy/echo", "mesh", speaks="grpc")
        token = await east.token("--zone", "mesh")
        boot = await east.bootstrap("grpc", "--token", token, "--data", str(tmp_path / "grpc"))
        place = tmp_path / "grpc.json"
        place.write_text(json.dumps(boot))
        assert await called_without_a_proxy(place, "xds:///echo.legacy.mesh", "hello") == "hello"

        # a plain caller of east: its own edge, and from there the edge of west
        (door,) = await east.until_seen("legacy/orders", "vm")
        assert door[0] == ADDRESSES["vm"]
        assert await ask_patiently(*door, "any.host") == (200, "orders")
        (door,) = await east.until_seen("legacy/redis", "vm")
        assert await say(*door, "") == "hello from redis"


async def called_without_a_proxy(bootstrap: Path, target: str, text: str) -> str:
    """What a gRPC client that judges each trust domain by its own roots hears."""
    caller = await asyncio.create_subprocess_exec(
        *(sys.executable, str(Path(__file__).with_name("grpc_caller.py")), target, text),
        env={**os.environ, "GRPC_XDS_BOOTSTRAP": str(bootstrap), "GRPC_EXPERIMENTAL_XDS_MTLS_SPIFFE": "true"},
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await caller.communicate()
    return out.decode().strip()


async def test_the_authority_of_one_cluster_proves_nobody_of_the_other(tmp_path: Path):
    async with two_clusters(tmp_path, "instances") as (east, west), serving(web("orders")) as orders:
        await west.register("legacy/orders", "127.0.0.1", orders, "http")
        await east.until_seen("legacy/orders", "mesh")
        host, sni = "orders.legacy.mesh", "http.orders.legacy.mesh"
        bundle = str(next((west.folder / "edge-legacy").rglob("bundle.pem")))
        member = await east.identity("mesh", "web-1")
        member.load_verify_locations(bundle)
        assert await ask(WEST, 15443, host, tls=member, sni=sni) == (200, "orders")
        for name in ("west.example", "north.example"):
            forged = signed_by(
                tmp_path / "east" / "hub" / "hub.db", f"spiffe://{name}/zone/mesh/client/web-1", tmp_path
            )
            forged.load_verify_locations(bundle)
            with pytest.raises((ConnectionError, ssl.SSLError)):
                await ask(WEST, 15443, host, tls=forged, sni=sni)

        # taken back at home, refused abroad: in the next handshake, and nobody else is
        other = await east.identity("mesh", "web-12")
        other.load_verify_locations(bundle)
        revoked = {"what": "spiffe://east.example/zone/mesh/client/web-1", "reason": "stolen"}
        assert (await east.hub.post("/revocations", revoked)).status_code == 201
        await until_refused(member, host, sni)
        assert await ask(WEST, 15443, host, tls=other, sni=sni) == (200, "orders")


async def until_refused(caller: ssl.SSLContext, host: str, sni: str) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                await ask(WEST, 15443, host, tls=caller, sni=sni)
            except (ConnectionError, ssl.SSLError):
                return


def signed_by(journal: Path, identity: str, folder: Path) -> ssl.SSLContext:
    """The TLS of somebody with a certificate for any name, by the root of a cluster whose journal was stolen."""
    with closing(sqlite3.connect(journal)) as connection:
        (payload,) = connection.execute("SELECT payload FROM journal_documents WHERE kind = 'identity'").fetchone()
    (root,) = json.loads(payload)
    (issuer,) = read_pem(root["certificate"].encode())
    key, now = new_key(), datetime.now(UTC)
    leaf = new_leaf(
        issuer,
        read_key(root["key"].encode()),
        key.public_key(),
        parse_spiffe(identity),
        now=now,
        until=now + timedelta(hours=1),
    )
    pair = folder / "forged.pem"
    pair.write_bytes(key_pem(key) + pem([leaf]))
    context = ssl.create_default_context()
    context.check_hostname = False
    context.load_cert_chain(pair)
    return context


async def test_calls_stay_at_home_go_to_the_other_cluster_when_home_is_drained_and_come_back(tmp_path: Path):
    async with (
        two_clusters(tmp_path, "instances") as (east, west),
        serving(web("east")) as at_home,
        serving(web("west")) as abroad,
    ):
        await east.register("mesh/orders", "127.0.0.1", at_home, "http", id_="home-1")
        await west.register("mesh/orders", "127.0.0.1", abroad, "http", zone="legacy")
        await east.until_seen("mesh/orders", "mesh", count=2)
        outbound = free_port()
        token = await east.token("--zone", "mesh")
        words = ("--outbound", f"127.0.0.1:{outbound}", "--token", token, "--data", str(tmp_path / "envoy"))
        with Envoy(await east.bootstrap("envoy", *words)):
            assert await ask_patiently("127.0.0.1", outbound, "orders.mesh.mesh") == (200, "east")

            async def until_all_from(cluster: str) -> list[int]:
                """Ask until twenty answers in a row are a cluster's; the statuses of all."""
                statuses, row = [], 0
                async with asyncio.timeout(60):
                    while row < 20:
                        status, body = await ask("127.0.0.1", outbound, "orders.mesh.mesh")
                        statuses.append(status)
                        row = row + 1 if body == cluster else 0
                return statuses

            assert set(await until_all_from("east")) == {200}
            assert (await east.hub.call("drain", "mesh/orders", "home-1")).code == 0
            assert set(await until_all_from("west")) == {200}
            assert (await east.hub.call("drain", "mesh/orders", "home-1", "--undo")).code == 0
            assert set(await until_all_from("east")) == {200}
