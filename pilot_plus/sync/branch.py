"""A branch of the registrar: its connection to one registry, opened when it is first needed, and again when it is lost.

While it is open it writes again what a restart or a loss has taken away, renews the leases of who is heard, and ends
those of who is not.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from typing import Final, Protocol, TypeAlias

import msgspec

from pilot_plus.model import Instance
from pilot_plus.ports import Done, Failed, Previewing, Refused, Renewing, Result, Sink, SourceLost
from pilot_plus.sync.pace import Backoff
from pilot_plus.sync.reconciler import Open

log = logging.getLogger(__name__)

PATIENCE: Final = 15.0
"""Seconds for one write, the opening of the registry included."""
AGAIN: Final = 1.0
"""Seconds until what could not be written again after a restart is tried once more."""

Name: TypeAlias = tuple[str, str, str]
"""Namespace, name and id, as the caller says them."""


class Missing(msgspec.Struct, frozen=True):
    """There is no such instance or registry."""

    reason: str


Outcome: TypeAlias = Done | Missing | Refused | Failed


class Registration(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody has registered through us."""

    registry: str
    instance: Instance
    """`key` as the registry said it; `lease` is the TTL."""
    holder: int = 0
    """Which copy of the hub keeps it alive."""

    @property
    def name(self) -> Name:
        """As the caller says it."""
        return self.instance.namespace, self.instance.name, self.instance.id


class Written(msgspec.Struct, frozen=True):
    """What was written, and when (monotonic seconds)."""

    instance: Instance
    at: float


class Register(Protocol):
    """What a branch asks about the registrations of its registry."""

    def of(self, registry: str) -> list[Registration]:
        """What is registered through us in a registry."""
        ...

    def is_heard(self, one: Registration) -> bool:
        """Whether heartbeats come."""
        ...

    def is_current(self, one: Registration) -> bool:
        """Whether it is registered as it is, and nobody is changing that."""
        ...

    def alone(self, name: Name) -> AbstractAsyncContextManager[object]:
        """What is held while a registration changes."""
        ...

    async def expire(self, one: Registration) -> None:
        """Nobody vouches for it any more."""
        ...

    async def written_again(self, one: Registration, key: str) -> None:
        """It lies under that key now. Raises OSError where that can't be noted."""
        ...


