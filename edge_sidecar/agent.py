"""The agent: puts its parts together and runs them in one task group.

it begins     identity, relay, an Envoy; then, beside each other: session, xDS, renewal, and what is kept on disk
it ends       out of the registries and views first, then its connections, then Envoy, then the session
"""

import asyncio
import logging
import math
import os
import secrets
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic
from typing import Final

from edge_sidecar.bootstrap import RELAY
from edge_sidecar.envoy.admin import Admin
from edge_sidecar.envoy.envoys import Envoys, Plan, Running
from edge_sidecar.envoy.process import version_of
from edge_sidecar.envoy.program import find_envoy
from edge_sidecar.ledger import Ledger
from edge_sidecar.lifecycle import STABLE
from edge_sidecar.membership import Membership
from edge_sidecar.memory import give_back
from edge_sidecar.orders import Orders, heard
from edge_sidecar.place import data_folder, own_address
from edge_sidecar.relay import Relay, disk
from edge_sidecar.relay.relay import acknowledged
from edge_sidecar.relay.server import serving
from edge_sidecar.relay.shelf import Item, Shelf
from edge_sidecar.reporting import Condition, Reporting
from edge_sidecar.settings import Settings
from edge_sidecar.status import Board, Status
from edge_sidecar.uplink import Uplink
from pilot_plus.wire.discovery import Type

log = logging.getLogger(__name__)

VIEWS_TIME: Final = 1.0
"""Seconds that callers get to hear that the edge drains, before its connections end."""
PATIENCE: Final = 2.0
"""Seconds without an Envoy that serves before callers are told to go elsewhere."""
SAVE_EVERY: Final = 0.2
SAVE_AGAIN: Final = 2.0
"""Seconds until what could not be saved is tried again: else a restart without a hub would serve what is long over."""
LOOK_EVERY: Final = 2.0
LOOK_SOON: Final = 0.05
"""Seconds between two looks at an Envoy; soon while it is making something new ready."""


async def run(settings: Settings) -> None:
    """Run an agent until it is told to end by SIGTERM or SIGINT. SIGHUP replaces its Envoy.

    Raises:
        Busy: another agent has the data folder, or the address.
        Denied: there is no identity to be had.
        NoEnvoy: there is no Envoy on this machine.
        OSError: the data folder or the address can't be used.
    """
    program = find_envoy()
    if settings.dial_out:
        log.warning("--dial-out: this version does not carry it out yet")
    with heard() as orders, data_folder(settings.data) as sockets, own_address(settings.address):
        async with orders.unless_told_to_end():
            membership = await Membership.enter(settings)
            envoy_version = await version_of(program)
        if orders.end.is_set():
            return
        plan = Plan(
            program=program,
            data=settings.data,
            sockets=sockets,
            node=f"{settings.zone}/{settings.name}",
            zone=settings.zone,
            drain_time=settings.drain_time,
            concurrency=settings.concurrency,
            base_id=1 + secrets.randbelow(2**31 - 1),
        )
        await Agent(settings, membership, plan, envoy_version).run(orders)


