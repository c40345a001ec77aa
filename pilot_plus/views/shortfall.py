"""Shortfall: what a gRPC client without a proxy can't have of the endpoints that it sees.

Envoy chooses among ways to speak, balances by weight, and asks DNS for one of many endpoints. gRPC does none of that
(see `views.xds.grpc`).
"""

from collections.abc import Iterator, Sequence
from typing import Protocol

from pilot_plus.quantities import is_ip


class Shown(Protocol):
    """An endpoint, as far as it matters here: a `horizon.Seen`."""

    @property
    def address(self) -> str:
        """Where it is dialled."""
        ...

    @property
    def weight(self) -> int:
        """Among the others."""
        ...

    @property
    def zone(self) -> str:
        """Where it is, `cluster/zone`."""
        ...

    @property
    def is_mtls(self) -> bool:
        """Whether it is spoken to over mutual TLS."""
        ...

    @property
    def sni_host(self) -> str:
        """Not empty for an edge's mesh port."""
        ...


class Shortfall:
    """Of one service."""

    def __init__(self, shown: Sequence[Shown], home: str) -> None:
        """Look at all its endpoints, from our own cluster."""
        self._home = home
        self._has_plain = any(not one.is_mtls for one in shown)
        self._has_weights = len({one.weight for one in shown}) > 1

    def of(self, one: Shown) -> Iterator[str]:
        """What gRPC can't have of an endpoint."""
        if one.sni_host:
            yield "gRPC must be one that sends the SNI it is told (1.77 or so)"
        if one.is_mtls and one.zone.partition("/")[0] != self._home:
            yield "gRPC believes another cluster only with GRPC_EXPERIMENTAL_XDS_MTLS_SPIFFE=true"
        if not is_ip(one.address):
            yield "gRPC asks DNS for it only when nothing with an IP address can be used"
        elif one.is_mtls and self._has_plain:
            yield "gRPC uses it only when nothing without mutual TLS can be used"
        if self._has_weights:
            yield "gRPC does not heed its weight"
