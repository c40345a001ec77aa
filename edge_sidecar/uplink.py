"""The uplink: the hub's xDS, followed for as long as the agent runs, whatever becomes of the hub meanwhile."""

import asyncio
import logging
from collections.abc import Mapping
from time import monotonic
from typing import Any, Final

from edge_sidecar.membership import Membership
from edge_sidecar.pause import Pause
from edge_sidecar.relay import Relay
from edge_sidecar.relay.hub import follow
from edge_sidecar.settings import HTTP_PORT, Settings
from pilot_plus.wire.denied import Denied

log = logging.getLogger(__name__)

DENIED_PAUSE: Final = 30.0
"""Seconds before a hub that has said no is asked again."""
STEADY: Final = 5.0
"""Seconds that a stream must have held for the next pause to be a short one."""


class Uplink:
    """Brings what the hub says to the relay."""

    def __init__(self, settings: Settings, membership: Membership, relay: Relay) -> None:
        self._settings = settings
        self._membership = membership
        self._relay = relay
        self._trouble = ""

    @property
    def trouble(self) -> str:
        """Why there is no configuration from the hub; empty while there is."""
        return "" if self._relay.is_told else self._trouble

    async def keep(self) -> None:
        """Follow until cancelled."""
        pause = Pause()
        while True:
            began = monotonic()
            try:
                await follow(self._settings.hub, self._membership.held, self._node(), self._relay)
            except ConnectionError as error:
                self._note(str(error))
                if monotonic() - began > STEADY:
                    pause.reset()
                await asyncio.sleep(pause.next())
            except Denied as error:
                self._note(str(error))
                await asyncio.sleep(DENIED_PAUSE)

    def _note(self, trouble: str) -> None:
        if trouble != self._trouble:
            log.warning("no configuration from the hub: %s", trouble)
        self._trouble = trouble

    def _node(self) -> Mapping[str, Any]:
        """What the hub must know to say what this Envoy gets; a service's sidecar gets what any Envoy gets."""
        settings = self._settings
        said = {"zone": settings.zone, "data": "."}
        if settings.service:
            said |= {"kind": "envoy", "outbound": f"{settings.address}:{HTTP_PORT}"}
        else:
            name = self._membership.held.identity.name
            said |= {"kind": "edge", "edge": name, "address": settings.address}
        return {
            "id": f"{settings.zone}/{settings.name}",
            "cluster": settings.zone,
            "metadata": {"pilot-plus": said},
        }
