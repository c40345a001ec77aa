"""A profile: what a client says of itself, as far as it decides what the client gets.

Clients of equal profiles share their resources. The bootstrap puts these values into `node.metadata`; see `NODE`.
"""

from enum import StrEnum

import msgspec

from pilot_plus.model import Viewer
from pilot_plus.quantities import Address, is_ip


class Kind(StrEnum):
    """For whom resources are made."""

    ENVOY = "envoy"
    GRPC = "grpc"
    EDGE = "edge"


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """What decides which resources a client gets.

    Raises:
        ValueError: an address is not of the form `HOST:PORT`, with an IP address.
    """

    kind: Kind
    viewer: Viewer
    outbound: str = ""
    """`HOST:PORT` of the one HTTP listener that routes by host; empty: none."""
    tcp: tuple[tuple[str, str], ...] = ()
    """For each TCP service asked for, its whole name and the `HOST:PORT` of its listener. Sorted.

    `#PORTNAME` behind the name chooses a port; else it is the only one, or the one with the listener's own number.
    """
    data: str = ""
    """The client's data folder (`wire.folder`), as the client names it; empty: it has no certificate.

    The hub gives an Envoy its own pair as the secret `pilot-plus/own`, which names files in this folder: only what
    came by SDS is read again when the folder changes (static secrets of a bootstrap are not).
    """
    edge: str = ""
    """For an edge, its whole name: `CLUSTER/ZONE/NAME`."""
    address: str = ""
    """For an edge, the only address that it binds on."""
    service: str = ""
    """For an edge that is the sidecar of one application: the application's service."""

    def __post_init__(self) -> None:
        for address in (self.outbound, *(address for _, address in self.tcp)):
            if address and not is_ip(Address(address).host):
                raise ValueError(f"a listener needs an IP address, found {address[:80]!r}")
