"""One session with ZooKeeper, for asyncio: requests in batches, events and losses in the order in which they came.

Everything that kazoo's thread has to say goes into one queue, and wakes the event loop once for a burst:

    connection's thread   answer, answer, event, answer, lost …  ->  queue  ->  one call_soon_threadsafe
    event loop            drains it: completes batches, keeps the newest event of each path, remembers the loss
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, TypeAlias, TypeVar

from kazoo.client import KazooClient
from kazoo.exceptions import KazooException, NoNodeError, ZookeeperError
from kazoo.protocol.serialization import CloseInstance
from kazoo.protocol.states import KazooState, KeeperState

from pilot_plus.ports import SourceLost
from registries.tls import client_context
from registries.zookeeper.handler import Handler
from registries.zookeeper.requests import Request, Stat
from registries.zookeeper.settings import Settings
from registries.zookeeper.stream import IN_FLIGHT, Stream

CREATED, DELETED, CHANGED, CHILD = 1, 2, 3, 4
MAX_EVENTS: Final = 1 << 18
"""Paths with changes that nobody has taken yet: beyond it a new list costs less than the memory."""

_log = logging.getLogger("registries.zookeeper.kazoo")
_log.setLevel(logging.CRITICAL + 1)  # kazoo logs every reconnect, and passwords at its finest level

T = TypeVar("T")
Answer: TypeAlias = T | KazooException


class _Batch:
    """Requests that are awaited together."""

    def __init__(self, size: int, loop: asyncio.AbstractEventLoop) -> None:
        self.answers: list[Any] = [None] * size
        self.missing = size
        self.done: asyncio.Future[None] = loop.create_future()

    def take(self, index: int, answer: object) -> None:
        self.answers[index] = answer
        self.missing -= 1
        if not self.missing and not self.done.done():
            self.done.set_result(None)


class _Reply:
    """Where kazoo puts one answer: in place of its own result objects, which need a thread more."""

    __slots__ = ("_batch", "_index", "_post")

    def __init__(self, post: Callable[[Callable[[], None]], None], batch: _Batch, index: int) -> None:
        self._post, self._batch, self._index = post, batch, index

    def set(self, value: object = None) -> None:
        """Take an answer, in the connection's thread."""
        self._post(lambda: self._batch.take(self._index, value))

    def set_exception(self, error: KazooException) -> None:
        """Take the reason why there is none, in the connection's thread."""
        self._post(lambda: self._batch.take(self._index, error))


