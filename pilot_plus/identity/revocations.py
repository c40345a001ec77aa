"""What was taken back: identities until they are given back, certificates until they would have ended anyway."""

from datetime import datetime
from typing import Final

import msgspec

from pilot_plus.identity.store import Store
from pilot_plus.model import parse_spiffe
from pilot_plus.wire.certificates import Clock

KIND: Final = "identity-revoked"


class Revoked(msgspec.Struct, frozen=True, kw_only=True):
    """An entry."""

    what: str
    """A SPIFFE ID, or a serial number in hexadecimal."""
    reason: str
    since: datetime
    until: datetime | None = None
    """None: until it is given back."""


class Revocations:
    """The list, in the store."""

    def __init__(self, store: Store, now: Clock) -> None:
        self._store = store
        self._now = now

    async def revoke(self, what: str, reason: str = "", until: datetime | None = None) -> Revoked:
        """Take an identity or a certificate back.

        Raises:
            ValueError: it is neither a SPIFFE ID nor a serial number.
            OSError: the store can't be written.
        """
        what = _canonical(what)
        entry = Revoked(what=what, reason=reason[:500], since=self._now(), until=until)
        await self._store.put(KIND, what, msgspec.json.encode(entry))
        return entry

    async def lift(self, what: str) -> None:
        """Give it back.

        Raises:
            ValueError: it is neither a SPIFFE ID nor a serial number.
            OSError: the store can't be written.
        """
        await self._store.delete(KIND, _canonical(what))

    async def load(self) -> list[Revoked]:
        """What is revoked now; what has ended is removed.

        Raises:
            OSError: the store can't be read or written.
        """
        entries = [(found, msgspec.json.decode(found.payload, type=Revoked)) for found in await self._store.list(KIND)]
        now = self._now()
        for found, entry in entries:
            if entry.until is not None and entry.until < now:
                await self._store.delete(KIND, found.key)
        return [entry for _, entry in entries if entry.until is None or entry.until >= now]


def _canonical(what: str) -> str:
    if what.startswith("spiffe://"):
        return str(parse_spiffe(what))
    digits = what.replace(":", "").lower()
    try:
        number = int(digits, 16) if len(digits) <= 40 else 0
    except ValueError:
        number = 0
    if number <= 0:
        raise ValueError(f"{what[:80]!r} is neither a SPIFFE ID nor a serial number in hexadecimal")
    return f"{number:x}"
