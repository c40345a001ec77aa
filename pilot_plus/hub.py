"""The hub: puts the parts together and runs them in one task group. The only module that loads registries."""

import asyncio
import gc
import importlib
import logging
import pkgutil
import secrets
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from functools import partial
from time import monotonic
from typing import Any, Final, cast

import msgspec
from immutables import Map

import registries as adapters
from pilot_plus import neighbours, roll
from pilot_plus.carriage import Carriage
from pilot_plus.catalog import Catalog, Holder, Source, Standing
from pilot_plus.catalog.admission import admission_of, is_loopback
from pilot_plus.catalog.fold import Rules
from pilot_plus.catalog.guard import Limits
from pilot_plus.config import Config, ConfigError, OnLoss, RegistrySection
from pilot_plus.config import Peer as PeerSection
from pilot_plus.desk import HubDesk
from pilot_plus.embassy import Embassy
from pilot_plus.ingest import Ingest, Watched
from pilot_plus.journal import Conflict, Journal
from pilot_plus.journal.follow import follow
from pilot_plus.journal.past import Past
from pilot_plus.journal.recorder import Bounds, Recorder
from pilot_plus.members import Members
from pilot_plus.ports import Registry, SourceLost
from pilot_plus.ports import Source as Opened
from pilot_plus.reload import reloading
from pilot_plus.servers import xds
from pilot_plus.servers.api import Context, api_of, listening_socket, serving
from pilot_plus.servers.join import JoinService
from pilot_plus.sync import Registrar, Sync
from registries import memory, peer

log = logging.getLogger(__name__)

OWN_KIND: Final = "database"
"""The kind of our own registry: without a guard, for what goes there was deregistered or has expired."""
PROBE: Final = 10.0
"""Seconds that `probe` gives each connection."""


async def run(config: Config, *, insecure: bool = False, load: Callable[[], Config] | None = None) -> None:
    """Run a hub until it is cancelled, or told to end by SIGTERM or SIGINT; `load` reads the file again at SIGHUP.

    Raises:
        ConfigError: the configuration can't be carried out; nothing was started.
    """
    registered = sources_of(config)
    # Nearly all that the hub holds stays: looking through it often, as is right for garbage, is time for nothing.
    gc.set_threshold(50_000, 20, 50)
    async with _journal(config) as journal:
        members = await Members.open(config, journal.documents, Conflict)
        embassy = Embassy(config, members.authority, members.pacts)
        watched = {**registered, **_peers_of(config, embassy)}
        holder = Holder(_first_catalog(config, journal))
        edges, sessions = _edges(config)
        ingest = Ingest(holder, {**watched, roll.NAME: sessions})
        own = next((registry.name for registry in config.registries if registry.kind == OWN_KIND), None)
        opens = {name: source.open for name, source in watched.items()}
        admissions = {name: source.rules.admission for name, source in watched.items()}
        shown_as = admissions[own].shown_as if own else "{}/{}".format
        registrar = Registrar(opens, journal.documents, holder, own, shown_as=shown_as, presence=journal.presence)
        carriage = Carriage(config, holder, journal.documents, edges)
        await carriage.load()
        sync = Sync(config, holder, opens, journal.documents, owner=_owner(), carrying=carriage.current)
        desk = HubDesk(registrar, ingest, sync, admissions, own)
        near = neighbours.Neighbours(config, holder, ingest, embassy)
        recorder = _recorder(config, journal, holder)
        past = Past(recorder, journal.archive) if recorder else None
        supplier = xds.Supplier(config, holder, members.gate, _journalled(config), monotonic, embassy.abroad)
        clients = xds.Report(supplier.roster, config.cluster, monotonic)
        context = Context(
            config,
            holder,
            desk,
            carrying=carriage.current,
            notary=members,
            clients=clients,
            neighbourhood=near,
            past=past,
        )
        api = api_of(config, context, insecure=insecure)
        listening = listening_socket(config.listen.http)
        door = _xds_door(config, members)
        near.bind()
        _say_what_is_not_there(config)
        await _restore(config, journal, ingest, edges, recorder)
        supplier.carry(carriage.carrying)
        async with asyncio.TaskGroup() as tasks, serving(api, config, listening):
            carriage.listen(lambda services: supplier.carry(carriage.carrying, services))
            work = [
                tasks.create_task(registrar.run(), name="registrar"),
                tasks.create_task(sync.run(), name="sync"),
                tasks.create_task(ingest.run(), name="ingest"),
                tasks.create_task(follow(holder, journal, _journalled(config)), name="journal"),
                tasks.create_task(members.authority.keep(), name="identity"),
                tasks.create_task(members.pacts.keep(), name="pacts"),
                tasks.create_task(edges.keep(), name="edges"),
                tasks.create_task(near.serve(), name="peers"),
                tasks.create_task(carriage.run(ingest.touch), name="carriage"),
                tasks.create_task(_serve_xds(config, door, members, carriage, supplier), name="xds"),
                *([tasks.create_task(recorder.run(), name="history")] if recorder else ()),
            ]
            if load is not None:
                reloads = (api.reload, sync.reload, supplier.reload, carriage.reload)
                work.append(tasks.create_task(reloading(config, load, reloads)))
            log.info("the hub listens at %s", config.listen.http)
            with _told_to_end() as end:
                await end.wait()
            for task in work:
                task.cancel()


