"""The roster: who has a stream, and the audience of each profile; it drives what changes to whom it concerns."""

import asyncio
from collections.abc import Callable
from typing import Final

from pilot_plus.model import SpiffeId
from pilot_plus.servers.xds.audience import Audience
from pilot_plus.servers.xds.client import Client
from pilot_plus.servers.xds.forms import Form
from pilot_plus.servers.xds.responses import Responses
from pilot_plus.views.xds.node import Client as Claim
from pilot_plus.views.xds.profile import Profile
from pilot_plus.views.xds.supply import Supplies

AT_ONCE: Final = 32
"""Clients that are woken before others have their turn."""


class Roster:
    """All clients, by profile."""

    def __init__(self, supplies: Supplies, clock: Callable[[], float]) -> None:
        self.clients: set[Client] = set()
        self._supplies = supplies
        self._clock = clock
        self._audiences: dict[Profile, Audience] = {}
        self._responses = Responses()

    def enter(self, claim: Claim, host: str, identity: SpiffeId | None, form: Form) -> Client:
        """A client has come."""
        audience = self._audiences.get(claim.profile)
        if audience is None:
            audience = self._audiences[claim.profile] = Audience(self._supplies.of(claim.profile))
        client = Client(claim, host, identity, form, audience, self._responses, self._clock)
        self.clients.add(client)
        return client

    def leave(self, client: Client) -> None:
        """A client has gone."""
        self.clients.discard(client)
        client.leave()
        audience = self._audiences[client.profile]
        if not audience.listeners:
            del self._audiences[client.profile]
            self._supplies.forget(client.profile)

    async def advance(self) -> None:
        """The supplies have been advanced: tell everybody whom it concerns, with room for others in between."""
        for audience in list(self._audiences.values()):
            for index, listener in enumerate(audience.advance(), 1):
                listener.wake()
                if index % AT_ONCE == 0:
                    await asyncio.sleep(0)
