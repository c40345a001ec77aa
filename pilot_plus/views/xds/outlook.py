"""An outlook: what one viewer sees of all services, as resources, kept up from catalog to catalog.

Nothing is made before somebody asks for it. What was made stays until the service that it is made from is touched:

    get(ENDPOINTS, "http.orders.legacy.mesh")    host orders.legacy.mesh ─▶ legacy/orders ─▶ vista ─▶ bytes, kept
    advance(world, {"legacy/orders"}, …, 17)     the vista is brought up; its endpoints are forgotten, and noted as
                                                 changed at 17; everything else is as it was

So a change costs what has changed of the touched services and what was asked for of them, whatever else there is.
"""

from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from itertools import islice
from typing import Final, Protocol

from pilot_plus.model import Viewer
from pilot_plus.views.xds.face import Face
from pilot_plus.views.xds.hosts import Hosts
from pilot_plus.views.xds.news import News
from pilot_plus.views.xds.resource import Resource, Type
from pilot_plus.views.xds.shaken import Shaken
from pilot_plus.views.xds.supply import Changes
from pilot_plus.views.xds.tls import Domains
from pilot_plus.views.xds.vista import Vista
from pilot_plus.views.xds.world import World

AT_ONCE: Final = 50
"""Services that are seen for the first time between two pauses."""
MOST_MISSED: Final = 100_000
"""Hosts without a service that are remembered; beyond it every new service is looked at."""


