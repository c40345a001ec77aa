"""Reload: what of the configuration changes while the hub runs, when it gets SIGHUP; the rest waits for a restart."""

import asyncio
import logging
import signal
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from pilot_plus.config import Config, ConfigError, check_references
from pilot_plus.signals import told_by

log = logging.getLogger(__name__)

AT_ONCE: Final = ("auth", "exports", "ready_after", "sync", "zones")
"""The sections that change at run time."""


class Reloaded(msgspec.Struct, frozen=True):
    """What a hub goes on with."""

    config: Config
    waiting: tuple[str, ...]
    """Sections that have changed in the file, and wait for a restart."""


def reloaded(now: Config, read: Config) -> Reloaded:
    """The configuration to go on with, from that of the running hub and the file as it is now.

    Raises:
        ConfigError: what changes at once names what is there only after a restart.
    """
    names = msgspec.structs.fields(Config)
    changed = [field.name for field in names if getattr(now, field.name) != getattr(read, field.name)]
    config = msgspec.structs.replace(now, **{name: getattr(read, name) for name in AT_ONCE})
    waiting = tuple(name for name in changed if name not in AT_ONCE)
    try:
        check_references(config)
    except ConfigError as error:
        raise ConfigError(f"{error} (changes of {', '.join(waiting)} wait for a restart)") from error
    return Reloaded(config, waiting)


async def reloading(config: Config, load: Callable[[], Config], parts: Sequence[Callable[[Config], None]]) -> None:
    """At each SIGHUP read the file again and tell the parts, for ever. A file that can't be used changes nothing.

    `parts` may raise ConfigError before they have changed anything; they are asked in their order.
    """
    with told_by(signal.SIGHUP) as again:
        while True:
            await again.wait()
            again.clear()
            try:
                found = reloaded(config, await asyncio.to_thread(load))
                for part in parts:
                    part(found.config)
            except ConfigError as error:
                log.error("reload: nothing has changed, for the configuration can't be used: %s", error)
                continue
            config = found.config
            if found.waiting:
                log.warning("reload: %s have changed and wait for a restart", ", ".join(found.waiting))
            log.info("reload: %s are as the file says", ", ".join(AT_ONCE))
