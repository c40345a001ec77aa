"""Reading: what can be asked about the catalog."""

import asyncio
import base64
import binascii
from collections.abc import AsyncIterator
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest

from pilot_plus.catalog import Catalog, Entry
from pilot_plus.metrics import REGISTRY
from pilot_plus.model import Health
from pilot_plus.servers.api.answers import with_revision
from pilot_plus.servers.api.context import Context, unknown_service
from pilot_plus.servers.api.horizon import VIEW, seen_service, view_of
from pilot_plus.servers.api.problem import Problem
from pilot_plus.servers.api.route import Answer, Ask, Parameter, Route
from pilot_plus.views import overview, query, shapes
from pilot_plus.views.metrics import Scrape

FEWEST: Final = 1000
MOST: Final = 10_000
"""How much a page holds: unless asked for more, and at most."""

FILTERS: Final = (
    Parameter("namespace", "Only services of this namespace."),
    Parameter("name", "Only services of this name."),
    Parameter("registry", "Only what this registry holds a record of."),
    Parameter("zone", "Only what has an endpoint in this zone; a bare name is a zone of our cluster."),
    Parameter("q", "Only services whose `namespace/name` contains this, in any case."),
    Parameter("health", "Only what has an endpoint of this health.", tuple(Health)),
)
PAGING: Final = (
    Parameter("limit", f"How many at most ({FEWEST} unless given, never more than {MOST}).", is_number=True),
    Parameter("page_token", "The `next_page_token` of the page before."),
)


async def services(context: Context, ask: Ask) -> Answer:
    """A page of services; as a zone sees them, only those that it sees."""
    catalog, limit, view = context.catalog, _limit_of(ask), view_of(context, ask)
    found: list[shapes.ServiceSummary] = []
    token = None
    async for entry in _matching(context, catalog, _wanted_of(context, ask), ask):
        seen = view.see(entry) if view else ()
        if view and not seen:
            continue
        if len(found) == limit:
            token = _token_of(f"{found[-1].namespace}/{found[-1].name}")
            break
        found.append(
            query.seen_summary(catalog, context.home, entry, seen)
            if view
            else query.summary(catalog, context.home, entry)
        )
    return context.said(shapes.ServiceList(services=tuple(found), next_page_token=token), catalog=catalog)


async def instances(context: Context, ask: Ask) -> Answer:
    """A page of instances."""
    catalog, limit, wanted = context.catalog, _limit_of(ask), _wanted_of(context, ask)
    found: list[shapes.ListedInstance] = []
    token, last = None, ""
    async for entry in _matching(context, catalog, wanted, ask):
        if len(found) >= limit:
            token = _token_of(last)
            break
        found += query.listed(catalog, context.home, entry, wanted, context.clock())
        last = entry.service
    return context.said(shapes.InstanceList(instances=tuple(found), next_page_token=token), catalog=catalog)


async def _matching(context: Context, catalog: Catalog, wanted: query.Wanted, ask: Ask) -> AsyncIterator[Entry]:
    """The services that are asked for, with room for others between them."""
    after = _name_of(ask.query.get("page_token", ""))
    for index, entry in enumerate(query.matching(catalog, context.home, wanted, after)):
        if entry is not None:
            yield entry
        if entry is None or index % 100 == 99:
            await asyncio.sleep(0)


def _wanted_of(context: Context, ask: Ask) -> query.Wanted:
    filters = {name: ask.query.get(name, "") for name in ("registry", "zone", "q")}
    namespace, name = context.counting(ask.query.get("namespace", ""), ask.query.get("name", ""))
    health = ask.query.get("health")
    return query.Wanted(namespace=namespace, name=name, **filters, health=Health(health) if health else None)


def _limit_of(ask: Ask) -> int:
    return min(int(ask.query.get("limit") or FEWEST), MOST)


def _token_of(service: str) -> str:
    return base64.urlsafe_b64encode(service.encode()).decode().rstrip("=")


