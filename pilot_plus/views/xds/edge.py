"""An edge's supply: what it lets in from other zones, and what it opens for the plain callers of its own.

The rest is what any Envoy of its zone sees.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import chain

from pilot_plus.views.xds.callers import Caller
from pilot_plus.views.xds.gate import LOCAL
from pilot_plus.views.xds.gateway import (
    ALLOW,
    HTTP,
    allow_secret,
    mesh_listener,
    plain_listener,
    shared_listener,
)
from pilot_plus.views.xds.inbound import Inbound
from pilot_plus.views.xds.listener import OUTBOUND
from pilot_plus.views.xds.news import News, merged
from pilot_plus.views.xds.outlook import Outlook
from pilot_plus.views.xds.profile import Profile
from pilot_plus.views.xds.resource import Resource, Type, resource
from pilot_plus.views.xds.supply import Changes
from pilot_plus.views.xds.tls import OWN, Anchors, is_trust, own_secret, trust_secret
from pilot_plus.views.xds.world import World
from pilot_plus.wire.discovery import MESH, PLAIN, Carried


class EdgeShelf:
    """One edge's (`supply.Supply`)."""

    def __init__(
        self, profile: Profile, outlook: Outlook, inbound: Inbound, world: World, anchors: Anchors, moment: int
    ) -> None:
        """Begin at a moment."""
        self.profile = profile
        self._outlook = outlook
        self._inbound = inbound
        self._world = world
        self._anchors = anchors
        self._news = News(moment)
        self._doors: dict[str, Mapping[str, Resource]] | None = None
        """The plain listeners, by service and name; none while nobody has asked."""
        self._by_name: dict[str, Resource] = {}
        """The same, by name alone."""
        self._mesh: tuple[Sequence[bytes], Resource] | None = None
        self._lists: dict[str, tuple[tuple[Caller, ...], Resource]] = {}

    def __repr__(self) -> str:
        return f"<EdgeShelf of {self.profile.edge}>"

    @property
    def mark(self) -> int:
        """The moment that it shows."""
        return max(self._outlook.news.latest, self._inbound.news.latest, self._news.latest)

    def names(self, type_: Type) -> AbstractSet[str]:
        """What a client gets that asks for everything of a type (listeners and clusters; empty for the others)."""
        if type_ is Type.LISTENER:
            self._all_doors()
            return Both({HTTP, MESH} if self._inbound.chains() else {HTTP}, self._by_name.keys())
        if type_ is Type.CLUSTER:
            return Both(self._outlook.clusters(), self._inbound.clusters())
        return frozenset()

    def get(self, type_: Type, name: str) -> Resource | None:
        """One resource; None if there is none of that name for this edge."""
        match type_:
            case Type.LISTENER:
                return self._listener(name)
            case Type.SECRET:
                return self._secret(name)
        return (self._inbound if name.startswith(LOCAL) else self._outlook).get(type_, name)

    def prepare(self, type_: Type) -> Iterator[None]:
        """Make ready what `names` of a type needs, with a pause now and then."""
        if type_ in (Type.CLUSTER, Type.LISTENER):
            yield from self._outlook.prepare()
            yield from self._inbound.prepare()

    def since(self, mark: int) -> Changes | None:
        """What has changed after a mark; None: that is not known any more, compare everything."""
        found = []
        for news in (self._news, self._inbound.news, self._outlook.news):
            changes = news.since(mark)
            if changes is None:
                return None
            found.append(changes)
        return merged(one for one in found if one)

    # -------------------------------------------------------------------------------------------- changing

    def advance(self, world: World, touched: AbstractSet[str], moment: int) -> None:
        """The outlook shows the next state, in which these services may not be as they were."""
        self._world = world
        if self._doors is None:
            return
        changed: set[str] = set()
        for service in touched:
            before, after = self._doors.pop(service, {}), self._doors_of(service)
            if after:
                self._doors[service] = after
            for name in before:
                del self._by_name[name]
            self._by_name.update(after)
            changed.update(name for name in {*before, *after} if before.get(name) != after.get(name))
        if changed:
            self._news.note(moment, {Type.LISTENER: changed})

    def reset(self, world: World, moment: int) -> None:
        """The outlook shows a state in which everything may be otherwise."""
        self._world = world
        self._doors = None
        self._news.forget(moment)

    def believe(self, anchors: Anchors, moment: int) -> None:
        """These are to be believed now."""
        before, self._anchors, self._lists = self._anchors, anchors, {}
        self._news.note(moment, {Type.SECRET: before.secrets | anchors.secrets | self._inbound.lists()})

    # -------------------------------------------------------------------------------------------- our own

    def _listener(self, name: str) -> Resource | None:
        if name == HTTP:
            return resource(name, shared_listener(self.profile.address, OUTBOUND))
        if name == MESH:
            return self._mesh_listener()
        self._all_doors()
        return self._by_name.get(name)

    def _mesh_listener(self) -> Resource | None:
        chains = self._inbound.chains()
        if not chains:
            return None
        if self._mesh is None or self._mesh[0] is not chains:
            self._mesh = chains, resource(MESH, mesh_listener(MESH, self.profile.address, chains))
        return self._mesh[1]

    def _secret(self, name: str) -> Resource | None:
        if name == OWN:
            return resource(name, own_secret(self.profile.data)) if self.profile.data else None
        if is_trust(name):
            body = trust_secret(self._anchors, name)
            return resource(name, body) if body is not None else None
        gate = self._inbound.gate(name) if self._anchors.roots and name.startswith(ALLOW) else None
        if gate is None:
            return None
        if name not in self._lists or self._lists[name][0] is not gate.callers:
            self._lists[name] = gate.callers, resource(name, allow_secret(name, self._anchors, gate.callers))
        return self._lists[name][1]

    def _all_doors(self) -> None:
        """Make the plain listeners, if nobody has asked for one before."""
        if self._doors is None:
            with_ports = self._world.edges.carrying.plain_ports
            services = [service for zone, service in with_ports if zone == self.profile.viewer.zone]
            self._doors = {service: doors for service in services if (doors := self._doors_of(service))}
            self._by_name = {name: one for doors in self._doors.values() for name, one in doors.items()}

    def _doors_of(self, service: str) -> Mapping[str, Resource]:
        """The plain listeners of a service, by their names."""
        ports = self._world.edges.plain_ports(self.profile.viewer.zone, service)
        face = self._outlook.face(service) if ports else None
        if face is None:
            return {}
        found = {}
        for cluster, facet in face.facets.items():
            if number := ports.get(facet.port):
                name = str(Carried(PLAIN, service, facet.port))
                body = plain_listener(name, self.profile.address, number, face.host, cluster, facet.family)
                found[name] = resource(name, body)
        return found


class Both(AbstractSet[str]):
    """Two sets of names as one, without a third: who asks for one name of 10,000 shall not pay for all."""

    def __init__(self, one: AbstractSet[str], other: AbstractSet[str]) -> None:
        self._one, self._other = one, other

    def __contains__(self, name: object) -> bool:
        return name in self._one or name in self._other

    def __iter__(self) -> Iterator[str]:
        return chain(self._one, self._other)

    def __len__(self) -> int:
        return len(self._one) + len(self._other)

    @classmethod
    def _from_iterable(cls, names: Iterable[str]) -> AbstractSet[str]:  # type: ignore[override] # of any set, a set
        return frozenset(names)
