"""The page about the horizon: its configuration makes somebody see each of the reasons that it shows."""

import yaml

from tests.docs.pages import blocks, page
from tests.pilot_plus.views.world import World, copy, edge

PAGE = page("docs/horizon.md")
SERVICES = ("legacy/orders", "shop/carts")


def test_each_reason_is_one_that_somebody_is_told():
    sections = yaml.safe_load(blocks(PAGE, "yaml")[0])
    (said,) = (block for block in blocks(PAGE) if block.startswith("let through by"))
    held = {"zk": [copy("a")], "own": [copy("c", "carts", namespace="shop")]}
    world = World(held, [edge("edge-1", "legacy")], zones=sections["zones"], registries=sections["registries"])
    exporting = World(
        held, [edge("edge-1", "legacy")], **{name: sections[name] for name in sections if name != "cluster"}
    )
    told = {
        verdict.why
        for service in SERVICES
        for zone in ("legacy", "vm", "mesh")
        for verdict in exporting.explained(zone, service)
    }
    assert not [line for line in said.splitlines() if not any(line in why for why in told)]
    assert not any("exports[0]" in one.why for one in world.explained("vm", "legacy/orders"))
