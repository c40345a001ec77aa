"""Reporting: the agent's session with the hub, kept open; in it, what is new with the edge."""

import asyncio
import logging
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Final

import msgspec

from edge_sidecar.membership import Membership
from edge_sidecar.pause import Pause
from edge_sidecar.settings import HTTP_PORT, MESH_PORT, Settings
from pilot_plus.wire import edge_pb2 as pb
from pilot_plus.wire.denied import Denied
from pilot_plus.wire.discovery import Type
from pilot_plus.wire.session import Session, open_session
from pilot_plus.wire.trust import trust_from_wire

log = logging.getLogger(__name__)

VERSION: Final = "0.1.0"
AT_ONCE: Final = 500
"""Resources in one report: it must stay below the hub's limit for a message."""
DENIED_PAUSE: Final = 30.0
"""Seconds between tries after the hub said no: what is carried goes on meanwhile."""
LEAVE_WITHIN: Final = 2.0
"""Seconds."""

Carried = Mapping[tuple[Type, str], str]
"""The version of each listener, chain and cluster that the Envoy works with."""


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """How the edge is."""

    draining: bool = True
    carried: Carried = {}
    connections: int = 0
    envoy_version: str = ""
    envoy_restarts: int = 0
    error: str = ""


class Reporting:
    """Keeps a session, and says in it how the edge is."""

    def __init__(self, settings: Settings, membership: Membership) -> None:
        self._settings = settings
        self._membership = membership
        self._new = asyncio.Event()
        self._session: Session | None = None
        self._told: Carried = {}
        self._is_leaving = False
        self._ended = asyncio.Event()
        self.condition = Condition()
        self.asked_to_drain = False
        """The hub wishes that no new callers come."""
        self.trouble = "no session yet"
        """Why there is no session; empty while there is one."""

    @property
    def is_on(self) -> bool:
        """Whether there is a session."""
        return self._session is not None

    def tell(self, condition: Condition) -> None:
        """The edge is like this now."""
        if condition != self.condition:
            self.condition = condition
            self._new.set()

    async def keep(self) -> None:
        """Keep a session until cancelled."""
        pause = Pause()
        while not self._is_leaving:
            try:
                await self._live(pause)
            except ConnectionError as error:
                self._note(str(error))
                await asyncio.sleep(pause.next())
            except Denied as error:
                self._note(str(error))
                await asyncio.sleep(DENIED_PAUSE)

    async def leave(self) -> None:
        """End the session in order: the hub takes the edge out of all views."""
        self._is_leaving = True
        session = self._session
        if session is None:
            return
        try:
            async with asyncio.timeout(LEAVE_WITHIN):
                await session.say_goodbye()
                await self._ended.wait()
        except (TimeoutError, ConnectionError, Denied) as error:
            log.warning("left without a farewell: %s", error)

    def _note(self, trouble: str) -> None:
        self._session = None
        if not self._is_leaving and trouble != self.trouble:
            log.warning("no session with the hub: %s", trouble)
        self.trouble = trouble

    async def _live(self, pause: Pause) -> None:
        async with open_session(self._settings.hub, self._membership.held, self._registration()) as session:
            self._session, self._told, self.trouble = session, {}, ""
            self._ended.clear()
            pause.reset()
            log.info("the hub has welcomed %s", self._membership.held.identity)
            self._membership.believe(session.trust)
            try:
                async with asyncio.TaskGroup() as tasks:
                    telling = tasks.create_task(self._tell(session))
                    try:
                        await self._hear(session)
                    finally:
                        telling.cancel()
            except* (ConnectionError, Denied) as group:
                raise group.exceptions[0] from group
            finally:
                self._session = None
                self._ended.set()

    def _registration(self) -> pb.Registration:
        settings = self._settings
        return pb.Registration(
            address=settings.address,
            outside=settings.outside,
            mesh_port=MESH_PORT,
            http_port=HTTP_PORT,
            version=VERSION,
        )

    async def _hear(self, session: Session) -> None:
        async for word in session.words():
            match word.WhichOneof("word"):
                case "trust":
                    self._membership.believe(trust_from_wire(word.trust))
                case "renew":
                    self._membership.ask_to_renew()
                case "drain":
                    self.asked_to_drain = word.drain.draining
                    log.info("the hub asks %s", "to drain" if self.asked_to_drain else "to serve again")

    async def _tell(self, session: Session) -> None:
        while True:
            self._new.clear()
            for status in self._news():
                await session.report(status)
            try:
                async with asyncio.timeout(session.silence / 3):
                    await self._new.wait()
            except TimeoutError:
                continue

    def _news(self) -> Iterable[pb.Status]:
        """What has changed since it was told last, in reports that the hub takes."""
        now = self.condition
        changed = [key for key, version in now.carried.items() if self._told.get(key) != version]
        gone = [key for key in self._told if key not in now.carried]
        self._told = now.carried
        for some in _batches(gone):
            yield self._status(now, more=True, removed=[_resource(key) for key in some])
        for some in _batches(changed):
            said = [pb.Acknowledged(resource=_resource(key), version=now.carried[key]) for key in some]
            yield self._status(now, more=True, acknowledged=said)
        yield self._status(now)

    def _status(
        self,
        now: Condition,
        *,
        more: bool = False,
        removed: Iterable[pb.Resource] = (),
        acknowledged: Iterable[pb.Acknowledged] = (),
    ) -> pb.Status:
        return pb.Status(
            more=more,
            removed=removed,
            acknowledged=acknowledged,
            draining=now.draining or self._is_leaving,
            connections=now.connections,
            certificate_expires=int(self._membership.held.expires.timestamp()),
            envoy_version=now.envoy_version,
            envoy_restarts=now.envoy_restarts,
            error=_line(now.error),
        )


_KINDS: Final = {Type.LISTENER: pb.Resource.LISTENER, Type.CLUSTER: pb.Resource.CLUSTER}


def _resource(key: tuple[Type, str]) -> pb.Resource:
    return pb.Resource(kind=_KINDS[key[0]], name=key[1])


def _batches(keys: Iterable[tuple[Type, str]]) -> Iterable[list[tuple[Type, str]]]:
    rest = iter(keys)
    while some := list(islice(rest, AT_ONCE)):
        yield some


def _line(text: str) -> str:
    return "".join(one if one.isprintable() else " " for one in text)[:1000]
