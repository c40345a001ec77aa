"""A zone: an area of network and trust in a cluster, and the viewers that look from it."""

from enum import StrEnum
from typing import Final

import msgspec


class Speaks(StrEnum):
    """What a viewer speaks."""

    PLAIN = "plain"
    MESH = "mesh"
    GRPC = "grpc"


class Zone(msgspec.Struct, frozen=True):
    """A zone by its whole name, and the zones that its callers can dial directly."""

    name: str
    meshed: bool = False
    subnets: tuple[str, ...] = ()
    reaches: frozenset[str] = frozenset()
    """Whole names."""


class Viewer(msgspec.Struct, frozen=True):
    """Who looks: a zone (whole name), what it speaks, and whether it can prove who it is."""

    zone: str
    speaks: Speaks = Speaks.PLAIN
    certified: bool = False


ACCEPTS: Final = "pilot-plus-accepts"
"""The metadata name under which an instance says what it accepts: `plain` (the default), `mtls` or `both`."""
EDGE_ONLY: Final = "edge"
"""What a summary accepts: it stands for instances that one reaches through the edges of their zone."""


def whole_zone(cluster: str, zone: str) -> str:
    """A zone's whole name: a bare one means a zone of `cluster`."""
    return zone if "/" in zone else f"{cluster}/{zone}"


def short_zone(cluster: str, zone: str) -> str:
    """A zone's name as people of `cluster` write it: bare for their own."""
    return zone.removeprefix(f"{cluster}/")
