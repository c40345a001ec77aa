"""The horizon over HTTP: `from` and `as`, and why something is seen or not."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from pilot_plus.catalog import Catalog, Entry, Place
from pilot_plus.model import Speaks, Viewer
from pilot_plus.servers.api.context import Context
from pilot_plus.servers.api.problem import Problem
from pilot_plus.servers.api.route import Answer, Ask, Parameter, Route
from pilot_plus.views import explain, horizon, names, query
from pilot_plus.views.edges import Edges
from pilot_plus.views.explanation import Explanation, VerdictShape
from pilot_plus.views.topology import Topology

VIEW: Final = (
    Parameter("from", "As this zone sees it: a bare name is a zone of our cluster."),
    Parameter("as", "What the viewer speaks; left out, what the callers of its zone do.", tuple(Speaks)),
)

MOST_LOCATED: Final = 1000
"""Records of a service whose places registries are asked for."""


class View(msgspec.Struct, frozen=True):
    """A viewer, and what it looks at."""

    catalog: Catalog
    topology: Topology
    edges: Edges
    viewer: Viewer

    def see(self, entry: Entry) -> tuple[horizon.Seen, ...]:
        """What the viewer sees of a service."""
        return horizon.see(self.catalog, self.topology, self.edges, self.viewer, entry.service)


def view_of(context: Context, ask: Ask) -> View | None:
    """The view that is asked for, if any.

    Raises:
        Problem: 400, no such zone.
    """
    zone, speaks = ask.query.get("from", ""), ask.query.get("as", "")
    if not zone:
        if speaks:
            raise Problem(400, "parameter 'as' says how a viewer speaks, and needs 'from', its zone")
        return None
    try:
        viewer = context.topology.viewer(zone, Speaks(speaks) if speaks else None)
    except ValueError as error:
        raise Problem(400, f"parameter 'from': {error}"[:500]) from error
    catalog = context.catalog
    return View(catalog, context.topology, context.edges(catalog), viewer)


def seen_service(context: Context, view: View, entry: Entry) -> Answer:
    """A service as a zone sees it.

    Raises:
        Problem: 404, nothing of it is visible there.
    """
    seen = view.see(entry)
    if not seen:
        raise Problem(404, f"nothing of {entry.service[:200]!r} is visible from {view.viewer.zone}; `explain` says why")
    return context.said(
        query.seen_service(view.catalog, context.home, entry, seen, context.clock()), catalog=view.catalog
    )


async def explained(context: Context, ask: Ask) -> Answer:
    """For each record of a service where it lies, what became of it, and why; also for what can't be used."""
    view, catalog = view_of(context, ask), context.catalog
    asked = f"{ask.names['namespace']}/{ask.names['name']}"
    ground = explain.Ground(catalog=catalog, home=context.home, admissions=context.admissions, now=context.clock())
    meant = names.meant_by(catalog, context.home, asked)
    if not meant:
        found = explain.skipped_only(ground, asked)
        if found is None:
            raise await _nobodys(catalog, asked)
        return context.said(found, catalog=catalog)
    entry = context.entry(ask.names["namespace"], ask.names["name"])
    ground = msgspec.structs.replace(ground, places=await _places(context, entry))
    if view is None:
        told = await _with_pauses(explain.in_catalog(ground, entry))
        return context.said(explain.explanation(ground, entry, told), catalog=catalog)
    verdicts = horizon.explain(catalog, view.topology, view.edges, view.viewer, entry.service)
    told = await _with_pauses(explain.in_eyes(ground, entry, verdicts))
    found = explain.explanation(ground, entry, told, view.viewer)
    served = context.clients.serving(found.host, view.viewer)
    return context.said(msgspec.structs.replace(found, proxies=served), catalog=catalog)


async def _with_pauses(telling: Iterator[VerdictShape]) -> list[VerdictShape]:
    """All that is told, with room for others between."""
    told: list[VerdictShape] = []
    for one in telling:
        told.append(one)
        if len(told) % 100 == 0:
            await asyncio.sleep(0)
    return told


async def _places(context: Context, entry: Entry) -> dict[Place, Sequence[str]]:
    """Where the records of a service lie; of very many, the first."""
    keys: dict[str, list[str]] = {}
    for registry, key in sorted(entry.instances)[:MOST_LOCATED]:
        keys.setdefault(registry, []).append(key)
    asked = [(registry, await context.desk.locate(registry, some)) for registry, some in keys.items()]
    return {(registry, key): places for registry, found in asked for key, places in found.items()}


async def _nobodys(catalog: Catalog, asked: str) -> Problem:
    """No record has such a name: what may have been meant, and which registries have not said all yet."""
    like: tuple[str, ...] = ()
    for found in names.nearest(catalog, asked):
        like = found or ()
        await asyncio.sleep(0)
    says = f"no registry holds a record of {asked[:200]!r}"
    if like:
        says += f"; the nearest names are {', '.join(like)}"
    if unheard := sorted(source.name for source in catalog.sources.values() if source.is_stale):
        says += f"; not in step now, so it may hold one: {', '.join(unheard)}"
    if full := sorted(source.name for source in catalog.sources.values() if source.skipped_beyond):
        says += f"; more records were skipped than are remembered, perhaps one of these, in: {', '.join(full)}"
    return Problem(404, says[:2000])


ROUTES: Final = (
    Route(
        method="GET",
        path="/api/v1/services/{namespace}/{name}/explain",
        about="For every record of a service: its way from the registry, seen from a zone or not, where, and why.",
        handler=explained,
        query=VIEW,
        gives=Explanation,
        problems=(404,),
    ),
)
