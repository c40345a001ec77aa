"""Zones as network namespaces: what a zone may not reach it has no route to.

      hub (this namespace)
      .10.1 ── .10.2 ┌──────── legacy ────────┐ .9.1 ── .9.2 ┌──── vm ────┐ .11.2 ── .11.1 (this namespace)
                     │ edge .9.1   app .1.10  │              │ edge .9.2  │
                     └────────────────────────┘              └────────────┘

The edges see each other and the hub. Nobody in `vm` has a route to the application.
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

NET = f"10.{64 + os.getpid() % 128}"
HUB, APP = f"{NET}.10.1", f"{NET}.1.10"
EDGES = {"legacy": f"{NET}.9.1", "vm": f"{NET}.9.2"}
_TAG = f"pp{os.getpid()}"


def within(zone: str) -> tuple[str, ...]:
    """The words before a command that runs in a zone."""
    return ("ip", "netns", "exec", f"{_TAG}-{zone}")


def can_be_made() -> bool:
    """Whether this machine lets us make namespaces."""
    try:
        return subprocess.run(["unshare", "-n", "ip", "link"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@contextmanager
def zones() -> Iterator[None]:
    """Both zones, and what connects them."""
    try:
        for zone in EDGES:
            _ip("netns", "add", f"{_TAG}-{zone}")
            _ip("link", "set", "lo", "up", zone=zone)
        _connect((None, "10.1"), ("legacy", "10.2"))
        _connect((None, "11.1"), ("vm", "11.2"))
        _connect(("legacy", "9.1"), ("vm", "9.2"))
        _ip("route", "add", f"{HUB}/32", "via", f"{NET}.11.1", zone="vm")
        _ip("address", "add", f"{APP}/32", "dev", "lo", zone="legacy")
        yield
    finally:
        for zone in EDGES:
            subprocess.run(["ip", "netns", "delete", f"{_TAG}-{zone}"], capture_output=True, check=False)


def _connect(one: tuple[str | None, str], other: tuple[str | None, str]) -> None:
    """A cable between two namespaces (None: this one), with an address at each end."""
    ends = [(f"{_TAG}{end.replace('.', '')}"[-15:], zone, end) for zone, end in (one, other)]
    _ip("link", "add", ends[0][0], "type", "veth", "peer", "name", ends[1][0])
    for name, zone, end in ends:
        if zone is not None:
            _ip("link", "set", name, "netns", f"{_TAG}-{zone}")
        _ip("address", "add", f"{NET}.{end}/24", "dev", name, zone=zone)
        _ip("link", "set", name, "up", zone=zone)


def _ip(*words: str, zone: str | None = None) -> None:
    command = [*(within(zone) if zone else ()), "ip", *words]
    subprocess.run(command, capture_output=True, check=True)
