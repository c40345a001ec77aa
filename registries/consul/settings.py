"""What a configuration says of a Consul."""

from typing import Final, Literal
from urllib.parse import SplitResult, urlsplit

import msgspec

from pilot_plus.model import UNKNOWN_PROTOCOL
from pilot_plus.quantities import seconds_of
from registries.tls import Tls

ASKING: Final = 6
WRITING: Final = 8
OTHERS: Final = 1 + ASKING + WRITING
"""Connections that are no long polls: the list, what is read at once, what is written."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `settings` of a registry of the kind `consul`."""

    url: str = "http://127.0.0.1:8500"
    """The HTTP API of an agent or a server: `http://…` or `https://…`."""
    token: str = ""
    """The ACL token. To read it needs `service_prefix "" {policy = "read"}` and `node_prefix "" {policy = "read"}`."""
    datacenter: str = ""
    """The datacenter that is asked; left out, the agent's own."""
    tls: Tls = Tls()
    """For `https`."""
    connections: int = 150
    """The most connections held at once. One long poll needs one, and Consul closes what exceeds its own limit of 200
    for a client (`limits.http_max_conns_per_client`). Services beyond it are swept: see `docs/registries/consul.md`."""
    wait: str = "30s"
    """How long a blocking query waits, at most 60s. So long Consul may sit on an index from before a reset, and keeps
    the queries of a connection that is gone."""
    protocol: str = UNKNOWN_PROTOCOL
    """What instances speak whose `Meta` names no `protocol`."""
    write: Literal["agent", "catalog"] = "agent"
    """Where durable copies are written: at the agent, or in the catalog on a node `pilot-plus`, which is far faster and
    outlives the agent, and needs `node "pilot-plus" {policy = "write"}`. Leased ones are always at the agent."""
    locks: str = "pilot-plus/locks"
    """Where in the KV store the locks lie of hubs that write here."""

    def __post_init__(self) -> None:
        """Refuse what can't work.

        Raises:
            ValueError: the key and the remedy.
        """
        parts = urlsplit(self.url)
        if not _is_server(parts):
            raise ValueError("url: expected http://HOST:PORT or https://HOST:PORT")
        if "@" in parts.netloc:
            raise ValueError("url: holds a user or a password: put the ACL token into `token`")
        if self.tls != Tls() and parts.scheme != "https":
            raise ValueError("tls: is set, but url does not begin with https://")
        if not self.token.isprintable():
            raise ValueError("token: holds a line break or a control character")
        if not OTHERS + 2 <= self.connections <= 100_000:
            raise ValueError(f"connections: expected {OTHERS + 2} to 100000, found {self.connections}")
        if not 1 <= self.wait_s <= 60:
            raise ValueError(f"wait: expected 1s to 60s, found {self.wait}")
        if not self.locks.strip("/") or not self.locks.isprintable() or self.locks != self.locks.strip("/"):
            raise ValueError(f"locks: expected a prefix of keys such as pilot-plus/locks, found {self.locks!r}")
        if not self.protocol.isprintable() or not self.protocol:
            raise ValueError("protocol: expected a name like http, grpc or tcp")

    @property
    def wait_s(self) -> float:
        """`wait` in seconds."""
        try:
            return seconds_of(self.wait)
        except ValueError as error:
            raise ValueError(f"wait: {error}") from error

    @property
    def polls(self) -> int:
        """How many services can have a long poll of their own."""
        return self.connections - OTHERS

    def __repr__(self) -> str:
        """The settings without the secret."""
        return f"Settings(url={self.url!r}, datacenter={self.datacenter!r}, token={'***' if self.token else ''!r})"


def _is_server(parts: SplitResult) -> bool:
    try:
        port_is_one = parts.port is None or parts.port > 0
    except ValueError:
        return False
    alone = not (parts.path.strip("/") or parts.query or parts.fragment)
    return parts.scheme in ("http", "https") and bool(parts.hostname) and port_is_one and alone
