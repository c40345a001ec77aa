"""The two forms of xDS, and what differs between them."""

from collections.abc import Iterable, Mapping
from enum import Enum
from functools import lru_cache
from hashlib import blake2b
from typing import Final

from pilot_plus.views.xds.resource import Resource, Type

WHOLE: Final = frozenset({Type.CLUSTER, Type.LISTENER})
"""Types of which each response holds everything, in the form of the state of the world; and which one may ask for
without naming anything."""


class Form(Enum):
    """The two forms of xDS."""

    STATE = "state"
    DELTA = "delta"


def version_of(state: Mapping[str, Resource], names: Iterable[str]) -> str:
    """The version of a client's whole state: a sum of hashes, whatever the order; wanted and not there counts too."""
    missing = (_mark(name, "") for name in names if name not in state)
    whole = sum(_mark(one.name, one.version) for one in state.values()) + sum(missing)
    return f"{whole % (1 << 128):032x}"


@lru_cache(maxsize=65536)
def _mark(name: str, version: str) -> int:
    return int.from_bytes(blake2b(f"{name}\0{version}".encode(), digest_size=16).digest(), "big")
