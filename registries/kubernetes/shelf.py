"""The shelf of one service: its Service and slices that are ours, as they are, and as they should be. Pure.

    put A'        slice 0: A B     ─▶  slice 0: A' B
    put C         slice 0: full    ─▶  slice 1: C            a hundred at most, as with the built-in controller
    put B with other ports         ─▶  first slice 2: B, then slice 0: A'      new in, then old out
    drop C                         ─▶  slice 1 is empty, and goes

What reading a slice again must give is kept as values, so that what is there already isn't written.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import msgspec

from registries.kubernetes.copies import Copy, common_in, copies_in
from registries.kubernetes.decode import ServiceName, key_of, ports_of
from registries.kubernetes.encode import Entry, Group, Placed
from registries.kubernetes.names import COMMON, COPIES, NAME, RULE, SERVICE_NAME, hash_of
from registries.kubernetes.objects import Meta, ServiceObject, ServicePort, SliceObject, SlicePort

SLICE_SIZE: Final = 100
"""Endpoints in a slice: what the built-in controller allows by default."""


class Version(msgspec.Struct, frozen=True):
    """Which state of which object: what a write or a removal demands to be still so."""

    uid: str
    revision: str


class Slice(msgspec.Struct, frozen=True):
    """A slice of ours."""

    name: str
    group: Group | None
    """None: it can't be read, and goes when something is written."""
    entries: Mapping[str, Entry]
    """By the key of the copy."""
    version: Version | None = None
    """As it is there; None for one that is to be written."""


class Front(msgspec.Struct, frozen=True):
    """A Service, as far as we say what it is."""

    ports: tuple[ServicePort, ...]
    told: str = ""
    """The name that it can't have itself."""
    is_leased: bool = False
    """It goes with our lease: no durable copy stands behind it."""
    is_labelled: bool = True
    """It has the labels that it needs to be seen again."""


class Shelf(msgspec.Struct, frozen=True):
    """All of a service that is there."""

    service: ServiceName
    front: Front | None = None
    version: Version | None = None
    """Of the Service."""
    imported: Version | None = None
    """Of the ServiceImport."""
    foreign: str = ""
    """Which object of its name is somebody else's; empty for none."""
    slices: Mapping[str, Slice] = {}


def slice_of(found: SliceObject) -> Slice:
    """A slice of ours as the API server has it."""
    meta = found.metadata
    version = version_of(meta)
    annotations = meta.annotations or {}
    try:
        copies = copies_in(annotations.get(COPIES, "{}"))
        common = common_in(annotations.get(COMMON, "{}"))
        entries = dict(_entries(found, copies))
    except ValueError:
        return Slice(meta.name, None, {}, version)
    rule = (meta.labels or {}).get(RULE, "")
    group = Group(found.address_type, tuple(found.ports or ()), rule, common)
    return Slice(meta.name, group, entries, version)


def front_of(found: ServiceObject, labels: Mapping[str, str]) -> Front:
    """A Service as the API server has it. `labels`: what it needs."""
    meta, spec = found.metadata, found.spec
    ports = tuple(spec.ports or ()) if spec else ()
    is_labelled = labels.items() <= (meta.labels or {}).items()
    return Front(
        tuple(sorted(ports, key=_port_order)),
        (meta.annotations or {}).get(NAME, ""),
        bool(meta.owner_references),
        is_labelled,
    )


def version_of(meta: Meta) -> Version:
    """Which state of which object it is."""
    return Version(meta.uid, meta.resource_version)


def arranged(shelf: Shelf, puts: Iterable[Placed], drops: Iterable[str], cluster: str) -> list[Slice]:
    """The slices to be written to put and drop copies, in their order: first what brings something, with what leaves
    it still there; then what takes something away. One without an entry is to be removed.
    """
    arranging = _Arranging(shelf, cluster)
    for copy in puts:
        arranging.put(copy)
    for key in drops:
        arranging.drop(key)
    return [*arranging.gains(), *arranging.losses()]


def with_slice(slices: Mapping[str, Slice], written: Slice) -> dict[str, Slice]:
    """The slices, once one is written."""
    others = {name: one for name, one in slices.items() if name != written.name}
    return {**others, written.name: written} if written.entries else others


