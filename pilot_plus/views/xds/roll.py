"""A roll: the endpoints of one port of a service, kept so that one change costs little however many there are.

Endpoints that are alike (one registry, one locality, spoken to in one way) are a group, and a group is divided into
sheets by a hash of the address. A sheet keeps its bytes joined, and a digest of them; after a change one sheet is
joined anew, and the load assignment from all sheets:

    group zk, eu/a, plain      sheet 0    10.1.0.7:8080  10.1.3.1:8080 …      joined, digest
                               sheet 1    10.1.0.9:8080 …                     ← one of these changed: joined anew
                               …

An address that comes twice is there once, at its best place: gRPC refuses all if one comes twice.
"""

from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b
from typing import Final, NamedTuple, TypeAlias
from zlib import crc32

import msgspec

from pilot_plus.model import Locality
from pilot_plus.views.xds.encoding import field_head, text_field
from pilot_plus.views.xds.endpoint import ASSIGNMENT_POLICY, MOST, Security, Target, endpoint, group_head, listed

SHEETS: Final = 128
"""Of one group, at most. Content alone decides on which sheet an endpoint stands: every copy of the hub agrees."""

Rank: TypeAlias = tuple[bool, int]
"""Smaller ones are used first (`horizon.priorities`)."""
Ranking: TypeAlias = Callable[["Kin"], Rank]
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


class Entrant(msgspec.Struct):
    """An endpoint that may stand on a roll."""

    kin: Kin
    id: str
    target: Target
    written: bytes = b""
    """As it stands in a group, once somebody has needed it."""

    def is_like(self, other: "Entrant") -> bool:
        """Whether nothing tells them apart."""
        return self.kin == other.kin and self.id == other.id and self.target == other.target


