"""Neighbours: the hubs of other clusters, whom we read from and who read from us."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from time import monotonic
from typing import Final

from pilot_plus.catalog import Catalog, Holder, Source
from pilot_plus.catalog.admission import Admission, listens_only_on_loopback, own_listeners
from pilot_plus.catalog.fold import Rules
from pilot_plus.catalog.guard import limits_of
from pilot_plus.catalog.naming import Naming, aliases_of
from pilot_plus.config import Config, ConfigError, Guard, Peer
from pilot_plus.embassy import Embassy
from pilot_plus.ingest import Ingest, Watched
from pilot_plus.metrics import PEER_BYTES
from pilot_plus.ports import Source as Opened
from pilot_plus.servers import xds
from pilot_plus.servers.peer import PeerService, feeding
from pilot_plus.views import overview
from pilot_plus.views.endpoints import home_of
from pilot_plus.views.export import Terms
from pilot_plus.views.growth import Growth
from pilot_plus.views.peers import PeerList, PeerShape
from pilot_plus.wire.look import is_loopback
from pilot_plus.wire.selections import Selection

log = logging.getLogger(__name__)

KIND: Final = "peer"
LOOK_EVERY: Final = 5.0
"""Seconds between two looks at how much our peers tell us."""


def check(config: Config) -> None:
    """Check that every peer can be reached in a way that we may use.

    Raises:
        ConfigError: plaintext where it is not allowed.
    """
    address = config.listen.peer
    if address is not None and not is_loopback(address.host) and any(peer.insecure for peer in config.peers):
        raise ConfigError("listen.peer: off loopback no peer may be `insecure`")
    for index, peer in enumerate(config.peers):
        if peer.insecure and not is_loopback(peer.address.host):
            raise ConfigError(f"peers[{index}].insecure: {peer.address} is not on this machine: leave it out")


def source_of(peer: Peer, now: float) -> Source:
    """A peer's source, as the catalog knows it first."""
    return Source(name=peer.name, kind=KIND, zone="", since=now)


def rules_of(config: Config, peer: Peer) -> Rules:
    """What applies to what a peer says: its own names have been mapped by `import`, and its zones are its own."""
    admission = Admission(
        cluster=config.cluster,
        registry=peer.name,
        zone="",
        namespace="",
        loopback_is_fine=listens_only_on_loopback(config),
        own_listeners=own_listeners(config),
        writes_reserved=True,
        naming=Naming(aliases=aliases_of(config)),
    )
    return Rules(admission, limits_of(Guard()))


def watched_of(config: Config, peer: Peer, open_: Callable[[], AbstractAsyncContextManager[Opened]]) -> Watched:
    """A peer as ingest opens it."""
    return Watched(peer.name, open_, rules_of(config, peer))


def imports_of(peer: Peer) -> tuple[Selection, ...]:
    """What a peer's services become here."""
    return tuple(_selection(one.services, one.labels, deny=one.deny, rename=one.rename) for one in peer.import_)


class Neighbours:
    """Serves those who read from us, and says how both ways stand."""

    def __init__(self, config: Config, holder: Holder, ingest: Ingest, embassy: Embassy) -> None:
        self._config = config
        self._holder = holder
        self._ingest = ingest
        self.embassy = embassy
        self._home = home_of(config)
        self._started = monotonic()
        self._door: xds.Door | None = None
        self._service: PeerService | None = None
        self._growth = {peer.name: Growth() for peer in config.peers}
        self._alarms = {peer.name: "" for peer in config.peers}

    async def serve(self) -> None:
        """Let peers read until cancelled, if an address was taken for it; look out for what multiplies."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._look_for_growth())
            tasks.create_task(self._serve())

    async def _look_for_growth(self) -> None:
        while True:
            for peer in self._config.peers:
                count = len(self._holder.current.sources[peer.name].instances)
                alarm = self._growth[peer.name].note(count, monotonic())
                if alarm and not self._alarms[peer.name]:
                    log.warning("a peer's data multiplies: %s", alarm, extra={"registry": peer.name})
                self._alarms[peer.name] = alarm
            await asyncio.sleep(LOOK_EVERY)

    def bind(self) -> None:
        """Take the address at which peers read, if there is one.

        Raises:
            ConfigError: it is taken, or not this machine's.
        """
        address = self._config.listen.peer
        if address is None or not self._config.peers:
            return
        shown = self.embassy.serving if self.embassy.is_secure else None
        self._door = xds.bind(address, shown, key="listen.peer")
        log.info("peers read at %s%s", self._door.address, "" if shown else ", in plaintext")

    async def _serve(self) -> None:
        if self._door is None:
            return
        async with feeding(self._holder) as feeds:
            self._service = PeerService(feeds, self._offer, self._is_ready, self.embassy)
            async with xds.serving(self._door, [self._service.handler()]):
                await asyncio.Event().wait()

    def peers(self, catalog: Catalog, now: float) -> PeerList:
        """How every peer stands."""
        return PeerList(peers=tuple(self._shape(peer, catalog, now) for peer in self._config.peers))

    async def invite(self, name: str, ttl: str) -> str:
        """As `Embassy.invite`."""
        return await self.embassy.invite(name, ttl)

    async def join(self, name: str, token: str) -> None:
        """As `Embassy.join`."""
        await self.embassy.join(name, token)

    async def forget(self, name: str) -> int:
        """Take out what a retired peer has last said; return how many instances that was.

        Raises:
            ValueError: there is no such peer, or it is in step and would say it all again.
        """
        if name not in {peer.name for peer in self._config.peers}:
            raise ValueError(f"there is no peer {name!r}")
        source = self._holder.current.sources[name]
        if not source.is_stale:
            raise ValueError(f"{name} is in step and would say it all again: take it out of `peers`, or stop it, first")
        await self._ingest.forget(name)
        return len(source.instances)

    def _shape(self, peer: Peer, catalog: Catalog, now: float) -> PeerShape:
        source = catalog.sources[peer.name]
        registry = overview.registry(source, self._home, now)
        reader = self._service.readers.shape(peer.name) if self._service else None
        return PeerShape(
            name=peer.name,
            address=str(peer.address),
            detail=peer.detail,
            state=registry.state,
            age_s=registry.age_s,
            instances=registry.instances,
            skipped=registry.skipped,
            held=registry.held,
            error=registry.error,
            alarm=self._alarms[peer.name] or None,
            received_bytes=int(PEER_BYTES.labels(peer.name)._value.get()),  # noqa: SLF001 - there is no other way
            reader=reader,
        )

    def _offer(self, cluster: str) -> Terms | None:
        """Our side of the terms for a reader."""
        peer = self._peer(cluster)
        if peer is None:
            return None
        return Terms(
            home=self._home,
            reader=cluster,
            peers=frozenset(one.name for one in self._config.peers),
            selections=tuple(
                _selection(one.services, one.labels, deny=one.deny, rename=one.rename) for one in peer.export
            ),
            summary=peer.detail == "summary",
        )

    def _is_ready(self) -> bool:
        """Whether all registries of ours have been heard, or waited for long enough; peers wait for nobody."""
        if monotonic() - self._started >= self._config.ready_after:
            return True
        sources = self._holder.current.sources
        return not any(sources[registry.name].is_stale for registry in self._config.registries)

    def _peer(self, cluster: str) -> Peer | None:
        return next((peer for peer in self._config.peers if peer.name == cluster), None)


def _selection(services: tuple[str, ...], labels: Mapping[str, str], *, deny: bool, rename: str) -> Selection:
    return Selection(services=services, labels=tuple(sorted(labels.items())), deny=deny, rename=rename)
