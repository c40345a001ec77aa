"""Settings: what an agent is told, and the defaults of what it isn't."""

import os
import re
import socket
from pathlib import Path
from typing import Final

import msgspec

from pilot_plus.model import split_service
from pilot_plus.quantities import Address
from pilot_plus.wire.jointoken import JoinToken

MESH_PORT: Final = 15443
HTTP_PORT: Final = 15080


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent is told."""

    hub: Address
    """The hub's xDS address."""
    zone: str
    address: str
    """The only address that the edge binds on."""
    name: str
    data: Path
    """Absolute."""
    token: JoinToken | None = None
    outside: str = ""
    """What callers from other zones dial; empty: the address."""
    service: str = ""
    """For the sidecar of one application, its service. It has no session: its identity is that of all copies."""
    dial_out: tuple[Address, ...] = ()
    drain_time: float = 5.0
    """Seconds that connections get to end by themselves."""
    concurrency: int = 0
    """Envoy's worker threads; 0: one for each core."""

    def __post_init__(self) -> None:
        if self.service:
            split_service(self.service)


def address_towards(hub: Address) -> str:
    """The address of ours from which the hub is reached.

    Raises:
        OSError: there is no way to it.
    """
    family, _, _, _, place = socket.getaddrinfo(hub.host, hub.port, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect(place)  # sends nothing
        return str(probe.getsockname()[0])


def name_at(address: str) -> str:
    """A name for the edge at an address: two agents on one machine have two addresses, and so two names."""
    host = re.sub(r"[^A-Za-z0-9-]+", "-", socket.gethostname().partition(".")[0]).strip("-") or "edge"
    return f"{host}-{re.sub(r'[^0-9A-Fa-f]+', '-', address).strip('-')}"


def data_home() -> Path:
    """Where agents keep their data that are not told where."""
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "pilot-plus" / "edges"
