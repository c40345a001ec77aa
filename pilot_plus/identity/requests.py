"""What operators ask about identity over HTTP: JSON in, JSON out. Who may ask (`operate`), the server has checked.

POST   /api/v1/tokens               create_token    201
GET    /api/v1/tokens               list_tokens     200
DELETE /api/v1/tokens/{id}          revoke_token    204, 404 if it is not there
POST   /api/v1/revocations          revoke          201
DELETE /api/v1/revocations?what=    lift            204
POST   /api/v1/root/rotate          rotate          202
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeAlias, TypeVar

import msgspec

from pilot_plus.identity.authority import Authority
from pilot_plus.identity.revocations import Revocations
from pilot_plus.identity.tokens import Grant, Record, Tokens
from pilot_plus.quantities import seconds_of

T = TypeVar("T")
IsZone: TypeAlias = Callable[[str], bool]


class TokenRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A token that somebody asks for."""

    zone: str
    edge: bool = False
    service: str = ""
    name: str = ""
    ttl: str = "1h"
    uses: int = 1


class RevocationRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something to take back: a SPIFFE ID or a serial number."""

    what: str
    reason: str = ""


async def create_token(body: bytes, tokens: Tokens, authority: Authority, is_zone: IsZone) -> dict[str, Any]:
    """Make a token; the only answer that ever holds it.

    Raises:
        ValueError: the request can't be granted; for people.
        OSError: the store can't be written.
    """
    asked = _decoded(body, TokenRequest)
    if not is_zone(asked.zone):
        raise ValueError(f"zone: {asked.zone[:80]!r} is no zone of this cluster")
    grant = Grant(zone=asked.zone, edge=asked.edge, service=asked.service, name=asked.name)
    ttl = timedelta(seconds=min(seconds_of(asked.ttl), 1e9))
    token, record = await tokens.create(grant, authority.state.fingerprint, ttl=ttl, uses=asked.uses)
    return {"token": token.text, **_shown(record)}


async def list_tokens(tokens: Tokens) -> dict[str, Any]:
    """All tokens, without their secrets.

    Raises:
        OSError: the store can't be read.
    """
    return {"tokens": [_shown(record) for record in await tokens.list()]}


async def revoke_token(token_id: str, tokens: Tokens) -> bool:
    """Take a token back; whether there was one.

    Raises:
        OSError: the store can't be written.
    """
    return await tokens.revoke(token_id)


async def revoke(body: bytes, revocations: Revocations, authority: Authority) -> dict[str, Any]:
    """Take an identity or a certificate back, at once here, within seconds at other copies of the hub.

    Raises:
        ValueError: the request is none; for people.
        OSError: the store can't be written.
    """
    asked = _decoded(body, RevocationRequest)
    until = None if asked.what.startswith("spiffe://") else authority.last_end()
    entry = await revocations.revoke(asked.what, asked.reason, until)
    await authority.refresh()
    return {"what": entry.what, "reason": entry.reason, "since": entry.since, "until": entry.until}


async def lift(what: str, revocations: Revocations, authority: Authority) -> None:
    """Give an identity or a certificate back.

    Raises:
        ValueError: it is neither.
        OSError: the store can't be written.
    """
    await revocations.lift(what)
    await authority.refresh()


async def rotate(authority: Authority) -> dict[str, Any]:
    """Begin to replace the root.

    Raises:
        ValueError: that can't be done now; for people.
        OSError: the store can't be written.
    """
    await authority.rotate()
    return {"roots": len(authority.trust.roots)}


def _decoded(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"no request that can be understood: {error}") from error


def _shown(record: Record) -> dict[str, Any]:
    grant = record.grant
    return {
        "id": record.id,
        "zone": grant.zone,
        "edge": grant.edge,
        "service": grant.service,
        "name": grant.name,
        "created": record.created,
        "expires": record.expires,
        "uses": record.uses,
        "used": record.used,
    }
