"""The whole truth at one revision: every key of some ranges, in pages.

While a page is decoded here the server already makes the next one, so that a list costs little more than the slower of
the two. A page that is too large for one answer is asked for again in halves. If the revision is compacted meanwhile,
or anything else fails, there is no list: nobody may take a part for the whole.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from grpc import StatusCode

from registries.etcd import wire_pb2 as wire
from registries.etcd.client import Begun, Client, Declined
from registries.etcd.methods import RANGE
from registries.etcd.ranges import KeyRange

_SMALLEST = 8


async def pages(client: Client, ranges: Sequence[KeyRange], limit: int) -> AsyncGenerator[wire.RangeResponse, None]:
    """Every key in the ranges, all as of the revision in the first answer's header.

    Raises:
        SourceLost: a part failed.
    """
    revision = 0
    for keys in ranges:
        async with aclosing(_pages_of(client, keys, limit, revision)) as found:
            async for page in found:
                revision = revision or page.header.revision
                yield page


async def _pages_of(
    client: Client, keys: KeyRange, limit: int, revision: int
) -> AsyncGenerator[wire.RangeResponse, None]:
    request = wire.RangeRequest(key=keys.start, range_end=keys.end, limit=limit, revision=revision)
    begun: Begun = client.begin(RANGE, request)
    try:
        while True:
            try:
                page = await client.finish(begun, RANGE, request)
            except Declined as error:
                if not _is_too_large(error) or request.limit <= _SMALLEST:
                    raise
                request.limit //= 2
                begun = client.begin(RANGE, request)
                continue
            if page.more and page.kvs:
                request = wire.RangeRequest(
                    key=page.kvs[-1].key + b"\0",
                    range_end=keys.end,
                    limit=request.limit,
                    revision=revision or page.header.revision,
                )
                begun = client.begin(RANGE, request)
            yield page
            if not (page.more and page.kvs):
                return
    finally:
        begun.cancel()


def _is_too_large(error: Declined) -> bool:
    return error.code is StatusCode.RESOURCE_EXHAUSTED and "larger than max" in error.details
