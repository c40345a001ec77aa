"""A stream: one Envoy's delta discovery, without I/O.

request    CLUSTER *                      ▶ response 1   a, b        (as soon as the hub has said anything)
ack 1                                     the shelf notes: a and b are good
changed    CLUSTER b, c                   ▶ response 2   b, c        one at a time for each type
nack 2                                    ▶ response 3   b           which of them is it? one by one
ack 3                                     ▶ response 4   c
nack 4                                    the shelf notes: c is rejected
"""

from collections import deque
from collections.abc import Iterable
from typing import Protocol

import msgspec
from envoy.service.discovery.v3 import discovery_pb2 as pb

from edge_sidecar.relay.shelf import Item, Shelf
from pilot_plus.wire.discovery import WILDCARD, Type


class Listener(Protocol):
    """Who hears what becomes of a stream's responses and subscriptions."""

    def wanted(self, type_: Type, names: Iterable[str]) -> None:
        """An Envoy asks for these by name."""
        ...

    def unwanted(self, type_: Type, names: Iterable[str]) -> None:
        """An Envoy doesn't need these any more."""
        ...

    def judged(self, type_: Type, names: Iterable[str], error: str) -> None:
        """An Envoy has acknowledged these; or, with an error, rejected this one."""
        ...


class _Sent(msgspec.Struct, frozen=True):
    nonce: str
    items: dict[str, Item | None]
    """None: removed."""


class _Interest:
    """What a client wants of one type, and what it has."""

    def __init__(self, *, is_wildcard: bool) -> None:
        self.is_wildcard = is_wildcard
        self.names: set[str] = set()
        self.known: dict[str, str] = {}
        self.due: set[str] = set()
        self.singly: deque[str] = deque()
        self.unanswered: set[str] = set()
        self.is_new = is_wildcard
        self.sent: _Sent | None = None

    def wants(self, name: str) -> bool:
        return self.is_wildcard or name in self.names


class Stream:
    """The delta stream of one Envoy."""

    def __init__(self, shelf: Shelf, listener: Listener) -> None:
        self._shelf = shelf
        self._listener = listener
        self._interests: dict[Type, _Interest] = {}
        self._count = 0
        self.is_retired = False
        """An Envoy that drains gets no listeners any more: they would open its ports again."""

    def on_request(self, request: pb.DeltaDiscoveryRequest) -> None:
        """The client asks, or answers."""
        try:
            type_ = Type(request.type_url)
        except ValueError:
            return  # a type that the hub doesn't serve: Envoy goes on without
        self._judge(type_, request)
        interest = self._interests.get(type_)
        names = set(request.resource_names_subscribe)
        if interest is None:
            is_wildcard = type_ in WILDCARD and (not names or "*" in names)
            interest = self._interests[type_] = _Interest(is_wildcard=is_wildcard)
            interest.known.update(request.initial_resource_versions)
            if is_wildcard:
                interest.due.update(self._shelf.names(type_), interest.known)
        self._subscribe(type_, interest, names - {"*"})
        self._unsubscribe(type_, interest, set(request.resource_names_unsubscribe))

    def on_changed(self, type_: Type, names: Iterable[str]) -> None:
        """The shelf holds something else under these names."""
        interest = self._interests.get(type_)
        if interest is not None:
            interest.due.update(name for name in names if interest.wants(name))

    def next(self) -> bytes | None:
        """The next response, if one is due."""
        for type_, interest in sorted(self._interests.items(), key=lambda pair: _ORDER[pair[0]]):
            if interest.sent is None and not (self.is_retired and type_ is Type.LISTENER):
                response = self._response(type_, interest)
                if response is not None:
                    return response
        return None

    def is_wanted(self, type_: Type, name: str) -> bool:
        """Whether the client asked for it."""
        interest = self._interests.get(type_)
        return interest is not None and interest.wants(name)

    @property
    def is_idle(self) -> bool:
        """Whether the client has all that it asked for, and has said so."""
        return not any(one.sent or one.due or one.singly or one.unanswered for one in self._interests.values())

    def _subscribe(self, type_: Type, interest: _Interest, names: set[str]) -> None:
        if not names:
            return
        interest.names |= names
        interest.unanswered |= names
        interest.due |= names
        for name in names:
            interest.known.pop(name, None)  # who asks again wants to hear it again
        self._listener.wanted(type_, names)

    def _unsubscribe(self, type_: Type, interest: _Interest, names: set[str]) -> None:
        if not names:
            return
        interest.names -= names
        interest.unanswered -= names
        for name in names:
            interest.known.pop(name, None)
        self._listener.unwanted(type_, names)

    def _judge(self, type_: Type, request: pb.DeltaDiscoveryRequest) -> None:
        interest = self._interests.get(type_)
        if interest is None or interest.sent is None or interest.sent.nonce != request.response_nonce:
            return
        sent, interest.sent = interest.sent, None
        if not request.HasField("error_detail"):
            for name, item in sent.items.items():
                if item is not None:
                    self._shelf.accept(type_, name, item)
            self._listener.judged(type_, sent.items, "")
        elif len(sent.items) > 1:
            interest.singly.extend(sent.items)
        else:
            for name, item in sent.items.items():
                interest.known.pop(name, None)
                if item is not None:
                    self._shelf.reject(type_, name, item.version, request.error_detail.message[:1000])
                self._listener.judged(type_, [name], request.error_detail.message[:1000] or "no reason given")

    def _response(self, type_: Type, interest: _Interest) -> bytes | None:
        if not self._shelf.is_answered(type_) and not interest.names:
            return None
        singly = bool(interest.singly)
        names = [interest.singly.popleft()] if singly else sorted(interest.due)
        if not singly:
            interest.due.clear()
        items: dict[str, Item | None] = {}
        for name in names:
            item = self._shelf.best(type_, name) if interest.wants(name) else None
            if item is not None and (singly or interest.known.get(name) != item.version):
                items[name] = item
            elif item is None and (name in interest.known or (self._is_asked_in_vain(type_, interest, name))):
                items[name] = None
            if item is not None or name in items:
                interest.unanswered.discard(name)
        if not items and not interest.is_new:
            return None
        interest.is_new = False
        return self._sending(type_, interest, items)

    def _is_asked_in_vain(self, type_: Type, interest: _Interest, name: str) -> bool:
        return name in interest.unanswered and self._shelf.is_absent(type_, name)

    def _sending(self, type_: Type, interest: _Interest, items: dict[str, Item | None]) -> bytes:
        self._count += 1
        interest.sent = _Sent(str(self._count), items)
        for name, item in items.items():
            if item is None:
                interest.known.pop(name, None)
            else:
                interest.known[name] = item.version
        removed = [name for name, item in items.items() if item is None]
        head = pb.DeltaDiscoveryResponse(type_url=type_, nonce=str(self._count), removed_resources=removed)
        resources = (_field(item.data) for item in items.values() if item is not None)
        return bytes(head.SerializeToString()) + b"".join(resources)


_ORDER = {type_: index for index, type_ in enumerate(Type)}


def _field(data: bytes) -> bytes:
    """A resource as an element of `DeltaDiscoveryResponse.resources`, which has the number 2."""
    size, length = bytearray(), len(data)
    while length > 0x7F:
        size.append(length & 0x7F | 0x80)
        length >>= 7
    size.append(length)
    return b"\x12" + bytes(size) + data
