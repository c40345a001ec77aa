"""Writing into Consul's catalog: durable copies, in transactions, on an external node of ours.

No agent looks after that node, so nobody's anti-entropy takes the copies away, and no agent's death makes them
critical; but nobody carries out a TTL there either, so a leased copy can't be written here. It is the fast way: 64
operations in a transaction, where an agent takes every registration for itself.

Each write and each removal names the index at which we saw the record (`cas`; 0 for what should not be there): what
somebody else has changed since fails, and is tried again after a look. Ownership is proved by the node, which is ours
by its own Meta, by the ID that begins with `pilot-plus:`, and by `pilot-plus-id` in the record's Meta.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, TypeAlias

import msgspec

from pilot_plus.model import Instance
from pilot_plus.ports import Done, Failed, Refused, Result, SourceLost
from registries.consul.agent import Agent, segment
from registries.consul.background import for_each
from registries.consul.batch import judged, registrations
from registries.consul.decode import key_of, parts_of
from registries.consul.encode import Check, Registration
from registries.consul.locks import Locks
from registries.consul.records import CatalogNode, CatalogService, Held
from registries.consul.settings import WRITING

NODE: Final = "pilot-plus"
_OURS: Final = {"external-node": "true", "pilot-plus": "true"}
_MOST: Final = 64
"""Operations in a transaction."""
_MANY: Final = 32
"""From so many services on it is cheaper to read the whole node."""

Operation: TypeAlias = dict[str, dict[str, object]]


class _Error(msgspec.Struct, frozen=True, rename="pascal"):
    op_index: int


class _Change(msgspec.Struct, frozen=True, rename="pascal"):
    service: Held | None = None


class _Outcome(msgspec.Struct, frozen=True, rename="pascal"):
    results: tuple[_Change, ...] | None = None


class _Failure(msgspec.Struct, frozen=True, rename="pascal"):
    errors: tuple[_Error, ...] | None = None


class CatalogSink:
    """What one connection writes."""

    def __init__(self, agent: Agent, locks: Locks) -> None:
        self._agent = agent
        self._locks = locks
        self._has_node = False
        self._last: dict[str, Held] = {}
        """What we wrote last, by ID: nobody else has, where Consul still has it under that index."""

    async def put(self, copies: Sequence[Instance]) -> Sequence[Result]:
        """Write each: first where nothing lies that we don't know; where something does, by what that is."""
        if reason := await self._node_refused():
            return [Refused(reason)] * len(copies)
        bodies, results = await registrations(copies, lambda _: "")
        for number, body in bodies.items():
            results[number] = Done(key_of(body.name, NODE, body.id))
        guesses = {number: list(_setting(body, self._last.get(body.id))) for number, body in bodies.items()}
        wrong = await self._carry_out(guesses, results)
        held = await self._held({bodies[number].name for number in wrong}) if wrong else {}
        operations: dict[int, list[Operation]] = {}
        for number in wrong:
            there = held.get(bodies[number].id)
            results[number] = judged(there, key_of(bodies[number].name, NODE, bodies[number].id))
            if isinstance(results[number], Done):
                operations[number] = list(_setting(bodies[number], there))
        await self._carry_out_each(operations, results)
        return results

    async def drop(self, keys: Sequence[str]) -> Sequence[Result]:
        """Remove each that is ours; the node stays."""
        places = [parts_of(key) for key in keys]
        held = await self._held({service for service, _, _ in places})
        results: list[Result] = []
        operations: dict[int, list[Operation]] = {}
        for number, (service, _, identity) in enumerate(places):
            there = held.get(identity)
            results.append(judged(there, keys[number]))
            self._last.pop(identity, None)
            if there and isinstance(results[number], Done):
                record = {"ID": identity, "Service": service, "ModifyIndex": there.modify_index}
                operations[number] = [{"Service": {"Verb": "delete-cas", "Node": NODE, "Service": record}}]
        await self._carry_out_each(operations, results)
        return results

    async def _node_refused(self) -> str:
        """Make the node, or see that it is ours; why it can't be used."""
        if self._has_node:
            return ""
        node = await self._node()
        if node is None:
            made = {"Node": NODE, "Address": "127.0.0.1", "Meta": _OURS}
            status, text = await self._transact([{"Node": {"Verb": "cas", "Node": made}}])
            if status not in (200, 409):  # somebody may have been quicker
                return f"the node {NODE!r} can't be made: {status} {text[:200]!r}"
        elif (node.node.meta or {}).get("pilot-plus") != "true":
            return f"there is a node {NODE!r} that is somebody else's"
        self._has_node = True
        return ""

    async def _node(self) -> CatalogNode | None:
        answer = await self._agent.read(f"/v1/catalog/node/{NODE}", CatalogNode | None)  # type: ignore[arg-type]  # a union is no `type` to mypy
        return answer.body

    async def _held(self, services: set[str]) -> Mapping[str, Held]:
        """What the node holds of these services, by ID; perhaps more."""
        found: dict[str, Held] = {}
        unaskable: list[str] = []

        async def look(service: str) -> None:
            path, query = f"/v1/catalog/service/{segment(service)}", {"filter": f'Node == "{NODE}"'}
            try:
                answer = await self._agent.read(path, list[CatalogService], query=query)
            except ValueError:
                unaskable.append(service)
                return
            for one in answer.body:
                found[one.service_id] = Held(one.service_id, one.service_meta, one.modify_index)

        if len(services) <= _MANY:
            await for_each(services, look, WRITING)
            if not unaskable:
                return found
        node = await self._node()
        return (node.services or {}) if node else {}

    async def _carry_out_each(self, operations: Mapping[int, list[Operation]], results: list[Result]) -> None:
        """Carry out what belongs to each; of a transaction that fails each copy is tried alone."""
        failed = await self._carry_out(operations, results)
        alone = {number: operations[number] for number in failed}
        for number, (status, text) in (await self._carry_out(alone, results, most=1) if alone else {}).items():
            results[number] = self._unwritten(status, text)

    async def _carry_out(
        self, operations: Mapping[int, list[Operation]], results: list[Result], most: int = _MOST
    ) -> dict[int, tuple[int, str]]:
        """Carry out what belongs to each, together; those whose transaction failed, with Consul's answer."""
        failed: dict[int, tuple[int, str]] = {}
        fences = self._locks.fences

        async def attempt(batch: Sequence[int]) -> None:
            own = [one for number in batch for one in operations[number]]
            status, text = await self._transact([*fences, *own])
            if status == 200:
                self._last |= {held.id: held for held in _written(text)}
            elif status == 409 and _is_fenced_off(text, len(fences)):
                for number in batch:
                    results[number] = Failed("the lock is somebody else's now")
            else:
                failed.update(dict.fromkeys(batch, (status, text)))

        await for_each(_batches(operations, most - len(fences)), attempt, WRITING)
        return failed

    async def _transact(self, operations: Sequence[Operation]) -> tuple[int, str]:
        status, text = await self._agent.text("PUT", "/v1/txn", operations)
        if status >= 500:
            raise SourceLost(f"Consul at {self._agent.settings.url}: {status} {text[:200]!r}")
        return status, text

    def _unwritten(self, status: int, text: str) -> Result:
        reason = f"Consul's catalog: {status} {' '.join(text.split())[:200]}"
        if "Missing node" in text:
            self._has_node = False
        if status == 409 and ("stale" in text or "Missing node" in text):
            return Failed(reason)
        return Refused(reason) if status in (400, 403, 409, 413) else Failed(reason)


