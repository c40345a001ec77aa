"""What is to be written for an instance, seen what is there: pure decisions of the sink.

| at the node that we would write | and its lifetime is right | what is done |
|---|---|---|
| nothing | | create |
| ours, the same | yes | nothing |
| ours, another text | yes | change, if its version is still the one that was seen |
| ours | no: another session's, or durable for leased | delete and create in one transaction |
| not ours | | refused as a conflict |

Further nodes of the same record (Dubbo's old URL) are removed in the same transaction, after the new one is there.

Ours is what our own session holds, what was created by the transaction that we remember, and what bears a hub's mark
with the same origin: then it is a copy of the same truth, and whoever wrote it has died or handed it over to us.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from kazoo.exceptions import (
    BadVersionError,
    KazooException,
    NoAuthError,
    NodeExistsError,
    NoNodeError,
    RolledBackError,
    RuntimeInconsistency,
)
from kazoo.protocol.states import ZnodeStat

from pilot_plus.model import NO_ORIGIN, Instance, Origin
from pilot_plus.ports import Done, Failed, Refused, Result
from registries.layouts.layout import Raw
from registries.layouts.mark import origin_of, origin_text
from registries.layouts.tree import Companion, TreeLayout, accompanied
from registries.zookeeper.requests import Change, Create, Delete, Multi, Node, Write

MOVED: Final = Failed("somebody changed it at the same moment")
"""Something is not as we believed it to be."""


class Sought(msgspec.Struct, frozen=True):
    """A record that is to be written or removed: its key, and where its nodes lie."""

    key: str
    layout: TreeLayout
    directory: str


class Intent(msgspec.Struct, frozen=True):
    """An instance that is to be written, and how."""

    sought: Sought
    raw: Raw
    origin: Origin
    is_leased: bool
    read: Instance
    """What the layout reads in it."""
    companions: tuple[Companion, ...] = ()


class Found(msgspec.Struct, frozen=True):
    """A node that is there, and what it says of its origin."""

    path: str
    data: bytes
    stat: ZnodeStat
    origin: Origin


class Proof(msgspec.Struct, frozen=True):
    """What shows that a node is ours: our session, and the transactions that created our durable nodes."""

    session: int
    created: Mapping[str, int]

    def covers(self, node: Found) -> bool:
        """Say whether the registry itself says that we wrote it."""
        owner: int = node.stat.ephemeralOwner
        created: int = node.stat.czxid
        return owner == self.session if owner else self.created.get(node.path) == created


def intent_of(instance: Instance, layout: TreeLayout) -> Intent:
    """How an instance is written in a layout.

    Raises:
        ValueError: the layout can't hold it.
    """
    raw = layout.encode(instance)
    for record in layout.decode(raw):
        directory = layout.directory(record.key)
        if isinstance(record, Instance) and directory is not None:
            origin = origin_of(origin_text(instance.origin)) if instance.origin != NO_ORIGIN else NO_ORIGIN
            with_company = accompanied(layout)
            companions = with_company.companions(instance) if with_company else ()
            return Intent(Sought(record.key, layout, directory), raw, origin, bool(instance.lease), record, companions)
    raise ValueError(f"the layout {layout.name} would not read what it writes")


def put_write(intent: Intent, found: Sequence[Found], proof: Proof) -> Write | Result:
    """The write that brings the record about, or what there is to say instead."""
    for node in found:
        if node.origin != NO_ORIGIN and not _is_same_truth(node.origin, intent.origin):
            return Refused(f"conflict: {node.path} is a copy of {node.origin.cluster}/{node.origin.registry}")
        if node.origin == NO_ORIGIN and not proof.covers(node):
            return _stranger(intent, node)
    at = next((node for node in found if node.path == intent.raw.path), None)
    rest = tuple(Delete(node.path, node.stat.version) for node in found if node is not at)
    writes = (*_writes_at(intent, at, proof), *rest)
    if not writes:
        return Done(intent.sought.key)
    return writes[0] if len(writes) == 1 else Multi(writes)


def companion_plan(companion: Companion, there: object) -> Write | Result:
    """The write that makes sure of a companion, or what there is to say instead."""
    match there:
        case NoNodeError():
            return Create(companion.path, companion.data)
        case Node(data=data, stat=stat):
            held = [name.strip() for name in data.split(b",") if name.strip()]
            if companion.joins and companion.data not in held:
                return Change(companion.path, b",".join([*held, companion.data]), stat.version)
            return Done(companion.path)
    return result_of(companion.path, there)


def drop_write(sought: Sought, found: Sequence[Found], proof: Proof) -> Write | Result:
    """The write that removes a record as far as it is ours, or what there is to say instead."""
    ours = [node for node in found if node.origin != NO_ORIGIN or proof.covers(node)]
    if found and not ours:
        return Refused(f"{found[0].path} is not ours: another's session, and no mark")
    writes = tuple(Delete(node.path, node.stat.version) for node in ours)
    if not writes:
        return Done(sought.key)
    return writes[0] if len(writes) == 1 else Multi(writes)


def result_of(key: str, answer: object) -> Result:
    """What the answer to a write means."""
    failure = failure_in(answer)
    match failure:
        case None:
            return Done(key)
        case NoAuthError():
            return Refused("the registry does not let us write there")
        case BadVersionError() | NodeExistsError() | NoNodeError():
            return MOVED
    return Failed(f"{type(failure).__name__.removesuffix('Error')}: it may have been written, or not")


def _writes_at(intent: Intent, at: Found | None, proof: Proof) -> tuple[Create | Delete | Change, ...]:
    create = Create(intent.raw.path, intent.raw.data, intent.is_leased)
    if at is None:
        return (create,)
    if at.stat.ephemeralOwner != (proof.session if intent.is_leased else 0):
        return (Delete(at.path, at.stat.version), create)
    if at.data != intent.raw.data:
        return (Change(at.path, intent.raw.data, at.stat.version),)
    return ()


def _stranger(intent: Intent, node: Found) -> Result:
    """A node without mark that we can't prove to be ours."""
    is_same = node.path == intent.raw.path and node.data == intent.raw.data
    if is_same and not node.stat.ephemeralOwner and not intent.is_leased:
        return Done(intent.sought.key)
    if is_same and node.stat.ephemeralOwner and intent.is_leased:
        return Failed(f"{node.path} lives on another session, perhaps a former one of ours")
    return Refused(f"conflict: {node.path} was written by somebody else")


def _is_same_truth(one: Origin, other: Origin) -> bool:
    return (one.cluster, one.registry, one.id) == (other.cluster, other.registry, other.id)


def failure_in(answer: object) -> KazooException | None:
    """Why a write was not done; of a transaction, the write that failed and not those that were rolled back."""
    failures = [one for one in (answer if isinstance(answer, list) else [answer]) if isinstance(one, KazooException)]
    told = [one for one in failures if not isinstance(one, RolledBackError | RuntimeInconsistency)]
    return next(iter(told or failures), None)
