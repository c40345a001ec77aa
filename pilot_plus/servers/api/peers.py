"""Peers: the hubs of other clusters."""

from typing import Final

from pilot_plus.servers.api.context import Context
from pilot_plus.servers.api.problem import Problem
from pilot_plus.servers.api.route import Answer, Ask, Route
from pilot_plus.views import shapes


async def peers(context: Context, _: Ask) -> Answer:
    """How every peer stands, both ways."""
    catalog = context.catalog
    listed = (
        context.neighbourhood.peers(catalog, context.clock()) if context.neighbourhood else shapes.PeerList(peers=())
    )
    return context.said(listed, catalog=catalog)


async def forget(context: Context, ask: Ask) -> Answer:
    """Take out what a retired peer has said."""
    name = ask.names["name"]
    if context.neighbourhood is None or name not in {peer.name for peer in context.config.peers}:
        known = ", ".join(peer.name for peer in context.config.peers) or "none"
        raise Problem(404, f"no peer {name[:100]!r} is configured; there are: {known}")
    try:
        count = await context.neighbourhood.forget(name)
    except ValueError as error:
        raise Problem(409, str(error)) from error
    return context.said(shapes.Forgotten(peer=name, instances=count))


ROUTES: Final = (
    Route(
        method="GET",
        path="/api/v1/peers",
        about="Hubs of other clusters: what we read from each, and what each reads from us.",
        handler=peers,
        gives=shapes.PeerList,
    ),
    Route(
        method="POST",
        path="/api/v1/peers/{name}/forget",
        about="Take out what a cluster that was retired has last said; 409 while its hub is in step.",
        handler=forget,
        role="operate",
        gives=shapes.Forgotten,
        problems=(404, 409),
    ),
)
