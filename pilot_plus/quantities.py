"""Values that people write as text: durations, sizes, addresses, service patterns."""

import re
from datetime import UTC, datetime
from functools import lru_cache
from socket import AF_INET, AF_INET6, inet_pton
from typing import Final

_DURATION: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE: Final = {"B": 1, "KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30, "TB": 1 << 40}


def seconds_of(text: str) -> float:
    """`500ms`, `15s`, `10m`, `24h` or `7d` in seconds.

    Raises:
        ValueError: not of that form.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", text.strip())
    if not found:
        raise ValueError(f"expected a duration like 500ms, 15s, 10m or 24h, found {text[:40]!r}")
    return float(found[1]) * _DURATION[found[2]]


def bytes_of(text: str) -> int:
    """`512KB`, `100MB` or `1GB` in bytes (1 KB is 1,024 bytes).

    Raises:
        ValueError: not of that form.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(B|KB|MB|GB|TB)", text.strip(), re.IGNORECASE)
    if not found:
        raise ValueError(f"expected a size like 512KB, 100MB or 1GB, found {text[:40]!r}")
    return int(float(found[1]) * _SIZE[found[2].upper()])


def time_of(text: str) -> float:
    """A time as RFC 3339 has it (without an offset it is UTC), or as seconds since 1970: wall clock, in seconds.

    Raises:
        ValueError: not of that form.
    """
    text = re.sub(r"(?<=[Tt]\d\d:\d\d)(.*) (?=\d\d:\d\d$)", r"\1+", text.strip())  # a `+` that a URL made a space
    try:
        if re.fullmatch(r"\d{1,12}(\.\d{1,9})?", text):
            return float(text)
        time = datetime.fromisoformat(text)
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError) as error:
        raise ValueError(
            f"expected a time like 2026-11-21T14:02:07Z, or seconds since 1970, found {text[:40]!r}"
        ) from error


class Address(str):
    """Host and port of a listener or of a server to dial, as `HOST:PORT`; an IPv6 host stands in brackets."""

    __slots__ = ("host", "port")
    host: str
    port: int

    def __new__(cls, text: str) -> "Address":
        """Parse it.

        Raises:
            ValueError: not of that form.
        """
        found = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^:\s\[\]/]+):(\d{1,5})", text)
        if not found or int(found[2]) > 65535:
            raise ValueError(f"expected HOST:PORT, found {text[:80]!r}")
        address = super().__new__(cls, text)
        address.host = found[1].strip("[]")
        address.port = int(found[2])
        return address


def is_ip(address: str) -> bool:
    """Whether an address is an IP address."""
    try:
        inet_pton(AF_INET6 if ":" in address else AF_INET, address)
    except (OSError, ValueError):
        return False
    return True


@lru_cache(maxsize=4096)
def _pattern(pattern: str) -> re.Pattern[str]:
    namespace, slash, name = pattern.partition("/")
    inside = "".join("([^/]*)" if part == "*" else re.escape(part) for part in re.split(r"(\*)", namespace))
    rest = "".join("(.*)" if part == "*" else re.escape(part) for part in re.split(r"(\*)", name))
    return re.compile(inside + slash + rest, re.DOTALL)


def matches(pattern: str, service: str) -> re.Match[str] | None:
    """Whether a service is meant by a pattern; its groups are what the stars stand for.

    `*` does not cross the `/` between namespace and name, and matches anything in the name.
    """
    return _pattern(pattern).fullmatch(service)
