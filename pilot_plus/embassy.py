"""The embassy: how our hub proves to hubs of other clusters who it is, and knows them."""

import logging
from collections.abc import Mapping
from datetime import timedelta

import msgspec

from pilot_plus.config import Config, Peer
from pilot_plus.identity import Authority
from pilot_plus.identity.pacts import Pacts
from pilot_plus.ports import SourceLost
from pilot_plus.quantities import seconds_of
from pilot_plus.servers.join.calls import Context, chain_of
from pilot_plus.servers.xds.supplier import Abroad
from pilot_plus.wire import edge_pb2
from pilot_plus.wire import peer_pb2 as pb
from pilot_plus.wire.certificates import Certificate, key_pem, pem, utc_now
from pilot_plus.wire.denied import Denied
from pilot_plus.wire.jointoken import parse_token
from pilot_plus.wire.look import hub_name
from pilot_plus.wire.meeting import meet
from pilot_plus.wire.peer import Credentials
from pilot_plus.wire.serving import Serving
from pilot_plus.wire.trust import trust_to_wire

log = logging.getLogger(__name__)


class Embassy:
    """Speaks for our cluster."""

    def __init__(self, config: Config, authority: Authority, pacts: Pacts) -> None:
        self._config = config
        self._authority = authority
        self._pacts = pacts
        self._shown: tuple[Serving, tuple[Certificate, ...], Serving] | None = None

    @property
    def is_secure(self) -> bool:
        """Whether our peer address speaks TLS: unless all peers are `insecure`."""
        return not all(peer.insecure for peer in self._config.peers)

    def serving(self) -> Serving:
        """What our peer address shows, and whom it lets through. The same object as long as nothing has changed."""
        own = self._authority.serving()
        roots = tuple(root for pact in self._pacts.all() for root in pact.trust.roots)
        if self._shown is None or self._shown[0] is not own or self._shown[1] != roots:
            self._shown = own, roots, msgspec.structs.replace(own, clients=own.clients + pem(roots))
        return self._shown[2]

    def credentials(self, peer: Peer) -> Credentials:
        """With what we read from a peer.

        Raises:
            SourceLost: we have not met its hub yet.
        """
        pact = self._pacts.of(peer.name)
        if pact is None:
            raise SourceLost(
                f"the hub of {peer.name} is not known yet: `pilot-plus peer token {self._config.cluster}` there, "
                f"and `pilot-plus peer join {peer.name} TOKEN` here"
            )
        hub = self._authority.state.hub
        return Credentials(
            roots=pem(pact.trust.anchors),
            key=key_pem(hub.key),
            chain=pem(hub.chain),
            name=pact.trust.hub_name or hub_name(pact.trust_domain),
        )

    def why_not(self, context: Context, cluster: str) -> str:
        """Why whoever calls may not speak for a cluster; empty if it may."""
        peer = self._peer(cluster)
        if peer is None:
            return f"{cluster[:80]!r} is not among the `peers` here"
        if peer.insecure:
            return ""
        chain = chain_of(context)
        pact = self._pacts.of(cluster)
        if not chain or pact is None:
            return f"cluster {cluster!r} has to prove who it is: `peer token` here, `peer join` there"
        try:
            pact.check(chain, utc_now())
        except ValueError as error:
            return str(error)
        return ""

    def abroad(self) -> Mapping[str, Abroad]:
        """Whom the members of our cluster believe in others."""
        return {
            pact.cluster: Abroad(pact.trust_domain, pem(pact.trust.roots).decode(), pact.revoked)
            for pact in self._pacts.all()
            if self._peer(pact.cluster)
        }

    def trust(self) -> edge_pb2.Trust:
        """Whom to believe in our cluster."""
        return trust_to_wire(self._authority.trust)

    async def learn(self, cluster: str, trust: edge_pb2.Trust) -> None:
        """A peer's hub, which has proved who it is, says whom to believe there."""
        peer = self._peer(cluster)
        if peer is None or peer.insecure:
            return
        try:
            await self._pacts.learn(cluster, trust)
        except (ValueError, OSError) as error:
            log.warning("whom to believe in %s: what its hub says is not taken: %s", cluster, error)

    async def welcome(self, said: pb.Introduction) -> pb.Introduction:
        """Somebody introduces itself, with a token of ours.

        Raises:
            Denied: the token is not for it.
            ValueError: what it says of itself can't be.
            OSError: the journal can't be written.
        """
        try:
            token = parse_token(said.token)
        except ValueError as error:
            raise Denied(str(error)) from error
        if self._peer(said.cluster) is None:
            raise Denied(f"{said.cluster[:80]!r} is not among the `peers` of {self._config.cluster!r}")
        await self._pacts.accept(token, said.cluster, said.trust_domain, said.trust)
        log.info("met the hub of cluster %s", said.cluster)
        return self._introduction()

    async def invite(self, cluster: str, ttl: str) -> str:
        """A token for the hub of a cluster. Secret.

        Raises:
            ValueError: no such peer, or it would last too long.
            OSError: the journal can't be written.
        """
        if self._peer(cluster) is None:
            raise ValueError(f"{cluster[:80]!r} is not among `peers`")
        lasting = timedelta(seconds=min(seconds_of(ttl), 1e9))
        return (await self._pacts.invite(cluster, self._authority.state.fingerprint, lasting)).text

    async def join(self, cluster: str, token: str) -> None:
        """Introduce ourselves to a peer's hub, with the token that it has made for us.

        Raises:
            ValueError: no such peer, no token, or what it says of itself can't be.
            Denied: it says no, or is another hub.
            ConnectionError: it can't be reached.
            OSError: the journal can't be written.
        """
        peer = self._peer(cluster)
        if peer is None:
            raise ValueError(f"{cluster[:80]!r} is not among `peers`")
        answer = await meet(peer.address, parse_token(token), self._introduction(), utc_now)
        if answer.cluster != cluster:
            raise Denied(f"{peer.address} is the hub of {answer.cluster[:80]!r}, not of {cluster!r}")
        await self._pacts.keep_pact(cluster, answer.trust_domain, answer.trust)
        log.info("met the hub of cluster %s", cluster)

    def _introduction(self) -> pb.Introduction:
        return pb.Introduction(cluster=self._config.cluster, trust_domain=self._config.trust_domain, trust=self.trust())

    def _peer(self, cluster: str) -> Peer | None:
        return next((peer for peer in self._config.peers if peer.name == cluster), None)