class Connection:
    """A session; made by `connection()`."""

    def __init__(self, settings: Settings) -> None:
        """Make the client; nothing is open yet."""
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._queue: deque[Callable[[], None]] = deque()
        self._is_awake = False
        self._events: dict[str, int] = {}
        self._news = asyncio.Event()
        self._connected = asyncio.Event()
        self._ended = asyncio.Event()
        self._waiting: set[asyncio.Future[None]] = set()
        self._refused: dict[str, str] = {}
        self._has_started = False
        self._has_begun = False
        self.lost = ""
        """Why events may have been missed since the session began; empty while none can have been."""
        self.is_over = False
        """The session has ended, and with it everything that lived on it."""
        self.keeps_session = False
        """Something lives on the session that is to survive us: then it is left to its time-out."""
        tls = client_context(settings.tls) if settings.tls else None
        server_name = settings.tls.server_name if settings.tls else ""
        self._handler = Handler(tls, server_name, self._on_attempt, self._on_end)
        self._client = self._kazoo()
        self._prefix: str = self._client.chroot
        self._stream = Stream(self._client, self._handler, self._on_event)
        self._patience = settings.session_seconds

    def _kazoo(self) -> Any:
        settings, credentials = self._settings, None
        if settings.username and settings.auth == "digest":
            credentials = {("digest", f"{settings.username}:{settings.password}")}
        sasl = {"mechanism": "DIGEST-MD5", "username": settings.username, "password": settings.password}
        client = KazooClient(
            hosts=settings.hosts,
            timeout=settings.session_seconds,
            handler=self._handler,
            auth_data=credentials,
            sasl_options=sasl if settings.auth == "sasl" else None,
            connection_retry={"max_tries": -1, "max_delay": 1.0, "sleep_func": self._handler.sleep_func},
            command_retry={"sleep_func": self._handler.sleep_func},
            logger=_log,
        )
        client.add_listener(self._on_state)
        return client

    @property
    def session_id(self) -> int:
        """Which the server writes into every ephemeral node of ours; 0 before the session has begun."""
        return int(self._client._session_id or 0)

    async def ask(self, requests: Sequence[Request[T]]) -> list[T | None]:
        """The answers in order; None where there is no such node.

        Raises:
            SourceLost: anything else went wrong with any of them, or events may have been missed.
        """
        if self.lost:
            raise SourceLost(self.lost)
        answers = await self.try_all(requests)
        for request, answer in zip(requests, answers, strict=True):
            if isinstance(answer, KazooException) and not isinstance(answer, NoNodeError):
                raise SourceLost(f"{getattr(request, 'path', '')}: {self.in_words(answer)}") from answer
        return [None if isinstance(answer, KazooException) else answer for answer in answers]

    async def try_all(self, requests: Sequence[Request[T]]) -> list[Answer[T]]:
        """The answers in order, each what was asked for or why not.

        Raises:
            SourceLost: the server says nothing at all any more.
        """
        answers: list[Answer[T]] = []
        for start in range(0, len(requests), IN_FLIGHT):
            answers += await self._try_some(requests[start : start + IN_FLIGHT])
        return answers

    async def _try_some(self, requests: Sequence[Request[T]]) -> list[Answer[T]]:
        if self.is_over:
            raise SourceLost(self.lost)
        batch = _Batch(len(requests), self._loop)
        self._waiting.add(batch.done)
        self._client._queue.extend(
            (request.below(self._prefix) if self._prefix else request, _Reply(self._post, batch, index))
            for index, request in enumerate(requests)
        )
        self._stream.wake()
        try:
            await self._answered(batch.done)
        finally:
            self._waiting.discard(batch.done)
        return batch.answers

    async def _answered(self, done: asyncio.Future[None]) -> None:
        asked = time.monotonic()
        while not done.done():
            await asyncio.wait((done,), timeout=self._patience / 4)
            if self.is_over:
                raise SourceLost(self.lost)
            if time.monotonic() - max(self._handler.last_heard, asked) > self._patience:
                raise SourceLost(f"no answer for {self._patience:g} s")

    async def events(self, timeout: float) -> dict[str, int]:
        """Every path that has changed, each with its newest event, in order; empty after so many seconds of quiet.

        Raises:
            SourceLost: events may have been missed.
        """
        if not self._events and not self.lost:
            self._news.clear()
            try:
                async with asyncio.timeout(timeout):
                    await self._news.wait()
            except TimeoutError:
                return {}
        if self.lost:
            raise SourceLost(self.lost)
        events, self._events = self._events, {}
        return events

    def in_words(self, error: KazooException) -> str:
        """What went wrong, for people."""
        if self.lost and not isinstance(error, ZookeeperError):
            return self.lost
        return " ".join(filter(None, (type(error).__name__.removesuffix("Error"), str(error))))

    async def open(self) -> None:
        """Begin the session.

        Raises:
            SourceLost: no server can be reached in time, or it refuses.
        """
        self._has_started = True
        self._client.start_async()
        try:
            async with asyncio.timeout(self._settings.connect_seconds):
                await self._connected.wait()
                if not self.is_over:
                    await self.ask([Stat("/")])  # kazoo says "connected" before it has shown who we are
        except TimeoutError as error:
            raise SourceLost(self._named(self._why_not())) from error
        if self.is_over:
            raise SourceLost(self._named(self.lost))

    def _named(self, why: str) -> str:
        """Why, with the servers in front where they are not named already."""
        hosts = self._settings.hosts
        return why if why.startswith(f"{hosts}: ") else f"{hosts}: {why}"

    async def close(self) -> None:
        """End the connection, and the session unless it is kept."""
        self._client._stopped.set()
        try:
            if self._has_begun and not self.keeps_session and not self.is_over:
                self._client._queue.append((CloseInstance, None))
                self._stream.wake()
                with suppress(TimeoutError):  # a server that says nothing is left without a farewell
                    async with asyncio.timeout(1.0):
                        await self._ended.wait()
        finally:
            self._handler.interrupt()
            try:
                if self._has_started:
                    await self._ended.wait()
            finally:
                self._client._connection.stop()
                self._client._connection.close()
                self._handler.close()

    def _why_not(self) -> str:
        return "; ".join(f"{where}: {why}" for where, why in self._refused.items()) or "no answer"

    # What the connection's thread calls.

    def _post(self, news: Callable[[], None]) -> None:
        self._queue.append(news)
        if not self._is_awake:
            self._is_awake = True
            self._loop.call_soon_threadsafe(self._drain)

    def _on_event(self, kind: int, path: str) -> None:
        self._post(lambda: self._take_event(kind, path))

    def _on_state(self, state: str) -> None:
        keeper = self._client.client_state
        self._post(lambda: self._take_state(state, keeper))

    def _on_attempt(self, where: str, error: OSError) -> None:
        self._post(lambda: self._take_refusal(where, error))

    def _on_end(self, error: BaseException | None) -> None:
        self._post(lambda: self._take_end(error))

    # What the event loop makes of it.

    def _drain(self) -> None:
        self._is_awake = False  # first: what is queued from here on wakes us again
        while self._queue:
            self._queue.popleft()()

    def _take_event(self, kind: int, path: str) -> None:
        self._events.pop(path, None)
        self._events[path] = kind
        if len(self._events) > MAX_EVENTS:
            self._lose(f"more than {MAX_EVENTS} changes are waiting")
        self._news.set()

    def _take_state(self, state: str, keeper: str) -> None:
        if state == KazooState.CONNECTED:
            self._has_begun = True
            self._connected.set()
        elif keeper == KeeperState.AUTH_FAILED:
            self._end("the server refuses user or password")
        elif state == KazooState.SUSPENDED:
            self._lose("the connection broke")
        elif keeper == KeeperState.EXPIRED_SESSION:
            self._end("the session has expired")
        else:
            self._end("the connection was closed")

    def _take_refusal(self, where: str, error: OSError) -> None:
        why = error.strerror or str(error) or type(error).__name__
        has_tried_all = where in self._refused
        self._refused[where] = why
        if has_tried_all and not self._has_begun:
            self._end(self._why_not())

    def _take_end(self, error: BaseException | None) -> None:
        self._ended.set()
        self._end("the connection ended" + (f": {error}" if error else ""))

    def _lose(self, why: str) -> None:
        self.lost = self.lost or why
        self._news.set()

    def _end(self, why: str) -> None:
        self.is_over = True
        self._lose(why)
        self._connected.set()
        for done in self._waiting:
            if not done.done():
                done.cancel()


@asynccontextmanager
async def connection(settings: Settings) -> AsyncIterator[Connection]:
    """A session, from its begin to its end.

    Raises:
        SourceLost: no server can be reached, or it refuses.
    """
    opened = Connection(settings)
    try:
        await opened.open()
        yield opened
    finally:
        await opened.close()
