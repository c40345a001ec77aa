"""Proxies: the shapes of what is told about clients of xDS."""

from typing import Any, Literal

from pilot_plus.views.shapes import Shape


class Rejection(Shape, frozen=True, kw_only=True):
    """What a client has rejected last, and why."""

    type: str
    resource: str
    """Name and version; of a response of several resources, up to ten."""
    reason: str
    age_s: float


class SubscriptionShape(Shape, frozen=True, kw_only=True):
    """What a client wants of one type, and how far it has come."""

    type: str
    everything: bool
    names: int
    """How many it asks for by name."""
    accepted: int
    rejected: int
    waiting_s: float | None
    """For how long a response has not been answered; null: none is out."""


class ProxyShape(Shape, frozen=True, kw_only=True):
    """A client with a stream."""

    id: str
    kind: str
    zone: str
    address: str
    identity: str | None
    """What its certificate proves; null: it was believed."""
    form: Literal["delta", "state"]
    state: Literal["synced", "stale", "rejecting"]
    state_s: float
    """Since when."""
    connected_s: float
    subscriptions: tuple[SubscriptionShape, ...]
    last_rejection: Rejection | None


class SentShape(Shape, frozen=True, kw_only=True):
    """A resource as a client has it."""

    type: str
    name: str
    version: str
    state: Literal["accepted", "sent", "rejected"]
    reason: str | None
    """Why it was rejected."""
    content: dict[str, Any] | None
    """Null: the client came with this version, and it is not here any more."""


class ProxyDetail(ProxyShape, frozen=True, kw_only=True):
    """A client with what exactly it was sent."""

    resources: tuple[SentShape, ...]


class ProxyList(Shape, frozen=True, kw_only=True):
    """All clients."""

    proxies: tuple[ProxyShape, ...]
