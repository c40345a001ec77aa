"""Requests: what a client says on a discovery stream, as values; bytes in, nothing crashes."""

import sys
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

import msgspec
from envoy.config.core.v3.base_pb2 import Node
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest, DiscoveryRequest
from google.protobuf.message import DecodeError

SHORT: Final = 512
"""Bytes. What is not longer is read once for all who say it: a thousand clients accept the same in the same words."""
MAX_NAME: Final = 2048
"""Characters of a resource's name."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What a client says about one type, in either form."""

    type: str
    """The type's URL."""
    node: Node | None = None
    """Who the client is; in the first request, and later perhaps again."""
    nonce: str = ""
    """Of the response that this answers."""
    error: str | None = None
    """Why that response is rejected; None: it isn't."""


class StateRequest(Request, frozen=True, kw_only=True):
    """State of the world: all that the client wants now."""

    version: str = ""
    """Of the last response that it accepted."""
    names: frozenset[str] = frozenset()

    @property
    def may_want_all(self) -> bool:
        """Whether it may ask for everything of its type."""
        return not self.nonce and (not self.names or "*" in self.names)


class DeltaRequest(Request, frozen=True, kw_only=True):
    """Delta: what the client wants more, or no longer."""

    subscribe: frozenset[str] = frozenset()
    unsubscribe: frozenset[str] = frozenset()
    versions: Mapping[str, str] = {}
    """What it holds already, by name; in the first request of a type."""

    @property
    def may_want_all(self) -> bool:
        """Whether it may ask for everything of its type."""
        return "*" in self.subscribe or not (self.nonce or self.subscribe or self.unsubscribe)


def state_request(data: bytes) -> StateRequest:
    """Read a `DiscoveryRequest`.

    Raises:
        ValueError: it is none, or a name in it is too long.
    """
    return _state(data) if len(data) <= SHORT else _state.__wrapped__(data)


def delta_request(data: bytes) -> DeltaRequest:
    """Read a `DeltaDiscoveryRequest`.

    Raises:
        ValueError: it is none, or a name in it is too long.
    """
    return _delta(data) if len(data) <= SHORT else _delta.__wrapped__(data)


@lru_cache(maxsize=1024)
def _state(data: bytes) -> StateRequest:
    try:
        said = DiscoveryRequest.FromString(data)
    except (DecodeError, RecursionError) as error:
        raise ValueError("no DiscoveryRequest") from error
    return StateRequest(
        type=said.type_url,
        node=said.node if said.HasField("node") else None,
        nonce=said.response_nonce,
        error=_error(said),
        version=said.version_info,
        names=_names(said.resource_names),
    )


@lru_cache(maxsize=1024)
def _delta(data: bytes) -> DeltaRequest:
    try:
        said = DeltaDiscoveryRequest.FromString(data)
    except (DecodeError, RecursionError) as error:
        raise ValueError("no DeltaDiscoveryRequest") from error
    _names(said.initial_resource_versions)
    return DeltaRequest(
        type=said.type_url,
        node=said.node if said.HasField("node") else None,
        nonce=said.response_nonce,
        error=_error(said),
        subscribe=_names(said.resource_names_subscribe),
        unsubscribe=_names(said.resource_names_unsubscribe),
        versions={sys.intern(name): version for name, version in said.initial_resource_versions.items()},
    )


def _error(said: DiscoveryRequest | DeltaDiscoveryRequest) -> str | None:
    if not said.HasField("error_detail"):
        return None
    return said.error_detail.message[:2000] or "no reason given"


def _names(names: Iterable[str]) -> frozenset[str]:
    found = frozenset(map(sys.intern, names))  # a thousand clients ask for the same
    if any(len(name) > MAX_NAME for name in found):
        raise ValueError(f"the name of a resource has more than {MAX_NAME} characters")
    return found
