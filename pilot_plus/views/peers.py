"""Peers: the shapes of what is told about the hubs of other clusters, and of what operators ask there."""

from typing import Literal

import msgspec

from pilot_plus.catalog import Standing
from pilot_plus.views.shapes import Shape


class ReaderShape(Shape, frozen=True, kw_only=True):
    """A peer's hub that reads from ours now."""

    since_s: float
    revision: int
    lag: int
    lag_s: float
    bytes: int
    records: int


class PeerShape(Shape, frozen=True, kw_only=True):
    """Another cluster's hub: what we read from it, and what it reads from us (`reader`; null: nothing now)."""

    name: str
    address: str
    detail: Literal["instances", "summary"]
    state: Standing
    age_s: float
    instances: int
    skipped: int
    held: int
    error: str | None
    alarm: str | None
    """What it tells us has multiplied."""
    received_bytes: int
    reader: ReaderShape | None


class PeerList(Shape, frozen=True, kw_only=True):
    """All peers of our cluster."""

    peers: tuple[PeerShape, ...]


class PeerTokenRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An invitation that somebody asks for."""

    ttl: str = "1h"


class PeerToken(Shape, frozen=True, kw_only=True):
    """An invitation for the hub of another cluster. Secret."""

    peer: str
    token: str


class PeerJoinRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A token of the other side."""

    token: str


class PeerJoined(Shape, frozen=True, kw_only=True):
    """A peer whose hub we know now."""

    peer: str


class Forgotten(Shape, frozen=True, kw_only=True):
    """What a retired peer had said."""

    peer: str
    instances: int
