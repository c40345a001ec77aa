"""Many small reads or changes as few large transactions, several of them on their way at once.

A transaction is done whole or not at all: where one of many fails for what concerns only some of its parts, each part
is tried alone. (Transactions inside transactions would say it for each part, but older servers check neither rights
nor space inside them.)
"""

from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing
from typing import Final, TypeAlias, TypeVar

from grpc import StatusCode

from registries.etcd import wire_pb2 as wire
from registries.etcd.client import Begun, Client, Declined
from registries.etcd.methods import TXN

T = TypeVar("T")
Answer: TypeAlias = wire.TxnResponse | Declined

OPERATIONS: Final = 100
"""In one transaction, and as many conditions besides a few of its own; etcd takes 128."""
BYTES: Final = 512 << 10
"""In one transaction, about; etcd takes 1.5 MB."""
WINDOW: Final = 8
"""Transactions on their way."""

_PERHAPS_SOME: Final = frozenset({StatusCode.PERMISSION_DENIED, StatusCode.INVALID_ARGUMENT})
_OF_THE_REQUEST: Final = _PERHAPS_SOME | {
    StatusCode.NOT_FOUND,  # a lease
    StatusCode.RESOURCE_EXHAUSTED,  # no space left
    StatusCode.OUT_OF_RANGE,
    StatusCode.FAILED_PRECONDITION,
}


async def in_batches(
    client: Client,
    items: Iterable[T],
    cost: Callable[[T], tuple[int, int]],
    request: Callable[[Sequence[T]], wire.TxnRequest],
) -> AsyncGenerator[tuple[Sequence[T], Answer], None]:
    """Carry out what `request` makes of some items, and give them with the answer; an item comes once.

    `cost`: the operations that an item needs, and its bytes. An error that concerns the request alone is an answer.

    Raises:
        SourceLost: the server is gone.
    """
    alone: list[T] = []
    async with aclosing(pipelined(client, batches(items, cost), request)) as answers:
        async for batch, answer in answers:
            if len(batch) > 1 and concerns_some(answer):
                alone += batch
            else:
                yield batch, answer
    async with aclosing(pipelined(client, ([one] for one in alone), request)) as answers:
        async for batch, answer in answers:
            yield batch, answer


def batches(items: Iterable[T], cost: Callable[[T], tuple[int, int]]) -> Iterator[Sequence[T]]:
    """Cut into what fits into a transaction each; `cost` as in `in_batches`."""
    batch: list[T] = []
    operations = size = 0
    for item in items:
        more, bytes_more = cost(item)
        if batch and (operations + more > OPERATIONS or size + bytes_more > BYTES):
            yield batch
            batch, operations, size = [], 0, 0
        batch.append(item)
        operations += more
        size += bytes_more
    if batch:
        yield batch


async def pipelined(
    client: Client, of_items: Iterable[Sequence[T]], request: Callable[[Sequence[T]], wire.TxnRequest]
) -> AsyncGenerator[tuple[Sequence[T], Answer], None]:
    """Send a request for each batch, before the answer to the one before is there; the answers, in order.

    Raises:
        SourceLost: the server is gone.
    """
    begun: deque[tuple[Sequence[T], wire.TxnRequest, Begun]] = deque()
    try:
        for batch in of_items:
            asked = request(batch)
            begun.append((batch, asked, client.begin(TXN, asked)))
            if len(begun) >= WINDOW:
                yield await _answer(client, *begun.popleft())
        while begun:
            yield await _answer(client, *begun.popleft())
    finally:
        for _, _, call in begun:
            call.cancel()


async def _answer(
    client: Client, batch: Sequence[T], request: wire.TxnRequest, call: Begun
) -> tuple[Sequence[T], Answer]:
    try:
        return batch, await client.finish(call, TXN, request)
    except Declined as error:
        if error.code not in _OF_THE_REQUEST:
            raise
        return batch, error


def concerns_some(answer: Answer) -> bool:
    """Whether a transaction failed for what may concern only a part of it."""
    if isinstance(answer, Declined):
        return answer.code in _PERHAPS_SOME or "larger than max" in answer.details
    return not answer.succeeded
