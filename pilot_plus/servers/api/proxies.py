"""Clients of xDS over HTTP: who has a stream, how far it has come, and what exactly it was sent."""

from typing import Final

from pilot_plus.servers.api.context import Context
from pilot_plus.servers.api.problem import Problem
from pilot_plus.servers.api.route import Answer, Ask, Route
from pilot_plus.views import proxies as shapes


async def proxies(context: Context, _: Ask) -> Answer:
    """Every client."""
    return context.said(context.clients.all())


async def proxy(context: Context, ask: Ask) -> Answer:
    """One client."""
    found = context.clients.one(ask.names["id"])
    if found is None:
        raise Problem(404, f"no client {ask.names['id'][:200]!r} has a stream to this copy of the hub")
    return context.said(found)


ROUTES: Final = (
    Route(
        method="GET",
        path="/api/v1/proxies",
        about="Clients of xDS with a stream to this copy of the hub: synced, stale or rejecting, and since when.",
        handler=proxies,
        gives=shapes.ProxyList,
    ),
    Route(
        method="GET",
        path="/api/v1/proxies/{id}",
        about="One client of xDS, with what exactly it was sent.",
        handler=proxy,
        gives=shapes.ProxyDetail,
        problems=(404,),
    ),
)
