"""Many writes as few transactions, each under the condition that our locks are still ours.

A transaction is done whole or not at all: where one of many fails, each of them is tried alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from kazoo.exceptions import NoNodeError

from pilot_plus.ports import Failed, Result
from registries.zookeeper.connection import Connection
from registries.zookeeper.requests import Change, Check, Create, Delete, Multi, Write
from registries.zookeeper.writes import failure_in, result_of

STEPS: Final = 100
"""In one transaction, about."""
BYTES: Final = 128 << 10
"""In one transaction; a server whose `jute.maxbuffer` (1 MB) is exceeded hangs up."""
LOST: Final = Failed("the lock is somebody else's now")


async def carry_out(
    session: Connection, parents: Sequence[Create], writes: Mapping[str, Write], fences: Sequence[Check]
) -> dict[str, Result]:
    """Make the directories, then do the writes, each under a key; what became of each.

    Raises:
        SourceLost: the server says nothing at all any more.
    """
    groups = list(_groups(writes))
    requests = [_transaction([writes[key] for key in group], fences) for group in groups]
    answers: list[object] = list(await session.try_all([*parents, *requests]))
    results: dict[str, Result] = {}
    alone: list[str] = []
    for group, answer in zip(groups, answers[len(parents) :], strict=True):
        if len(group) > 1 and failure_in(answer) and not _is_fenced_off(answer, fences):
            alone += group
        else:
            results |= {key: _result(key, answer, fences) for key in group}
    retried = await session.try_all([_transaction([writes[key]], fences) for key in alone])
    return results | {key: _result(key, answer, fences) for key, answer in zip(alone, retried, strict=True)}


def _groups(writes: Mapping[str, Write]) -> Iterator[list[str]]:
    """The keys of writes that fit into a transaction each."""
    group: list[str] = []
    steps = size = 0
    for key, write in writes.items():
        own = _steps(write)
        bytes_more = sum(_size(step) for step in own)
        if group and (steps + len(own) > STEPS or size + bytes_more > BYTES):
            yield group
            group, steps, size = [], 0, 0
        group.append(key)
        steps += len(own)
        size += bytes_more
    if group:
        yield group


def _transaction(writes: Sequence[Write], fences: Sequence[Check]) -> Write:
    if len(writes) == 1 and not fences:
        return writes[0]
    return Multi((*fences, *(step for write in writes for step in _steps(write))))


def _steps(write: Write) -> Sequence[Create | Delete | Change | Check]:
    return write.writes if isinstance(write, Multi) else (write,)


def _size(step: Create | Delete | Change | Check) -> int:
    return 60 + len(step.path) + (len(step.data) if isinstance(step, Create | Change) else 0)


def _result(key: str, answer: object, fences: Sequence[Check]) -> Result:
    return LOST if _is_fenced_off(answer, fences) else result_of(key, answer)


def _is_fenced_off(answer: object, fences: Sequence[Check]) -> bool:
    """Whether a transaction failed because one of the locks is not ours any more."""
    return isinstance(answer, list) and any(isinstance(one, NoNodeError) for one in answer[: len(fences)])
