"""A roll: the endpoints of one port of a service, kept so that one change costs little however many there are.

Endpoints that are alike (one registry, one locality, spoken to in one way) are a group, and a large group is divided
into sheets by a hash of the address. A sheet keeps its bytes joined, and a digest of them; after a change one sheet is
joined anew, and the load assignment from all sheets:

    group zk, eu/a, plain      sheet 0    10.1.0.7:8080  10.1.3.1:8080 …      joined, digest
                               sheet 1    10.1.0.9:8080 …                     ← one of these changed: joined anew
                               …

An address that comes twice is there once, at its best place: gRPC refuses all if one comes twice.
"""

from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b
from typing import TypeAlias

from pilot_plus.catalog import Place
from pilot_plus.model import Locality
from pilot_plus.views.xds.encoding import field_head, text_field
from pilot_plus.views.xds.endpoint import ASSIGNMENT_POLICY, MOST, Security, Target, group_head
from pilot_plus.views.xds.sheets import At, Entrant, Group, Kin

Rank: TypeAlias = tuple[bool, int]
"""Smaller ones are used first (`horizon.priorities`)."""
Ranking: TypeAlias = Callable[[Kin], Rank]


class Roll:
    """The endpoints of one port."""

    def __init__(self) -> None:
        self.shape: object = object()
        """A new one when a group comes or goes, or an endpoint with a host name changes."""
        self._first: dict[At, Entrant] = {}
        """Who stands for an address: on a sheet of its group."""
        self._rivals: dict[At, list[Entrant]] = {}
        """All who would, where they are several."""
        self._groups: dict[Kin, Group] = {}
        self._named: dict[At, Entrant] = {}
        self._weight = 0
        self._shift = 0

    def __repr__(self) -> str:
        return f"<Roll of {len(self._first)} endpoints in {len(self._groups)} groups>"

    @property
    def is_ranked(self) -> bool:
        """Whether the ranking matters: there is more than one group, or more than one for an address."""
        return len(self._groups) > 1 or bool(self._rivals)

    # -------------------------------------------------------------------------------------------- changing

    def enter(self, entrant: Entrant, ranking: Ranking) -> None:
        """Somebody (who does not stand there yet) stands for an address."""
        at = entrant.target.at
        before = self._first.get(at)
        if before is None:
            self._first[at] = entrant
            self._write(at, entrant)
        else:
            self._rivals.setdefault(at, [before]).append(entrant)
            self._settle(at, ranking)

    def leave(self, who: Place, at: At, ranking: Ranking) -> None:
        """Somebody does not stand for an address any more."""
        if at in self._rivals:
            self._rivals[at] = [one for one in self._rivals[at] if one.who != who]
            self._settle(at, ranking)
        else:
            self._strike(at, self._first.pop(at))

    def settle_rivals(self, ranking: Ranking) -> None:
        """Choose anew where several stand for one address."""
        for at in tuple(self._rivals):
            self._settle(at, ranking)

    def _settle(self, at: At, ranking: Ranking) -> None:
        """Let the best of several stand first, and on its sheet."""
        rivals, before = self._rivals[at], self._first[at]
        after = min(rivals, key=lambda one: (ranking(one.kin), one.id, one.who))
        if len(rivals) == 1:
            del self._rivals[at]
        if after is not before:
            self._strike(at, before)
            self._first[at] = after
            self._write(at, after)

    def _write(self, at: At, entrant: Entrant) -> None:
        kin = entrant.kin
        if kin not in self._groups:
            self._groups[kin] = Group()
            self.shape = object()
        self._groups[kin].put(at, entrant)
        if kin.is_named:
            self._named[at] = entrant
            self.shape = object()
        self._weigh(entrant.target.weight)

    def _strike(self, at: At, entrant: Entrant) -> None:
        kin = entrant.kin
        group = self._groups[kin]
        group.remove(at, entrant)
        if not group:
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
