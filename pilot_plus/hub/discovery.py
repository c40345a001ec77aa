"""Discovery: xDS, and the joining of edges, at the one address that is configured for both."""

import asyncio
import logging

from pilot_plus.carriage import Carriage
from pilot_plus.config import Config
from pilot_plus.members import Members
from pilot_plus.servers import xds
from pilot_plus.servers.join import JoinService

log = logging.getLogger(__name__)


def door_of(config: Config, members: Members) -> xds.Door | None:
    """Take the address, if there is one.

    Raises:
        ConfigError: it is taken, or not this machine's.
    """
    if config.listen.xds is None:
        return None
    is_plaintext = xds.is_plaintext(config)
    door = xds.bind(config.listen.xds, None if is_plaintext else members.authority.serving)
    log.info("xDS listens at %s%s", door.address, ", in plaintext" if is_plaintext else "")
    return door


async def serve(
    config: Config, door: xds.Door | None, members: Members, edges: Carriage, supplier: xds.Supplier
) -> None:
    """Serve until cancelled, if there is a door."""
    if door is None:
        return
    roster, ready = supplier.roster, supplier.settled.wait
    discovery = xds.Discovery(roster, members.gate, config.cluster, supplier.is_zone, ready)
    opened = JoinService.open(members.gate, edges, abroad=members.abroad)
    async with opened as joining, asyncio.TaskGroup() as tasks:
        tasks.create_task(supplier.run())
        tasks.create_task(discovery.keep())
        handlers = (joining.handler(), *discovery.handlers())
        async with xds.serving(door, handlers):
            await asyncio.Event().wait()
