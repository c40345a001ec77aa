"""Following by a watch for each node: in whatever order words of the server come, nothing is missed."""

import asyncio
import json
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

from hypothesis import example, given
from hypothesis import strategies as st

from pilot_plus.model import Drop, Instance, Put
from registries.zookeeper.connection import CHANGED, CHILD, CREATED, DELETED
from registries.zookeeper.records import Records
from registries.zookeeper.requests import Children, Data, Node, Stat
from registries.zookeeper.settings import Settings
from registries.zookeeper.tree import OldTree

ROOT = "/root"
SERVICES = ("a", "b")
Step = tuple[str, str, int]
"""What somebody does: create or delete a node, or take back its directory; the directory's name, the node's."""
STEPS = st.tuples(st.sampled_from(["create", "delete", "take back"]), st.sampled_from(SERVICES), st.integers(1, 2))


class Server:
    """A tree, and watches that each tell of one change; between any two requests others may change it."""

    def __init__(self, steps: list[list[Step]]) -> None:
        """`steps`: what others do before each request, as long as there is something left to do."""
        self.nodes: dict[str, int] = {"/": 0, ROOT: 0}
        self.events: list[tuple[str, int]] = []
        self._steps = steps
        self._zxid = 0
        self._watches: set[tuple[str, int]] = set()

    @property
    def is_done(self) -> bool:
        return not self._steps

    async def ask(self, requests: Sequence[Children | Data | Stat]) -> list[Any]:
        answers = []
        for request in requests:
            self.let_others_work()
            answers.append(self._answer(request))
        return answers

    def let_others_work(self) -> None:
        for what, service, number in self._steps.pop(0) if self._steps else ():
            directory = f"{ROOT}/{service}"
            path = f"{directory}/{number}"
            if what == "create":
                for one in (directory, path):
                    if one not in self.nodes:
                        self._create(one)
            elif (gone := path if what == "delete" else directory) in self.nodes and not self._names(gone):
                self._delete(gone)

    def _answer(self, request: Children | Data | Stat) -> Any:
        path = request.path
        if path not in self.nodes:
            if request.watch and isinstance(request, Stat):
                self._watches.add((path, CREATED))
            return None
        if request.watch:
            self._watches.add((path, CHILD if isinstance(request, Children) else CHANGED))
        stat = cast(Any, SimpleNamespace(czxid=self.nodes[path]))
        match request:
            case Children():
                return self._names(path)
            case Data():
                _, _, service, number = path.split("/")
                said = {"name": service, "id": number, "address": "10.1.0.1", "port": self.nodes[path]}
                return Node(json.dumps(said).encode(), stat)
        return stat

    def _names(self, path: str) -> list[str]:
        return [one.rpartition("/")[2] for one in self.nodes if one.rpartition("/")[0] == path]

    def _create(self, path: str) -> None:
        self._zxid += 1
        self.nodes[path] = self._zxid
        self._tell(path, CREATED, CREATED)
        self._tell(path.rpartition("/")[0], CHILD, CHILD)

    def _delete(self, path: str) -> None:
        del self.nodes[path]
        self._tell(path, CHANGED, DELETED)
        self._tell(path, CHILD, DELETED)
        self._tell(path.rpartition("/")[0], CHILD, CHILD)

    def _tell(self, path: str, watched: int, event: int) -> None:
        if (path, watched) in self._watches:
            self._watches.remove((path, watched))
            self.events.append((path, event))


async def followed(server: Server, batches: list[int]) -> set[int]:
    """What a follower shows in the end, by port, which is the node's czxid.

    `batches`: how many events it hears at a time, the last first; when they are over, all that there are.
    """
    layouts = Settings(hosts="127.0.0.1:2181", layouts=({"curator": {"root": ROOT}},)).tree_layouts()
    records = Records(layouts)
    tree = OldTree(cast(Any, server), records, [ROOT])
    await tree.read()
    shown: dict[str, int] = {}
    while True:
        for update in records.updates():
            match update:
                case Put(record=Instance() as instance):
                    shown[instance.key] = instance.ports[0].number
                case Drop(key=key):
                    shown.pop(key, None)
        if not server.events:
            if server.is_done:
                return set(shown.values())
            server.let_others_work()
            continue
        count = batches.pop() if batches else len(server.events)
        heard, server.events[:count] = dict(server.events[:count]), []
        await tree.follow(heard)


@given(st.lists(st.lists(STEPS, max_size=3), max_size=12), st.lists(st.integers(1, 3), max_size=12))
@example([[("create", "a", 1)], [], [], [("delete", "a", 1)], [], [("create", "a", 1)]], [1] * 4)
@example(
    [[("create", "a", 1)], [], [], [("delete", "a", 1), ("take back", "a", 1)], [], [], [("create", "a", 1)]], [1] * 6
)
def test_whoever_follows_by_single_watches_shows_what_is_there_in_the_end(steps: list[list[Step]], batches: list[int]):
    """The examples: a node, and a directory, of which two words came, and which was there again before the second."""
    server = Server(steps)
    shown = asyncio.run(followed(server, batches))
    assert shown == {zxid for path, zxid in server.nodes.items() if path.count("/") == 3}
