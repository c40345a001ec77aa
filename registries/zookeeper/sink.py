"""The sink: writes instances as the readers of a layout expect them, and touches nothing that is not ours.

What is there is read first, so that ownership is proved by the registry and not by memory; then everything is
written in one pipeline, in which ZooKeeper keeps the order: directories before what lies in them.

Leased copies are ephemeral nodes. They live on our session: as long as we live, and the session's time-out longer.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final

from kazoo.exceptions import KazooException, NoNodeError

from pilot_plus.model import NO_ORIGIN, Instance, Origin
from pilot_plus.ports import Done, Failed, Refused, Result
from registries.layouts.curator_json import payload_class_of, sharing
from registries.layouts.layout import Raw
from registries.layouts.recent import Recent
from registries.layouts.tree import Place, TreeLayout
from registries.zookeeper.connection import Connection
from registries.zookeeper.locks import Locks
from registries.zookeeper.requests import Change, Children, Create, Data, Delete, Multi, Stat, Write
from registries.zookeeper.settings import Settings
from registries.zookeeper.tidying import MADE, tidied
from registries.zookeeper.transactions import carry_out
from registries.zookeeper.tree import breathing
from registries.zookeeper.writes import (
    MOVED,
    Found,
    Intent,
    Proof,
    Sought,
    companion_plan,
    drop_write,
    intent_of,
    put_write,
    result_of,
)

WRITES: Final = (Create, Delete, Change, Multi)
MAX_LOOKED_AT: Final = 500
"""Records of a shared directory whose class is looked at before we write into it for the first time."""


class Writer:
    """The writing half of a session."""

    def __init__(self, session: Connection, settings: Settings, locks: Locks) -> None:
        """Nothing is written yet."""
        self._session = session
        self._locks = locks
        self._layouts = settings.as_written()
        self._one_at_a_time = asyncio.Lock()
        self._intents = Recent(self._intent)
        self._created: dict[str, int] = {}
        self._paths: dict[str, str] = {}
        self._shared: set[str] = set()
        self._directories: set[str] = {""}
        self._known: set[str] = set()

    def preview(self, instance: Instance) -> Instance | Refused:
        """What will become of a write; see `pilot_plus.ports.Previewing`."""
        intent = self._intents.foresee(instance)
        return intent if isinstance(intent, Refused) else intent.read

    async def put(self, instances: Sequence[Instance]) -> list[Result]:
        """Write each instance; see `pilot_plus.ports.Sink`."""
        async with self._one_at_a_time:
            results: list[Result] = [Failed("not tried")] * len(instances)
            intents: dict[str, Intent] = {}
            places: dict[str, list[int]] = {}
            async for number, instance in breathing(enumerate(instances)):
                intent = self._intents.take(instance)
                if isinstance(intent, Refused):
                    results[number] = intent
                elif intents.setdefault(intent.sought.key, intent).origin != intent.origin:
                    results[number] = Refused(f"conflict: two instances would become {intent.sought.key}")
                else:
                    intents[intent.sought.key] = intent
                    places.setdefault(intent.sought.key, []).append(number)
            for key, result in (await self._put(intents)).items():
                for number in places[key]:
                    results[number] = result
            return results

    async def drop(self, keys: Sequence[str]) -> list[Result]:
        """Remove each record that is ours; see `pilot_plus.ports.Sink`."""
        async with self._one_at_a_time:
            sought = {key: one for key in keys if (one := self._sought(key)) is not None}
            found, troubles = await self._look(list(sought.values()))
            plans: dict[str, Write | Result] = {
                key: troubles.get(key) or drop_write(one, found.get(key, []), self._proof)
                for key, one in sought.items()
            }
            results = await self._write(plans)
            for key in keys:
                if isinstance(results.setdefault(key, Done(key)), Done):
                    self._forget(key)
            return [results[key] for key in keys]

    async def tidy(self) -> None:
        """Remove the directories that we made and that are empty; see `pilot_plus.ports.Tidying`."""
        async with self._one_at_a_time:
            self._directories = {""}
            self._shared.clear()
            await tidied(self._session, (layout.root for layout in self._layouts))

    async def _put(self, intents: dict[str, Intent]) -> dict[str, Result]:
        closed, names = await self._strangers(intents.values())
        there = [one.sought for one in intents.values() if _may_be_there(one, names.get(one.sought.directory))]
        found, troubles = await self._look(there)
        plans: dict[str, Write | Result] = {
            key: troubles.get(key)
            or closed.get(intent.sought.directory)
            or put_write(intent, found.get(key, []), self._proof)
            for key, intent in intents.items()
        }
        plans |= await self._accompany([intents[key] for key, plan in plans.items() if isinstance(plan, WRITES)])
        results = await self._write(plans, [one.sought.directory for one in intents.values()])
        done = [intent for key, intent in intents.items() if isinstance(results[key], Done)]
        for intent in done:
            self._paths[intent.sought.key] = intent.raw.path
            self._session.keeps_session |= intent.is_leased
        await self._remember([one.raw.path for one in done if not one.is_leased and one.origin == NO_ORIGIN])
        return results

    def _intent(self, instance: Instance) -> Intent | Refused:
        layout = next((one for one in self._layouts if instance.layout in ("", one.name)), None)
        if layout is None:
            return Refused(f"the layout {instance.layout!r} is not configured for this registry")
        try:
            return intent_of(instance, layout)
        except ValueError as error:
            return Refused(str(error))

    def _sought(self, key: str) -> Sought | None:
        places = ((layout, layout.directory(key)) for layout in self._layouts)
        return next((Sought(key, layout, place) for layout, place in places if place is not None), None)

    async def _look(self, sought: list[Sought]) -> tuple[dict[str, list[Found]], dict[str, Result]]:
        """The nodes of each record, by its key; and why we may not write some of them."""
        listed, troubles = await self._list(sought)
        nodes = [(one, path) async for one in breathing(sought) for path in self._nodes_of(one, listed)]
        answers = await self._session.try_all([Data(path) for _, path in nodes])
        found: dict[str, list[Found]] = {}
        for (one, path), answer in zip(nodes, answers, strict=True):
            if isinstance(answer, NoNodeError):
                continue
            if isinstance(answer, KazooException):
                troubles[one.key] = result_of(one.key, answer)
                continue
            node = Found(path, answer.data, answer.stat, _origin_in(one.layout, Raw(path, answer.data)))
            found.setdefault(one.key, []).append(node)
        return found, troubles

    async def _list(self, sought: list[Sought]) -> tuple[dict[str, list[str]], dict[str, Result]]:
        """The nodes of records that are in their names, by key; where we wrote them ourselves we know them."""
        listed = {one.key: [self._paths[one.key]] for one in sought if one.key in self._paths}
        unknown = [one for one in sought if _is_by_name(one) and one.key not in self._paths]
        directories = {one.directory: one.layout for one in unknown}
        answers = await self._session.try_all([Children(path) for path in directories])
        broken: dict[str, KazooException] = {}
        for (directory, layout), answer in zip(directories.items(), answers, strict=True):
            if isinstance(answer, KazooException):
                broken[directory] = answer
                continue
            async for name in breathing(answer):
                path = f"{directory}/{name}"
                if (key := _key_of(layout, path)) is not None:
                    listed.setdefault(key, []).append(path)
        return listed, {
            one.key: result_of(one.key, broken[one.directory])
            for one in unknown
            if one.directory in broken and not isinstance(broken[one.directory], NoNodeError)
        }

    def _nodes_of(self, one: Sought, listed: dict[str, list[str]]) -> list[str]:
        return listed.get(one.key, []) if _is_by_name(one) else [one.key]

    async def _strangers(self, intents: Iterable[Intent]) -> tuple[dict[str, Result], dict[str, set[str]]]:
        """Why we may not write into directories that hold records whose readers don't have the class of ours.

        And what lies in those that we have looked into for it: most are new, and then nothing more need be read.
        """
        shared = {one.sought.directory: layout for one in intents if (layout := sharing(one.sought.layout))}
        new = [directory for directory in shared if directory not in self._shared]
        troubles: dict[str, Result] = {}
        held: dict[str, set[str]] = {}
        for directory, answer in zip(new, await self._session.try_all([Children(path) for path in new]), strict=True):
            names = [] if isinstance(answer, KazooException) else answer[:MAX_LOOKED_AT]
            if isinstance(answer, NoNodeError | list):
                held[directory] = set(answer) if isinstance(answer, list) else set()
            nodes = await self._session.try_all([Data(f"{directory}/{name}") for name in names])
            classes = {payload_class_of(node.data) for node in nodes if not isinstance(node, KazooException)}
            foreign = sorted(classes - shared[directory].payload_classes)
            if foreign:
                troubles[directory] = Refused(
                    f"conflict: {directory} holds records of {foreign[0]}, whose readers could not read ours"
                )
            else:
                self._shared.add(directory)
        return troubles, held

    async def _accompany(self, intents: list[Intent]) -> dict[str, Result]:
        """Write what readers need beside the records, first; and say for which it could not be done."""
        wanted = {one.path: one for intent in intents for one in intent.companions if one.path not in self._known}
        there = await self._session.try_all([Data(path) for path in wanted])
        plans = {path: companion_plan(one, node) for (path, one), node in zip(wanted.items(), there, strict=True)}
        results = await self._write(plans, [path.rpartition("/")[0] for path in wanted])
        self._known |= {path for path, result in results.items() if isinstance(result, Done)}
        return {
            intent.sought.key: trouble
            for intent in intents
            for one in intent.companions
            if not isinstance(trouble := results.get(one.path, Done("")), Done)
        }

    async def _write(self, plans: dict[str, Write | Result], directories: Iterable[str] = ()) -> dict[str, Result]:
        """Carry the plans out, directories first."""
        results: dict[str, Result] = {k: p for k, p in plans.items() if isinstance(p, Done | Refused | Failed)}
        writes = {key: plan for key, plan in plans.items() if not isinstance(plan, Done | Refused | Failed)}
        above = list(directories) if writes else []
        results |= await carry_out(self._session, self._missing(above), writes, self._locks.fences)
        moved = {key: writes[key] for key, result in results.items() if result is MOVED}
        if moved and above:  # a directory may have gone that we knew: servers remove containers that are empty
            self._directories = {""}
            results |= await carry_out(self._session, self._missing(above), moved, self._locks.fences)
        for key, result in results.items():
            if isinstance(result, Failed):  # what we believed to know is wrong, or may be
                self._forget(key)
                self._directories = {""}
                self._known.clear()
        return results

    def _missing(self, directories: Iterable[str]) -> list[Create]:
        """Directories that may have to be made, each before what lies in it."""
        missing: list[str] = []
        for directory in directories:
            chain: list[str] = []
            while directory not in self._directories:
                self._directories.add(directory)
                chain.append(directory)
                directory = directory.rpartition("/")[0]  # noqa: PLW2901 - up to one that is there
            missing += reversed(chain)
        return [Create(path, MADE) for path in missing]

    async def _remember(self, paths: list[str]) -> None:
        """Remember which transaction created nodes that neither a session nor a mark proves to be ours."""
        for path, stat in zip(paths, await self._session.try_all([Stat(path) for path in paths]), strict=True):
            if stat is not None and not isinstance(stat, KazooException):
                self._created[path] = stat.czxid

    def _forget(self, key: str) -> None:
        self._created.pop(self._paths.pop(key, key), None)

    @property
    def _proof(self) -> Proof:
        return Proof(self._session.session_id, self._created)


def _may_be_there(intent: Intent, names: set[str] | None) -> bool:
    """Whether there may be a node of that record, if these are known to be all names in its directory."""
    return names is None or _is_by_name(intent.sought) or intent.raw.path.rpartition("/")[2] in names


def _is_by_name(one: Sought) -> bool:
    return one.layout.place(one.key) is not Place.DATA


def _key_of(layout: TreeLayout, path: str) -> str | None:
    """The key of a record that is in its name; None for garbage, which is nobody's."""
    try:
        return next((record.key for record in layout.decode(Raw(path))), None)
    except ValueError:
        return None


def _origin_in(layout: TreeLayout, raw: Raw) -> Origin:
    """The origin in a record; none for garbage, and for a mark that is damaged."""
    try:
        found = (record.origin for record in layout.decode(raw) if isinstance(record, Instance))
        return next(found, NO_ORIGIN)
    except ValueError:
        return NO_ORIGIN
