"""What a configuration says about an etcd."""

from collections.abc import Mapping
from functools import cached_property
from typing import Final
from urllib.parse import urlsplit

import msgspec

from pilot_plus.quantities import seconds_of
from registries.layouts.apisix import Apisix
from registries.layouts.etcd_dubbo import EtcdDubbo
from registries.layouts.etcd_dubbo3 import EtcdDubbo3
from registries.layouts.gozero import GoZero
from registries.layouts.hostport import join_host_port
from registries.layouts.kratos import Kratos
from registries.layouts.layout import Layout, LayoutSetting, layouts_of
from registries.layouts.micro import Micro
from registries.layouts.naming import Naming
from registries.layouts.skydns import SkyDns
from registries.layouts.template import Template
from registries.tls import Tls

LAYOUTS: Final[Mapping[str, type[Layout]]] = {
    "naming": Naming,
    "go-zero": GoZero,
    "kratos": Kratos,
    "micro": Micro,
    "dubbo": EtcdDubbo,
    "dubbo3": EtcdDubbo3,
    "skydns": SkyDns,
    "apisix": Apisix,
    "template": Template,
}
"""The layouts that etcd knows, by their names in a configuration."""

CLAIMING: Final = frozenset({"micro", "apisix", "dubbo"})
"""Layouts whose records don't say just one instance under their own key: a change means nothing without the past."""

DEFAULT_PORT: Final = 2379


class Endpoint(msgspec.Struct, frozen=True):
    """One address of the cluster."""

    target: str
    """`HOST:PORT`."""
    secure: bool


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, dict=True):
    """The `settings` of a registry of kind `etcd`."""

    layouts: tuple[LayoutSetting, ...]
    """The layouts to read, each a name or `{name: {options}}`; the first is the one to write in."""
    endpoints: tuple[str, ...] = ("http://127.0.0.1:2379",)
    """URLs of members of one cluster (`https://` for TLS), tried in this order."""
    username: str = ""
    """A user of etcd's own; empty where the server has no authentication."""
    password: str = ""
    """The user's password."""
    tls: Tls = Tls()
    """Authorities and certificates for `https://` endpoints."""
    timeout: float | str = 5.0
    """Seconds, or `5s`, to wait for one answer, the first one of an endpoint included."""
    silence: float | str = 10.0
    """Seconds, or `10s`, without a sign of life after which the server is held for gone; it is asked three times."""
    page: int = 10_000
    """Keys asked for at once. Each page makes the server count what follows it, so small ones cost it dearly."""

    cluster: str = ""
    """Our cluster's name: the leases of what is written here are known by it. Needed for writing only."""
    locks: str = "/pilot-plus/locks"
    """Where the locks lie of hubs that write here."""

    def __post_init__(self) -> None:
        if not self.endpoints:
            raise ValueError("endpoints: at least one URL is expected, such as http://127.0.0.1:2379")
        if not self.layouts:
            raise ValueError(f"layouts: at least one is expected, of {', '.join(sorted(LAYOUTS))}")
        if self.password and not self.username:
            raise ValueError("password: it is given without a username")
        if not 0.1 <= self.timeout_seconds <= 300:
            raise ValueError(f"timeout: expected 0.1s to 5m, found {self.timeout!r}")
        if not 0.5 <= self.silence_seconds <= 300:
            raise ValueError(f"silence: expected 0.5s to 5m, found {self.silence!r}")
        if not 1 <= self.page <= 100_000:
            raise ValueError("page: expected within 1..100000 keys")
        _ = self.places  # so that what is wrong is said now
        if any(layout in self.known_layouts[:at] for at, layout in enumerate(self.known_layouts)):
            raise ValueError("layouts: one of them stands there twice with the same options")

    def __repr__(self) -> str:
        return f"Settings(endpoints={self.endpoints!r}, username={self.username!r}, layouts={self.layouts!r})"

    @cached_property
    def places(self) -> tuple[Endpoint, ...]:
        """The endpoints, parsed."""
        return tuple(_endpoint(url) for url in self.endpoints)

    @cached_property
    def timeout_seconds(self) -> float:
        """`timeout` in seconds."""
        return _seconds("timeout", self.timeout)

    @cached_property
    def silence_seconds(self) -> float:
        """`silence` in seconds."""
        return _seconds("silence", self.silence)

    @cached_property
    def known_layouts(self) -> tuple[Layout, ...]:
        """The layouts with their options."""
        return layouts_of(self.layouts, LAYOUTS)


def _seconds(key: str, value: float | str) -> float:
    if not isinstance(value, str):
        return value
    try:
        return seconds_of(value)
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from error


def _endpoint(url: str) -> Endpoint:
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"endpoints: {url.rpartition('@')[2]!r} is no URL: {error}") from error
    shown = url.rpartition("@")[2]
    if "@" in parts.netloc:
        raise ValueError(f"endpoints: {shown!r} holds a user: use username and password")
    if parts.scheme not in ("http", "https") or not host or parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError(f"endpoints: {shown!r} is expected to be http://HOST:PORT or https://HOST:PORT")
    return Endpoint(join_host_port(host, port or DEFAULT_PORT), parts.scheme == "https")
