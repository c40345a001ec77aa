"""What the service stands between: a gate that knows who may join, and the hub's edges."""

from typing import Protocol

from pilot_plus.model import SpiffeId
from pilot_plus.wire import edge_pb2 as pb
from pilot_plus.wire.edge import Edge
from pilot_plus.wire.proof import Purpose
from pilot_plus.wire.trust import Issued, Trust


class Gate(Protocol):
    """Who may join: `pilot_plus.identity.Gate`. No is `Denied`; `OSError`: the store can't be read or written."""

    @property
    def trust(self) -> Trust:
        """Whom to believe."""
        ...

    async def next_trust(self, seen: Trust) -> Trust:
        """Whom to believe, as soon as that is not what was seen."""
        ...

    async def join(self, token: str, csr: bytes, name: str) -> Issued:
        """A certificate for a token."""
        ...

    async def renew(self, identity: SpiffeId, csr: bytes) -> Issued:
        """A younger certificate."""
        ...

    def bearer(self, chain_pem: bytes) -> SpiffeId:
        """Who shows a certificate."""
        ...

    def prover(self, proof: pb.Proof, purpose: Purpose, body: bytes = b"") -> SpiffeId:
        """Who has made a proof."""
        ...

    def prove_hub(self, nonce: bytes, own: bytes) -> pb.Proof:
        """That this is the hub."""
        ...


class Edges(Protocol):
    """Where edges with a session become instances of `pilot-plus/edge`. Raises nothing of the domain."""

    async def put(self, edge: Edge) -> None:
        """The edge is there, or has reported something new."""
        ...

    async def lose(self, key: str) -> None:
        """Nothing is known of the edge of that key any more: its session ended a grace ago."""
        ...

    async def drop(self, key: str) -> None:
        """The edge of that key is gone: it has left, or its identity was revoked."""
        ...
