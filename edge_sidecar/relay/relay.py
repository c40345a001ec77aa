"""The relay without its network: the streams of this agent's Envoys on one side, the hub on the other.

The hub hears a verdict on its response when the newest Envoy has given one on all that was in it; where no Envoy
listens, at once.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from envoy.service.discovery.v3 import discovery_pb2 as pb

from edge_sidecar.relay.shelf import Item, Shelf
from edge_sidecar.relay.stream import Stream
from pilot_plus.wire import edge_pb2
from pilot_plus.wire.discovery import WILDCARD, Type, parse_carried

DOUBT: Final = 2
"""Crashes in a row after which what is new is under suspicion."""
RELIEVE: Final = 4
"""Crashes in a row after which it is no more; then it begins anew, for the hub may have said something else."""


class _Owed:
    """A response of the hub that waits for a verdict."""

    def __init__(self, nonce: str, names: Iterable[str]) -> None:
        self.nonce = nonce
        self.names = set(names)
        self.error = ""


class Wire:
    """A stream and what wakes whoever carries it."""

    def __init__(self, relay: "Relay") -> None:
        self.stream = Stream(relay.shelf, relay)
        self.awake = asyncio.Event()


class Relay:
    """What passes between hub and Envoys."""

    def __init__(self, shelf: Shelf, changed: Callable[[], None] = lambda: None) -> None:
        """`changed` is called when something was acknowledged, rejected or removed."""
        self.shelf = shelf
        self.changed = changed
        self._wires: list[Wire] = []
        self._owed: dict[Type, _Owed] = {}
        self._interest: dict[Type, set[str]] = {type_: set() for type_ in Type if type_ not in WILDCARD}
        for type_, names in self._interest.items():
            names.update(shelf.names(type_))
        self._to_hub: list[pb.DeltaDiscoveryRequest] = []
        self.hub_awake = asyncio.Event()
        self.is_told = False
        """Whether the hub has said anything on the line that there is now."""

    # ------------------------------------------------------------------------------------------ an Envoy's side

    def attach(self) -> Wire:
        """An Envoy has connected: it is the one whose verdict counts."""
        self._wires.append(wire := Wire(self))
        return wire

    def detach(self, wire: Wire) -> None:
        """It has gone."""
        self._wires.remove(wire)
        for type_ in list(self._owed):
            self._settle(type_, self._owed[type_].names.copy(), "")

    def crashed(self, in_a_row: int) -> None:
        """An Envoy has ended by itself."""
        turn = in_a_row % RELIEVE
        if turn == DOUBT:
            self.shelf.doubt()
        elif turn == 0:
            self.shelf.relieve()

    def retire(self) -> None:
        """All Envoys but the one that connected last drain from now on."""
        for wire in self._wires[:-1]:
            wire.stream.is_retired = True

    @property
    def is_idle(self) -> bool:
        """Whether the newest Envoy has all that it asked for."""
        return bool(self._wires) and self._wires[-1].stream.is_idle

    def wanted(self, type_: Type, names: Iterable[str]) -> None:
        """An Envoy asks for these by name."""
        if type_ in WILDCARD:
            return
        new = set(names) - self._interest[type_]
        if new:
            self._interest[type_] |= new
            self._say(pb.DeltaDiscoveryRequest(type_url=type_, resource_names_subscribe=sorted(new)))

    def unwanted(self, type_: Type, names: Iterable[str]) -> None:
        """An Envoy doesn't need these any more."""
        if type_ in WILDCARD:
            return
        gone = [name for name in names if not any(wire.stream.is_wanted(type_, name) for wire in self._wires)]
        for name in gone:
            self._interest[type_].discard(name)
            self.shelf.forget(type_, name)
        if gone:
            self._say(pb.DeltaDiscoveryRequest(type_url=type_, resource_names_unsubscribe=gone))

    def judged(self, type_: Type, names: Iterable[str], error: str) -> None:
        """An Envoy has acknowledged these, or rejected them."""
        self._settle(type_, names, error)
        self.changed()

    # ------------------------------------------------------------------------------------------ the hub's side

    def connected(self, node: Mapping[str, object]) -> list[pb.DeltaDiscoveryRequest]:
        """What to say first to a hub: what we want, and what we have."""
        self._to_hub.clear()
        self._owed.clear()
        self.is_told = False
        requests = []
        for type_ in Type:
            names = ["*"] if type_ in WILDCARD else sorted(self._interest[type_])
            if names:
                request = pb.DeltaDiscoveryRequest(type_url=type_, resource_names_subscribe=names)
                request.initial_resource_versions.update(self.shelf.offered(type_))
                requests.append(request)
        requests[0].node.id = str(node["id"])
        requests[0].node.cluster = str(node["cluster"])
        requests[0].node.metadata.update(node["metadata"])
        return requests

    def said(self, response: pb.DeltaDiscoveryResponse) -> None:
        """The hub says something."""
        try:
            type_ = Type(response.type_url)
        except ValueError:
            return
        items = {one.name: Item(one.version, one.SerializeToString()) for one in response.resources}
        self.is_told = True
        changed = self.shelf.offer(type_, items, response.removed_resources)
        for wire in self._wires:
            wire.stream.on_changed(type_, changed)
            wire.awake.set()
        heard = self._wires[-1].stream if self._wires else None
        waiting = {name for name in changed if heard is not None and heard.is_wanted(type_, name)}
        before = self._owed.get(type_)
        self._owed[type_] = _Owed(response.nonce, waiting | (before.names if before else set()))
        self._settle(type_, (), "")
        self.changed()

    def to_hub(self) -> list[pb.DeltaDiscoveryRequest]:
        """What is to be said to the hub now."""
        self.hub_awake.clear()
        requests, self._to_hub = self._to_hub, []
        return requests

    def _settle(self, type_: Type, names: Iterable[str], error: str) -> None:
        owed = self._owed.get(type_)
        if owed is None:
            return
        owed.names.difference_update(names)
        owed.error = owed.error or error
        if owed.names:
            return
        del self._owed[type_]
        answer = pb.DeltaDiscoveryRequest(type_url=type_, response_nonce=owed.nonce)
        if owed.error:
            answer.error_detail.code = 3  # INVALID_ARGUMENT
            answer.error_detail.message = owed.error
        self._say(answer)

    def _say(self, request: pb.DeltaDiscoveryRequest) -> None:
        self._to_hub.append(request)
        self.hub_awake.set()


def acknowledged(listeners: Mapping[str, Item]) -> Mapping[str, str]:
    """What an edge carries with these listeners: their names and those of their chains, with the version of each."""
    found: dict[str, str] = {}
    for name, item in listeners.items():
        found[name] = item.version
        if parse_carried(name) is None:
            found.update(dict.fromkeys(_chains(item.data), item.version))
    return found


def _chains(data: bytes) -> list[str]:
    listener = edge_pb2.ListenerNames.FromString(pb.Resource.FromString(data).resource.value)
    return [chain.name for chain in listener.filter_chains if chain.name]
