"""Sync over HTTP: how each rule stands, what would be done, and what operators say of it."""

from collections.abc import Awaitable, Callable
from typing import Final

from pilot_plus.servers.api.context import Context
from pilot_plus.servers.api.grant import granted
from pilot_plus.servers.api.problem import Problem
from pilot_plus.servers.api.route import Answer, Ask, Handler, Parameter, Route
from pilot_plus.views.shapes import Shape
from pilot_plus.views.sync import SyncPlan, SyncStatus

RULE: Final = (Parameter("rule", "Only this rule; left out, every one."),)


class Approved(Shape, frozen=True, kw_only=True):
    """How many held removals were let go."""

    approved: int


class Steered(Shape, frozen=True, kw_only=True):
    """The rules that were paused, resumed or purged."""

    rules: tuple[str, ...]


async def status(context: Context, _: Ask) -> Answer:
    """Every rule in its target."""
    return context.said(context.desk.sync.status())


async def plan(context: Context, ask: Ask) -> Answer:
    """What would be written, changed and removed now."""
    return context.said(await context.desk.sync.plan(_rule(context, ask)))


async def approve(context: Context, ask: Ask) -> Answer:
    """Let held removals go."""
    return context.said(Approved(approved=await granted(context.desk.sync.approve(_rule(context, ask)))))


async def pause(context: Context, ask: Ask) -> Answer:
    """Change nothing of a rule any more."""
    return await _steered(context, ask, context.desk.sync.pause)


async def resume(context: Context, ask: Ask) -> Answer:
    """Go on with a rule."""
    return await _steered(context, ask, context.desk.sync.resume)


async def purge(context: Context, ask: Ask) -> Answer:
    """Take back what a rule wrote."""
    return await _steered(context, ask, context.desk.sync.purge)


async def _steered(context: Context, ask: Ask, steer: Callable[[str], Awaitable[tuple[str, ...]]]) -> Answer:
    return context.said(Steered(rules=await granted(steer(_rule(context, ask)))))


def _rule(context: Context, ask: Ask) -> str:
    """The rule that is meant; empty: every one.

    Raises:
        Problem: 404.
    """
    name, known = ask.query.get("rule", ""), context.desk.sync.rules
    if name and name not in known:
        raise Problem(404, f"there is no rule {name[:100]!r}, and none has left anything; there are: {_names(known)}")
    return name


def _names(known: tuple[str, ...]) -> str:
    return ", ".join(sorted(known)) or "none"


def _steering(verb: str, handler: Handler, about: str) -> Route:
    return Route(
        method="POST",
        path=f"/api/v1/sync/{verb}",
        about=about,
        handler=handler,
        role="operate",
        query=RULE,
        gives=Steered,
        problems=(404, 503),
    )


ROUTES: Final = (
    Route(
        method="GET",
        path="/api/v1/sync",
        about="Sync rules: in step, or behind since when and by how much; what is held, refused, in conflict, and why.",
        handler=status,
        gives=SyncStatus,
    ),
    Route(
        method="GET",
        path="/api/v1/sync/plan",
        about="What sync would write, change and remove now, and why.",
        handler=plan,
        query=RULE,
        gives=SyncPlan,
        problems=(404,),
    ),
    Route(
        method="POST",
        path="/api/v1/sync/approve",
        about="Let the removals that the guard of a rule holds go.",
        handler=approve,
        role="operate",
        query=RULE,
        gives=Approved,
        problems=(404, 503),
    ),
    _steering("pause", pause, "Change nothing of a rule any more; its leases are kept alive. It outlives a restart."),
    _steering("resume", resume, "Take back `pause` or `purge`."),
    _steering(
        "purge",
        purge,
        "Take back everything that a rule ever wrote, and nothing else; it writes nothing until `resume`.",
    ),
)
