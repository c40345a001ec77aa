"""What a slice can't say of its endpoints: two annotations in the slices that a hub writes.

`pilot-plus/copies` maps an endpoint's address to what is lost in Kubernetes, the mark (`registries.layouts.mark`) among
the metadata; `pilot-plus/common` holds what is lost of all of them:

    {"10.1.0.7": {"id": "orders-1", "weight": 50, "metadata": {"pilot-plus-origin": "east|zk|…|", "team": "shop"}}}
    {"service": "com.example.Orders:1.0.0", "ports": [["Dubbo", "dubbo"]], "lease": 15}

An endpoint of such a slice that has no entry, or a damaged one, is not taken for an original: that could make a loop.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from pilot_plus.model import ORDINARY_WEIGHT, Health, Instance
from registries.kubernetes.objects import read
from registries.layouts.mark import marked

MAX_COPY: Final = 2_000
"""Bytes of one entry: a hundred of them fit into the 256 KiB that an object's annotations may have in all."""


_HUB: Final = "pilot-plus-"
"""How the names of metadata begin by which hubs know copies."""


class Copy(msgspec.Struct, frozen=True, omit_defaults=True):
    """What we keep of one instance beside its endpoint."""

    id: str = ""
    weight: int = ORDINARY_WEIGHT
    health: Health | None = None
    """Only where readiness can't say it: warning."""
    metadata: dict[str, str] = {}


class Common(msgspec.Struct, frozen=True, omit_defaults=True):
    """What we keep beside all endpoints of a slice."""

    service: str = ""
    """The service's name, where the Service's own can't be it."""
    ports: tuple[tuple[str, str], ...] = ()
    """Names and protocols, where the slice's ports can't say them."""
    lease: float = 0.0
    """Seconds; 0 for durable copies."""


def copy_of(instance: Instance) -> Copy:
    """What an endpoint can't hold of an instance; metadata that would make it too large stays out, all of it.

    Raises:
        ValueError: even without metadata it is too large.
    """
    metadata = marked(instance)
    health = instance.health if instance.health is Health.WARNING else None
    whole = Copy(instance.id, instance.weight, health, metadata)
    if _size(whole) <= MAX_COPY:
        return whole
    mark = {name: value for name, value in metadata.items() if name.startswith(_HUB)}
    short = Copy(instance.id, instance.weight, health, mark)
    if _size(short) > MAX_COPY:
        raise ValueError(f"id and origin have {_size(short)} bytes, and a slice has room for {MAX_COPY} for each copy")
    return short


def text_of(said: Mapping[str, Copy] | Common) -> str:
    """The annotation, the same text for the same copies."""
    return msgspec.json.encode(said, order="sorted").decode()


def copies_in(text: str) -> dict[str, Copy]:
    """The reverse of `text_of`.

    Raises:
        ValueError: not of that form.
    """
    return read(text.encode("utf-8", "replace"), dict[str, Copy])


def common_in(text: str) -> Common:
    """The reverse of `text_of`.

    Raises:
        ValueError: not of that form.
    """
    return read(text.encode("utf-8", "replace"), Common)


def _size(copy: Copy) -> int:
    return len(msgspec.json.encode(copy))
