"""The page about peers: two hubs meet as it says, and its commands print what it shows."""

from pathlib import Path
from typing import Any

import yaml

from devservers import free_port
from tests.docs.pages import blocks, page, transcripts
from tests.feature.hub import hub
from tests.pilot_plus.cli.calling import Command

PAGE = page("docs/peers.md")


def as_shown(own: str, other: str) -> dict[str, Any]:
    """The page's configuration, with addresses of ours."""
    shown: dict[str, Any] = yaml.safe_load(blocks(PAGE, "yaml")[0])
    shown["listen"] = {"peer": own}
    shown["peers"][0]["address"] = other
    return shown


async def test_two_hubs_meet_as_the_page_says_and_its_commands_print_what_it_shows(tmp_path: Path):
    east_at, west_at = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    of_east, of_west = as_shown(east_at, west_at), as_shown(west_at, east_at)
    of_west |= {"cluster": "west", "zones": [{"name": "vm"}]}
    of_west["peers"][0]["name"] = "east"
    async with hub(tmp_path / "west", **of_west) as west, hub(tmp_path / "east", **of_east) as east:
        for running in (west, east):
            await running.until_state("own", "synced")
        made = await Command(west.url)("peer", "token", "east")
        assert (made.code, made.out[:5]) == (0, "ppt1.")
        joined = await Command(east.url)("peer", "join", "west", made.out.strip())
        assert (joined.code, joined.out) == (0, "")
        await east.until_state("west", "synced")
        await west.until_state("east", "synced")
        instance = {
            "namespace": "shop", "name": "orders", "id": "orders-1", "address": "10.3.0.4", "ttl": "1h",
            "ports": [{"name": "http", "number": 8080, "protocol": "http"}],
        }  # fmt: skip
        assert (await west.post("/instances", instance)).status_code in (200, 201)
        await east.until_addresses("shop/orders", ["10.3.0.4"])
        for shown in transcripts(PAGE):
            got = await Command(east.url)(*shown.words)
            assert got.code == 0, got.err
            printed = got.out.replace(west_at, "127.0.0.1:15021")
            assert in_columns(printed) == in_columns(shown.prints), (shown.prints, printed)


def in_columns(text: str) -> list[list[str]]:
    """The cells of a table; how wide they are depends on the ports that we have."""
    return [line.split() for line in text.strip().splitlines()]
