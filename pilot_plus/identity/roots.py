"""The roots of an authority, and how one takes over from another without anybody noticing.

    made     a root; it signs at once, for nobody believes anything yet
    rotate   the next one is made, and everybody is told to believe it; the first still signs
    + life   whoever holds a valid certificate has got it, and the next root with it: now that one signs
    + life   no certificate of the first is valid any more: it is believed no longer

`life` is that of a leaf (`leaf_ttl`). So every certificate, at any moment, is believed by every holder of another.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Protocol

import msgspec

from pilot_plus.identity.leaves import BACKDATED, new_root
from pilot_plus.identity.store import ABSENT, Conflict, Store
from pilot_plus.wire.certificates import (
    Certificate,
    Clock,
    PrivateKey,
    checked_key,
    key_pem,
    new_key,
    pem,
    public_bytes,
    read_key,
    read_pem,
)

KIND: Final = "identity"
KEY: Final = "roots"
SPENT: Final = 0.8
"""The part of its life after which a root is replaced."""


class Root(msgspec.Struct, frozen=True, kw_only=True):
    """A root: with its key if it signs, or is to sign, here."""

    certificate: Certificate
    key: PrivateKey | None = None
    signs_from: datetime | None = None
    """None: it is only believed."""
    believed_until: datetime | None = None
    """None: as long as it is valid."""

    def __repr__(self) -> str:
        """Never the key."""
        return f"<Root {self.certificate.subject.rfc4514_string()}>"


class Roots(Protocol):
    """Where roots come from."""

    async def load(self) -> Sequence[Root]:
        """All of them, oldest first. `ValueError` where they can't be used, `OSError` where they can't be read."""
        ...

    async def rotate(self) -> None:
        """Begin to replace the root. `ValueError` where that can't be done now, or not by the hub."""
        ...


def signing(roots: Sequence[Root], now: datetime) -> Root:
    """The root that signs now.

    Raises:
        ValueError: there is none.
    """
    ready = [root for root in roots if root.key is not None and root.signs_from is not None and root.signs_from <= now]
    if not ready:
        raise ValueError("no root signs now: is this machine's clock right?")
    return ready[-1]


def believed(roots: Sequence[Root], now: datetime) -> tuple[Root, ...]:
    """The roots that are believed now."""
    return tuple(root for root in roots if root.believed_until is None or now < root.believed_until)


def with_next(roots: Sequence[Root], next_one: Root, now: datetime, life: timedelta) -> tuple[Root, ...]:
    """Roots among which a next one has been made, to sign after a life.

    Raises:
        ValueError: another one is being introduced already.
    """
    if any(root.signs_from is not None and root.signs_from > now for root in roots):
        raise ValueError("a new root is being introduced already: wait until it signs")
    signs_from = now + life
    last = signs_from + life + 2 * BACKDATED
    kept = [msgspec.structs.replace(root, believed_until=root.believed_until or last) for root in believed(roots, now)]
    return (*kept, msgspec.structs.replace(next_one, signs_from=signs_from))


def is_spent(roots: Sequence[Root], now: datetime) -> bool:
    """Whether it is time for a next root."""
    youngest = roots[-1].certificate
    begin, end = youngest.not_valid_before_utc, youngest.not_valid_after_utc
    return now > begin + (end - begin) * SPENT


class _Record(msgspec.Struct, frozen=True, kw_only=True):
    certificate: str
    key: str
    signs_from: datetime
    believed_until: datetime | None = None


class JournalRoots:
    """Roots of our own, in the store. The first copy of the hub that asks makes them."""

    def __init__(self, store: Store, trust_domain: str, *, ttl: timedelta, life: timedelta, now: Clock) -> None:
        self._store = store
        self._trust_domain = trust_domain
        self._ttl = ttl
        self._life = life
        self._now = now

    async def load(self) -> Sequence[Root]:
        """As `Roots`; makes the first one."""
        found = await self._store.get(KIND, KEY)
        if found is None:
            try:
                found = await self._store.put(KIND, KEY, _encoded([self._made()]), expected=ABSENT)
            except Conflict:  # another copy was quicker
                return await self.load()
        return _decoded(found.payload)

    async def rotate(self) -> None:
        """As `Roots`."""
        await self.load()
        found = await self._store.get(KIND, KEY)
        if found is None:
            return
        roots = with_next(_decoded(found.payload), self._made(), self._now(), self._life)
        try:
            await self._store.put(KIND, KEY, _encoded(roots), expected=found.revision)
        except Conflict as error:
            raise ValueError("another copy of the hub is introducing a new root already") from error

    def _made(self) -> Root:
        key, now = new_key(), self._now()
        certificate = new_root(key, self._trust_domain, now, self._ttl)
        return Root(certificate=certificate, key=key, signs_from=now)


class FileRoots:
    """Roots given as files. To rotate, put the next certificate behind the first; later the first behind the next."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self._certificate = certificate
        self._key = key

    async def load(self) -> Sequence[Root]:
        """As `Roots`; the files are read anew each time, so that they can be replaced."""
        first, *others = read_pem(self._certificate.read_bytes())
        try:
            key = read_key(self._key.read_bytes())
        except ValueError as error:
            raise ValueError(f"identity.root_key: {self._key}: {error}") from error
        if public_bytes(key.public_key()) != public_bytes(checked_key(first.public_key())):
            raise ValueError(
                f"identity.root_key: {self._key} is not the key of the first certificate in the other file"
            )
        signer = Root(certificate=first, key=key, signs_from=first.not_valid_before_utc)
        return (*(Root(certificate=other) for other in others), signer)

    async def rotate(self) -> None:
        """As `Roots`: never here."""
        raise ValueError("the root is given as files (identity.root_cert): add the next one to the file")


def _encoded(roots: Sequence[Root]) -> bytes:
    return msgspec.json.encode(
        [
            _Record(
                certificate=pem([root.certificate]).decode(),
                key=key_pem(root.key).decode(),
                signs_from=root.signs_from,
                believed_until=root.believed_until,
            )
            for root in roots
            if root.key is not None and root.signs_from is not None
        ]
    )


def _decoded(payload: bytes) -> Sequence[Root]:
    try:
        records = msgspec.json.decode(payload, type=list[_Record])
        return tuple(
            Root(
                certificate=read_pem(record.certificate.encode())[0],
                key=read_key(record.key.encode()),
                signs_from=record.signs_from,
                believed_until=record.believed_until,
            )
            for record in records
        )
    except ValueError as error:
        raise ValueError("the roots in the journal can't be read: were they changed by hand?") from error
