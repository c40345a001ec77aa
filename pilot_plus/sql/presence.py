"""Presence: which copies of a hub on one PostgreSQL are there now.

Each holds an advisory lock of a number of its own, in a session of its own: it is gone as soon as its holder is,
without any clock. On SQLite there is one hub.
"""

import secrets
from typing import Any, Final

from pilot_plus.sql.store import LOCK_SPACE, Store, errors_of, link_to

SPACE: Final = LOCK_SPACE + 1
_ENTER: Final = "SELECT pg_try_advisory_lock($1, $2)"
_PRESENT: Final = """
    SELECT objid::bigint FROM pg_locks
    WHERE locktype = 'advisory' AND classid::bigint = $1 AND objsubid = 2 AND granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


class Presence:
    """That we are there, and who else is."""

    def __init__(self, store: Store) -> None:
        self.number = 1 + secrets.randbelow(2**31 - 1)
        """Ours, as long as this process lives."""
        self._store = store
        self._link: Any = None

    async def present(self) -> frozenset[int]:
        """The numbers of all who are there, ours among them.

        Raises:
            OSError: the database does not say.
        """
        if self._store.is_sqlite:
            return frozenset((self.number,))
        try:
            with errors_of(self._store.place):
                if self._link is None:
                    self._link = await link_to(self._store.place)
                    await self._link.fetchval(_ENTER, SPACE, self.number)
                rows = await self._link.fetch(_PRESENT, SPACE)
        except OSError:
            self.close()
            raise
        return frozenset((self.number, *(row[0] for row in rows)))

    def close(self) -> None:
        """Leave."""
        link, self._link = self._link, None
        if link is not None:
            link.terminate()
