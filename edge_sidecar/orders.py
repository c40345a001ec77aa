"""Orders: what an agent is told by signals, from its first moment on."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager


class Orders:
    """SIGTERM or SIGINT: end in order; another one: at once. SIGHUP: let another Envoy take over."""

    def __init__(self) -> None:
        self.end = asyncio.Event()
        self.hurry = asyncio.Event()
        self._limit: asyncio.Timeout | None = None
        self._replace: Callable[[], None] | None = None

    @contextmanager
    def replacing(self, replace: Callable[[], None]) -> Iterator[None]:
        """There is an Envoy that can be replaced; as long as there is none SIGHUP does nothing."""
        self._replace = replace
        try:
            yield
        finally:
            self._replace = None

    @asynccontextmanager
    async def unless_told_to_end(self) -> AsyncIterator[None]:
        """What is done in here ends when the agent is told to end; whether it was, says `end`."""
        try:
            async with asyncio.timeout(None) as self._limit:
                yield
        except TimeoutError:
            if not self.end.is_set():
                raise
        finally:
            self._limit = None

    def told_to_end(self) -> None:
        """The first time in order, then at once."""
        (self.hurry if self.end.is_set() else self.end).set()
        if self._limit is not None and not self._limit.expired():
            self._limit.reschedule(asyncio.get_running_loop().time())

    def told_to_replace(self) -> None:
        """Let another Envoy take over."""
        if self._replace is not None:
            self._replace()


@contextmanager
def heard() -> Iterator[Orders]:
    """Orders by signals. After this the process ends, and hears none any more."""
    loop, orders = asyncio.get_running_loop(), Orders()
    acts = {
        signal.SIGTERM: orders.told_to_end,
        signal.SIGINT: orders.told_to_end,
        signal.SIGHUP: orders.told_to_replace,
    }
    for number, act in acts.items():
        loop.add_signal_handler(number, act)
    try:
        yield orders
    finally:
        for number in acts:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)
