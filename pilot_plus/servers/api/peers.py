"""Peers: the hubs of other clusters."""

from typing import Final

from pilot_plus.servers.api.body import read
from pilot_plus.servers.api.context import Context
from pilot_plus.servers.api.grant import granted
from pilot_plus.servers.api.neighbourhood import Neighbourhood
from pilot_plus.servers.api.problem import Problem
from pilot_plus.servers.api.route import Answer, Ask, Route
from pilot_plus.views.peers import Forgotten, PeerJoined, PeerJoinRequest, PeerList, PeerToken, PeerTokenRequest


async def peers(context: Context, _: Ask) -> Answer:
    """How every peer stands, both ways."""
    catalog = context.catalog
    listed = context.neighbourhood.peers(catalog, context.clock()) if context.neighbourhood else PeerList(peers=())
    return context.said(listed, catalog=catalog)


async def invite(context: Context, ask: Ask) -> Answer:
    """Make a token with which the hub of a peer introduces itself."""
    name, neighbourhood = _peer(context, ask)
    token = await granted(neighbourhood.invite(name, read(ask, PeerTokenRequest).ttl))
    return context.said(PeerToken(peer=name, token=token), 201)


async def join(context: Context, ask: Ask) -> Answer:
    """Introduce ourselves to a peer's hub."""
    name, neighbourhood = _peer(context, ask)
    await granted(neighbourhood.join(name, read(ask, PeerJoinRequest).token))
    return context.said(PeerJoined(peer=name))


async def forget(context: Context, ask: Ask) -> Answer:
    """Take out what a retired peer has said."""
    name, neighbourhood = _peer(context, ask)
    count = await granted(neighbourhood.forget(name), 409)
    return context.said(Forgotten(peer=name, instances=count))


def _peer(context: Context, ask: Ask) -> tuple[str, Neighbourhood]:
    """The peer that is asked for.

    Raises:
        Problem: 404.
    """
    name = ask.names["name"]
    if context.neighbourhood is None or name not in {peer.name for peer in context.config.peers}:
        known = ", ".join(peer.name for peer in context.config.peers) or "none"
        raise Problem(404, f"no peer {name[:100]!r} is configured; there are: {known}")
    return name, context.neighbourhood


ROUTES: Final = (
    Route(
        method="GET",
        path="/api/v1/peers",
        about="Hubs of other clusters: what we read from each, and what each reads from us.",
        handler=peers,
        gives=PeerList,
    ),
    Route(
        method="POST",
        path="/api/v1/peers/{name}/token",
        about="Make a token, good once, with which the hub of that cluster introduces itself. Shown this once.",
        handler=invite,
        role="operate",
        takes=PeerTokenRequest,
        gives=PeerToken,
        status=201,
        problems=(404, 422, 503),
    ),
    Route(
        method="POST",
        path="/api/v1/peers/{name}/join",
        about="Introduce this hub to the hub of that cluster, with the token that it has made.",
        handler=join,
        role="operate",
        takes=PeerJoinRequest,
        gives=PeerJoined,
        problems=(404, 422, 502, 503),
    ),
    Route(
        method="POST",
        path="/api/v1/peers/{name}/forget",
        about="Take out what a cluster that was retired has last said; 409 while its hub is in step.",
        handler=forget,
        role="operate",
        gives=Forgotten,
        problems=(404, 409),
    ),
)
