"""The hub: its parts, what each is given of the others, and the one task group in which they run."""

import asyncio
import gc
import logging
import secrets
import signal
import socket
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import suppress
from time import monotonic
from typing import Final

from pilot_plus import roll
from pilot_plus.carriage import Carriage
from pilot_plus.catalog import Holder
from pilot_plus.config import Config
from pilot_plus.desk import HubDesk
from pilot_plus.embassy import Embassy
from pilot_plus.hub.discovery import door_of, serve
from pilot_plus.hub.probe import what_is_not_there
from pilot_plus.hub.recall import first_catalog, journalled, opened_journal, recalled, recorder_of, restore
from pilot_plus.hub.sources import OWN_KIND, edges_of, peers_of, sources_of
from pilot_plus.ingest import Ingest, Watched
from pilot_plus.journal import Conflict, Journal, heard
from pilot_plus.journal.follow import follow
from pilot_plus.journal.past import Past
from pilot_plus.journal.progress import Progress
from pilot_plus.members import Members
from pilot_plus.neighbours import Neighbours
from pilot_plus.reload import reloading
from pilot_plus.servers import xds
from pilot_plus.servers.api import Context, api_of, listening_socket, serving
from pilot_plus.signals import told_by
from pilot_plus.sync import Registrar, Sync

log = logging.getLogger(__name__)

LAST: Final = 2.0
"""Seconds that the journal has for what was published last, when a hub is told to end."""


async def run(config: Config, *, insecure: bool = False, load: Callable[[], Config] | None = None) -> None:
    """Run a hub until it is cancelled, or told to end by SIGTERM or SIGINT; `load` reads the file again at SIGHUP.

    Raises:
        ConfigError: the configuration can't be carried out; nothing was started.
    """
    registered = sources_of(config)
    # Nearly all that the hub holds stays: looking through it often, as is right for garbage, is time for nothing.
    gc.set_threshold(50_000, 20, 50)
    async with opened_journal(config) as journal:
        members = await Members.open(config, journal.documents, Conflict)
        hub = Hub(config, journal, members, registered)
        await hub.carriage.load()
        api = api_of(config, hub.context(), insecure=insecure)
        listening = listening_socket(config.listen.http)
        door = door_of(config, members)
        hub.neighbours.bind()
        for section in what_is_not_there(config):
            log.warning("%s: this version does not carry it out yet; it is checked, and otherwise left alone", section)
        await restore(config, journal, hub.ingest, hub.edges, hub.recorder)
        hub.supply()
        async with asyncio.TaskGroup() as tasks, serving(api, config, listening):
            hub.carriage.listen(hub.supply)
            work = [tasks.create_task(part, name=name) for name, part in hub.work(door)]
            if load is not None:
                reloads = (api.reload, hub.sync.reload, hub.supplier.reload, hub.carriage.reload)
                work.append(tasks.create_task(reloading(config, load, reloads), name="reload"))
            log.info("the hub listens at %s", config.listen.http)
            with told_by(signal.SIGTERM, signal.SIGINT) as end:
                await end.wait()
            await hub.settle()
            for task in work:
                task.cancel()


class Hub:
    """The parts of one hub. Each knows of the others only what it is given here."""

    def __init__(self, config: Config, journal: Journal, members: Members, registered: Mapping[str, Watched]) -> None:
        """`registered`: the registries (`sources_of`). Nothing runs, and nothing is read, before `work`."""
        self._config = config
        self._journal = journal
        self._members = members
        self._embassy = Embassy(config, members.authority, members.pacts)
        self._watched = {**registered, **peers_of(config, self._embassy)}
        self._own = next((registry.name for registry in config.registries if registry.kind == OWN_KIND), None)
        self.holder = Holder(first_catalog(config, journal))
        self.edges, sessions = edges_of(config)
        self.ingest = Ingest(self.holder, {**self._watched, roll.NAME: sessions})
        self.carriage = Carriage(config, self.holder, journal.documents, self.edges)
        self._journalled = Progress()
        self.recorder = recorder_of(config, journal, self.holder)
        opens = {name: source.open for name, source in self._watched.items()}
        self.registrar = Registrar(
            opens,
            journal.documents,
            self.holder,
            self._own,
            shown_as=self._watched[self._own].rules.admission.shown_as if self._own else "{}/{}".format,
            presence=journal.presence,
        )
        self.sync = Sync(config, self.holder, opens, journal.documents, owner=_owner(), carrying=self.carriage.current)
        self.neighbours = Neighbours(config, self.holder, self.ingest, self._embassy)
        self.supplier = xds.Supplier(
            config, self.holder, members.gate, recalled(config), monotonic, self._embassy.abroad
        )

    def context(self) -> Context:
        """What the HTTP API answers from."""
        admissions = {name: source.rules.admission for name, source in self._watched.items()}
        return Context(
            self._config,
            self.holder,
            HubDesk(self.registrar, self.ingest, self.sync, admissions, self._own),
            carrying=self.carriage.current,
            notary=self._members,
            clients=xds.Report(self.supplier.roster, self._config.cluster, monotonic),
            neighbourhood=self.neighbours,
            past=Past(self.recorder, self._journal.archive) if self.recorder else None,
        )

    def supply(self, services: frozenset[str] | None = None) -> None:
        """Let xDS know what the edges carry; `services`: where that has changed, None: anywhere."""
        self.supplier.carry(self.carriage.carrying, services)

    def work(self, door: xds.Door | None) -> Iterator[tuple[str, Coroutine[object, object, None]]]:
        """What runs as long as the hub does, by name; each is begun before the next is asked for."""
        yield "registrar", self.registrar.run()
        yield "sync", self.sync.run()
        yield "ingest", self.ingest.run()
        recorded = self.recorder.until_written if self.recorder else None
        kept = journalled(self._config)
        yield (
            "journal",
            follow(self.holder, self._journal, kept, self._journalled, recorded, kept - recalled(self._config)),
        )
        yield "heard", heard.keep(self.holder, self._journal.documents)
        yield "identity", self._members.authority.keep()
        yield "pacts", self._members.pacts.keep()
        yield "edges", self.edges.keep()
        yield "peers", self.neighbours.serve()
        yield "carriage", self.carriage.run(self.ingest.touch)
        yield "xds", serve(self._config, door, self._members, self.carriage, self.supplier)
        if self.recorder:
            yield "history", self.recorder.run()

    async def settle(self) -> None:
        """Let the journal come as far as the catalog is now: the next start begins with that."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST):
                await self._journalled.until(self.holder.current.number)


def _owner() -> str:
    """This process among the copies of the hub: nobody else's name, also when it comes again on the same machine."""
    return f"{socket.gethostname()}-{secrets.token_hex(4)}"
