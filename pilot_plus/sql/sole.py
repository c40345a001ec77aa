"""The sole one: of several copies of a hub on one PostgreSQL, who may do what only one should do.

An advisory lock of a session of its own: it is free again as soon as its holder is gone, without any clock. On SQLite
there is one hub, which is always the one.
"""

from typing import Any, Final

from pilot_plus.sql.store import LOCK_SPACE, Store, errors_of, link_to

_CLAIM: Final = "SELECT pg_try_advisory_lock($1, $2)"
_STILL: Final = "SELECT 1"


class Sole:
    """A claim to be the only one."""

    def __init__(self, store: Store, turn: int) -> None:
        """`turn`: what it is about; no other lock of ours has the same number."""
        self._store = store
        self._turn = turn
        self._link: Any = None
        self._is_ours = False

    async def claim(self) -> bool:
        """Whether it is us now: still, or because nobody else is any more.

        Raises:
            OSError: the database does not say; then it is not us.
        """
        if self._store.is_sqlite:
            return True
        try:
            with errors_of(self._store.place):
                if self._link is None:
                    self._link = await link_to(self._store.place)
                if self._is_ours:
                    await self._link.fetchval(_STILL)
                else:
                    self._is_ours = await self._link.fetchval(_CLAIM, LOCK_SPACE, self._turn)
        except OSError:
            await self.close()
            raise
        return self._is_ours

    async def close(self) -> None:
        """Let it go."""
        link, self._link, self._is_ours = self._link, None, False
        if link is not None:
            link.terminate()