class Roll:
    """The endpoints of one port."""

    def __init__(self) -> None:
        self.shape: object = object()
        """A new one when a group comes or goes, or an endpoint with a host name changes."""
        self._entrants: dict[At, list[tuple[str, Entrant]]] = {}
        self._groups: dict[Kin, _Group] = {}
        self._rivals: set[At] = set()
        self._named: dict[At, Entrant] = {}
        self._weight = 0
        self._shift = 0

    def __repr__(self) -> str:
        return f"<Roll of {len(self._entrants)} endpoints in {len(self._groups)} groups>"

    # -------------------------------------------------------------------------------------------- changing

    def enter(self, who: str, entrant: Entrant, ranking: Ranking) -> None:
        """Somebody (who has not entered that address before) stands for an address."""
        at = entrant.target.at
        standing = self._entrants.setdefault(at, [])
        before = standing[0][1] if standing else None
        standing.append((who, entrant))
        self._settle(at, before, ranking)

    def leave(self, who: str, at: At, ranking: Ranking) -> None:
        """Somebody does not stand for an address any more."""
        standing = self._entrants[at]
        before = standing[0][1]
        standing[:] = [one for one in standing if one[0] != who]
        self._settle(at, before, ranking)

    def settle_rivals(self, ranking: Ranking) -> None:
        """Choose anew where several stand for one address."""
        for at in tuple(self._rivals):
            self._settle(at, self._entrants[at][0][1], ranking)

    def _settle(self, at: At, before: Entrant | None, ranking: Ranking) -> None:
        """Bring the best one to the front, and onto its sheet."""
        standing = self._entrants[at]
        if len(standing) > 1:
            standing.sort(key=lambda one: (ranking(one[1].kin), one[1].id, one[0]))
            self._rivals.add(at)
        else:
            self._rivals.discard(at)
        after = standing[0][1] if standing else None
        if not standing:
            del self._entrants[at]
        if before is after:
            return
        if before is not None:
            self._strike(at, before)
        if after is not None:
            self._write(at, after)

    def _write(self, at: At, entrant: Entrant) -> None:
        kin = entrant.kin
        if kin not in self._groups:
            self._groups[kin] = _Group()
            self.shape = object()
        self._groups[kin].put(at, entrant)
        if kin.is_named:
            self._named[at] = entrant
            self.shape = object()
        self._weigh(entrant.target.weight)

    def _strike(self, at: At, entrant: Entrant) -> None:
        kin = entrant.kin
        if not self._groups[kin].remove(at, entrant):
            del self._groups[kin]
            self.shape = object()
        if kin.is_named:
            del self._named[at]
            self.shape = object()
        self._weigh(-entrant.target.weight)

    def _weigh(self, more: int) -> None:
        """Where the weights are too much together, all are divided by a power of two."""
        self._weight += more
        shift = (self._weight // MOST).bit_length()
        if shift != self._shift:
            self._shift = shift
            for group in self._groups.values():
                group.forget()

    # -------------------------------------------------------------------------------------------- asking

    def assignment(self, name: str, ranking: Ranking, chosen: Callable[[Kin], bool] | None = None) -> tuple[bytes, str]:
        """The endpoints of the chosen groups (or all) as a `ClusterLoadAssignment`, and its version."""
        kins = [kin for kin in self._groups if chosen is None or chosen(kin)]
        head = text_field(1, name) + ASSIGNMENT_POLICY
        body, digest = [head], blake2b(head, digest_size=12)
        for priority, locality, together in _by_place(kins, ranking):
            groups = [self._groups[kin] for kin in together]
            usable = sum(group.usable >> self._shift for group in groups)
            begin = group_head(locality, priority, usable)
            sheets = [sheet for group in groups for sheet in group.sheets(self._shift)]
            digest.update(begin + b"".join([sheet.digest for sheet in sheets]))
            joined = [sheet.joined for sheet in sheets]
            body += field_head(2, len(begin) + sum(map(len, joined))), begin, *joined
        return b"".join(body), digest.hexdigest()

    def securities(self, ranking: Ranking) -> tuple[Security, ...]:
        """How endpoints with an IP address are spoken to, those of the best priority first."""
        with_ip = [kin for kin in self._groups if not kin.is_named]
        ordered = sorted(with_ip, key=lambda kin: (ranking(kin), kin.security.order))
        return tuple(dict.fromkeys(kin.security for kin in ordered))

    def named(self, ranking: Ranking) -> tuple[Target, ...]:
        """The endpoints that have a host name, those of the best priority first."""
        ordered = sorted(self._named.items(), key=lambda item: (ranking(item[1].kin), item[0]))
        return tuple(entrant.target for _, entrant in ordered)


class _Sheet:
    """Some endpoints of a group."""

    __slots__ = ("digest", "entrants", "joined")

    def __init__(self) -> None:
        self.entrants: dict[At, Entrant] = {}
        self.joined = b""
        self.digest = b""

    def join(self, shift: int) -> None:
        for entrant in self.entrants.values():
            if not entrant.written:
                entrant.written = listed(endpoint(entrant.target, shift))
        self.joined = b"".join([self.entrants[at].written for at in sorted(self.entrants)])
        self.digest = blake2b(self.joined, digest_size=12).digest()


class _Group:
    """Endpoints that are alike."""

    __slots__ = ("_sheets", "usable")

    def __init__(self) -> None:
        self._sheets: dict[int, _Sheet] = {}
        self.usable = 0
        """The weight of those that may get new work."""

    def put(self, at: At, entrant: Entrant) -> None:
        sheet = self._sheets.setdefault(_sheet_of(at), _Sheet())
        sheet.entrants[at] = entrant
        sheet.joined = b""
        self.usable += entrant.target.weight if entrant.target.is_useful else 0

    def remove(self, at: At, entrant: Entrant) -> bool:
        """Say whether anybody is left."""
        number = _sheet_of(at)
        sheet = self._sheets[number]
        del sheet.entrants[at]
        sheet.joined = b""
        if not sheet.entrants:
            del self._sheets[number]
        self.usable -= entrant.target.weight if entrant.target.is_useful else 0
        return bool(self._sheets)

    def forget(self) -> None:
        """What was written is not so any more."""
        for sheet in self._sheets.values():
            sheet.joined = b""
            for entrant in sheet.entrants.values():
                entrant.written = b""

    def sheets(self, shift: int) -> Iterator[_Sheet]:
        """In their order, joined."""
        for number in sorted(self._sheets):
            sheet = self._sheets[number]
            if not sheet.joined:
                sheet.join(shift)
            yield sheet


def _sheet_of(at: At) -> int:
    return crc32(at[0].encode(), at[1]) % SHEETS


def _by_place(kins: Iterable[Kin], ranking: Ranking) -> Iterator[tuple[int, Locality, list[Kin]]]:
    """The groups that share a priority and a locality. Priorities are without gaps."""
    ranks = {kin: ranking(kin) for kin in kins}
    order = {rank: index for index, rank in enumerate(sorted(set(ranks.values())))}
    places: dict[tuple[int, tuple[str, str, str]], list[Kin]] = {}
    for kin, rank in ranks.items():
        where = (kin.locality.region, kin.locality.az, kin.locality.subzone)
        places.setdefault((order[rank], where), []).append(kin)
    for (priority, _), together in sorted(places.items()):
        yield priority, together[0].locality, sorted(together, key=_kin_order)


def _kin_order(kin: Kin) -> tuple[object, ...]:
    return kin.registry, kin.is_last, kin.distance, kin.security.order, kin.is_named
