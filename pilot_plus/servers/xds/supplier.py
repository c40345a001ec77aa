"""The supplier: keeps what xDS serves in step with the catalog, with whom to believe, and with the configuration."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from time import monotonic
from typing import Final, TypeAlias

import msgspec

from pilot_plus.catalog import Catalog, Holder
from pilot_plus.config import Config
from pilot_plus.servers.join.ports import Gate
from pilot_plus.servers.xds.roster import Roster
from pilot_plus.views.edges import Carrying
from pilot_plus.views.topology import Topology, topology_of
from pilot_plus.views.xds.stock import Stock
from pilot_plus.views.xds.tls import Domains, anchors_of
from pilot_plus.wire.trust import Trust

log = logging.getLogger(__name__)

SETTLES_WITHIN: Final = 3.0
"""Seconds that a hub that starts waits for its registries before it serves what its journal last knew of them."""
LOOK_ABROAD: Final = 1.0
"""Seconds between two looks at whom to believe in other clusters."""


class Abroad(msgspec.Struct, frozen=True):
    """Whom to believe in another cluster."""

    domain: str
    """Its trust domain."""
    roots: str
    """PEM."""
    revoked: frozenset[str] = frozenset()
    """Its identities that were taken back."""


Others: TypeAlias = Mapping[str, Abroad]
"""By cluster."""


AT_ONCE: Final = 100
"""Services that are looked at again before others have their turn: a first list may hold thousands."""


class Supplier:
    """Advances the stock, and lets the roster tell whom it concerns."""

    def __init__(
        self,
        config: Config,
        holder: Holder,
        gate: Gate,
        journalled: frozenset[str],
        clock: Callable[[], float],
        others: Callable[[], Others] = dict,
    ) -> None:
        """`journalled`: the sources whose records are there from the start, as the journal last knew them.

        `others`: whom to believe in other clusters.
        """
        self.settled = asyncio.Event()
        """Clients are answered from then on: before, an instance that is not there may only not have been heard yet."""
        self._holder = holder
        self._gate = gate
        self._journalled = journalled
        self._patience = float(config.ready_after)
        self._topology = topology_of(config)
        self._home = config.cluster, config.trust_domain
        self._others = others
        self._stock = Stock(holder.current, self._topology, self._domains(others()))
        self._believe(gate.trust, others())
        self.roster = Roster(self._stock, clock)
        self._news = asyncio.Event()

    @property
    def topology(self) -> Topology:
        """Zones and borders, as they are now."""
        return self._topology

    def is_zone(self, zone: str) -> bool:
        """Whether somebody may look from a zone of this whole name."""
        return zone in self._topology.zones

    def reload(self, config: Config) -> None:
        """Go on with other zones and exports."""
        self._topology = topology_of(config)
        self._stock.survey(self._topology)
        self._news.set()

    def carry(self, carrying: Carrying, services: frozenset[str] | None = None) -> None:
        """Edges carry this now. What they carry of these services (None: of any) is not as it was."""
        self._stock.carry(carrying, services)
        self._news.set()

    async def run(self) -> None:
        """Run until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._settle())
            tasks.create_task(self._follow_catalog())
            tasks.create_task(self._follow_trust())
            while True:
                await self._news.wait()
                self._news.clear()
                for _ in self._stock.settle():
                    await asyncio.sleep(0)
                await self.roster.advance()

    async def _follow_catalog(self) -> None:
        with self._holder.following() as follower:
            self._stock.advance(self._holder.current, frozenset(self._holder.current.entries))
            while True:
                touched = list(await follower.changes())
                for start in range(0, len(touched) or 1, AT_ONCE):  # also for none: a source may stand otherwise now
                    self._advance(touched[start : start + AT_ONCE])
                    self._news.set()
                    await asyncio.sleep(0)

    def _advance(self, touched: Sequence[str]) -> None:
        """Look at services again; a defect with one of them must not take the others, or the hub."""
        try:
            self._stock.advance(self._holder.current, frozenset(touched))
        except Exception:
            if len(touched) > 1:
                for service in touched:
                    self._advance([service])
            else:
                log.exception("xds: a service can't be shown", extra={"service": touched[:1]})

    async def _follow_trust(self) -> None:
        trust, others = self._gate.trust, self._others()
        while True:
            self._believe(trust, others)
            self._news.set()
            while (self._gate.trust, self._others()) == (trust, others):
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_ABROAD):
                        await self._gate.next_trust(trust)
            trust, others = self._gate.trust, self._others()

    def _believe(self, trust: Trust, others: Others) -> None:
        roots = {one.domain: one.roots for one in others.values()}
        revoked = frozenset(identity for one in others.values() for identity in one.revoked)
        self._stock.believe(anchors_of(trust, self._home[1], roots, revoked), self._domains(others))

    def _domains(self, others: Others) -> Domains:
        named = (self._home, *sorted((cluster, one.domain) for cluster, one in others.items()))
        return Domains(named, home=self._home[0])

    async def _settle(self) -> None:
        """Wait until nothing is only unheard."""
        began = monotonic()
        with self._holder.following() as follower:
            while (wait := self._must_wait(self._holder.current, monotonic() - began)) > 0:
                try:
                    async with asyncio.timeout(wait):
                        await follower.changes()
                except TimeoutError:
                    continue
        self.settled.set()

    def _must_wait(self, catalog: Catalog, waited: float) -> float:
        """Seconds to wait still, if nothing happens."""
        unheard = {source.name for source in catalog.sources.values() if source.is_stale}
        if not unheard:
            return 0.0
        return (SETTLES_WITHIN if unheard <= self._journalled else self._patience) - waited
