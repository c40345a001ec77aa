"""Recall: what a hub that starts knows from its journal, and what it goes on keeping there."""

import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from time import monotonic

from immutables import Map

from pilot_plus import neighbours, roll
from pilot_plus.catalog import Catalog, Holder, Source, Standing
from pilot_plus.config import Config, ConfigError
from pilot_plus.hub.sources import OWN_KIND
from pilot_plus.ingest import Ingest
from pilot_plus.journal import Journal
from pilot_plus.journal.heard import silences
from pilot_plus.journal.recorder import Recorder
from pilot_plus.journal.scribe import Bounds


@asynccontextmanager
async def opened_journal(config: Config) -> AsyncIterator[Journal]:
    """The journal, open.

    Raises:
        ConfigError: it can't be opened.
    """
    async with AsyncExitStack() as stack:
        try:
            journal = await stack.enter_async_context(Journal.open(config.journal))
        except (OSError, ValueError) as error:
            raise ConfigError(f"journal: {error}") from error
        yield journal


def first_catalog(config: Config, journal: Journal) -> Catalog:
    """Every source, and nothing heard of any. Its epoch is new with every start."""
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


def recalled(config: Config) -> frozenset[str]:
    """The sources that are shown as the journal knows them: all but those that lie in its own database."""
    return frozenset(
        registry.name
        for registry in config.registries
        if registry.kind != OWN_KIND or registry.settings.get("url", config.journal) != config.journal
    ) | {roll.NAME, *(one.name for one in config.peers)}


def journalled(config: Config) -> frozenset[str]:
    """The sources whose records the journal keeps. With history all: what has changed meanwhile is told by them."""
    return recalled(config) | ({registry.name for registry in config.registries} if _keeps_history(config) else set())


def _keeps_history(config: Config) -> bool:
    return bool(config.history.keep and config.history.max)


def recorder_of(config: Config, journal: Journal, holder: Holder) -> Recorder | None:
    """What writes history; None where none is kept."""
    if not _keeps_history(config):
        return None
    return Recorder(holder, journal.archive, Bounds(config.history.keep, config.history.max))


async def restore(
    config: Config, journal: Journal, ingest: Ingest, edges: roll.Roll, recorder: Recorder | None
) -> None:
    """Show what the journal last knew, and forget registries that are not in the configuration any more.

    Raises:
        OSError: the journal can't be read or written.
    """
    shown, kept = recalled(config), journalled(config)
    silent = await silences(journal.documents)
    for name, known in (await journal.last_known()).items():
        if name in shown:
            ingest.restore(name, [*known.services, *known.instances], silent.get(name))
            if name == roll.NAME:
                edges.expect(known.instances)
        elif recorder and name in kept:
            recorder.expect(name, known.instances)
        else:
            if recorder:
                recorder.forget(name, known.instances)
            await journal.forget(name)