class Agent:
    """The parts, and what goes on between them."""

    def __init__(self, settings: Settings, membership: Membership, plan: Plan, envoy_version: str) -> None:
        self._settings = settings
        self._membership = membership
        self._envoy_version = envoy_version
        self._changed = asyncio.Event()
        self._unsaved = asyncio.Event()
        shelf = Shelf()
        shelf.restore(disk.load(self._shelf_folder))
        self._relay = Relay(shelf, self._note)
        self._envoys = Envoys(
            plan, changed=self._changed.set, took_over=self._relay.retire, crashed=self._relay.crashed
        )
        self._uplink = Uplink(settings, membership, self._relay)
        self._reporting = Reporting(settings, membership)
        self._ledger = Ledger(settings.data, self._serving)
        self._board = Board(settings.data)
        self._socket = plan.sockets / RELAY
        self._served = -math.inf
        """When an Envoy was seen to serve last."""
        self._is_leaving = False
        self._carried: Mapping[tuple[Type, str], str] = {}
        self._read: Mapping[str, Item] = {}
        """The listeners from which that was read."""
        self._proven = -math.inf
        """When what the Envoy works with was proved last."""

    async def run(self, orders: Orders) -> None:
        """Until told to end."""
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(4))  # for files and names of hosts
        async with serving(self._relay, self._socket), asyncio.TaskGroup() as tasks:
            with orders.replacing(self._envoys.replace):
                parts = (
                    self._membership.keep(),
                    *(() if self._settings.service else (self._reporting.keep(),)),
                    self._uplink.keep(),
                    self._save(),
                    self._watch(),
                    self._ledger.keep(),
                )
                work = [tasks.create_task(part) for part in parts]
                envoys = tasks.create_task(self._envoys.run())
                await orders.end.wait()
                in_order = tasks.create_task(self._leave(envoys))
                hurrying = tasks.create_task(orders.hurry.wait())
                await asyncio.wait([in_order, hurrying], return_when=asyncio.FIRST_COMPLETED)
                work += [in_order, hurrying, envoys]
            for task in work:
                task.cancel()

    async def _leave(self, envoys: asyncio.Task[None]) -> None:
        log.info("leaving: out of the views first, then the connections, then Envoy")
        self._is_leaving = True
        self._tell(connections=0)
        if self._reporting.is_on:
            await asyncio.sleep(VIEWS_TIME)
        self._envoys.stop()
        await asyncio.wait([envoys])
        await self._reporting.leave()
        await asyncio.to_thread(self._write_status, is_running=False)

    # ------------------------------------------------------------------------------------------ what is kept and told

    def _note(self) -> None:
        self._unsaved.set()
        self._changed.set()

    async def _save(self) -> None:
        saved = {type_: dict(self._relay.shelf.good(type_)) for type_ in Type}
        while True:
            await self._unsaved.wait()
            self._unsaved.clear()
            pause = SAVE_EVERY
            for type_ in Type:
                good = dict(self._relay.shelf.good(type_))
                if good != saved[type_]:
                    try:
                        await asyncio.to_thread(disk.save, self._shelf_folder, type_, good)
                        saved[type_] = good
                    except OSError as error:
                        log.error("what Envoy has acknowledged can't be kept: %s", error)
                        self._unsaved.set()
                        pause = SAVE_AGAIN
            await asyncio.sleep(pause)

    def _serving(self) -> Admin | None:
        """The Envoy that serves now."""
        one = self._envoys.newest
        return one.admin if one is not None and self._envoys.lifecycle.is_serving else None

    async def _watch(self) -> None:
        """Look at Envoy when something has changed, and now and then."""
        while True:
            self._changed.clear()
            connections, wait = 0, LOOK_EVERY
            one = self._envoys.newest
            if one is not None and self._envoys.lifecycle.is_serving:
                self._served = monotonic()
                self._prove(one)
                try:
                    look = await one.admin.look()
                    connections = look.connections
                    if not self._relay.is_idle or not look.is_warm:
                        wait = LOOK_SOON
                    else:
                        self._carried = self._acknowledged()
                except OSError as error:
                    log.debug("Envoy doesn't answer: %s", error)
            self._tell(connections=connections)
            await asyncio.to_thread(self._write_status, is_running=True)
            try:
                async with asyncio.timeout(wait):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def _prove(self, one: Running) -> None:
        """What an Envoy has lived with for a while is what to go back to, should the next one crash."""
        if self._served - max(one.began, self._proven) >= STABLE:
            self._relay.shelf.prove()
            self._proven = self._served

    def _acknowledged(self) -> Mapping[tuple[Type, str], str]:
        good = dict(self._relay.shelf.good(Type.LISTENER))
        if good != self._read:
            self._read = good
            self._carried = {(Type.LISTENER, name): version for name, version in acknowledged(good).items()}
            give_back()
        return self._carried

    def _tell(self, *, connections: int) -> None:
        is_without = monotonic() - self._served > PATIENCE
        self._reporting.tell(
            Condition(
                draining=self._is_leaving or self._reporting.asked_to_drain or is_without,
                carried=self._carried,
                connections=connections,
                envoy_version=self._envoy_version,
                envoy_restarts=self._envoys.lifecycle.restarts,
                error=self._trouble(),
            )
        )

    def _trouble_outside(self) -> str:
        if self._reporting.trouble and not self._settings.service:
            return self._reporting.trouble
        return self._uplink.trouble

    def _trouble(self) -> str:
        rejected = [f"{name}: {one.why}" for (_, name), one in self._relay.shelf.rejected.items()]
        return self._envoys.trouble or (f"Envoy rejects {rejected[0]}" if rejected else "")

    def _write_status(self, *, is_running: bool) -> None:
        held = self._membership.held
        self._board.write(
            Status(
                pid=os.getpid() if is_running else 0,
                name=held.identity.name,
                zone=held.identity.zone,
                address=self._settings.address,
                identity=str(held.identity),
                hub=str(self._settings.hub),
                session=self._reporting.is_on,
                trouble=self._trouble_outside() or self._trouble(),
                draining=self._reporting.condition.draining,
                certificate_expires=held.expires.isoformat(),
                envoy_version=self._envoy_version,
                envoy_restarts=self._envoys.lifecycle.restarts,
                envoy_serves=self._envoys.lifecycle.is_serving,
                carries=sorted(name for _, name in self._carried if "|" in name),
            ),
        )

    @property
    def _shelf_folder(self) -> Path:
        return self._settings.data / "xds"
