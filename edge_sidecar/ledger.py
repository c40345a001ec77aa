"""The ledger: what Envoy has carried and counted, in files that somebody else takes away; nobody waits for it.

DATA/run/access.log     a line of JSON for each request, and for each connection that is none of HTTP or was refused.
                        Envoy writes it in batches; moved to access.log.1 before it grows beyond a bound
DATA/run/metrics.prom   all that Envoy counts, for Prometheus (as node-exporter's textfile collector reads it)
"""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

log = logging.getLogger(__name__)

EVERY: Final = 15.0
"""Seconds."""
LARGEST: Final = 64 << 20
"""Bytes of one access log; there are at most two."""


class Counting(Protocol):
    """An Envoy's admin socket."""

    async def metrics(self, write: Callable[[bytes], object]) -> None:
        """What it counts, piece by piece."""
        ...

    async def reopen_logs(self) -> None:
        """Open the access log anew."""
        ...


class Ledger:
    """Keeps the files of one agent."""

    def __init__(self, folder: Path, newest: Callable[[], Counting | None], largest: int = LARGEST) -> None:
        """`folder`: the agent's data; `newest`: the Envoy that serves now, if there is one."""
        self._log = folder / "run" / "access.log"
        self._metrics = folder / "run" / "metrics.prom"
        self._newest = newest
        self._largest = largest
        self._must_reopen = False

    async def keep(self, every: float = EVERY) -> None:
        """Keep them until cancelled."""
        while True:
            await asyncio.sleep(every)
            envoy = self._newest()
            if envoy is None:
                continue
            try:
                await self.look(envoy)
            except OSError as error:
                log.debug("access log and metrics: %s", error)

    async def look(self, envoy: Counting) -> None:
        """Write the metrics, and move the access log away if it is large.

        Raises:
            OSError: Envoy doesn't answer, or a file can't be written.
        """
        self._must_reopen |= await asyncio.to_thread(self._moved)
        if self._must_reopen:
            await envoy.reopen_logs()
            self._must_reopen = False
        fresh = self._metrics.with_suffix(".fresh")
        file = await asyncio.to_thread(fresh.open, "wb")
        with file:
            await envoy.metrics(file.write)
        await asyncio.to_thread(fresh.replace, self._metrics)

    def _moved(self) -> bool:
        if not self._log.exists() or self._log.stat().st_size <= self._largest:
            return False
        self._log.replace(self._log.with_suffix(".log.1"))
        return True
