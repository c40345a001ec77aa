"""The horizon over HTTP: `from` and `as`, and why something is seen or not."""

from typing import Final

import msgspec

from pilot_plus.catalog import Catalog, Entry
from pilot_plus.model import Speaks, Viewer
from pilot_plus.servers.api.context import Context
from pilot_plus.servers.api.problem import Problem
from pilot_plus.servers.api.route import Answer, Ask, Parameter, Route
from pilot_plus.views import explain, horizon, query, shapes
from pilot_plus.views.edges import Edges
from pilot_plus.views.topology import Topology

VIEW: Final = (
    Parameter("from", "As this zone sees it: a bare name is a zone of our cluster."),
    Parameter("as", "What the viewer speaks; left out, what the callers of its zone do.", tuple(Speaks)),
)


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
    """Why each record of a service is seen or not."""
    view = view_of(context, ask)
    entry = context.entry(ask.names["namespace"], ask.names["name"])
    if view is None:
        return context.said(explain.records(context.catalog, context.home, entry))
    verdicts = horizon.explain(view.catalog, view.topology, view.edges, view.viewer, entry.service)
    return context.said(
        explain.verdicts(view.catalog, context.home, entry, view.viewer, verdicts), catalog=view.catalog
    )


ROUTES: Final = (
    Route(
        method="GET",
        path="/api/v1/services/{namespace}/{name}/explain",
        about="For every record of a service: seen from a zone or not, at which address, and why.",
        handler=explained,
        query=VIEW,
        gives=shapes.Explanation,
        problems=(404,),
    ),
)
