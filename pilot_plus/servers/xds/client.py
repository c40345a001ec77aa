"""A client: somebody with a stream, what it says of itself, and its turn to be written to."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress

from pilot_plus.model import SpiffeId
from pilot_plus.servers.xds.audience import Audience, Seat
from pilot_plus.servers.xds.forms import Form
from pilot_plus.servers.xds.responses import Response, Responses
from pilot_plus.servers.xds.stream import Stream
from pilot_plus.views.xds.node import Client as Claim
from pilot_plus.views.xds.resource import Type
from pilot_plus.views.xds.supply import Supply


class Client:
    """One client on one stream."""

    def __init__(
        self,
        claim: Claim,
        host: str,
        identity: SpiffeId | None,
        form: Form,
        audience: Audience,
        responses: Responses,
        clock: Callable[[], float],
    ) -> None:
        self.id = claim.id
        self.profile = claim.profile
        self.host = host
        self.identity = identity
        """What its certificate proves; None in plaintext."""
        self.since = clock()
        self.stream = Stream(form, audience.supply, responses, Seat(audience, self))
        self.is_doubted = False
        """Whom to believe has changed: its certificate is to be looked at again."""
        self._audience = audience
        self._clock = clock
        self._woken = asyncio.Event()
        audience.listeners.add(self)

    def __repr__(self) -> str:
        return f"<Client {self.id}>"

    @property
    def supply(self) -> Supply:
        """What it could get."""
        return self._audience.supply

    def touch(self, type_: Type, names: Iterable[str] | None) -> None:
        """Resources may have changed."""
        self.stream.touch(type_, names)

    def wake(self) -> None:
        """There may be something to be sent."""
        self._woken.set()

    def doubt(self) -> None:
        """Let its certificate be looked at again."""
        self.is_doubted = True
        self._woken.set()

    async def responses(self) -> list[Response]:
        """Wait until something may have to be sent, and say what."""
        until = self.stream.waits_until()
        if until is None:
            await self._woken.wait()
        else:
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, until - self._clock())):
                    await self._woken.wait()
        self._woken.clear()
        return list(self.stream.next(self._clock()))

    def leave(self) -> None:
        """It is gone."""
        for type_, subscription in self.stream.subscriptions.items():
            self._audience.unfollow(self, type_, subscription.names)
        self._audience.leave(self)
