"""Membership: the shapes of what operators ask and hear about tokens, revocations and the root."""

from datetime import datetime

import msgspec

from pilot_plus.views.shapes import Shape


class TokenRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A token that somebody asks for."""

    zone: str
    edge: bool = False
    service: str = ""
    name: str = ""
    ttl: str = "1h"
    uses: int = 1


class RevocationRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something to take back: a SPIFFE ID or a serial number."""

    what: str
    reason: str = ""


class TokenShape(Shape, frozen=True, kw_only=True):
    """A token without its secret."""

    id: str
    zone: str
    edge: bool
    service: str
    name: str
    created: datetime
    expires: datetime
    uses: int
    used: int


class TokenMade(TokenShape, frozen=True, kw_only=True):
    """A new token: the only answer that ever holds it."""

    token: str


class TokenList(Shape, frozen=True, kw_only=True):
    """All tokens."""

    tokens: tuple[TokenShape, ...]


class RevocationShape(Shape, frozen=True, kw_only=True):
    """What was taken back."""

    what: str
    reason: str
    since: datetime
    until: datetime | None


class RotationShape(Shape, frozen=True, kw_only=True):
    """How many roots are believed now."""

    roots: int