class Dialect(Protocol):
    """How vistas become resources: `Envoy` and `Grpc`."""

    def make(self, vista: Vista, domains: Domains, type_: Type, name: str) -> Resource | None:
        """One resource that is made from one service."""
        ...

    def whole(self, faces: Iterable[Face], type_: Type, name: str) -> Resource | None:
        """One resource that is made from all services."""
        ...

    def wholes(self) -> AbstractSet[tuple[Type, str]]:
        """The resources that are made from all services."""
        ...

    def foresee(self, face: Face) -> None:
        """Make what a resource of all services will need of this one."""
        ...

    def changes(self, before: Face, after: Face, moved: AbstractSet[str]) -> Changes:
        """What is not as it was, or may not be, when a service changes; `moved` are clusters with other endpoints."""
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
        self._vistas: dict[str, Vista] = {}
        self._clusters: set[str] | None = None
        self._is_followed = False
        """Somebody has asked for everything."""
        self._outdated: set[str] = set()
        """Services whose edges are others by now."""
        self._missed: set[str] | None = set()
        self._kept: dict[tuple[Type, str], Resource] = {}

    def __repr__(self) -> str:
        return f"<Outlook of {self.viewer.speaks} in {self.viewer.zone}: {len(self._vistas)} services>"

    # -------------------------------------------------------------------------------------------- asking

    def get(self, type_: Type, name: str) -> Resource | None:
        """One resource; None if there is none of that name for this viewer."""
        kept = self._kept.get((type_, name))
        if kept is None:
            kept = self._made(type_, name)
            if kept is not None:
                self._kept[type_, name] = kept
        return kept

    def clusters(self) -> AbstractSet[str]:
        """The names of all clusters that stand for a port of a service."""
        if self._clusters is None:
            self._is_followed = True
            for service in self._world.catalog.entries:
                self._vista(service)
            self._clusters = {name for vista in self._vistas.values() for name in vista.face.facets}
        return self._clusters

    def prepare(self) -> Iterator[None]:
        """See every service, with a pause now and then: after that `clusters` and what is made of all costs little."""
        for index, service in enumerate(self._world.catalog.entries if self._clusters is None else ()):
            if index % AT_ONCE == AT_ONCE - 1:
                yield
            if service in self._world.catalog.entries:
                self._dialect.foresee(self._vista(service).face)

    def face(self, service: str) -> Face | None:
        """What the viewer knows of a service; None if nothing."""
        if service not in self._vistas and service not in self._world.catalog.entries:
            self._miss(self._hosts.host(service))
            return None
        face = self._vista(service).face
        return face if face.facets else None

    def _made(self, type_: Type, name: str) -> Resource | None:
        if (type_, name) in self._dialect.wholes():
            self.clusters()
            faces = sorted((vista.face for vista in self._vistas.values()), key=lambda face: face.host)
            return self._dialect.whole((face for face in faces if face.facets), type_, name)
        host = _host_in(type_, name)
        service = self._hosts.service(host)
        if service is None:
            self._miss(host)
            return None
        return self._dialect.make(self._vista(service), self._world.domains, type_, name)

    def _vista(self, service: str) -> Vista:
        if service not in self._vistas:
            self._vistas[service] = vista = Vista(self._world, self.viewer, service)
            vista.update(self._world)
        return self._vistas[service]

    def _miss(self, host: str) -> None:
        if self._missed is not None:
            self._missed.add(host)
            if len(self._missed) > MOST_MISSED:
                self._missed = None

    # -------------------------------------------------------------------------------------------- changing

    def advance(self, world: World, touched: Iterable[str], shaken: Shaken, moment: int) -> None:
        """Show the next state, in which these services may not be as they were."""
        self._world = world
        found: dict[Type, set[str]] = {}
        for service in {*touched, *shaken.touched}:
            if service in self._outdated:
                self._see_anew(service, found)
            elif self._is_of_interest(service):
                vista = self._vistas.get(service) or self._vistas.setdefault(
                    service, Vista(world, self.viewer, service)
                )
                before = vista.face
                doubted, is_shaken = shaken.doubted.get(service, ()), service in shaken.services
                moved = vista.update(world, doubted, is_shaken=is_shaken)
                self._note(before, vista.face, moved, found)
        self._publish(found, moment)

    def look_past(self, world: World, zones: AbstractSet[str], services: AbstractSet[str], moment: int) -> None:
        """Show a state in which the edges of these zones are others, or what edges carry of these services.

        Where that concerns many services, `settle` shows the most of them.
        """
        self._world = world
        self._outdated.update(
            service for service, vista in self._vistas.items() if service in services or vista.leans_on(zones)
        )
        self._catch_up(moment)

    def settle(self, next_moment: Callable[[], int]) -> Iterator[None]:
        """Show what is not shown yet because it would take too long at once, with a pause now and then."""
        while self._outdated:
            yield
            self._catch_up(next_moment())
        if self._is_followed:
            yield from self.prepare()

    def _catch_up(self, moment: int) -> None:
        """See some of the outdated services anew."""
        found: dict[Type, set[str]] = {}
        for service in tuple(islice(self._outdated, AT_ONCE)):
            self._see_anew(service, found)
        self._publish(found, moment)

    def _see_anew(self, service: str, found: dict[Type, set[str]]) -> None:
        self._outdated.discard(service)
        before = self._vistas.pop(service).face
        after = self._vista(service).face
        self._note(before, after, {*before.facets, *after.facets}, found)

    def reset(self, world: World, moment: int) -> None:
        """Show a state in which everything may be otherwise."""
        self._world = world
        self._vistas, self._clusters, self._kept = {}, None, {}
        self._outdated.clear()
        self.news.forget(moment)

    def _note(self, before: Face, after: Face, moved: AbstractSet[str], found: dict[Type, set[str]]) -> None:
        for type_, names in self._dialect.changes(before, after, moved).items():
            if names:
                found.setdefault(type_, set()).update(names)
        if self._clusters is not None and before is not after:
            self._clusters.difference_update(before.facets)
            self._clusters.update(after.facets)

    def _publish(self, found: dict[Type, set[str]], moment: int) -> None:
        for type_, names in found.items():
            for name in names:
                self._kept.pop((type_, name), None)
        if found:
            self.news.note(moment, found)

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
