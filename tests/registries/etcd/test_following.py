"""How far a watch has come, by what the server says in the order in which it comes."""

from typing import Any, cast

from registries.etcd import wire_pb2 as wire
from registries.etcd.following import Following
from registries.etcd.progress import Position

CLUSTER = 7


def answer(watcher: int, revision: int, **fields: Any) -> wire.WatchResponse:
    return wire.WatchResponse(header=wire.Header(cluster_id=CLUSTER, revision=revision), watch_id=watcher, **fields)


def put(revision: int) -> wire.Event:
    return wire.Event(kv=wire.KeyValue(key=b"services/orders/1", mod_revision=revision))


class Server:
    """Says what a test tells it to."""

    def __init__(self, *answers: wire.WatchResponse) -> None:
        self._answers = list(answers)

    async def read(self, within: float) -> wire.WatchResponse:
        return self._answers.pop(0)


async def test_a_notice_that_newer_events_have_overtaken_is_no_other_history():
    server = Server(
        answer(0, 90, created=True),
        answer(0, 93, events=[put(93)]),
        answer(-1, 92),
        answer(0, 92),
        answer(0, 95),
    )
    following = Following(cast("Any", None), cast("Any", server), Position(CLUSTER, "", (90,)), 1.0)
    await following.begin()
    come = []
    for _ in range(4):
        await following.next()
        come.append(following.position.revisions)
    assert come == [(93,), (93,), (93,), (95,)]
