"""The report: what is known about clients, for the API."""

from collections.abc import Callable, Iterator
from typing import Any, Final, Literal
from urllib.parse import unquote

import msgspec
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.transport_sockets.tls.v3.secret_pb2 import Secret
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from pilot_plus.model import Viewer, short_zone
from pilot_plus.servers.xds.client import Client
from pilot_plus.servers.xds.rejection import Rejection
from pilot_plus.servers.xds.roster import Roster
from pilot_plus.servers.xds.subscription import Subscription
from pilot_plus.views import proxies as shapes
from pilot_plus.views.explanation import ServedShape
from pilot_plus.views.xds.resource import Resource, Type

_MESSAGES: Final[dict[Type, type[Message]]] = {
    Type.SECRET: Secret,
    Type.CLUSTER: Cluster,
    Type.ENDPOINTS: ClusterLoadAssignment,
    Type.LISTENER: Listener,
    Type.ROUTES: RouteConfiguration,
}
_OF_SERVICE: Final = (Type.CLUSTER, Type.ENDPOINTS)


class Report:
    """Tells about the clients of a roster."""

    def __init__(self, roster: Roster, cluster: str, clock: Callable[[], float]) -> None:
        self._roster = roster
        self._cluster = cluster
        self._clock = clock

    def all(self) -> shapes.ProxyList:
        """Every client, by its id."""
        clients = sorted(self._roster.clients, key=lambda client: (client.id, client.since))
        return shapes.ProxyList(proxies=tuple(map(self._shape, clients)))

    def one(self, id_: str) -> shapes.ProxyDetail | None:
        """One client with what it was sent; of several with that id the youngest."""
        found = [client for client in self._roster.clients if client.id == id_]
        if not found:
            return None
        client = max(found, key=lambda one: one.since)
        resources = [
            one for type_ in Type if (part := client.stream.subscriptions.get(type_)) for one in _sent(client, part)
        ]
        return shapes.ProxyDetail(**msgspec.structs.asdict(self._shape(client)), resources=tuple(resources))

    def serving(self, host: str, viewer: Viewer) -> tuple[ServedShape, ...]:
        """The clients that look as `viewer` does and follow the service of this host."""
        found = [
            one
            for client in self._roster.clients
            if (client.profile.viewer.zone, client.profile.viewer.speaks) == (viewer.zone, viewer.speaks)
            for one in self._served(client, f".{host}")
        ]
        return tuple(sorted(found, key=lambda one: (one.id, one.type, one.resource)))

    def _served(self, client: Client, suffix: str) -> Iterator[ServedShape]:
        supply = client.supply
        for type_ in _OF_SERVICE:
            subscription = client.stream.subscriptions.get(type_)
            if subscription is None:
                continue
            out = {one.name for one in subscription.sent.resources} if subscription.sent else set()
            names = subscription.wanted.names | subscription.held.keys() | out
            for name in (name for name in names if name.partition("/")[0].endswith(suffix)):
                current, held = supply.get(type_, name), subscription.held.get(name)
                rejection = subscription.rejected.get(name)
                has_it = held is not None and current is not None and held.version == current.version
                yield ServedShape(
                    id=client.id,
                    zone=short_zone(self._cluster, client.profile.viewer.zone),
                    type=_name(type_),
                    resource=name,
                    state="rejected" if rejection else "accepted" if has_it else "sent" if name in out else "waiting",
                    reason=rejection.reason if rejection else None,
                )

    def _shape(self, client: Client) -> shapes.ProxyShape:
        now, stream = self._clock(), client.stream
        parts = [stream.subscriptions[type_] for type_ in Type if type_ in stream.subscriptions]
        state, since = _state(client, parts)
        rejections = [(part, part.last_rejection) for part in parts if part.last_rejection]
        last = max(rejections, key=lambda found: found[1].since, default=None)
        return shapes.ProxyShape(
            id=client.id,
            kind=client.profile.kind,
            zone=short_zone(self._cluster, client.profile.viewer.zone),
            address=_address(client.host),
            identity=str(client.identity) if client.identity else None,
            form="delta" if stream.form.value == "delta" else "state",
            state=state,
            state_s=round(max(0.0, now - since), 3),
            connected_s=round(max(0.0, now - client.since), 3),
            subscriptions=tuple(_subscription(part, now) for part in parts),
            last_rejection=_rejection(*last, now) if last else None,
        )


def _state(client: Client, parts: list[Subscription]) -> tuple[Literal["synced", "stale", "rejecting"], float]:
    rejected = [one.since for part in parts for one in part.rejected.values()]
    if rejected or any(part.is_searching for part in parts):
        return "rejecting", min(rejected, default=client.since)
    waiting = [part.sent_at for part in parts if part.sent is not None]
    if waiting:
        return "stale", min(waiting)
    return "synced", max((part.changed_at for part in parts if part.changed_at), default=client.since)


def _subscription(part: Subscription, now: float) -> shapes.SubscriptionShape:
    return shapes.SubscriptionShape(
        type=_name(part.type),
        everything=part.wanted.is_everything,
        names=len(part.wanted.names),
        accepted=len(part.held),
        rejected=len(part.rejected),
        waiting_s=round(max(0.0, now - part.sent_at), 3) if part.sent is not None else None,
    )


def _rejection(part: Subscription, rejection: Rejection, now: float) -> shapes.Rejection:
    return shapes.Rejection(
        type=_name(part.type),
        resource=rejection.version,
        reason=rejection.reason,
        age_s=round(max(0.0, now - rejection.since), 3),
    )


def _sent(client: Client, part: Subscription) -> Iterator[shapes.SentShape]:
    """What a client has of one type: what it accepted, what is out, and what it has rejected."""
    out = {one.name: one for one in part.sent.resources} if part.sent else {}
    for name in sorted(part.held.keys() | out.keys() | part.rejected.keys()):
        held = part.held.get(name)
        if held is not None:
            yield _resource(client, part.type, held, "accepted", None)
        if name in out:
            yield _resource(client, part.type, out[name], "sent", None)
        elif rejection := part.rejected.get(name):
            refused = Resource(name, rejection.version, b"")
            yield _resource(client, part.type, refused, "rejected", rejection.reason)


def _resource(
    client: Client, type_: Type, one: Resource, state: Literal["accepted", "sent", "rejected"], reason: str | None
) -> shapes.SentShape:
    body = one.body
    if not body and (current := client.supply.get(type_, one.name)) and current.version == one.version:
        body = current.body
    return shapes.SentShape(
        type=_name(type_),
        name=one.name,
        version=one.version,
        state=state,
        reason=reason,
        content=_content(type_, body) if body else None,
    )


def _content(type_: Type, body: bytes) -> dict[str, Any]:
    message = _MESSAGES[type_].FromString(body)
    content: dict[str, Any] = MessageToDict(message, preserving_proto_field_name=True)
    return content


def _address(peer: str) -> str:
    """An address as people write it, of gRPC's `ipv4:127.0.0.1` and `ipv6:%5B::1%5D`."""
    return unquote(peer.partition(":")[2]).strip("[]")


def _name(type_: Type) -> str:
    return type_.name.lower()
