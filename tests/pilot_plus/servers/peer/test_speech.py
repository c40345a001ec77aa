"""The speech to a reader: whatever happens between two words of it, nothing up to a mark is left out."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import cast

import pytest

from pilot_plus.servers.peer import speech as speeches
from pilot_plus.servers.peer.readers import Reader
from pilot_plus.servers.peer.speech import speech
from pilot_plus.wire import edge_pb2
from pilot_plus.wire import peer_pb2 as pb
from tests.pilot_plus.servers.peer.east import East
from tests.pilot_plus.views.world import copy


@pytest.mark.parametrize(("most_stale", "goes_on"), [(20_000, True), (0, False)])
async def test_what_changes_while_a_reader_is_told_how_its_stream_begins_is_told_too(monkeypatch, most_stale, goes_on):
    monkeypatch.setattr(speeches, "MAX_STALE", most_stale)
    east = East()
    east.put("zk", copy("a", namespace="n"))
    east.lose("zk")
    east.feed.is_whole = True
    opened = pb.Open(cluster="west", epoch=east.feed.epoch, revision=1)
    east.put("own", copy("b", namespace="n", address="10.3.0.1"))
    words = speech(east.feed, opened, Reader("west"), lambda: True, edge_pb2.Trust)
    async with aclosing(cast("AsyncGenerator[pb.HubWord, None]", words)) as told:
        begin = (await anext(told)).begin
        assert begin.whole is not goes_on
        east.put("own", copy("c", namespace="n", address="10.3.0.2"))  # while the first word is on its way
        held, revision = set(), 0
        async for word in told:
            held |= {said.id for said in word.batch.put}
            if word.WhichOneof("word") == "mark" and held >= {"b", "c"}:
                revision = word.mark.revision
                break
    assert {"b", "c"} <= held
    assert revision == east.feed.revision
