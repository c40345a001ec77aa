"""Heard: when each source was last heard, so that what a hub that starts shows as stale says its true age.

Times in the journal are the wall clock's, which may jump: they are shown, and decide nothing.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import Final, Protocol

import msgspec

from pilot_plus.catalog import Holder
from pilot_plus.journal.documents import Document
from pilot_plus.journal.scribe import wall

log = logging.getLogger(__name__)

KIND: Final = "heard"
EVERY: Final = 5.0
"""Seconds between two notes: by so much an age may be shown too old after a restart."""


class Documents(Protocol):
    """The journal's documents, as far as this needs them."""

    async def list(self, kind: str, /) -> Sequence[Document]:
        """All documents of a kind."""
        ...

    async def write(self, kind: str, puts: Mapping[str, bytes], deletes: Sequence[str] = ..., /) -> None:
        """Write many. Raises OSError."""
        ...


async def silences(documents: Documents, clock: Callable[[], float] = wall) -> Mapping[str, float]:
    """For how long each source has not been heard by any hub that noted it (seconds).

    Raises:
        OSError: the journal can't be read.
    """
    now = clock()
    heard = {one.key: msgspec.json.decode(one.payload, type=float) for one in await documents.list(KIND)}
    return {name: max(0.0, now - time) for name, time in heard.items()}


async def keep(holder: Holder, documents: Documents, every: float = EVERY) -> None:
    """Note when each source was heard, until cancelled."""
    noted = _heard(holder)
    while True:
        await asyncio.sleep(every)
        heard, to_wall = _heard(holder), wall() - monotonic()
        news = {name: b"%.3f" % (time + to_wall) for name, time in heard.items() if noted.get(name) != time}
        if not news:
            continue
        try:
            await documents.write(KIND, news)
        except OSError as error:
            log.debug("when sources were heard can't be noted: %s", error)  # who writes records says it louder
        else:
            noted = heard


def _heard(holder: Holder) -> dict[str, float]:
    sources = holder.current.sources.values()
    return {source.name: source.heard for source in sources if source.heard is not None and not source.is_built_in}
