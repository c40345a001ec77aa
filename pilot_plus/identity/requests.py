"""What operators ask about identity over HTTP: shapes in, shapes out. Who may ask (`operate`), the server has checked.

POST   /api/v1/tokens               create_token    201
GET    /api/v1/tokens               list_tokens     200
DELETE /api/v1/tokens/{id}          revoke_token    204, 404 if it is not there
POST   /api/v1/revocations          revoke          201
DELETE /api/v1/revocations?what=    lift            204
POST   /api/v1/root/rotate          rotate          202
"""

from collections.abc import Callable
from datetime import timedelta
from typing import TypeAlias

import msgspec

from pilot_plus.identity.authority import Authority
from pilot_plus.identity.revocations import Revocations
from pilot_plus.identity.tokens import Grant, Record, Tokens
from pilot_plus.quantities import seconds_of
from pilot_plus.views.membership import (
    RevocationRequest,
    RevocationShape,
    RotationShape,
    TokenList,
    TokenMade,
    TokenRequest,
    TokenShape,
)

IsZone: TypeAlias = Callable[[str], bool]


async def create_token(asked: TokenRequest, tokens: Tokens, authority: Authority, is_zone: IsZone) -> TokenMade:
    """Make a token; the only answer that ever holds it.

    Raises:
        ValueError: the request can't be granted; for people.
        OSError: the store can't be written.
    """
    if not is_zone(asked.zone):
        raise ValueError(f"zone: {asked.zone[:80]!r} is no zone of this cluster")
    grant = Grant(zone=asked.zone, edge=asked.edge, service=asked.service, name=asked.name)
    ttl = timedelta(seconds=min(seconds_of(asked.ttl), 1e9))
    token, record = await tokens.create(grant, authority.state.fingerprint, ttl=ttl, uses=asked.uses)
    return TokenMade(token=token.text, **msgspec.structs.asdict(_shown(record)))


async def list_tokens(tokens: Tokens) -> TokenList:
    """All tokens, without their secrets.

    Raises:
        OSError: the store can't be read.
    """
    return TokenList(tokens=tuple(_shown(record) for record in await tokens.list()))


async def revoke_token(token_id: str, tokens: Tokens) -> bool:
    """Take a token back; whether there was one.

    Raises:
        OSError: the store can't be written.
    """
    return await tokens.revoke(token_id)


async def revoke(asked: RevocationRequest, revocations: Revocations, authority: Authority) -> RevocationShape:
    """Take an identity or a certificate back, at once here, within seconds at other copies of the hub.

    Raises:
        ValueError: the request is none; for people.
        OSError: the store can't be written.
    """
    until = None if asked.what.startswith("spiffe://") else authority.last_end()
    entry = await revocations.revoke(asked.what, asked.reason, until)
    await authority.refresh()
    return RevocationShape(what=entry.what, reason=entry.reason, since=entry.since, until=entry.until)


async def lift(what: str, revocations: Revocations, authority: Authority) -> None:
    """Give an identity or a certificate back.

    Raises:
        ValueError: it is neither.
        OSError: the store can't be written.
    """
    await revocations.lift(what)
    await authority.refresh()


async def rotate(authority: Authority) -> RotationShape:
    """Begin to replace the root.

    Raises:
        ValueError: that can't be done now; for people.
        OSError: the store can't be written.
    """
    await authority.rotate()
    return RotationShape(roots=len(authority.trust.roots))


def _shown(record: Record) -> TokenShape:
    grant = record.grant
    return TokenShape(
        id=record.id,
        zone=grant.zone,
        edge=grant.edge,
        service=grant.service,
        name=grant.name,
        created=record.created,
        expires=record.expires,
        uses=record.uses,
        used=record.used,
    )
