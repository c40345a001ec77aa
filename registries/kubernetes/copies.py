"""What a slice can't say of its endpoints: the annotation `pilot-plus/copies` in the slices that a hub writes.

It maps an endpoint's address to what is lost in Kubernetes, the mark (`registries.layouts.mark`) among the metadata:

    {"10.1.0.7": {"id": "orders-1", "weight": 50, "metadata": {"pilot-plus-origin": "east|zk|…|", "team": "shop"}}}

An endpoint of such a slice that has no entry, or a damaged one, is not taken for an original: that could make a loop.
"""

from typing import Final

import msgspec

from pilot_plus.model import ORDINARY_WEIGHT, Health, Instance
from registries.kubernetes.objects import read
from registries.layouts.mark import ORIGIN, ZONE, marked

MAX_COPY: Final = 2_000
"""Bytes of one entry: a hundred of them fit into the 256 KiB that an object's annotations may have in all."""


class Copy(msgspec.Struct, frozen=True, omit_defaults=True):
    """What we keep of one instance beside its endpoint."""

    id: str = ""
    weight: int = ORDINARY_WEIGHT
    health: Health | None = None
    """Only where readiness can't say it: warning, and draining."""
    metadata: dict[str, str] = {}


def copy_of(instance: Instance) -> Copy:
    """What an endpoint can't hold of an instance; metadata that would make it too large stays out, all of it.

    Raises:
        ValueError: even without metadata it is too large.
    """
    metadata = marked(instance)
    health = instance.health if instance.health in (Health.WARNING, Health.DRAINING) else None
    whole = Copy(instance.id, instance.weight, health, metadata)
    if _size(whole) <= MAX_COPY:
        return whole
    mark = {name: value for name, value in metadata.items() if name in (ORIGIN, ZONE)}
    short = Copy(instance.id, instance.weight, health, mark)
    if _size(short) > MAX_COPY:
        raise ValueError(f"id and origin have {_size(short)} bytes, and a slice has room for {MAX_COPY} for each copy")
    return short


def text_of(copies: dict[str, Copy]) -> str:
    """The annotation, the same text for the same copies."""
    return msgspec.json.encode(copies, order="sorted").decode()


def copies_in(text: str) -> dict[str, Copy]:
    """The reverse of `text_of`.

    Raises:
        ValueError: not of that form.
    """
    return read(text.encode("utf-8", "replace"), dict[str, Copy])


def _size(copy: Copy) -> int:
    return len(msgspec.json.encode(copy))