def _owner() -> str:
    """This process among the copies of the hub: nobody else's name, also when it comes again on the same machine."""
    return f"{socket.gethostname()}-{secrets.token_hex(4)}"


def _say_what_is_not_there(config: Config) -> None:
    """A section whose feature doesn't exist yet is reported, and not refused."""
    sections = {
        "listen.dns": config.listen.dns,
    }
    for section, value in sections.items():
        if value:
            log.warning("%s: this version does not carry it out yet; it is checked, and otherwise left alone", section)


async def probe(config: Config) -> list[tuple[str, bool, str]]:
    """Try to open every registry: its name, whether that went well, and why not.

    Raises:
        ConfigError: a registry's settings are wrong.
    """
    watched = {**sources_of(config), **_peers_of(config, None)}
    async with asyncio.TaskGroup() as tasks:
        tries = [tasks.create_task(_try(source)) for source in watched.values()]
    return [(name, not error, error) for name, error in zip(watched, (one.result() for one in tries), strict=True)]


async def _try(source: Watched) -> str:
    try:
        async with asyncio.timeout(PROBE), source.open() as opened:
            async for _ in opened.watch():
                return ""
    except SourceLost as lost:
        return str(lost)
    except TimeoutError:
        return f"no answer within {PROBE:.0f} s"
    return "it said nothing"


# ------------------------------------------------------------------------------------------------ registries


def sources_of(config: Config) -> Mapping[str, Watched]:
    """Every registry of a configuration, ready to be opened.

    Raises:
        ConfigError: an unknown kind, or wrong settings.
    """
    neighbours.check(config)
    return {
        registry.name: Watched(registry.name, _opener(config, place, registry), _rules_of(config, registry))
        for place, registry in enumerate(config.registries)
    }


def _peers_of(config: Config, embassy: Embassy | None) -> Mapping[str, Watched]:
    """Every peer, ready to be opened; without an embassy only those that ask for no proof."""
    return {
        one.name: neighbours.watched_of(config, one, _to_peer(config, one, embassy))
        for one in config.peers
        if embassy or one.insecure
    }


def _to_peer(
    config: Config, section: PeerSection, embassy: Embassy | None
) -> Callable[[], AbstractAsyncContextManager[Opened]]:
    secured = None if section.insecure else embassy
    settings = peer.Settings(
        cluster=config.cluster,
        name=section.name,
        address=str(section.address),
        selections=neighbours.imports_of(section),
        relay=frozenset(section.relay),
        credentials=partial(secured.credentials, section) if secured else None,
        exchange=secured,
    )
    return lambda: peer.connect(settings)


def _opener(config: Config, place: int, registry: RegistrySection) -> Any:
    module = _adapter(place, registry.kind)
    settings = _settings(config, place, registry, module.Settings)

    def opened() -> AbstractAsyncContextManager[Opened]:
        return module.connect(settings)

    return opened


def _adapter(place: int, kind: str) -> Registry:
    kinds = sorted(
        name
        for _, name, _ in pkgutil.iter_modules(adapters.__path__)
        if name not in ("layouts", "peer", "tls", "vigil")
    )
    if kind not in kinds:
        raise ConfigError(f"registries[{place}].kind: {kind!r} is unknown; known are {', '.join(kinds)}")
    return cast("Registry", importlib.import_module(f"registries.{kind}"))


def _settings(config: Config, place: int, registry: RegistrySection, kind: type[msgspec.Struct]) -> msgspec.Struct:
    """A registry's settings, with what only the hub knows: our cluster's name, and the journal's database."""
    known = {field.encode_name for field in msgspec.structs.fields(kind)}
    given = dict(registry.settings)
    if "cluster" in known:
        given.setdefault("cluster", config.cluster)
    if registry.kind == OWN_KIND:
        given.setdefault("url", config.journal)
    where = f"registries[{place}].settings"
    try:
        return msgspec.convert(given, kind)
    except msgspec.ValidationError as error:
        sentence, _, path = str(error).partition(" - at `$")
        raise ConfigError(
            f"{where}{path.removesuffix('`')}: {sentence}; known are {', '.join(sorted(known))}"
        ) from error
    except ValueError as error:
        raise ConfigError(f"{where}.{error}") from error


