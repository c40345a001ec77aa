"""Members over HTTP: join tokens, revocations and the root, for operators."""

from typing import Final

from pilot_plus.servers.api.body import read
from pilot_plus.servers.api.context import Context
from pilot_plus.servers.api.grant import granted
from pilot_plus.servers.api.problem import Problem
from pilot_plus.servers.api.route import Answer, Ask, Parameter, Route
from pilot_plus.views import membership as shapes


async def create_token(context: Context, ask: Ask) -> Answer:
    """Make a join token."""
    asked = read(ask, shapes.TokenRequest)
    return context.said(await granted(context.notary.create_token(asked)), 201)


async def list_tokens(context: Context, _: Ask) -> Answer:
    """All tokens, without their secrets."""
    return context.said(await granted(context.notary.list_tokens()))


async def revoke_token(context: Context, ask: Ask) -> Answer:
    """Take a token back."""
    if not await granted(context.notary.revoke_token(ask.names["id"])):
        raise Problem(404, f"there is no token {ask.names['id'][:80]!r}")
    return Answer(status=204)


async def revoke(context: Context, ask: Ask) -> Answer:
    """Take an identity or a certificate back."""
    asked = read(ask, shapes.RevocationRequest)
    return context.said(await granted(context.notary.revoke(asked)), 201)


async def lift(context: Context, ask: Ask) -> Answer:
    """Give an identity or a certificate back."""
    await granted(context.notary.lift(ask.query.get("what", "")))
    return Answer(status=204)


async def rotate(context: Context, _: Ask) -> Answer:
    """Begin to replace the root."""
    return context.said(await granted(context.notary.rotate()), 202)


ROUTES: Final = (
    Route(
        method="POST",
        path="/api/v1/tokens",
        about="Make a join token. Only this answer ever holds it.",
        handler=create_token,
        role="operate",
        takes=shapes.TokenRequest,
        gives=shapes.TokenMade,
        status=201,
        problems=(422, 503),
    ),
    Route(
        method="GET",
        path="/api/v1/tokens",
        about="Join tokens, without their secrets.",
        handler=list_tokens,
        role="operate",
        gives=shapes.TokenList,
        problems=(503,),
    ),
    Route(
        method="DELETE",
        path="/api/v1/tokens/{id}",
        about="Let nobody join with a token any more. Whoever has joined with it stays.",
        handler=revoke_token,
        role="operate",
        status=204,
        problems=(404, 503),
    ),
    Route(
        method="POST",
        path="/api/v1/revocations",
        about="Take an identity (its SPIFFE ID) or a certificate (its serial number) back.",
        handler=revoke,
        role="operate",
        takes=shapes.RevocationRequest,
        gives=shapes.RevocationShape,
        status=201,
        problems=(422, 503),
    ),
    Route(
        method="DELETE",
        path="/api/v1/revocations",
        about="Give an identity or a certificate back.",
        handler=lift,
        role="operate",
        query=(Parameter("what", "The SPIFFE ID, or the serial number."),),
        status=204,
        problems=(422, 503),
    ),
    Route(
        method="POST",
        path="/api/v1/root/rotate",
        about="Begin to replace the root, in steps that nobody notices.",
        handler=rotate,
        role="operate",
        gives=shapes.RotationShape,
        status=202,
        problems=(422, 503),
    ),
)
