"""Responses: bytes put together from bytes that are there already, and shared among the streams that get the same.

No protobuf message is made: a response is a few headers between serialised resources. Its nonce follows from what is
in it, so streams that get the same get the very same bytes. (A nonce tells an answer to the newest response from one
to an older one; as no second response of a type is sent before the first is answered, equal ones don't collide.)

    DiscoveryResponse        1 version_info   2 resources (Any)        4 type_url   5 nonce
    DeltaDiscoveryResponse   2 resources (1 version, 2 Any, 3 name)    4 type_url   5 nonce   6 removed_resources
    Any                      1 type_url       2 value
"""

from collections import OrderedDict
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Final

import msgspec

from pilot_plus.views.xds.resource import Resource, Type

KEPT_BYTES: Final = 2 << 20
"""How much is kept to be shared."""


class Response(msgspec.Struct, frozen=True, gc=False):
    """A response, ready to be sent."""

    type: Type
    nonce: str
    body: bytes


class Responses:
    """Makes responses, and keeps those that others may be about to need."""

    def __init__(self, kept_bytes: int = KEPT_BYTES) -> None:
        self._kept: OrderedDict[tuple[object, ...], Response] = OrderedDict()
        self._room = kept_bytes

    def delta(self, type_: Type, resources: Sequence[Resource], removed: Sequence[str]) -> Response:
        """A `DeltaDiscoveryResponse`."""
        key = (type_, tuple(resources), tuple(removed))
        return self._kept.get(key) or self._keep(key, _delta(type_, resources, removed))

    def state(self, type_: Type, version: str, resources: Sequence[Resource]) -> Response:
        """A `DiscoveryResponse`."""
        key = (type_, tuple(resources), version)
        return self._kept.get(key) or self._keep(key, _state(type_, version, resources))

    def _keep(self, key: tuple[object, ...], made: Response) -> Response:
        self._kept[key] = made
        self._room -= len(made.body) + 200
        while self._room < 0:
            self._room += len(self._kept.popitem(last=False)[1].body) + 200
        return made


def _delta(type_: Type, resources: Sequence[Resource], removed: Sequence[str]) -> Response:
    nonce = _nonce(type_, *(part for one in resources for part in (one.name, one.version)), "", *removed)
    parts = [_head(type_, b"\x22")]
    for one in resources:
        head, name, version = _any_head(type_, len(one.body)), one.name.encode(), one.version.encode()
        inner = b"".join((b"\x0a", _length(len(version)), version, b"\x1a", _length(len(name)), name, b"\x12"))
        size = len(head) + len(one.body)
        length = _length(size)
        parts += (b"\x12", _length(len(inner) + len(length) + size), inner, length, head, one.body)
    for name_ in removed:
        parts += (b"\x32", _length(len(name_.encode())), name_.encode())
    parts += (b"\x2a", _length(len(nonce)), nonce.encode())
    return Response(type_, nonce, b"".join(parts))


def _state(type_: Type, version: str, resources: Sequence[Resource]) -> Response:
    nonce = _nonce(type_, version, *(part for one in resources for part in (one.name, one.version)))
    parts = [b"\x0a", _length(len(version)), version.encode(), _head(type_, b"\x22")]
    for one in resources:
        head = _any_head(type_, len(one.body))
        parts += (b"\x12", _length(len(head) + len(one.body)), head, one.body)
    parts += (b"\x2a", _length(len(nonce)), nonce.encode())
    return Response(type_, nonce, b"".join(parts))


def _nonce(*parts: str) -> str:
    return blake2b("\0".join(parts).encode(), digest_size=8).hexdigest()


@lru_cache(maxsize=1024)
def _head(type_: Type, tag: bytes) -> bytes:
    url = type_.value.encode()
    return tag + _length(len(url)) + url


def _any_head(type_: Type, size: int) -> bytes:
    return _head(type_, b"\x0a") + b"\x12" + _length(size)


def _length(size: int) -> bytes:
    """A length as a varint."""
    if size < 0x80:
        return bytes((size,))
    out = bytearray()
    while size >= 0x80:
        out.append(size & 0x7F | 0x80)
        size >>= 7
    out.append(size)
    return bytes(out)
