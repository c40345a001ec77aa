"""A shelf: the resources of one profile. Listeners and secrets are its own; the rest is its viewer's outlook."""

from collections.abc import Iterator
from collections.abc import Set as AbstractSet

from pilot_plus.quantities import Address
from pilot_plus.views.xds.envoy import tcp_cluster
from pilot_plus.views.xds.listener import OUTBOUND, TCP, http_listener, tcp_listener
from pilot_plus.views.xds.news import News, merged
from pilot_plus.views.xds.outlook import Outlook
from pilot_plus.views.xds.profile import Kind, Profile
from pilot_plus.views.xds.resource import Resource, Type, resource
from pilot_plus.views.xds.supply import Changes
from pilot_plus.views.xds.tls import OWN, Anchors, is_trust, own_secret, trust_secret
from pilot_plus.views.xds.world import World


class Shelf:
    """One profile's (`supply.Supply`)."""

    def __init__(self, profile: Profile, outlook: Outlook, anchors: Anchors, moment: int) -> None:
        """Begin at a moment."""
        self.profile = profile
        self._outlook = outlook
        self._anchors = anchors
        self._news = News(moment)
        self._doors = dict(profile.tcp)
        self._listeners: dict[str, Resource] | None = None

    def __repr__(self) -> str:
        return f"<Shelf of {self.profile.kind} in {self.profile.viewer.zone}>"

    @property
    def mark(self) -> int:
        """The moment that it shows."""
        return max(self._outlook.news.latest, self._news.latest)

    def get(self, type_: Type, name: str) -> Resource | None:
        """One resource; None if there is none of that name for these clients."""
        if self.profile.kind is Kind.GRPC:
            return self._outlook.get(type_, name)
        if type_ is Type.LISTENER:
            return self._all_listeners().get(name)
        if type_ is Type.SECRET:
            return self._secret(name)
        return self._outlook.get(type_, name)

    def names(self, type_: Type) -> AbstractSet[str]:
        """What a client gets that asks for everything of a type (listeners and clusters; empty for the others)."""
        if self.profile.kind is Kind.GRPC:
            return frozenset()
        if type_ is Type.LISTENER:
            return self._all_listeners().keys()
        return self._outlook.clusters() if type_ is Type.CLUSTER else frozenset()

    def prepare(self, type_: Type) -> Iterator[None]:
        """Make ready what `names` of a type needs, with a pause now and then."""
        return self._outlook.prepare() if type_ is Type.CLUSTER and self.profile.kind is not Kind.GRPC else iter(())

    def since(self, mark: int) -> Changes | None:
        """What has changed after a mark; None: that is not known any more, compare everything."""
        ours, theirs = self._news.since(mark), self._outlook.news.since(mark)
        if ours is None or theirs is None:
            return None
        return merged((ours, theirs)) if ours and theirs else ours or theirs

    # -------------------------------------------------------------------------------------------- changing

    def advance(self, _: World, touched: AbstractSet[str], moment: int) -> None:
        """The outlook shows the next state, in which these services may not be as they were."""
        if self._doors and any(_service(door) in touched for door in self._doors):
            self._open_doors(moment)

    def reset(self, _: World, moment: int) -> None:
        """The outlook shows a state in which everything may be otherwise."""
        self._open_doors(moment)

    def _open_doors(self, moment: int) -> None:
        """Make the listeners anew, if anybody has asked for them."""
        if self._listeners is None:
            return
        before, self._listeners = self._listeners, None
        after = self._all_listeners()
        changed = {name for name in (*before, *after) if before.get(name) != after.get(name)}
        if changed:
            self._news.note(moment, {Type.LISTENER: changed})

    def believe(self, anchors: Anchors, moment: int) -> None:
        """These are to be believed now."""
        before, self._anchors = self._anchors, anchors
        self._news.note(moment, {Type.SECRET: before.secrets | anchors.secrets})

    # -------------------------------------------------------------------------------------------- our own

    def _secret(self, name: str) -> Resource | None:
        if name == OWN and self.profile.data:
            return resource(name, own_secret(self.profile.data))
        secret = trust_secret(self._anchors, name) if is_trust(name) else None
        return resource(name, secret) if secret else None

    def _all_listeners(self) -> dict[str, Resource]:
        if self._listeners is None:
            made = [self._door(door, address) for door, address in self._doors.items()]
            if self.profile.outbound:
                made.append(resource(OUTBOUND, http_listener(OUTBOUND, self.profile.outbound, OUTBOUND)))
            self._listeners = {one.name: one for one in made if one}
        return self._listeners

    def _door(self, door: str, address: str) -> Resource | None:
        """The listener of a TCP service, while that can be seen."""
        face = self._outlook.face(_service(door))
        cluster = tcp_cluster(face, door.partition("#")[2], Address(address).port) if face else None
        return resource(TCP + door, tcp_listener(TCP + door, address, cluster)) if cluster else None


def _service(door: str) -> str:
    """The service of `NAMESPACE/NAME` or `NAMESPACE/NAME#PORTNAME`."""
    return door.partition("#")[0]
