"""Sources: everything that a hub reads, from its configuration, ready to be opened."""

import importlib
import pkgutil
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Final, cast

import msgspec

import registries as adapters
from pilot_plus import neighbours, roll
from pilot_plus.catalog.admission import admission_of, listens_only_on_loopback
from pilot_plus.catalog.fold import Rules
from pilot_plus.catalog.guard import limits_of
from pilot_plus.config import Config, ConfigError, OnLoss, RegistrySection
from pilot_plus.config import Peer as PeerSection
from pilot_plus.embassy import Embassy
from pilot_plus.ingest import Watched
from pilot_plus.ports import Registry, Source
from registries import memory, peer

OWN_KIND: Final = "database"
"""The kind of our own registry: without a guard, for what goes there was deregistered or has expired."""
NO_KIND: Final = frozenset(("layouts", "peer", "tasks", "tls", "vigil"))
"""What lies beside the adapters that a configuration can name."""


def sources_of(config: Config) -> Mapping[str, Watched]:
    """Every registry of a configuration, by its name.

    Raises:
        ConfigError: an unknown kind, or wrong settings; or a peer in plaintext where it is not allowed.
    """
    neighbours.check(config)
    return {
        registry.name: _watched_of(config, f"registries[{index}]", registry)
        for index, registry in enumerate(config.registries)
    }


def peers_of(config: Config, embassy: Embassy | None) -> Mapping[str, Watched]:
    """Every peer, by its name; without an embassy only those that ask for no proof."""
    return {
        one.name: neighbours.watched_of(config, one, partial(peer.connect, _towards(config, one, embassy)))
        for one in config.peers
        if embassy or one.insecure
    }


def edges_of(config: Config) -> tuple[roll.Roll, Watched]:
    """The edges that have a session here, and the source that tells the catalog of them."""
    store = memory.Store()
    is_local = listens_only_on_loopback(config)
    watched = roll.watched_of(config.cluster, memory.Memory(store), loopback_is_fine=is_local)
    return roll.Roll(config.cluster, store), watched


# ------------------------------------------------------------------------------------------------ one of them


def _watched_of(config: Config, place: str, registry: RegistrySection) -> Watched:
    module = _adapter(place, registry.kind)
    settings = _settings(config, place, registry, module.Settings)

    def opened() -> AbstractAsyncContextManager[Source]:
        return module.connect(settings)

    return Watched(registry.name, opened, _rules_of(config, registry))


def _adapter(place: str, kind: str) -> Registry:
    kinds = sorted(name for _, name, _ in pkgutil.iter_modules(adapters.__path__) if name not in NO_KIND)
    if kind not in kinds:
        raise ConfigError(f"{place}.kind: {kind!r} is unknown; known are {', '.join(kinds)}")
    return cast("Registry", importlib.import_module(f"registries.{kind}"))


def _settings(config: Config, place: str, registry: RegistrySection, kind: type[msgspec.Struct]) -> msgspec.Struct:
    """A registry's settings, with what only the hub knows: our cluster's name, and the journal's database."""
    known = {field.encode_name for field in msgspec.structs.fields(kind)}
    given = dict(registry.settings)
    if "cluster" in known:
        given.setdefault("cluster", config.cluster)
    if registry.kind == OWN_KIND:
        given.setdefault("url", config.journal)
    try:
        return msgspec.convert(given, kind)
    except msgspec.ValidationError as error:
        sentence, _, path = str(error).partition(" - at `$")
        key, colon, _ = sentence.partition(": ")
        if colon and key in known:  # the settings themselves have refused it, and say which of them
            raise ConfigError(f"{place}.settings.{sentence}") from error
        names = ", ".join(sorted(known))
        raise ConfigError(f"{place}.settings{path.removesuffix('`')}: {sentence}; known are {names}") from error
    except ValueError as error:
        raise ConfigError(f"{place}.settings.{error}") from error


def _rules_of(config: Config, registry: RegistrySection) -> Rules:
    loss = registry.on_loss if isinstance(registry.on_loss, OnLoss) else OnLoss()
    return Rules(
        admission_of(config, registry),
        None if registry.kind == OWN_KIND else limits_of(registry.guard),
        drain_after=loss.drain_after,
        drop_after=loss.drop_after,
    )


def _towards(config: Config, section: PeerSection, embassy: Embassy | None) -> peer.Settings:
    """How to read from a peer; `embassy`: with which proof, where it asks for any."""
    secured = None if section.insecure else embassy
    return peer.Settings(
        cluster=config.cluster,
        name=section.name,
        address=str(section.address),
        selections=neighbours.imports_of(section),
        relay=frozenset(section.relay),
        credentials=partial(secured.credentials, section) if secured else None,
        exchange=secured,
    )
