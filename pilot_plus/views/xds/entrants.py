"""Entrants: what an endpoint becomes on the rolls of its ports."""

from functools import lru_cache

from pilot_plus.catalog import Place
from pilot_plus.model import Instance
from pilot_plus.quantities import is_ip
from pilot_plus.views.horizon import Seen
from pilot_plus.views.host import sni_of
from pilot_plus.views.xds.endpoint import PLAIN, Proof, Security, Target
from pilot_plus.views.xds.face import Face
from pilot_plus.views.xds.roll import Rank
from pilot_plus.views.xds.rolls import Entrants
from pilot_plus.views.xds.sheets import Entrant, Kin
from pilot_plus.views.xds.tls import Domains, must_be


def entrants_of(domains: Domains, face: Face, shown: Instance, place: Place, rank: Rank, *, is_mtls: bool) -> Entrants:
    """An instance at its own address; `rank` but for the state of its whole registry."""
    security = Security(Proof.SERVICE, shown.zone) if is_mtls else PLAIN
    kin = _kin(place[0], *rank, shown.locality, security, not is_ip(shown.address))
    return _of(domains, face, shown, place, kin)


def entrants_of_edge(domains: Domains, face: Face, shown: Seen, rank: Rank) -> Entrants:
    """An edge in place of what stands behind it."""
    security = Security(Proof.EDGE, shown.zone)
    kin = _kin("", *rank, shown.locality, security, not is_ip(shown.address))
    return _of(domains, face, shown, shown.place, kin)


def _of(domains: Domains, face: Face, shown: Instance | Seen, place: Place, kin: Kin) -> Entrants:
    if not _can_be_met(domains, kin.security, face.service):
        return ()
    found = []
    for port in shown.ports:
        cluster = sni_of(port.name, face.host)
        target = Target(
            address=shown.address,
            number=port.number,
            health=shown.health,
            weight=shown.weight,
            security=kin.security,
            sni=cluster if kin.security != PLAIN else "",
        )
        found.append((cluster, Entrant(kin, shown.id, place, target)))
    return tuple(found)


_kin = lru_cache(maxsize=4096)(Kin)
"""Endpoints that are alike share what they have in common."""


@lru_cache(maxsize=4096)
def _can_be_met(domains: Domains, security: Security, service: str) -> bool:
    """Whether anybody can prove to be what must stand there: not every name fits into an identity."""
    try:
        return security == PLAIN or bool(must_be(domains, security, service))
    except ValueError:
        return False
