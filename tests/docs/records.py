"""The records that a page shows: where each lies, what is in it, and what it is read as.

/services/web/9f1c
  = {"name": "web", …}
  → web  10.1.0.9  http:8080/http  passing  100
  ✗ why it can't be read
"""

import re
from collections.abc import Iterable

import msgspec

from pilot_plus.model import Instance, Service


class Example(msgspec.Struct):
    """A record of a page."""

    path: str
    data: str = ""
    is_: tuple[str, ...] = ()
    skipped: str = ""


def examples(block: str) -> list[Example]:
    """The records of a block."""
    found: list[Example] = []
    for line in block.splitlines():
        sign, _, rest = line.strip().partition(" ")
        if not line.startswith(" "):
            found.append(Example(line))
        elif sign == "=":
            found[-1].data = rest
        elif sign == "→":
            found[-1].is_ += (re.sub(r"\s+", " ", rest),)
        elif sign == "✗":
            found[-1].skipped = rest
        else:
            raise AssertionError(f"no part of an example: {line!r}")
    return found


def read(instances: Iterable[Instance], services: Iterable[Service] = ()) -> list[str]:
    """What was read, written as a page does."""
    told = []
    for one in instances:
        ports = ",".join(f"{port.name}:{port.number}/{port.protocol}" for port in one.ports)
        told.append(f"{one.name} {one.address} {ports} {one.health} {one.weight}")
    told += [f"{one.name} is also called {alias}" for one in services for alias in one.aliases]
    return sorted(told)