class Branch:
    """One registry."""

    def __init__(
        self, name: str, open_: Open, register: Register, clock: Callable[[], float], *, keeps_itself: bool
    ) -> None:
        """`keeps_itself`: the registry watches over TTLs; heartbeats are passed on to it."""
        self.name = name
        self._clock = clock
        self.keeps_itself = keeps_itself
        self.written: dict[Name, Written] = {}
        """What was registered just now in a registry that keeps itself: the catalog may not show it yet."""
        self._open = open_
        self._register = register
        self._sink: Sink | None = None
        self._error = "it is being opened"
        self._adopted: set[Name] = set()
        self._wanted = asyncio.Event()
        self._opened = asyncio.Event()
        self._changed = asyncio.Event()
        self._is_lost = False

    async def run(self) -> None:
        """Run until cancelled."""
        backoff = Backoff()
        while True:
            if not self._register.of(self.name):
                await self._wanted.wait()
            try:
                async with self._open() as opened:
                    if not isinstance(opened, Sink):
                        self._error = f"{self.name} can't be written"
                        self._opened.set()
                        await asyncio.Event().wait()
                        return
                    self._is_lost = False
                    self._sink = opened
                    self._opened.set()
                    await self._keep(opened, backoff)
            except SourceLost as lost:
                self._error = str(lost)
            except Exception as failed:  # a defect of an adapter must not take the other registries down
                log.exception("registrations failed", extra={"registry": self.name})
                self._error = f"the adapter failed: {failed!r}"
            self._sink = None
            self._opened.clear()
            await asyncio.sleep(backoff.next())

    def adopt(self, name: Name) -> None:
        """Write a registration again: another connection wrote it, which is gone."""
        self._adopted.add(name)
        self._wanted.set()
        self._changed.set()

    def look(self) -> None:
        """Look now whether what is registered is there still."""
        self._changed.set()

    async def put(self, one: Registration) -> Outcome:
        """Write it."""
        outcome = await self._ask(lambda sink: sink.put([one.instance]))
        if self.keeps_itself and isinstance(outcome, Done):
            if len(self.written) > 10_000:
                self.written.clear()  # only what the catalog does not show yet is looked up here
            instance = msgspec.structs.replace(one.instance, key=outcome.key)
            self.written[one.name] = Written(instance, self._clock())
        return outcome

    async def drop(self, key: str) -> Outcome:
        """Remove what lies under a key."""
        return await self._ask(lambda sink: sink.drop([key]))

    async def end(self, one: Registration) -> Outcome:
        """Remove what was written, or may have been: of a write that was never answered nobody has heard the key."""

        async def dropped(sink: Sink) -> Sequence[Result]:
            key = one.instance.key or _foreseen(sink, one.instance)
            return await sink.drop([key]) if key else [Done("")]

        return await self._ask(dropped)

    async def renew(self, key: str) -> Outcome:
        """Pass a heartbeat on."""

        async def renewed(sink: Sink) -> Sequence[Result]:
            return await sink.renew([key]) if isinstance(sink, Renewing) else [Done(key)]

        return await self._ask(renewed)

    async def _ask(self, ask: Callable[[Sink], Awaitable[Sequence[Result]]]) -> Outcome:
        self._wanted.set()
        try:
            async with asyncio.timeout(PATIENCE):
                await self._opened.wait()
                if self._sink is None:
                    return Refused(self._error)
                (result,) = await ask(self._sink)
        except TimeoutError:
            return Failed(f"{self.name} can't be reached: {self._error}")
        except SourceLost as lost:
            self._error = str(lost)
            self._is_lost = True
            return Failed(f"{self.name} can't be written now: {lost}")
        else:
            return result
        finally:
            self._changed.set()

    async def _keep(self, sink: Sink, backoff: Backoff) -> None:
        """Write again what should be there, keep the leases of who is heard, and end the others, until it is lost."""
        again = {one.name: one for one in self._register.of(self.name) if not self.keeps_itself}
        while not self._is_lost:
            self._changed.clear()
            held = [] if self.keeps_itself else self._register.of(self.name)
            adopted, self._adopted = self._adopted, set()
            again |= {one.name: one for one in held if one.name in adopted}
            for one in held:
                if not self._register.is_heard(one):
                    await self._register.expire(one)
            held = [one for one in held if self._register.is_heard(one)]
            again |= {one.name: one for one in await self._renewed(sink, [one for one in held if one.instance.key])}
            again = {one.name: one for one in await self._put_again(sink, [one for one in held if one.name in again])}
            backoff.reset()
            pause = min([AGAIN if again else PATIENCE, *(one.instance.lease / 3 for one in held)])
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._changed.wait()
        raise SourceLost(self._error)

    async def _renewed(self, sink: Sink, held: Sequence[Registration]) -> list[Registration]:
        """Renew; return what the registry does not know any more.

        Where leases are the connection's, all of it: writing the same again writes nothing, but tells what is gone.
        """
        if not held or not isinstance(sink, Renewing):
            return list(held)
        results = await sink.renew([one.instance.key for one in held])
        return [one for one, result in zip(held, results, strict=True) if isinstance(result, Refused)]

    async def _put_again(self, sink: Sink, held: Sequence[Registration]) -> list[Registration]:
        """Write; return what could not be, and is to be tried again."""
        async with AsyncExitStack() as alone:
            current = [one for one in held if self._register.is_current(one)]
            for one in current:
                await alone.enter_async_context(self._register.alone(one.name))  # it is free: nothing waits here
            results = await sink.put([one.instance for one in current]) if current else []
            done = {
                one.name: result.key for one, result in zip(current, results, strict=True) if isinstance(result, Done)
            }
            for one in current:
                with suppress(OSError):
                    if one.name in done:
                        await self._register.written_again(one, done[one.name])
        return [one for one in held if one.name not in done]


def _foreseen(sink: Sink, instance: Instance) -> str:
    """The key under which an instance would lie, where the sink can tell."""
    preview = sink.preview(instance) if isinstance(sink, Previewing) else None
    return preview.key if isinstance(preview, Instance) else ""
