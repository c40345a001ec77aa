"""Membership: the agent's identity, from the token at its first start to the certificate of today."""

import asyncio
import logging
import random
from typing import Final

from edge_sidecar.pause import Pause
from edge_sidecar.settings import Settings
from pilot_plus.model import Role
from pilot_plus.wire.certificates import Clock, utc_now
from pilot_plus.wire.denied import Denied
from pilot_plus.wire.folder import Folder
from pilot_plus.wire.joining import keep_trust, obtain, renew
from pilot_plus.wire.trust import Held, Trust

log = logging.getLogger(__name__)

LOOK_AT_CLOCK: Final = 60.0
"""Seconds. A wall clock that jumps is noticed after so many at most."""


class Membership:
    """Who this agent is. Open it with `Membership.enter`, and let `keep` run as long as it is used."""

    def __init__(self, settings: Settings, folder: Folder, held: Held, now: Clock) -> None:
        self.held = held
        self._settings = settings
        self._folder = folder
        self._now = now
        self._asked = asyncio.Event()
        self._chance = random.random()

    def __repr__(self) -> str:
        return f"<Membership of {self.held.identity}>"

    @classmethod
    async def enter(cls, settings: Settings, now: Clock = utc_now) -> "Membership":
        """The identity in the data folder, or one for the token; as often as it takes to reach the hub.

        Raises:
            Denied: there is none to be had.
            OSError: the folder can't be read or written.
        """
        folder, pause = Folder(settings.data), Pause()
        name = "" if settings.service else settings.name  # a service's identity is the service, of whichever copy
        while True:
            try:
                held = await obtain(settings.hub, settings.token, name, folder, now)
            except ConnectionError as error:
                log.warning("can't join yet: %s", error)
                await asyncio.sleep(pause.next())
            else:
                _check(held, settings)
                return cls(settings, folder, held, now)

    async def keep(self) -> None:
        """Renew in time, or when the hub asks; a hub that can't be reached is asked again."""
        pause = Pause(longest=60.0)
        while True:
            await self._due()
            try:
                self.held = await renew(self._settings.hub, self.held, self._folder, self._now)
            except (ConnectionError, Denied, OSError) as error:
                log.warning("the certificate could not be renewed: %s", error)
                await asyncio.sleep(pause.next())
            else:
                self._asked.clear()
                pause.reset()
                log.info("the certificate is valid until %s", self.held.expires.isoformat())

    def believe(self, trust: Trust) -> None:
        """Believe others from now on, as the hub says.

        Raises:
            OSError: the folder can't be written.
        """
        self.held = keep_trust(self.held, trust, self._folder)

    def ask_to_renew(self) -> None:
        """Renew now."""
        self._asked.set()

    async def _due(self) -> None:
        while not self._asked.is_set():
            left = (self.held.renew_at(self._chance) - self._now()).total_seconds()
            if left <= 0:
                return
            try:
                async with asyncio.timeout(min(left, LOOK_AT_CLOCK)):
                    await self._asked.wait()
            except TimeoutError:
                continue


def _check(held: Held, settings: Settings) -> None:
    identity = held.identity
    wanted = Role.SERVICE if settings.service else Role.EDGE
    if identity.role is not wanted:
        hint = "--service" if settings.service else "--edge"
        raise Denied(f"the token is for {identity}; make one with `pilot-plus token create {hint} …`")
    if identity.zone != settings.zone:
        raise Denied(f"the token is for the zone {identity.zone!r}, the agent was told {settings.zone!r}")
    if settings.service and f"{identity.namespace}/{identity.name}" != settings.service:
        raise Denied(f"the token is for {identity}, the agent was told {settings.service!r}")
