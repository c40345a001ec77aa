"""A seat: one live session of an identity. The newest session of an identity has it; the one before is told to go."""

import asyncio
from collections.abc import Iterable
from typing import Final

import msgspec
from grpc import StatusCode

from pilot_plus.model import SpiffeId
from pilot_plus.wire import edge_pb2 as pb
from pilot_plus.wire.edge import Edge
from pilot_plus.wire.trust import Trust


class Ending(msgspec.Struct, frozen=True):
    """How a session ended, and whether its edge is gone for good."""

    gone: bool = False
    """Take the edge out at once, rather than after a grace."""
    code: StatusCode = StatusCode.OK
    details: str = ""


LEFT: Final = Ending(gone=True)
LOST: Final = Ending()
SUPERSEDED: Final = Ending(code=StatusCode.ABORTED, details="another session of this identity has begun")


class Seat:
    """What one session has to hear, and how it ends."""

    def __init__(self, identity: SpiffeId, edge: Edge | None, serial: str) -> None:
        self.identity = identity
        self.edge = edge
        """None: a client's or a service's session, which is no instance."""
        self.serial = serial
        self.trust: Trust | None = None
        """Whom to believe, as was said last."""
        self._words: dict[str, pb.HubWord] = {}
        self._heard = asyncio.Event()
        self._ended = asyncio.Event()
        self._ending = LOST

    def __repr__(self) -> str:
        return f"<Seat of {self.identity}>"

    def say(self, word: pb.HubWord) -> None:
        """Let the session hear a word; a newer one of its kind takes its place."""
        self._words[word.WhichOneof("word") or ""] = word
        self._heard.set()

    async def words(self) -> Iterable[pb.HubWord]:
        """Wait for words, and take them."""
        await self._heard.wait()
        self._heard.clear()
        words, self._words = self._words, {}
        return words.values()

    def end(self, ending: Ending) -> None:
        """End the session; the first ending counts."""
        if not self._ended.is_set():
            self._ending = ending
            self._ended.set()

    async def ended(self) -> Ending:
        """Wait until the session is to end."""
        await self._ended.wait()
        return self._ending
