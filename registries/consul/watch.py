"""A watch over Consul's catalog.

    the list         /v1/catalog/services, blocking     whom to ask; every few seconds a proof of life, on its own line
    a long poll      /v1/health/service/NAME, blocking  what a service has, one query for each, up to the bound
    beyond the bound /v1/health/state/any, blocking     whose checks have changed: those are read at once
                     a sweep at a bounded rate          when the list moves, and every `wait`: ports, weights, metadata

Only a service's own answer says what it has; the list merely says whom to ask. And only the list can tell that Consul
is gone: a long poll whose connection is closed is asked anew, from the beginning (`Attention.refused`).
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from itertools import cycle
from typing import Final, TypeAlias

import msgspec

from pilot_plus.model import Alive, Update
from pilot_plus.ports import SourceLost
from registries.consul import rights
from registries.consul.agent import Agent, Hangup, Lines
from registries.consul.attention import Attention
from registries.consul.background import Background, for_each
from registries.consul.checks import Checks
from registries.consul.decode import OWN_SERVICE
from registries.consul.pace import Bucket, next_index
from registries.consul.reading import read_service, unaskable
from registries.consul.records import Check
from registries.consul.truth import EMPTY, Reading, Truth

LIST_WAIT: Final = 4.0
"""Seconds. With `agent.PATIENCE` it bounds how late a Consul that has stopped is noticed."""
READERS: Final = 4
STARTERS: Final = 16
_CHUNK: Final = 2000


class _Heard(msgspec.Struct, frozen=True):
    service: str
    reading: Reading


_Event: TypeAlias = _Heard | Alive | SourceLost


class Watch:
    """One watch: its tasks ask, and the iteration tells what their answers change. They live as long as the connection.

    No request of theirs is ever cancelled while the connection is open: over TLS that would keep its socket waiting for
    Consul's farewell, which does not come before the long poll is over.
    """

    def __init__(self, lines: Lines, control: rights.Control, tasks: Background) -> None:
        self._lines = lines
        self._control = control
        self._tasks = tasks
        self._wait = lines.listing.settings.wait_s
        self._truth = Truth()
        self._attention = Attention(lines.listing.settings.polls)
        self._events: asyncio.Queue[_Event] = asyncio.Queue(maxsize=64)
        self._saw_own = False
        self._sweep_pace = Bucket(rate=200, burst=50)
        self._work = asyncio.Event()
        self._idle = asyncio.Event()
        self._stirred = asyncio.Event()

    async def updates(self) -> AsyncIterator[Update]:
        """Say everything, then every change.

        Raises:
            SourceLost: at last.
        """
        index, listed = await self._list(0)
        indexes = await self._read_all(listed)
        rights.check_first(len(listed), sum(self._truth.of(name).entries for name in listed))
        self._truth.learn(OWN_SERVICE, EMPTY)  # read only to see whether nodes may be read
        for update in self._truth.whole():
            yield update
        yield Alive()
        # Services of applications come first where long polls are few; proxies and the like are never told of.
        applications = sorted(_applications(listed), key=lambda name: (not self._truth.of(name).instances, name))
        for service in self._attention.begin(applications):
            self._poll(service, indexes[service])
        self._start(
            self._follow_list(index), self._follow_checks(), self._sweep(), *(self._read() for _ in range(READERS))
        )
        while True:
            match await self._events.get():
                case SourceLost() as lost:
                    raise lost
                case Alive() as alive:
                    yield alive
                case _Heard(service, reading):
                    for update in self._truth.answered(service, reading):
                        yield update

    async def _list(self, index: int) -> tuple[int, list[str]]:
        answer = await self._lines.listing.read(
            "/v1/catalog/services", dict[str, msgspec.Raw], index=index, wait=LIST_WAIT
        )
        rights.check_list(answer.body.keys(), self._control, saw_own=self._saw_own)
        self._saw_own = OWN_SERVICE in answer.body
        return answer.index, list(answer.body)

    async def _read_all(self, services: list[str]) -> dict[str, int]:
        """Read every service; the index of each."""
        indexes: dict[str, int] = {}
        # Those that will read later open their connections now, before long polls take all that there may be.
        agents = cycle((self._lines.asking, *[self._lines.polling] * (STARTERS // READERS - 1)))

        async def read(service: str) -> None:
            indexes[service], reading = await self._reading(next(agents), service)
            self._truth.learn(service, reading)

        await for_each(services, read, STARTERS)
        return indexes

    async def _reading(self, agent: Agent, service: str, index: int = 0) -> tuple[int, Reading]:
        """Ask for one service. Its index is 0 where Consul can't be asked: there is nothing to wait for."""
        try:
            index, reading = await read_service(agent, service, index, self._wait)
        except ValueError as error:
            return 0, unaskable(service, error)
        before = self._truth.of(service)
        if self._control is rights.Control.ON and before.entries and not reading.entries:
            await rights.check_vanished(self._lines.asking, service, before.nodes)
        return index, reading

    def _start(self, *works: Coroutine[None, None, None]) -> None:
        for work in works:
            self._tasks.start(self._reported(work))

    def _poll(self, service: str, index: int = 0) -> None:
        self._start(self._follow(service, index))

    async def _reported(self, work: Coroutine[None, None, None]) -> None:
        try:
            await work
        except SourceLost as lost:
            await self._events.put(lost)

    async def _follow(self, service: str, index: int) -> None:
        """Hold a long poll for a service, later perhaps for another that has more to tell."""
        pace = Bucket(rate=20, burst=20)
        while True:
            await pace.turn()
            asked = index
            try:
                answered, reading = await self._reading(self._lines.polling, service, asked)
            except Hangup:
                self._attention.refused(service)
                self._work.set()
                return
            self._attention.answered(service)
            await self._events.put(_Heard(service, reading))
            if not answered:
                self._attention.unaskable(service)
                return
            if not reading.entries and service not in self._attention.listed:
                self._attention.ended(service)
                return
            index = next_index(asked, answered)
            if asked == answered and (other := self._attention.trade(service)):
                service, index = other, 0

    async def _follow_list(self, index: int) -> None:
        pace = Bucket(rate=2, burst=4)
        while True:
            await self._events.put(Alive())
            await pace.turn()
            asked = index
            answered, listed = await self._list(asked)
            index = next_index(asked, answered)
            if not index:
                raise SourceLost(f"Consul's index fell from {asked} to {answered}: it was restored or wiped")
            for service in self._attention.breathe():
                self._poll(service)
            if answered == asked:
                continue
            for service in self._attention.update(_applications(listed)):
                self._poll(service)
            self._stirred.set()
            self._work.set()

    async def _follow_checks(self) -> None:
        """Look whose checks change, as long as there are services without a long poll."""
        pace = Bucket(rate=1, burst=1)
        checks, index = Checks(), 0
        while True:
            await pace.turn()
            if not self._attention.beyond:
                index = 0
                continue
            asked = index
            try:
                answer = await self._lines.asking.read(
                    "/v1/health/state/any", list[Check], index=asked, wait=self._wait
                )
            except Hangup:
                continue
            index = next_index(asked, answer.index)
            for start in range(0, len(answer.body), _CHUNK):
                checks.add(answer.body[start : start + _CHUNK])
                await asyncio.sleep(0)
            services, nodes = checks.changed()
            if not asked:
                self._stirred.set()
                continue
            if nodes:
                services.update(name for name in self._attention.beyond if nodes & self._truth.of(name).nodes)
            self._attention.touched(services)
            self._work.set()

    async def _sweep(self) -> None:
        """Have all services without a long poll read: whenever something stirs, one round at a time."""
        while True:
            try:
                async with asyncio.timeout(self._wait):
                    await self._stirred.wait()
            except TimeoutError:
                pass
            self._stirred.clear()
            self._idle.clear()
            self._attention.sweep()
            self._work.set()
            await self._idle.wait()

    async def _read(self) -> None:
        """Read what is due."""
        while True:
            service = self._attention.claim()
            if service is None:
                self._idle.set()
                self._work.clear()
                await self._work.wait()
                continue
            await self._sweep_pace.turn()
            before = self._truth.of(service)
            try:
                answered, reading = await self._reading(self._lines.asking, service)
            except Hangup:
                self._attention.put_off(service)
                await asyncio.sleep(1)
                continue
            if not answered and service not in self._attention.listed:
                reading = EMPTY
            if self._attention.counts(service):
                await self._events.put(_Heard(service, reading))
            self._attention.was_read(service, changed=reading != before)


def _applications(listed: list[str]) -> list[str]:
    return [name for name in listed if name != OWN_SERVICE]
