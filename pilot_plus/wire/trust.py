"""Whom to believe, and what somebody who joined has got: as values, and as messages."""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from types import MappingProxyType
from typing import Final, TypeAlias

import msgspec

from pilot_plus.model import SpiffeId, parse_spiffe
from pilot_plus.wire import edge_pb2 as pb
from pilot_plus.wire.certificates import Certificate, PrivateKey, der, read_certificate, serial

RENEW_AFTER: Final = 1 / 3
"""The part of its life after which a certificate is renewed: two thirds of it are left for a hub that is gone."""


class Trust(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """Whom to believe."""

    roots: tuple[Certificate, ...]
    crls: tuple[bytes, ...] = ()
    """DER; one for each root whose key the hub holds."""
    revoked_ids: frozenset[str] = frozenset()
    revoked_serials: frozenset[str] = frozenset()
    """Hexadecimal, as `certificates.serial` writes them."""
    hub_anchors: tuple[Certificate, ...] = ()
    """What the hub's certificate on the xDS address descends from; empty: the roots."""
    hub_name: str = ""
    """The name in the hub's certificate there; empty: whatever name was dialled."""

    @cached_property
    def version(self) -> str:
        """A hash of all but the lists' signatures: equal on every copy of the hub."""
        parts = [*map(der, self.roots), *sorted(i.encode() for i in self.revoked_ids | self.revoked_serials)]
        parts += [*map(der, self.hub_anchors), self.hub_name.encode()]
        return hashlib.sha256(b"".join(len(part).to_bytes(4, "big") + part for part in parts)).hexdigest()[:32]

    @property
    def anchors(self) -> tuple[Certificate, ...]:
        """What the hub's certificate descends from."""
        return self.hub_anchors or self.roots

    def is_revoked(self, certificate: Certificate, identity: SpiffeId) -> bool:
        """Whether a certificate, or the identity that it proves, was taken back."""
        return str(identity) in self.revoked_ids or serial(certificate) in self.revoked_serials


class Issued(msgspec.Struct, frozen=True, kw_only=True):
    """A certificate that the hub has made for somebody."""

    identity: SpiffeId
    chain: tuple[Certificate, ...]
    """Leaf first, without the root."""


Roots: TypeAlias = Mapping[str, tuple[Certificate, ...]]
"""Whom to believe, by trust domain."""


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody who joined holds."""

    key: PrivateKey
    chain: tuple[Certificate, ...]
    identity: SpiffeId
    trust: Trust
    secure: bool = True
    """Whether the hub spoke TLS when it was met: then it is never believed without."""
    abroad: Roots = MappingProxyType({})
    """Of other clusters, as they were when the certificate was made. Each proves its own members only."""

    def __repr__(self) -> str:
        """Never the key."""
        return f"<Held {self.identity} until {self.expires:%Y-%m-%d %H:%M} UTC>"

    @property
    def expires(self) -> datetime:
        """When the certificate ends."""
        return self.chain[0].not_valid_after_utc

    def renew_at(self, chance: float = 0.0) -> datetime:
        """When to renew: after a third of its life, up to a tenth of that earlier as `chance` (0 to 1) says.

        The chance keeps a thousand agents that joined together from renewing together.
        """
        begin = self.chain[0].not_valid_before_utc
        return begin + (self.expires - begin) * RENEW_AFTER * (1 - 0.1 * chance)


def trust_to_wire(trust: Trust) -> pb.Trust:
    """As a message."""
    return pb.Trust(
        version=trust.version,
        roots=map(der, trust.roots),
        crls=trust.crls,
        revoked_ids=sorted(trust.revoked_ids),
        revoked_serials=sorted(trust.revoked_serials),
        hub_anchors=map(der, trust.hub_anchors),
        hub_name=trust.hub_name,
    )


def trust_from_wire(message: pb.Trust) -> Trust:
    """As a value.

    Raises:
        ValueError: a certificate can't be read, or there is no root.
    """
    if not message.roots:
        raise ValueError("the hub sent no root to believe")
    return Trust(
        roots=tuple(map(read_certificate, message.roots)),
        crls=tuple(message.crls),
        revoked_ids=frozenset(message.revoked_ids),
        revoked_serials=frozenset(message.revoked_serials),
        hub_anchors=tuple(map(read_certificate, message.hub_anchors)),
        hub_name=message.hub_name,
    )


def credentials_to_wire(issued: Issued, trust: Trust, abroad: Roots) -> pb.Credentials:
    """A certificate and whom to believe, at home and abroad, as a message."""
    return pb.Credentials(
        chain=[der(one) for one in issued.chain],
        trust=trust_to_wire(trust),
        spiffe_id=str(issued.identity),
        abroad=[pb.Domain(name=name, roots=map(der, roots)) for name, roots in sorted(abroad.items())],
    )


def credentials_from_wire(message: pb.Credentials) -> tuple[Issued, Trust, Roots]:
    """As values.

    Raises:
        ValueError: something can't be read.
    """
    chain = tuple(map(read_certificate, message.chain))
    if not chain:
        raise ValueError("the hub sent no certificate")
    abroad = {one.name: tuple(map(read_certificate, one.roots)) for one in message.abroad}
    return Issued(identity=parse_spiffe(message.spiffe_id), chain=chain), trust_from_wire(message.trust), abroad
