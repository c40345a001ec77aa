"""A pen: nothing that is under way is cut off, unless it would take for ever."""

import asyncio
from typing import Any, cast

from pilot_plus.servers.join import calls
from pilot_plus.servers.join.calls import Pen
from pilot_plus.wire import edge_pb2 as pb


class Stream:
    """As gRPC's: a message is under way until the other side takes it."""

    def __init__(self) -> None:
        self.taken = asyncio.Event()
        self.said: list[str] = []

    async def write(self, _: object) -> None:
        self.said.append("begun")
        await self.taken.wait()
        self.said.append("written")


async def ended(stream: Stream, pen: Pen) -> list[str]:
    async with asyncio.TaskGroup() as tasks:
        writing = tasks.create_task(pen.write(pb.HubWord()))
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_later(0.01, stream.taken.set)
        await pen.rest()
        writing.cancel()
    return stream.said


async def test_what_is_under_way_is_written_before_a_stream_is_ended():
    stream = Stream()
    assert await ended(stream, Pen(cast(Any, stream))) == ["begun", "written"]


async def test_who_takes_nothing_is_not_waited_for_for_ever(monkeypatch):
    monkeypatch.setattr(calls, "REST_WITHIN", 0.0)
    stream = Stream()
    assert await ended(stream, Pen(cast(Any, stream))) == ["begun"]