def _name_of(token: str) -> str:
    try:
        return base64.b64decode(token + "=" * (-len(token) % 4), b"-_", validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise Problem(400, "parameter 'page_token': expected the `next_page_token` of an answer") from error


async def service(context: Context, ask: Ask) -> Answer:
    """One service."""
    catalog = context.catalog
    namespace, name = ask.names["namespace"], ask.names["name"]
    if view := view_of(context, ask):
        return seen_service(context, view, context.entry(namespace, name))
    answers = context.answers
    tail = answers.service(catalog, f"{namespace}/{name}")
    if tail is None:
        tail = answers.service(catalog, context.entry(namespace, name).service)
    if tail is None:
        raise unknown_service(namespace, name)
    return Answer(with_revision(catalog.revision, tail))


async def registries(context: Context, _: Ask) -> Answer:
    """Every registry."""
    return context.said(overview.registries(context.catalog, context.home, context.clock()))


async def registry(context: Context, ask: Ask) -> Answer:
    """One registry with what its guard holds."""
    return context.said(overview.registry_detail(context.source(ask.names["name"]), context.home, context.clock()))


async def skipped(context: Context, ask: Ask) -> Answer:
    """What a registry holds that can't be used."""
    return context.said(overview.skipped(context.source(ask.names["name"])))


async def zones(context: Context, _: Ask) -> Answer:
    """Every zone."""
    return context.said(overview.zones(context.config))


async def edges(context: Context, _: Ask) -> Answer:
    """Every edge."""
    catalog = context.catalog
    return context.said(overview.edges(catalog, context.home, context.edges(catalog).carrying))


async def healthz(context: Context, _: Ask) -> Answer:
    """The process answers."""
    return Answer(with_revision(context.catalog.revision, b'"healthy":true}'))


async def readyz(context: Context, _: Ask) -> Answer:
    """Whether the hub can be asked."""
    waited = context.clock() - context.started
    readiness = overview.readiness(context.catalog, waited, context.config.ready_after)
    return context.said(readiness, 200 if readiness.ready else 503)


async def metrics(context: Context, _: Ask) -> Answer:
    """Everything that is counted, and everything that can be read off the catalog and off sync."""
    scraped = CollectorRegistry()
    scraped.register(Scrape(context.catalog, context.clock(), context.desk.sync.status().sync))
    return Answer(
        generate_latest(REGISTRY) + generate_latest(scraped), type=b"text/plain; version=0.0.4; charset=utf-8"
    )


ROUTES: Final = (
    Route(
        method="GET",
        path="/api/v1/services",
        about="Services of all registries, a page at a time.",
        handler=services,
        query=(*FILTERS, *PAGING, *VIEW),
        gives=shapes.ServiceList,
    ),
    Route(
        method="GET",
        path="/api/v1/services/{namespace}/{name}",
        about="One service with its conditions and its instances. A `/` in a name is sent as `%2F`.",
        handler=service,
        query=VIEW,
        gives=shapes.ServiceShape,
        gives_else=shapes.SeenService,
        problems=(404,),
    ),
    Route(
        method="GET",
        path="/api/v1/instances",
        about="Instances of all services, a page of whole services at a time.",
        handler=instances,
        query=(*FILTERS, *PAGING),
        gives=shapes.InstanceList,
    ),
    Route(
        method="GET",
        path="/api/v1/registries",
        about="Registries with their state, age, counts, last error and held removals.",
        handler=registries,
        gives=shapes.RegistryList,
    ),
    Route(
        method="GET",
        path="/api/v1/registries/{name}",
        about="One registry, with what its guard holds.",
        handler=registry,
        gives=shapes.RegistryDetail,
        problems=(404,),
    ),
    Route(
        method="GET",
        path="/api/v1/registries/{name}/skipped",
        about="Records of a registry that can't be used, with place and reason.",
        handler=skipped,
        gives=shapes.SkippedList,
        problems=(404,),
    ),
    Route(method="GET", path="/api/v1/zones", about="Zones of our cluster.", handler=zones, gives=shapes.ZoneList),
    Route(
        method="GET",
        path="/api/v1/edges",
        about="Edge sidecars that the catalog knows.",
        handler=edges,
        gives=shapes.EdgeList,
    ),
    Route(
        method="GET",
        path="/healthz",
        about="The process answers.",
        handler=healthz,
        role="",
        gives="application/json",
    ),
    Route(
        method="GET",
        path="/readyz",
        about="Ready (200) when every registry is in step, or was waited for long enough; else 503, and which are not.",
        handler=readyz,
        role="",
        gives=shapes.Readiness,
    ),
    Route(method="GET", path="/metrics", about="Metrics for Prometheus.", handler=metrics, gives="text/plain"),
)
