"""The past: what happened to a service, and how it was at a time."""

from typing import Final

from pilot_plus.quantities import time_of
from pilot_plus.servers.api.context import Context, unknown_service
from pilot_plus.servers.api.problem import Problem, unavailable
from pilot_plus.servers.api.reading import MOST
from pilot_plus.servers.api.route import Answer, Ask, Parameter, Route
from pilot_plus.views import past

NEWEST: Final = 1000
"""How many changes are told unless more are asked for."""


async def history(context: Context, ask: Ask) -> Answer:
    """One service's past."""
    if context.past is None:
        raise Problem(404, "history is off: `history.keep` and `history.max` of the configuration say how much is kept")
    namespace, name = context.counting(ask.names["namespace"], ask.names["name"])
    at = _time_of(ask.query.get("at", ""))
    if at is not None and at < context.past.known_from:
        raise Problem(404, f"history goes back to {past.time_text(context.past.known_from)}")
    limit = min(int(ask.query.get("limit") or NEWEST), MOST)
    try:
        told = await context.past.service(f"{namespace}/{name}", at, limit)
    except OSError as error:
        raise unavailable(f"history can't be read: {error}") from error
    if told is None:
        raise unknown_service(namespace, name)
    return context.said(past.past(f"{namespace}/{name}", told, context.home, context.clock()))


def _time_of(text: str) -> float | None:
    try:
        return time_of(text) if text else None
    except ValueError as error:
        raise Problem(400, f"parameter 'at': {error}") from error


ROUTES: Final = (
    Route(
        method="GET",
        path="/api/v1/services/{namespace}/{name}/history",
        about="What changed of a service, when and from where; and the service as it was `at` a time.",
        handler=history,
        query=(
            Parameter("at", "A time like 2026-11-21T14:02:07Z, or seconds since 1970. Left out: now."),
            Parameter(
                "limit",
                f"How many changes and events, the newest ({NEWEST} unless given, at most {MOST}).",
                is_number=True,
            ),
        ),
        gives=past.PastShape,
        problems=(404, 503),
    ),
)
