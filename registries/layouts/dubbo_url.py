"""Dubbo's URL, the record of Dubbo and of SOFARPC: `dubbo://10.1.0.7:20880/com.example.OrderService?version=1.0.0&…`.

As a node name or a key the whole URL is encoded once, as `java.net.URLEncoder` does it. Inside, names and values stand
as they are: there is no escape, so that a value can hold neither `&` nor `#`, and a name no `=` either.
(apache/dubbo: `URL`, `URLStrParser`.)
"""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote_plus, unquote_plus

import msgspec

MAX_URL: Final = 1 << 16
"""Characters of an encoded URL; real ones have a few hundred, a few thousand with many methods."""


class DubboUrl(msgspec.Struct, frozen=True):
    """A URL in its parts. `port` is 0 where there is none, `path` has no leading slash."""

    protocol: str
    host: str
    port: int = 0
    path: str = ""
    parameters: Mapping[str, str] = msgspec.field(default_factory=dict)

    def get(self, name: str, default: str = "") -> str:
        """One parameter."""
        return self.parameters.get(name, default)

    @property
    def place(self) -> str:
        """`host:port`, or the host alone."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}" if self.port else host

    def __str__(self) -> str:
        """The URL in full, not encoded."""
        query = "&".join(f"{name}={value}" for name, value in self.parameters.items())
        return f"{self.protocol}://{self.place}/{self.path}" + (f"?{query}" if query else "")


def parse_url(text: str) -> DubboUrl:
    """Take a URL apart; user and password are left out, and what stands behind a `#`.

    Raises:
        ValueError: no URL, or a port that is no number.
    """
    text = text.partition("#")[0]
    head, _, query = text.partition("?")
    protocol, found, rest = head.partition("://")
    if not found or not re.fullmatch(r"[A-Za-z0-9+._-]+", protocol):
        raise ValueError(f"{text[:100]!r} is no URL: it has no protocol")
    place, _, path = rest.partition("/")
    host, port = _host_and_port(place.rpartition("@")[2])
    return DubboUrl(protocol, host, port, path, _parameters(query))


def encoded_url(url: DubboUrl) -> str:
    """The URL as a node name or as a part of a key."""
    return encoded_part(str(url))


def decoded_url(name: str) -> DubboUrl:
    """The reverse of `encoded_url`.

    Raises:
        ValueError: too long, not UTF-8, or no URL.
    """
    return parse_url(decoded_part(name))


def encoded_part(text: str) -> str:
    """A text as one part of a path, as Java's URLEncoder writes it."""
    return quote_plus(text, safe="*").replace("~", "%7E")


def decoded_part(name: str) -> str:
    """The reverse of `encoded_part`; what is not encoded stands for itself.

    Raises:
        ValueError: too long, or not UTF-8.
    """
    if len(name) > MAX_URL:
        raise ValueError(f"the name has {len(name)} characters, more than {MAX_URL}")
    try:
        return unquote_plus(name, errors="strict")
    except UnicodeDecodeError as error:
        raise ValueError(f"{name[:100]!r} is not UTF-8 when decoded") from error


def provider_key(root: str, name: str, url: DubboUrl) -> str:
    """The key of a provider: what stays the same when weight or metadata change, and the URL with them."""
    return f"{root}/{name}@{url.protocol}://{url.place}"


def providers_of(root: str, key: str) -> str | None:
    """The directory in which a provider of that key lies; None if it is no such key."""
    name, found, _ = key.rpartition("@")
    if not found or not name.startswith(f"{root}/"):
        return None
    interface = name[len(root) + 1 :].partition(":")[0]
    return f"{root}/{encoded_part(interface)}/providers"


def can_hold(name: str, value: str) -> bool:
    """Say whether a URL can carry this parameter."""
    return bool(name) and not any(c in name for c in "&#=?") and not any(c in value for c in "&#")


def weight_of(text: str) -> int:
    """A weight; Dubbo's and SOFARPC's scale is ours: 100 is one ordinary instance.

    Raises:
        ValueError: no whole number in 0..1,000,000.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= 7 and int(text) <= 1_000_000):
        raise ValueError(f"weight {text[:100]!r} is outside 0..1000000")
    return int(text)


def _parameters(query: str) -> dict[str, str]:
    found = (part.partition("=") for part in query.split("&"))
    return {name: value for name, _, value in found if name}


def _host_and_port(place: str) -> tuple[str, int]:
    if place.startswith("["):
        host, _, rest = place[1:].partition("]")
        number = rest.removeprefix(":")
    elif place.count(":") > 1 and not place.rpartition(":")[0].endswith("]"):
        host, _, number = place.rpartition(":")  # Java writes IPv6 addresses without brackets
    else:
        host, _, number = place.partition(":")
    if number and not (number.isascii() and number.isdigit() and len(number) <= 5):
        raise ValueError(f"port {number[:100]!r} is no number in 1..65535")
    return host, int(number or 0)
