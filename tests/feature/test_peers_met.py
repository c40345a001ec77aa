"""Hubs that meet: trust between clusters, over mutual TLS, and nobody else."""

import base64
import json
import sqlite3
from contextlib import closing
from pathlib import Path

from devservers import FaultProxy, free_port
from pilot_plus.wire import edge_pb2 as pb
from tests.feature.hub import hub
from tests.feature.test_peers import EVERYTHING, OWN, both_ways, clusters, register, until_origins


async def test_hubs_that_have_met_read_each_other_over_mutual_tls_and_nobody_else_does(tmp_path: Path):
    links = both_ways(("east", "west"), insecure=False)
    async with clusters(tmp_path, links, {"west": (port := free_port())}, waiting=False) as hubs:
        east, west = hubs["east"], hubs["west"]
        await register(west, "w-1")
        said = "is not known yet"
        await east.until(lambda: east.registry("west"), lambda one: said in (one["error"] or ""))
        token = (await west.post("/peers/east/token", {"ttl": "10m"})).json()["token"]
        other = (await west.post("/peers/east/token", {"ttl": "10m"})).json()["token"]
        assert (await east.post("/peers/west/join", {"token": token})).status_code == 200
        await until_origins(east, [("west", "w-1", ())])
        await register(east, "e-1")
        await until_origins(west, [("west", "w-1", ()), ("east", "e-1", ())])
        again = await east.post("/peers/west/join", {"token": token})
        assert (again.status_code, "was used already" in again.text) == (422, True)

        # Another hub that calls itself east: it has no pact, and a token that is for somebody else's root does no good.
        thief = {"name": "west", "address": f"127.0.0.1:{port}", "import": EVERYTHING}
        async with hub(tmp_path / "thief", cluster="east", registries=[], peers=[thief]) as stranger:
            await stranger.until(lambda: stranger.registry("west"), lambda one: said in (one["error"] or ""))
            forged = f"ppt1.{'A' * 43}.{other.rpartition('.')[2]}"
            refused = await stranger.post("/peers/west/join", {"token": forged})
            assert (refused.status_code, "not the hub that the token is for" in refused.text) == (422, True)
        assert token.rpartition(".")[2] not in west.said + east.said


async def test_a_rotated_root_is_told_to_the_peer_before_it_signs(tmp_path: Path):
    async with clusters(tmp_path, both_ways(("east", "west"), insecure=False), waiting=False) as hubs:
        east, west = hubs["east"], hubs["west"]
        token = (await west.post("/peers/east/token", {})).json()["token"]
        assert (await east.post("/peers/west/join", {"token": token})).status_code == 200
        await east.until_state("west", "synced")
        await west.until_state("east", "synced")
        assert (await west.post("/root/rotate")).status_code == 202
        await east.until(lambda: known_roots(tmp_path / "east" / "hub.db", "west"), lambda count: count == 2)


async def known_roots(journal: Path, cluster: str) -> int:
    """How many roots of another cluster a hub's journal holds."""
    with closing(sqlite3.connect(f"file:{journal}?mode=ro", uri=True)) as connection:
        row = connection.execute(
            "SELECT payload FROM journal_documents WHERE kind = 'peer' AND key = ?", (cluster,)
        ).fetchone()
    return len(pb.Trust.FromString(base64.b64decode(json.loads(row[0])["trust"])).roots)


async def test_a_stranger_is_told_that_he_is_no_peer(tmp_path: Path):
    folder, port = tmp_path / "north", free_port()
    folder.mkdir()
    links = both_ways(("east", "west"))
    async with clusters(tmp_path, links, {"west": port}):
        entry = {"name": "west", "address": f"127.0.0.1:{port}", "insecure": True, "import": EVERYTHING}
        async with hub(folder, cluster="north", registries=[], peers=[entry]) as north:
            told = await north.until(lambda: north.registry("west"), lambda one: one["error"])
            assert "'north' is not among the `peers` here" in told["error"]
            assert told["state"] == "never_synced"


async def test_the_hub_of_another_cluster_is_not_taken_for_the_one_that_was_meant(tmp_path: Path):
    folder, port = tmp_path / "north", free_port()
    folder.mkdir()
    async with FaultProxy(f"127.0.0.1:{port}") as proxy:
        (tmp_path / "west").mkdir()
        entry = {"name": "north", "address": f"127.0.0.1:{free_port()}", "insecure": True, "export": EVERYTHING}
        async with hub(
            tmp_path / "west", cluster="west", listen={"peer": f"127.0.0.1:{port}"}, registries=OWN, peers=[entry]
        ):
            meant = {"name": "east", "address": proxy.address, "insecure": True, "import": EVERYTHING}
            async with hub(folder, cluster="north", registries=[], peers=[meant]) as north:
                said = "it is the hub of cluster 'west'"
                await north.until(lambda: north.registry("east"), lambda one: said in (one["error"] or ""))
