"""Worlds of zones, exports, instances and edges, drawn at random."""

from hypothesis import strategies as st

from pilot_plus.model import ACCEPTS, Health, Port
from pilot_plus.views.edges import Carrying
from tests.pilot_plus.views.world import World, copy, edge

EVERYTHING = [{"services": ["*/*"]}]
CARRYING_ALL = "*/*"


def mtls(accepts: str = "mtls") -> dict[str, str]:
    return {ACCEPTS: accepts}


# ------------------------------------------------------------------------------------------------ properties

ZONE_NAMES = ["legacy", "vm", "mesh", "dark"]
REGISTRY_OF = {"legacy": "zk", "vm": "consul", "mesh": "own", "dark": "etcd"}
NAMES = ["orders", "carts"]


@st.composite
def worlds(draw: st.DrawFn) -> World:
    zones = [
        {
            "name": name,
            "meshed": draw(st.booleans()),
            "reaches": draw(st.lists(st.sampled_from(ZONE_NAMES), unique=True, max_size=2)),
        }
        for name in ZONE_NAMES
    ]
    some_zones = st.lists(st.sampled_from(ZONE_NAMES), unique=True, min_size=1, max_size=3)
    patterns = st.lists(st.sampled_from(["*/*", "shop/orders", "shop/c*", "none/*"]), min_size=1, max_size=2)
    exports = draw(
        st.lists(st.fixed_dictionaries({"services": patterns, "from": some_zones, "to": some_zones}), max_size=3)
    )
    held = {
        REGISTRY_OF[zone]: [
            copy(
                f"{zone}-{name}-{n}",
                name,
                namespace="shop",
                address=f"10.{index}.0.{n + 1}",
                weight=draw(st.integers(0, 300)),
                health=draw(st.sampled_from(list(Health))),
                metadata={ACCEPTS: draw(st.sampled_from(["plain", "mtls", "both", "nonsense"]))},
                zone=draw(st.sampled_from(["", *(f"east/{other}" for other in ZONE_NAMES)])),
            )
            for name in NAMES
            for n in range(draw(st.integers(0, 2)))
        ]
        for index, zone in enumerate(ZONE_NAMES)
    }
    edges = [
        edge(
            f"edge-{n}",
            draw(st.sampled_from(ZONE_NAMES)),
            carries=draw(st.sampled_from(["", "*/*", "shop/orders"])),
            tunnels=draw(st.sampled_from(["", "east/dark", "east/vm,east/legacy"])),
            ports=draw(st.sampled_from([[], [Port("mesh", 15443, "tls")]])),
            weight=draw(st.integers(0, 200)),
        )
        for n in range(draw(st.integers(0, 4)))
    ]
    plain_ports = {
        (f"east/{zone}", f"shop/{name}"): {"http": 20000 + n}
        for n, name in enumerate(NAMES)
        for zone in ("legacy", "vm")
    }
    lost = draw(st.lists(st.sampled_from(list(REGISTRY_OF.values())), unique=True, max_size=2))
    return World(held, edges, zones=zones, exports=exports, carrying=Carrying(plain_ports=plain_ports), lost=lost)
