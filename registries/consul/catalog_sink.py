"""Writing into Consul's catalog: durable copies, in transactions, on an external node of ours.

No agent looks after that node, so nobody's anti-entropy takes the copies away, and no agent's death makes them
critical; but nobody carries out a TTL there either, so a leased copy can't be written here. It is the fast way: 64
operations in a transaction, where an agent takes every registration for itself.

Each write and each removal names the index at which we saw the record (`cas`): what somebody else has changed since
fails, and is tried again after another look. Ownership is proved by the node, which is ours by its own Meta, by the ID
that begins with `pilot-plus:`, and by `pilot-plus-id` in the record's Meta.
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


class _Failure(msgspec.Struct, frozen=True, rename="pascal"):
    errors: tuple[_Error, ...] | None = None


class CatalogSink:
    """What one connection writes."""

    def __init__(self, agent: Agent, locks: Locks) -> None:
        self._agent = agent
        self._locks = locks
        self._has_node = False

    async def put(self, copies: Sequence[Instance]) -> Sequence[Result]:
        """Write each."""
        if reason := await self._node_refused():
            return [Refused(reason)] * len(copies)
        bodies, results = await registrations(copies, lambda _: "")
        held = await self._held({body.name for body in bodies.values()})
        operations: dict[int, list[Operation]] = {}
        for number, body in bodies.items():
            there = held.get(body.id)
            results[number] = judged(there, key_of(body.name, NODE, body.id))
            if isinstance(results[number], Done):
                operations[number] = list(_setting(body, there))
        await self._carry_out(operations, results)
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
            if there and isinstance(results[number], Done):
                record = {"ID": identity, "Service": service, "ModifyIndex": there.modify_index}
                operations[number] = [{"Service": {"Verb": "delete-cas", "Node": NODE, "Service": record}}]
        await self._carry_out(operations, results)
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

    async def _carry_out(self, operations: Mapping[int, list[Operation]], results: list[Result]) -> None:
        """Carry out what belongs to each; a transaction that fails is split into those of single copies."""
        fences = self._locks.fences

        async def attempt(batch: Sequence[int]) -> None:
            own = [one for number in batch for one in operations[number]]
            status, text = await self._transact([*fences, *own])
            if status == 200:
                return
            if status == 409 and _is_fenced_off(text, len(fences)):
                for number in batch:
                    results[number] = Failed("the lock is somebody else's now")
            elif len(batch) > 1:
                for number in batch:
                    await attempt([number])
            else:
                results[batch[0]] = self._unwritten(status, text)

        await for_each(_batches(operations, _MOST - len(fences)), attempt, WRITING)

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
        if size + len(own) > most:
            yield batch
            batch, size = [], 0
        batch.append(number)
        size += len(own)
    if batch:
        yield batch
