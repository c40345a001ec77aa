"""Sheets: endpoints that are alike, divided by a hash of their addresses, each part joined and digested once.

While they are few they stand on one sheet; beyond `FEW`, on up to `MANY`. Content alone decides who stands where, so
every copy of the hub agrees on bytes and versions.
"""

from collections.abc import Iterator
from hashlib import blake2b
from typing import Final, NamedTuple, TypeAlias
from zlib import crc32

import msgspec

from pilot_plus.catalog import Place
from pilot_plus.model import Locality
from pilot_plus.views.xds.endpoint import Security, Target, endpoint, listed

FEW: Final = 64
MANY: Final = 128
At: TypeAlias = tuple[str, int]
"""Address and port number."""


class Kin(NamedTuple):
    """What endpoints of a group have in common."""

    registry: str
    """Empty for edges."""
    is_last: bool
    """It is to be used after all others; that its whole registry is stale is not noted here."""
    distance: int
    locality: Locality
    security: Security
    is_named: bool


class Entrant(msgspec.Struct, gc=False):
    """An endpoint that may stand on a roll."""

    kin: Kin
    id: str
    who: Place
    """Who stands there, by the place of a record: unique on its roll."""
    target: Target
    written: bytes = b""
    """As it stands in a group, once somebody has needed it."""

    def is_like(self, other: "Entrant") -> bool:
        """Whether nothing tells them apart but who they are."""
        return self.kin == other.kin and self.id == other.id and self.target == other.target


class Sheet:
    """Some endpoints of a group."""

    __slots__ = ("digest", "entrants", "joined")

    def __init__(self) -> None:
        self.entrants: dict[At, Entrant] = {}
        self.joined = b""
        self.digest = b""

    def join(self, shift: int) -> None:
        """Write what is not written yet."""
        for entrant in self.entrants.values():
            if not entrant.written:
                entrant.written = listed(endpoint(entrant.target, shift))
        self.joined = b"".join([self.entrants[at].written for at in sorted(self.entrants)])
        self.digest = blake2b(self.joined, digest_size=12).digest()


class Group:
    """Endpoints that are alike."""

    __slots__ = ("_count", "_sheets", "usable")

    def __init__(self) -> None:
        self._sheets: dict[int, Sheet] = {0: Sheet()}
        self._count = 0
        self.usable = 0
        """The weight of those that may get new work."""

    def __len__(self) -> int:
        return self._count

    def put(self, at: At, entrant: Entrant) -> None:
        """One more."""
        self._count += 1
        if self._count == FEW + 1:
            self._divide(self._sheets.pop(0).entrants)
        self._place(at, entrant)
        if entrant.target.is_useful:
            self.usable += entrant.target.weight

    def remove(self, at: At, entrant: Entrant) -> None:
        """One less."""
        number = _number(at) if self._count > FEW else 0
        sheet = self._sheets[number]
        del sheet.entrants[at]
        sheet.joined = b""
        if not sheet.entrants and self._count > FEW:
            del self._sheets[number]
        self._count -= 1
        if self._count == FEW:
            self._unite()
        if entrant.target.is_useful:
            self.usable -= entrant.target.weight

    def forget(self) -> None:
        """What was written is not so any more."""
        for sheet in self._sheets.values():
            sheet.joined = b""
            for entrant in sheet.entrants.values():
                entrant.written = b""

    def sheets(self, shift: int) -> Iterator[Sheet]:
        """In their order, joined; weights are divided by a power of two."""
        for number in sorted(self._sheets):
            sheet = self._sheets[number]
            if not sheet.joined:
                sheet.join(shift)
            yield sheet

    def _place(self, at: At, entrant: Entrant) -> None:
        number = _number(at) if self._count > FEW else 0
        sheet = self._sheets.get(number)
        if sheet is None:
            sheet = self._sheets[number] = Sheet()
        sheet.entrants[at] = entrant
        sheet.joined = b""

    def _divide(self, entrants: dict[At, Entrant]) -> None:
        for at, entrant in entrants.items():
            self._place(at, entrant)

    def _unite(self) -> None:
        together = Sheet()
        for sheet in self._sheets.values():
            together.entrants.update(sheet.entrants)
        self._sheets = {0: together}


def _number(at: At) -> int:
    return crc32(at[0].encode(), at[1]) % MANY
