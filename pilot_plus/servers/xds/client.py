"""A client: somebody with a stream, what it says of itself, and its turn to be written to."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

from pilot_plus.model import SpiffeId
from pilot_plus.servers.xds.audience import Audience, Seat
from pilot_plus.servers.xds.forms import WHOLE, Form
from pilot_plus.servers.xds.requests import DeltaRequest, StateRequest
from pilot_plus.servers.xds.responses import Response, Responses
from pilot_plus.servers.xds.stream import Stream
from pilot_plus.views.xds.node import Client as Claim
from pilot_plus.views.xds.resource import Type
from pilot_plus.views.xds.supply import Supply

TURN: Final = 0.005
"""Seconds after which others have their turn while resources are made."""


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
        self.is_over = False
        """The client says nothing more."""
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

    def end(self) -> None:
        """It says nothing more; whoever writes to it ends."""
        self.is_over = True
        self._woken.set()

    async def take(self, request: StateRequest | DeltaRequest) -> bool:
        """Take in what it says; whether that answers what was out.

        Raises:
            ValueError: it asks for too much.
        """
        if request.may_want_all and request.type in WHOLE:
            for _ in self.supply.prepare(Type(request.type)):
                await asyncio.sleep(0)
        for type_, names in self.stream.compared(request):
            await self._have_made(type_, names)
        is_answer = self.stream.request(request, self._clock())
        if self.stream.has_work():
            self.wake()
        return is_answer

    async def responses(self) -> list[Response]:
        """Wait until something may have to be sent, and say what; nothing when the client is over."""
        if not self._woken.is_set():
            await self._wait()
        self._woken.clear()
        if self.is_over:
            return []
        for type_, names in self.stream.pending():
            await self._have_made(type_, names)
        return list(self.stream.next(self._clock()))

    async def _wait(self) -> None:
        until = self.stream.waits_until()
        if until is None:
            await self._woken.wait()
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, until - self._clock())):
                await self._woken.wait()

    async def _have_made(self, type_: Type, names: Iterable[str]) -> None:
        """Have many resources made, with others' turns in between, so that nobody waits while they are sent."""
        began = self._clock()
        for name in tuple(names):
            with suppress(Exception):  # a defect is told where it is sent
                self.supply.get(type_, name)
            if self._clock() - began > TURN:
                await asyncio.sleep(0)
                began = self._clock()

    def leave(self) -> None:
        """It is gone."""
        for type_, subscription in self.stream.subscriptions.items():
            self._audience.unfollow(self, type_, subscription.wanted.names)
        self._audience.leave(self)