def _written(text: str) -> Iterator[Held]:
    """The services that a transaction has written, with their new index."""
    outcome = msgspec.json.decode(text, type=_Outcome)
    services = (one.service for one in outcome.results or () if one.service is not None)
    return (Held(one.id, None, one.modify_index) for one in services)


def _setting(body: Registration, held: Held | None) -> Iterator[Operation]:
    """The operations that make the catalog hold a registration: the service, and the checks that it has or had."""
    record = {
        "ID": body.id,
        "Service": body.name,
        "Address": body.address,
        "Port": body.port,
        "Tags": body.tags,
        "Meta": body.meta,
        "Weights": body.weights,
        "ModifyIndex": held.modify_index if held else 0,
    }
    yield {"Service": {"Verb": "cas", "Node": NODE, "Service": record}}
    kept = {check.check_id for check in body.checks}
    if held:
        for identity in (f"{body.id}:warning", f"{body.id}:critical", f"_service_maintenance:{body.id}"):
            if identity not in kept:
                yield {"Check": {"Verb": "delete", "Check": {"Node": NODE, "CheckID": identity}}}
    for check in body.checks:
        yield {"Check": {"Verb": "set", "Check": _static(check, body)}}


def _static(check: Check, body: Registration) -> dict[str, object]:
    return {
        "Node": NODE,
        "CheckID": check.check_id,
        "Name": check.name,
        "Status": check.status,
        "ServiceID": body.id,
        "ServiceName": body.name,
    }


def _is_fenced_off(text: str, fences: int) -> bool:
    """Whether a transaction failed because one of the locks, which stand first in it, is not ours any more."""
    try:
        failure = msgspec.json.decode(text, type=_Failure)
    except (msgspec.MsgspecError, UnicodeEncodeError):
        return False
    return any(one.op_index < fences for one in failure.errors or ())


def _batches(operations: Mapping[int, Sequence[Operation]], most: int) -> Iterator[list[int]]:
    """Copies whose operations fit into one transaction."""
    batch: list[int] = []
    size = 0
    for number, own in operations.items():
        if batch and size + len(own) > most:
            yield batch
            batch, size = [], 0
        batch.append(number)
        size += len(own)
    if batch:
        yield batch
