"""An outlook: what one viewer sees of all services, as resources, kept up from catalog to catalog.

Nothing is made before somebody asks for it. What was made stays until the service that it is made from is touched:

    get(ENDPOINTS, "http.orders.legacy.mesh")    host orders.legacy.mesh ─▶ legacy/orders ─▶ vista ─▶ bytes, kept
    advance(world, {"legacy/orders"}, 17)        the vista is made anew; its endpoints are forgotten, and noted as
                                                 changed at 17; everything else is as it was

So a change costs what the touched services hold and what was asked for of them, whatever else there is.
"""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from typing import Final, Protocol

from pilot_plus.model import Viewer
from pilot_plus.views.xds.hosts import Hosts
from pilot_plus.views.xds.news import News
from pilot_plus.views.xds.resource import Resource, Type, resource
from pilot_plus.views.xds.supply import Changes
from pilot_plus.views.xds.tls import Domains
from pilot_plus.views.xds.vista import Vista, World, vista_of

MOST_MISSED: Final = 100_000
"""Hosts without a service that are remembered; beyond it every new service is looked at."""


class Dialect(Protocol):
    """How vistas become resources: the modules `envoy` and `grpc`."""

    def body(self, vista: Vista, domains: Domains, type_: Type, name: str) -> bytes | None:
        """One resource that is made from one service."""
        ...

    def whole(self, vistas: Iterable[Vista], type_: Type, name: str) -> bytes | None:
        """One resource that is made from all services."""
        ...

    def changes(self, before: Vista | None, after: Vista | None) -> Changes:
        """What is not as it was, or may not be, when a service changes."""
        ...

    def wholes(self) -> AbstractSet[tuple[Type, str]]:
        """The resources that are made from all services."""
        ...


class Outlook:
    """One viewer's."""

    def __init__(self, viewer: Viewer, dialect: Dialect, world: World, hosts: Hosts, moment: int) -> None:
        """Begin at a moment."""
        self.viewer = viewer
        self.news = News(moment)
        self._dialect = dialect
        self._world = world
        self._hosts = hosts
        self._vistas: dict[str, Vista | None] = {}
        self._clusters: set[str] | None = None
        self._missed: set[str] | None = set()
        self._kept: dict[tuple[Type, str], Resource] = {}

    def __repr__(self) -> str:
        return f"<Outlook of {self.viewer.speaks} in {self.viewer.zone}: {len(self._vistas)} services>"

    # -------------------------------------------------------------------------------------------- asking

    def get(self, type_: Type, name: str) -> Resource | None:
        """One resource; None if there is none of that name for this viewer."""
        kept = self._kept.get((type_, name))
        if kept is None:
            body = self._body(type_, name)
            if body is not None:
                kept = self._kept[type_, name] = resource(name, body)
        return kept

    def clusters(self) -> AbstractSet[str]:
        """The names of all clusters that stand for a port of a service."""
        if self._clusters is None:
            for service in self._world.catalog.entries:
                self.vista(service)
            self._clusters = {name for vista in self._vistas.values() if vista for name in vista.facets}
        return self._clusters

    def vista(self, service: str) -> Vista | None:
        """What the viewer sees of a service; None if nothing."""
        if service not in self._vistas:
            entry = self._world.catalog.entries.get(service)
            if entry is None:
                self._miss(self._hosts.host(service))
                return None
            self._vistas[service] = vista_of(self._world, self.viewer, entry)
        return self._vistas[service]

    def _body(self, type_: Type, name: str) -> bytes | None:
        if (type_, name) in self._dialect.wholes():
            self.clusters()
            seen = sorted((vista for vista in self._vistas.values() if vista), key=lambda vista: vista.host)
            return self._dialect.whole(seen, type_, name)
        host = _host_in(type_, name)
        service = self._hosts.service(host)
        if service is None:
            self._miss(host)
            return None
        vista = self.vista(service)
        return self._dialect.body(vista, self._world.domains, type_, name) if vista else None

    def _miss(self, host: str) -> None:
        if self._missed is not None:
            self._missed.add(host)
            if len(self._missed) > MOST_MISSED:
                self._missed = None

    # -------------------------------------------------------------------------------------------- changing

    def advance(self, world: World, touched: Iterable[str], moment: int) -> None:
        """Show the next state, in which these services may not be as they were."""
        self._world = world
        found: dict[Type, set[str]] = {}
        for service in touched:
            if not self._is_of_interest(service):
                continue
            before, after = self._vistas.pop(service, None), self.vista(service)
            for type_, names in self._dialect.changes(before, after).items():
                if names:
                    found.setdefault(type_, set()).update(names)
            if self._clusters is not None:
                self._clusters.difference_update(before.facets if before else ())
                self._clusters.update(after.facets if after else ())
        for type_, names in found.items():
            for name in names:
                self._kept.pop((type_, name), None)
        if found:
            self.news.note(moment, found)

    def reset(self, world: World, moment: int) -> None:
        """Show a state in which everything may be otherwise."""
        self._world = world
        self._vistas, self._clusters, self._kept = {}, None, {}
        self.news.forget(moment)

    def _is_of_interest(self, service: str) -> bool:
        """Whether somebody has asked for it, or for all."""
        if service in self._vistas or self._clusters is not None or self._missed is None:
            return True
        return bool(self._missed) and self._hosts.host(service) in self._missed


def _host_in(type_: Type, name: str) -> str:
    """The host that a resource's name speaks of."""
    if type_ is Type.LISTENER:
        return name.partition(":")[0]
    return name.partition("/")[0].partition(".")[2]