def _rules_of(config: Config, registry: RegistrySection) -> Rules:
    guard = registry.guard
    loss = registry.on_loss if isinstance(registry.on_loss, OnLoss) else OnLoss()
    return Rules(
        admission_of(config, registry),
        None
        if registry.kind == OWN_KIND
        else Limits(max_removal=guard.max_removal, window=guard.window, hold_for=guard.hold_for, min=guard.min),
        drain_after=loss.drain_after,
        drop_after=loss.drop_after,
    )


# ------------------------------------------------------------------------------------------------ edges and xDS


def _edges(config: Config) -> tuple[roll.Roll, Watched]:
    """The edges that have a session here, and the source that tells the catalog of them."""
    store = memory.Store()
    addresses = [address for address in (config.listen.http, config.listen.xds, config.listen.peer) if address]
    loopback = all(is_loopback(address.host) for address in addresses)
    watched = roll.watched_of(config.cluster, memory.Memory(store), loopback_is_fine=loopback)
    return roll.Roll(config.cluster, store), watched


def _xds_door(config: Config, members: Members) -> xds.Door | None:
    if config.listen.xds is None:
        return None
    is_plaintext = xds.is_plaintext(config)
    door = xds.bind(config.listen.xds, None if is_plaintext else members.authority.serving)
    log.info("xDS listens at %s%s", door.address, ", in plaintext" if is_plaintext else "")
    return door


async def _serve_xds(
    config: Config, door: xds.Door | None, members: Members, edges: Carriage, supplier: xds.Supplier
) -> None:
    """Serve discovery and joining until cancelled, if there is an address for it."""
    if door is None:
        return
    roster, ready = supplier.roster, supplier.settled.wait
    discovery = xds.Discovery(roster, members.gate, config.cluster, supplier.is_zone, ready)
    async with JoinService.open(members.gate, edges) as joining, asyncio.TaskGroup() as tasks:
        tasks.create_task(supplier.run())
        tasks.create_task(discovery.keep())
        handlers = (joining.handler(), *discovery.handlers())
        async with xds.serving(door, handlers):
            await asyncio.Event().wait()


# ------------------------------------------------------------------------------------------------ journal


@asynccontextmanager
async def _journal(config: Config) -> AsyncIterator[Journal]:
    try:
        opening = Journal.open(config.journal)
        journal = await opening.__aenter__()
    except (OSError, ValueError) as error:
        raise ConfigError(f"journal: {error}") from error
    try:
        yield journal
    finally:
        await opening.__aexit__(None, None, None)


def _first_catalog(config: Config, journal: Journal) -> Catalog:
    now = monotonic()
    sources = {
        registry.name: Source(
            name=registry.name,
            kind=registry.kind,
            zone=config.zone_of(registry),
            standing=Standing.NEVER_SYNCED,
            since=now,
        )
        for registry in config.registries
    }
    sources |= {one.name: neighbours.source_of(one, now) for one in config.peers}
    sources[roll.NAME] = roll.source_of(now)
    return Catalog(epoch=f"{journal.epoch}-{secrets.token_hex(4)}", sources=Map(sources))


def _journalled(config: Config) -> frozenset[str]:
    """The sources whose records the journal keeps: all but those that lie in its own database."""
    return frozenset(
        registry.name
        for registry in config.registries
        if registry.kind != OWN_KIND or registry.settings.get("url", config.journal) != config.journal
    ) | {roll.NAME, *(one.name for one in config.peers)}


def _recorder(config: Config, journal: Journal, holder: Holder) -> Recorder | None:
    """What writes history; None where none is kept."""
    bounds = Bounds(config.history.keep, config.history.max)
    if not (bounds.keep and bounds.max):
        return None
    unknown = frozenset(registry.name for registry in config.registries) - _journalled(config)
    return Recorder(holder, journal.archive, bounds, unknown=unknown)


async def _restore(
    config: Config, journal: Journal, ingest: Ingest, edges: roll.Roll, recorder: Recorder | None
) -> None:
    """Show what the journal last knew, and forget registries that are not in the configuration any more."""
    wanted = _journalled(config)
    for name, known in (await journal.last_known()).items():
        if name in wanted:
            ingest.restore(name, [*known.services, *known.instances])
            if name == roll.NAME:
                edges.expect(known.instances)
        else:
            if recorder:
                recorder.forget(name, known.instances)
            await journal.forget(name)


# ------------------------------------------------------------------------------------------------ the end


@contextmanager
def _told_to_end() -> Iterator[asyncio.Event]:
    """An event that SIGTERM and SIGINT set."""
    loop, end = asyncio.get_running_loop(), asyncio.Event()
    numbers: Sequence[signal.Signals] = (signal.SIGTERM, signal.SIGINT)
    for number in numbers:
        loop.add_signal_handler(number, end.set)
    try:
        yield end
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