def front_for(service: ServiceName, slices: Iterable[Slice]) -> Front:
    """The Service that slices need: each name of a port once, at the number that most of its copies have.

    Two names can't be at one number: the first in the order of names has it, and the other is left out.
    """
    numbers: dict[tuple[str, str], Counter[int]] = {}
    said: dict[tuple[str, str], SlicePort] = {}
    told, is_leased = "", True
    for one in slices:
        is_leased = is_leased and one.group is not None and one.group.common.lease > 0
        for port in one.group.ports if one.group else ():
            name = (port.name or "", port.protocol or "TCP")
            numbers.setdefault(name, Counter())[port.port or 0] += len(one.entries)
            said.setdefault(name, port)
        told = told or (one.group.common.service if one.group else "")
    ports: dict[tuple[int, str], ServicePort] = {}
    for name in sorted(numbers):
        number = min(numbers[name], key=lambda number: (-numbers[name][number], number))
        shown = ServicePort(number, name[0], name[1], said[name].app_protocol)
        if all(other.name != shown.name for other in ports.values()):
            ports.setdefault((number, name[1]), shown)
    return Front(tuple(sorted(ports.values(), key=_port_order)), told, is_leased)


def _port_order(port: ServicePort) -> tuple[str, int]:
    return port.name or "", port.port


class _Arranging:
    """A shelf on which things are moved."""

    def __init__(self, shelf: Shelf, cluster: str) -> None:
        self._cluster = cluster
        self._service = shelf.service
        self._contents = {name: dict(one.entries) for name, one in shelf.slices.items()}
        self._groups = {name: one.group for name, one in shelf.slices.items()}
        self._homes: dict[str, list[str]] = {}
        for name, entries in self._contents.items():
            for key in entries:
                self._homes.setdefault(key, []).append(name)
        self._gaining: dict[str, None] = {}
        self._leaving: dict[str, set[str]] = {name: set() for name, one in shelf.slices.items() if one.group is None}
        self._roomy: dict[Group, list[str]] = {}
        for name, group in self._groups.items():
            if group is not None and len(self._contents[name]) < SLICE_SIZE:
                self._roomy.setdefault(group, []).append(name)
        for names in self._roomy.values():
            names.sort(key=lambda name: -len(self._contents[name]))  # the fullest is filled up first

    def put(self, copy: Placed) -> None:
        homes = self._homes.get(copy.key, [])
        home = next((name for name in homes if self._groups[name] == copy.group), None) or self._room(copy.group)
        for name in homes:
            if name != home:
                self._leaving.setdefault(name, set()).add(copy.key)
        if self._contents[home].get(copy.key) != copy.entry:
            self._contents[home][copy.key] = copy.entry
            self._gaining[home] = None
        self._homes[copy.key] = [home]

    def drop(self, key: str) -> None:
        for name in self._homes.pop(key, ()):
            self._leaving.setdefault(name, set()).add(key)

    def gains(self) -> Iterator[Slice]:
        """Slices with what is new in them; what leaves them is still there."""
        for name in self._gaining:
            yield self._step(name)

    def losses(self) -> Iterator[Slice]:
        """Slices without what has left them."""
        for name, keys in self._leaving.items():
            for key in keys:
                self._contents[name].pop(key, None)
            yield self._step(name)

    def _step(self, name: str) -> Slice:
        return Slice(name, self._groups[name], dict(self._contents[name]))

    def _room(self, group: Group) -> str:
        """A slice of that group with room for one more."""
        roomy = self._roomy.setdefault(group, [])
        while roomy:
            if len(self._contents[roomy[0]]) < SLICE_SIZE:
                return roomy[0]
            roomy.pop(0)
        name = self._new_name(group)
        self._contents[name], self._groups[name] = {}, group
        roomy.append(name)
        return name

    def _new_name(self, group: Group) -> str:
        said = msgspec.json.encode(group).decode()
        stem = f"{self._service[1][:40].rstrip('-')}-{hash_of(self._cluster, *self._service, said)}"
        number = 0
        while f"{stem}-{number}" in self._contents:
            number += 1
        return f"{stem}-{number}"


def _entries(found: SliceObject, copies: Mapping[str, Copy]) -> Iterator[tuple[str, Entry]]:
    """Its copies; an endpoint that somebody has added by hand is none, and goes with the next write."""
    ports = ports_of(found.ports)
    service = (found.metadata.namespace, (found.metadata.labels or {}).get(SERVICE_NAME, ""))
    for endpoint in found.endpoints or ():
        address = endpoint.addresses[0] if endpoint.addresses else ""
        if address in copies:
            yield key_of(service, address, ports), Entry(endpoint, copies[address])
