"""A resource: a named piece of configuration, serialised once and shared among the streams that get it."""

from hashlib import blake2b

import msgspec

from pilot_plus.wire.discovery import Type

__all__ = ["Resource", "Type", "resource"]


class Resource(msgspec.Struct, frozen=True):
    """A resource as it goes out."""

    name: str
    version: str
    """A hash of the content: equal on every copy of the hub, and after a restart."""
    body: bytes
    """The serialised message, as in the `value` of an `Any`."""


def resource(name: str, body: bytes, version: str = "") -> Resource:
    """A resource, with the version that its content has, unless a hash of it is known already."""
    return Resource(name, version or blake2b(body, digest_size=12).hexdigest(), body)
