"""The registrar: registers instances for callers that send heartbeats to the hub, in whichever registry they choose.

    POST registry=zk layout=spring ttl=15s ─▶ journal ─▶ sink.put with a lease of 15 s
    heartbeats                             ─▶ the hub renews the lease, as long as they come
    no heartbeat for 15 s                  ─▶ sink.drop
    the hub is restarted                   ─▶ from the journal: written again, the TTL begins anew
    the hub is gone for good               ─▶ the lease ends by itself
    the hub has several copies             ─▶ one holds it; heartbeats may come to any (`fellows`)

Our own registry keeps TTLs itself: there a heartbeat is passed on, and nothing is kept here.

Of each registration one change happens at a time, and a branch that writes again what was lost passes by what is just
being changed: what was deregistered meanwhile would come back, on a lease that nobody ends.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from time import monotonic
from typing import Final
from weakref import WeakValueDictionary

import msgspec

from pilot_plus.catalog import Catalog, Holder, Place, Standing
from pilot_plus.model import NO_ORIGIN, Health, Instance, split_service
from pilot_plus.ports import Done, Failed, Refused
from pilot_plus.sync.branch import Branch, Missing, Name, Outcome, Registration
from pilot_plus.sync.fellows import HELD, Alone, Fellows, Presence, Wish, document_of
from pilot_plus.sync.index import Documents
from pilot_plus.sync.reconciler import Open

log = logging.getLogger(__name__)

SHOWN_WITHIN: Final = 2.0
"""Seconds for which what was written counts more than what the catalog shows."""
LOOK: Final = 1.0
"""Seconds between two looks at what other copies of the hub have noted."""


class Registrar:
    """Registers anywhere."""

    def __init__(
        self,
        targets: Mapping[str, Open],
        documents: Documents,
        holder: Holder,
        own: str | None,
        clock: Callable[[], float] = monotonic,
        shown_as: Callable[[str, str], str] = "{}/{}".format,
        presence: Presence | None = None,
    ) -> None:
        """`targets`: how to connect to each registry; `own`: the name of our own, if there is one.

        `shown_as`: what the catalog calls a service, by the namespace and name that our own registry has.
        `presence`: which copies of the hub share the journal; left out, there is only this one.
        """
        self._documents = documents
        self._holder = holder
        self._own = own
        self._clock = clock
        self._shown_as = shown_as
        self._branches = {
            name: Branch(name, open_, self, clock, keeps_itself=name == own) for name, open_ in targets.items()
        }
        self._is_loaded = False
        self._fellows = Fellows(documents, presence or Alone())
        self._held: dict[Name, Registration] = {}
        self._heard: dict[Name, float] = {}
        self._alone: WeakValueDictionary[Name, asyncio.Lock] = WeakValueDictionary()

    async def run(self) -> None:
        """Run until cancelled."""
        await self.load()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._attend(), name="registrations of other copies")
            tasks.create_task(self._heed_returns(), name="registrations where a registry is back")
            for branch in self._branches.values():
                tasks.create_task(branch.run(), name=f"registrations in {branch.name}")

    async def load(self) -> None:
        """Read what was registered before a restart; `run` does it.

        Raises:
            OSError: the journal can't be read.
        """
        await self._look()
        self._is_loaded = True

    async def _attend(self) -> None:
        """Hear of what other copies of the hub hold, and what they want of what we hold."""
        while True:
            await asyncio.sleep(LOOK)
            try:
                await self._look()
            except OSError as error:
                log.warning("registrations: the journal can't be read: %s", error)

    async def _heed_returns(self) -> None:
        """Look at once after a registry that was lost: what was registered there may be gone, long before its lease."""
        in_step: Mapping[str, float] = {}
        with self._holder.following() as follower:
            while True:
                await follower.changes()
                before, in_step = in_step, _in_step(self._holder.current)
                for name in in_step.keys() & self._branches.keys():
                    if in_step[name] != before.get(name):
                        self._branches[name].look()

    async def _look(self) -> None:
        news = await self._fellows.look(self._held.keys())
        for name in news.not_ours:
            self._held.pop(name, None)
            self._heard.pop(name, None)
        if news.left_to_us:
            await self._take(news.left_to_us)
        for wish in news.wishes:
            await self._carry_out(wish)

    async def _take(self, left: Iterable[Registration]) -> None:
        """Go on with what a copy of the hub held that is gone, or we did in an earlier life."""
        mine = [msgspec.structs.replace(one, holder=self._fellows.number) for one in left]
        await self._documents.write(HELD, {document_of(one.name): msgspec.json.encode(one) for one in mine})
        for one in mine:
            if (newer := self._held.get(one.name)) is not None:  # registered anew while that was written
                await self._note(newer)
                continue
            self._remember(one)
            if branch := self._branches.get(one.registry):
                branch.adopt(one.name)

    async def _carry_out(self, wish: Wish) -> None:
        held = self._held.get(wish.name)
        if held is None:
            return
        if wish.goes:
            await self.drop(*wish.name)
        elif wish.becomes is not None:
            await self.put(wish.becomes.instance, wish.becomes.registry, wish.becomes.instance.layout)
        else:
            self._heard[held.name] = self._clock()

    async def put(self, instance: Instance, registry: str | None, layout: str) -> tuple[str, Outcome]:
        """Register an instance or replace it, in `registry` (our own by default); `lease` is its TTL.

        Returns the registry's name, and under which key or why not.
        """
        async with self.alone((instance.namespace, instance.name, instance.id)):
            return await self._put(instance, registry, layout)

    async def _put(self, instance: Instance, registry: str | None, layout: str) -> tuple[str, Outcome]:
        name = registry or self._own
        branch = self._branches.get(name or "")
        if name is None or branch is None:
            known = ", ".join(sorted(self._branches)) or "none"
            return name or "", Missing(f"there is no registry {name or 'of our own'!r}; there are: {known}")
        before = self._held.get((instance.namespace, instance.name, instance.id))
        key = before.instance.key if before and before.registry == name else ""  # only the registry says keys
        registration = Registration(
            registry=name,
            instance=msgspec.structs.replace(instance, layout=layout, key=key),
            holder=self._fellows.number,
        )
        elsewhere = self._fellows.elsewhere.get(registration.name)
        if elsewhere is not None and elsewhere.registry == name:
            return name, await self._asked(elsewhere, Wish(name=registration.name, becomes=registration))
        if not branch.keeps_itself:
            try:
                await self._note(registration)  # before the write: what is written must not be forgotten
            except OSError as error:
                return name, Failed(f"the journal can't be written: {error}")
        outcome = await branch.put(registration)
        if not branch.keeps_itself:
            await self._settle(registration, outcome)
        return name, outcome

    async def renew(self, namespace: str, name: str, id_: str) -> Outcome:
        """Let an instance's TTL begin anew."""
        held = self._held.get((namespace, name, id_))
        if held is not None:
            self._heard[held.name] = self._clock()
            return Done(held.instance.key)
        if elsewhere := self._fellows.elsewhere.get((namespace, name, id_)):
            return await self._asked(elsewhere, Wish(name=elsewhere.name))
        there = self._shown_in_own(namespace, name, id_)
        if there is None and self._own and (written := self._branches[self._own].written.get((namespace, name, id_))):
            there = written.instance
        if self._own is None or there is None:
            return self._absent(f"{namespace}/{name}/{id_} is not registered here: register it again")
        outcome = await self._branches[self._own].renew(there.key)
        return Missing(outcome.reason) if isinstance(outcome, Refused) else outcome

    async def drop(self, namespace: str, name: str, id_: str, registry: str | None = None) -> Outcome:
        """Deregister an instance that was registered here."""
        async with self.alone((namespace, name, id_)):
            return await self._drop_named(namespace, name, id_, registry)

    async def _drop_named(self, namespace: str, name: str, id_: str, registry: str | None) -> Outcome:
        held = self._held.get((namespace, name, id_))
        if held is not None and registry in (None, held.registry):
            return await self._drop(held)
        elsewhere = self._fellows.elsewhere.get((namespace, name, id_))
        if elsewhere is not None and registry in (None, elsewhere.registry):
            return await self._asked(elsewhere, Wish(name=elsewhere.name, goes=True))
        there = await self._in_own(namespace, name, id_) if registry in (None, self._own) else None
        if self._own is None or there is None:
            return self._absent(f"{namespace}/{name}/{id_} was not registered here")
        return await self._branches[self._own].drop(there.key)

    async def change(
        self,
        namespace: str,
        name: str,
        id_: str,
        health: Health | None,
        weight: int | None,
    ) -> Outcome:
        """Change the health or the weight of an instance that was registered here."""
        async with self.alone((namespace, name, id_)):
            held = self._held.get((namespace, name, id_)) or self._fellows.elsewhere.get((namespace, name, id_))
            there = held.instance if held else await self._in_own(namespace, name, id_)
            if there is None:
                return self._absent(f"{namespace}/{name}/{id_} was not registered here")
            changed = msgspec.structs.replace(
                held.instance if held else _as_registered(there),
                health=health or there.health,
                weight=there.weight if weight is None else weight,
            )
            _, outcome = await self._put(changed, held.registry if held else self._own, there.layout)
            return outcome

    def _absent(self, reason: str) -> Outcome:
        """Not registered here; which nobody knows before everything that was is read after a start."""
        own = self._holder.current.sources.get(self._own or "")
        if self._is_loaded and (own is None or own.standing is Standing.SYNCED):
            return Missing(reason)
        return Failed("what was registered before is not read yet: try again")

    # -------------------------------------------------------------------------------------------- for branches

    def of(self, registry: str) -> list[Registration]:
        """What is registered through us in a registry."""
        return [one for one in self._held.values() if one.registry == registry]

    def is_heard(self, one: Registration) -> bool:
        """Whether heartbeats come."""
        return self._clock() - self._heard.get(one.name, 0.0) < one.instance.lease

    def is_current(self, one: Registration) -> bool:
        """Whether it is registered as it is, and nobody is changing that."""
        return self._held.get(one.name) is one and not self.alone(one.name).locked()

    def alone(self, name: Name) -> asyncio.Lock:
        """What is held while a registration changes."""
        return self._alone.setdefault(name, asyncio.Lock())

    async def expire(self, one: Registration) -> None:
        """Nobody vouches for it any more."""
        if not self.is_current(one):
            return
        async with self.alone(one.name):
            outcome = await self._drop(one)
        if isinstance(outcome, Done):
            log.info("registration expired", extra={"registry": one.registry, "instance": "/".join(one.name)})

    async def written_again(self, one: Registration, key: str) -> None:
        """It lies under that key now."""
        if key != one.instance.key and self._held.get(one.name) is one:
            await self._note(msgspec.structs.replace(one, instance=msgspec.structs.replace(one.instance, key=key)))

    # -------------------------------------------------------------------------------------------- remembering

    async def _asked(self, elsewhere: Registration, wish: Wish) -> Outcome:
        """Hand a wish on to the copy of the hub that holds the registration; it follows within a second or two."""
        try:
            await self._fellows.ask(wish)
        except OSError as error:
            return Failed(f"the journal can't be written: {error}")
        if wish.goes:
            self._fellows.elsewhere.pop(elsewhere.name, None)
        return Done(elsewhere.instance.key)

    async def _settle(self, one: Registration, outcome: Outcome) -> None:
        """Remember the key, or forget what the registry has refused."""
        with suppress(OSError):  # the note before the write stands; the key comes again with the next start
            match outcome:
                case Done(key=key):
                    await self.written_again(one, key)
                case Refused() | Missing():
                    await self._forget(one)
                case Failed():
                    pass

    async def _note(self, one: Registration) -> None:
        await self._documents.write(HELD, {document_of(one.name): msgspec.json.encode(one)})
        self._remember(one)

    def _remember(self, one: Registration) -> None:
        self._held[one.name] = one
        self._heard[one.name] = self._clock()

    async def _drop(self, one: Registration) -> Outcome:
        ours, key = self._holder.ours, one.instance.key
        ours.dismiss(one.registry, [key])
        outcome = await self._branches[one.registry].end(one)
        if not isinstance(outcome, Done):
            ours.forget(one.registry, [key])
        if isinstance(outcome, Done | Refused):
            with suppress(OSError):
                await self._forget(one)
        return outcome

    async def _forget(self, one: Registration) -> None:
        if self._held.get(one.name) is one:
            del self._held[one.name]
            self._heard.pop(one.name, None)
        await self._documents.write(HELD, {}, [document_of(one.name)])

    async def _in_own(self, namespace: str, name: str, id_: str) -> Instance | None:
        """The instance in our own registry: as the catalog shows it, or as it was written a moment ago."""
        there = self._shown_in_own(namespace, name, id_)
        branch = self._branches[self._own] if self._own else None
        if branch is None or (written := branch.written.get((namespace, name, id_))) is None:
            return there
        if there is not None and self._clock() - written.at > SHOWN_WITHIN:
            return there
        if isinstance(await branch.renew(written.instance.key), Refused):  # it has ended meanwhile
            branch.written.pop((namespace, name, id_), None)
            return there
        return written.instance

    def _shown_in_own(self, namespace: str, name: str, id_: str) -> Instance | None:
        """What the catalog shows of it, by the name under which it was registered, or which the catalog gives it."""
        for service in (self._shown_as(namespace, name), f"{namespace}/{name}"):
            entry = self._holder.current.entries.get(service)
            found = entry.instances.items() if entry else ()
            there = [
                one for place, one in found if place[0] == self._own and one.id == id_ and _is_original(place, one)
            ]
            if there:
                return next((one for one in there if one.native == f"{namespace}/{name}"), there[0])
        return None


def _in_step(catalog: Catalog) -> Mapping[str, float]:
    """Since when each registry has been in step, of those that are."""
    return {name: one.since for name, one in catalog.sources.items() if one.standing is Standing.SYNCED}


def _as_registered(one: Instance) -> Instance:
    """The instance as its registry names it, where the catalog names it otherwise.

    Without the origin that admission has filled in: written back, that would make it a copy.
    """
    namespace, name = split_service(one.native or one.service)
    return msgspec.structs.replace(one, namespace=namespace, name=name, native="", origin=NO_ORIGIN)


def _is_original(place: Place, one: Instance) -> bool:
    """Whether somebody registered it there: a copy that sync wrote is nobody's to change."""
    return one.origin == NO_ORIGIN or ((one.origin.registry, one.origin.id) == place and not one.origin.hops)
