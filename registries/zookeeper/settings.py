"""What the configuration says of a ZooKeeper registry, and the layouts that one can have."""

import re
from collections.abc import Mapping
from typing import Final, Literal

import msgspec
from kazoo.hosts import collect_hosts

from registries.layouts.curator import Curator
from registries.layouts.dubbo import Dubbo
from registries.layouts.dubbo3 import Dubbo3
from registries.layouts.layout import LayoutSetting, layouts_of
from registries.layouts.serverset import Serverset
from registries.layouts.sofarpc import Sofarpc
from registries.layouts.spring import Spring
from registries.layouts.tree import TreeLayout
from registries.tls import Tls

LAYOUTS: Final[Mapping[str, type[TreeLayout]]] = {
    "dubbo": Dubbo,
    "dubbo3": Dubbo3,
    "spring": Spring,
    "sofarpc": Sofarpc,
    "serverset": Serverset,
    "curator": Curator,
}
"""In the order in which they are asked about a record: who reads any payload comes last."""


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How ZooKeeper is reached, and how the records lie in it."""

    hosts: str
    """`host:port,host:port`, with a path behind it (`…/company`) if everything lies below that."""
    layouts: tuple[LayoutSetting, ...]
    """`dubbo`, `dubbo3`, `spring`, `curator`, `sofarpc`, `serverset`; each a name or `{NAME: {options}}`."""
    username: str = ""
    password: str = ""
    auth: Literal["digest", "sasl"] = "digest"
    """How user and password are shown: ZooKeeper's own scheme, or SASL with DIGEST-MD5 (needs the extra `sasl`)."""
    tls: Tls | None = None
    session_timeout: float | str = 10.0
    """Seconds, or `10s`, that the server waits for us before our session ends, and with it what we wrote on a lease.

    The server has its own limits (2 to 20 ticks). Two thirds of it are how long a silent server goes unnoticed.
    """
    connect_timeout: float | str = 5.0
    """Seconds, or `5s`, for the whole way to a session."""
    locks: str = "/pilot-plus/locks"
    """Where the locks lie of hubs that write here."""

    def __post_init__(self) -> None:
        try:
            hosts, _ = collect_hosts(self.hosts)
        except ValueError as error:
            raise ValueError(f"hosts: expected HOST:PORT,… but found {self.hosts!r}: {error}") from error
        if not all(port in range(1, 65536) for _, port in hosts):
            raise ValueError(f"hosts: a port of {self.hosts!r} is outside 1..65535")
        if not self.layouts:
            raise ValueError(f"layouts: name at least one of {', '.join(LAYOUTS)}")
        self.as_written()
        if bool(self.username) != bool(self.password):
            raise ValueError("username and password: give both, or neither")
        if self.auth == "sasl" and not self.username:
            raise ValueError("auth: sasl needs username and password")
        if not 1 <= self.session_seconds <= 3600:
            raise ValueError(f"session_timeout: expected 1s to 1h, found {self.session_timeout!r}")
        if not 0.1 <= self.connect_seconds <= 600:
            raise ValueError(f"connect_timeout: expected 0.1s to 10m, found {self.connect_timeout!r}")
        if not re.fullmatch(r"(/(?!\.{1,2}(/|$))[!-.0-~]+)+", self.locks):
            raise ValueError(f"locks: expected a path such as /pilot-plus/locks, found {self.locks!r}")

    @property
    def session_seconds(self) -> float:
        """The session's time-out."""
        return _seconds("session_timeout", self.session_timeout)

    @property
    def connect_seconds(self) -> float:
        """The time for the whole way to a session."""
        return _seconds("connect_timeout", self.connect_timeout)

    def as_written(self) -> tuple[TreeLayout, ...]:
        """The layouts, as the configuration names them: the first is the one that is written by default.

        Raises:
            ValueError: an unknown layout or option, or the same one twice.
        """
        found = layouts_of(self.layouts, LAYOUTS)
        if len(set(found)) != len(found):
            raise ValueError("layouts: one of them stands there twice with the same options")
        return tuple(layout for layout in found if isinstance(layout, TreeLayout))

    def tree_layouts(self) -> tuple[TreeLayout, ...]:
        """The layouts, in the order in which they are asked about a record."""
        order = list(LAYOUTS)
        return tuple(sorted(self.as_written(), key=lambda layout: order.index(layout.name)))

    def __repr__(self) -> str:
        """Without the password."""
        return f"Settings(hosts={self.hosts!r}, layouts={self.layouts!r}, username={self.username!r})"


def _seconds(key: str, value: float | str) -> float:
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h)?", value)
    if match is None:
        raise ValueError(f"{key}: expected seconds or a duration such as 10s, found {value!r}")
    return float(match[1]) * {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}[match[2] or "s"]
