"""The page about edges: two zones come up as it says, and its commands print what it shows."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docs.pages import Shown, blocks, page, transcripts
from tests.live.edges.applications import serving, web
from tests.live.edges.company import ADDRESSES, ask, company_of

pytestmark = pytest.mark.live

PAGE = page("docs/edge.md")
EDGES = {"127.0.0.2": ("legacy", "edge-legacy"), "127.0.0.3": ("mesh", "edge-mesh")}


def as_shown(folder: Path) -> dict[str, Any]:
    shown: dict[str, Any] = yaml.safe_load(blocks(PAGE, "yaml")[0])
    shown.pop("listen", None)  # its ports may be somebody else's on this machine
    for registry in shown["registries"]:
        registry["settings"]["url"] = f"sqlite:///{folder}/{registry['name']}.db"
    return shown


async def test_two_zones_come_up_as_the_page_says(tmp_path: Path):
    async with company_of(tmp_path, until="new", **as_shown(tmp_path)) as company, serving(web("hello")) as site:
        for address, (zone, name) in EDGES.items():
            assert f"--zone {zone} --address {address} --name {name} \\\n" in PAGE
            await company.edge(zone, name=name)
        body = {
            "namespace": "mesh", "name": "web", "id": "web-1", "address": "127.0.0.1", "ttl": "1h", "registry": "new",
            "ports": [{"name": "http", "number": site, "protocol": "http"}],
        }  # fmt: skip
        assert (await company.hub.post("/instances", body)).status_code in (200, 201)
        await company.until_seen("mesh/web", "legacy")
        assert await ask(ADDRESSES["legacy"], 15080, "web.mesh.mesh") == (200, "hello")

        def plain(text: str) -> list[list[str]]:
            for address, (zone, _) in EDGES.items():
                text = text.replace(ADDRESSES[zone], address)
            text = text.replace(str(company.xds), "127.0.0.1:15010")
            return [line.split() for line in text.strip().splitlines()]

        for shown in transcripts(PAGE):
            got = await company.hub.call(*shown.words)
            assert plain(got.out) == plain(shown.prints), got.out
        (status,) = transcripts(PAGE, "$ edge-sidecar ")
        printed = await edge_sidecar(*status.words[:2], str(tmp_path / "edge-legacy" / "data"))
        lines = ["\n".join(" ".join(words) for words in plain(text)) for text in (status.prints, printed)]
        assert Shown((), lines[0]).is_what(lines[1]), printed


async def edge_sidecar(*words: str) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "edge_sidecar", *words, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    return out.decode()


async def test_every_option_that_the_page_uses_is_one():
    told = await edge_sidecar("run", "--help")
    for option in ("--hub", "--zone", "--token", "--address", "--name", "--data", "--service", "--drain-time"):
        assert option in PAGE
        assert option in told


@pytest.mark.parametrize("nobody", [["status", "--data", "/nowhere"]])
async def test_an_agent_that_never_was_is_said_to_be_none(nobody: list[str]):
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "edge_sidecar", *nobody, stderr=asyncio.subprocess.PIPE
    )
    _, complaint = await process.communicate()
    assert process.returncode == 1
    assert "no agent has ever worked in /nowhere" in complaint.decode()
