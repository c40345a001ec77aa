"""An edge's supply: what it lets in from other zones, what it opens for the plain callers of its own, and the rest,
which is what any Envoy of its zone sees."""

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet

from pilot_plus.views.xds.gateway import (
    ALLOW,
    HTTP,
    allow_secret,
    mesh_listener,
    plain_listener,
    shared_listener,
)
from pilot_plus.views.xds.inbound import LOCAL, Inbound
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

    def __init__(self, profile: Profile, outlook: Outlook, world: World, anchors: Anchors, moment: int) -> None:
        """Begin at a moment."""
        self.profile = profile
        self._outlook = outlook
        self._anchors = anchors
        self._news = News(moment)
        self._kept: dict[tuple[Type, str], Resource] = {}
        self._begin(world)

    def __repr__(self) -> str:
        return f"<EdgeShelf of {self.profile.edge}>"

    def _begin(self, world: World) -> None:
        """Look at every service."""
        zone = self.profile.viewer.zone
        self._world = world
        self._inbound = Inbound(world, zone)
        self._chains = {gate.face.service: gate.chains() for gate in self._inbound.gates()}
        """The chains of the mesh listener, by service and name."""
        with_ports = [service for one, service in world.edges.carrying.plain_ports if one == zone]
        self._plain = {service: doors for service in with_ports if (doors := self._doors(service))}
        """The plain listeners, by service and name."""

    @property
    def mark(self) -> int:
        """The moment that it shows."""
        return max(self._outlook.news.latest, self._news.latest)

    def names(self, type_: Type) -> AbstractSet[str]:
        """What a client gets that asks for everything of a type (listeners and clusters; empty for the others)."""
        if type_ is Type.LISTENER:
            doors = (name for doors in self._plain.values() for name in doors)
            return {HTTP, *([MESH] if self._chains else []), *doors}
        if type_ is Type.CLUSTER:
            inbound = (name for gate in self._inbound.gates() for name in gate.facets)
            return {*self._outlook.clusters(), *inbound}
        return frozenset()

    def get(self, type_: Type, name: str) -> Resource | None:
        """One resource; None if there is none of that name for this edge."""
        is_own = type_ in (Type.LISTENER, Type.SECRET) or name.startswith(LOCAL)
        if not is_own:
            return self._outlook.get(type_, name)
        kept = self._kept.get((type_, name))
        if kept is None and (made := self._made(type_, name)) is not None:
            kept = self._kept[type_, name] = made
        return kept

    def prepare(self, type_: Type) -> Iterator[None]:
        """Make ready what `names` of a type needs, with a pause now and then."""
        return self._outlook.prepare() if type_ is Type.CLUSTER else iter(())

    def since(self, mark: int) -> Changes | None:
        """What has changed after a mark; None: that is not known any more, compare everything."""
        ours, theirs = self._news.since(mark), self._outlook.news.since(mark)
        if ours is None or theirs is None:
            return None
        return merged((ours, theirs)) if ours and theirs else ours or theirs

    # -------------------------------------------------------------------------------------------- changing

    def advance(self, world: World, touched: AbstractSet[str], moment: int) -> None:
        """The outlook shows the next state, in which these services may not be as they were."""
        self._world = world
        found = {type_: set(names) for type_, names in self._inbound.advance(world, touched).items()}
        for service in touched:
            if _replace(self._chains, service, self._chains_of(service)):
                found.setdefault(Type.LISTENER, set()).add(MESH)
            if changed := _replace(self._plain, service, self._doors(service)):
                found.setdefault(Type.LISTENER, set()).update(changed)
        self._note(found, moment)

    def reset(self, world: World, moment: int) -> None:
        """The outlook shows a state in which everything may be otherwise."""
        self._kept.clear()
        self._news.forget(moment)
        self._begin(world)

    def believe(self, anchors: Anchors, moment: int) -> None:
        """These are to be believed now."""
        before, self._anchors = self._anchors, anchors
        lists = {ALLOW + gate.face.host for gate in self._inbound.gates()}
        self._note({Type.SECRET: before.secrets | anchors.secrets | lists}, moment)

    def _note(self, found: dict[Type, set[str]], moment: int) -> None:
        if not found:
            return
        for type_, names in found.items():
            for name in names:
                self._kept.pop((type_, name), None)
        self._news.note(moment, found)

    def _chains_of(self, service: str) -> Mapping[str, bytes]:
        gate = self._inbound.of(service)
        return gate.chains() if gate else {}

    # -------------------------------------------------------------------------------------------- our own

    def _made(self, type_: Type, name: str) -> Resource | None:
        if type_ in (Type.LISTENER, Type.SECRET):
            body = self._listener(name) if type_ is Type.LISTENER else self._secret(name)
            return resource(name, body) if body is not None else None
        gate = self._inbound.gate(name)
        if gate is None or name not in gate.facets:
            return None
        if type_ is Type.CLUSTER:
            return resource(name, gate.cluster(self._world, name))
        return resource(name, *gate.assignment(name))

    def _listener(self, name: str) -> bytes | None:
        if name == HTTP:
            return shared_listener(self.profile.address, OUTBOUND)
        if name == MESH and self._chains:
            return mesh_listener(MESH, self.profile.address, self._all_chains())
        return next((doors[name] for doors in self._plain.values() if name in doors), None)

    def _secret(self, name: str) -> bytes | None:
        if name == OWN and self.profile.data:
            return own_secret(self.profile.data)
        if is_trust(name):
            return trust_secret(self._anchors, name)
        if not self._anchors.roots:
            return None
        gate = self._inbound.gate(name) if name.startswith(ALLOW) else None
        return allow_secret(name, self._anchors, gate.callers) if gate else None

    def _all_chains(self) -> Iterator[bytes]:
        for service in sorted(self._chains):
            yield from self._chains[service].values()

    def _doors(self, service: str) -> Mapping[str, bytes]:
        """The plain listeners of a service, by their names."""
        ports = self._world.edges.plain_ports(self.profile.viewer.zone, service)
        face = self._outlook.face(service) if ports else None
        if face is None:
            return {}
        found = {}
        for cluster, facet in face.facets.items():
            if number := ports.get(facet.port):
                name = str(Carried(PLAIN, service, facet.port))
                address = self.profile.address
                found[name] = plain_listener(name, address, number, face.host, cluster, facet.family)
        return found


def _replace(made: dict[str, Mapping[str, bytes]], service: str, after: Mapping[str, bytes]) -> set[str]:
    """Replace what was made of a service; the names of what is not as it was."""
    before = made.pop(service, {})
    if after:
        made[service] = after
    return {name for name in (*before, *after) if before.get(name) != after.get(name)}
