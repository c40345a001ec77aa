"""The objects that we write, as JSON: what of them we say, and nothing else. Pure."""

from collections.abc import Mapping
from typing import TypeAlias

import msgspec

from registries.kubernetes.decode import ServiceName
from registries.kubernetes.encode import annotations_of
from registries.kubernetes.names import (
    CLUSTER,
    IMPORT_NAME,
    MANAGED_BY,
    NAME,
    OURS,
    RULE,
    SERVICE_NAME,
    SOURCE_CLUSTER,
)
from registries.kubernetes.objects import Meta, OwnerReference
from registries.kubernetes.shelf import Front, Slice

Body: TypeAlias = dict[str, object]


class Ours(msgspec.Struct, frozen=True):
    """What everything that we write says of us."""

    cluster: str
    labels: Mapping[str, str] = {}
    """Further labels of Services: those by which the source chooses what it reads."""
    has_imports: bool = False
    """ServiceImport is installed."""

    @property
    def service_labels(self) -> dict[str, str]:
        """Of our Services."""
        return {**self.labels, CLUSTER: self.cluster}

    @property
    def slice_selector(self) -> str:
        """Selects our slices."""
        return f"{MANAGED_BY}={OURS},{CLUSTER}={self.cluster}"

    def owns(self, meta: Meta) -> bool:
        """Whether a Service or a ServiceImport is ours."""
        return (meta.labels or {}).get(CLUSTER) == self.cluster


def service_of(service: ServiceName, front: Front, ours: Ours, owner: OwnerReference | None) -> tuple[Meta, Body]:
    """A Service without a selector: its endpoints are what our slices say."""
    annotations = {NAME: front.told} if front.told else None
    meta = _meta(service, service[1], ours.service_labels, annotations, owner if front.is_leased else None)
    return meta, {"spec": {"type": "ClusterIP", "ports": list(front.ports)}}


def import_of(service: ServiceName, front: Front, ours: Ours, owner: OwnerReference | None) -> tuple[Meta, Body]:
    """A ServiceImport of the same ports."""
    meta = _meta(service, service[1], {CLUSTER: ours.cluster}, None, owner if front.is_leased else None)
    return meta, {"spec": {"type": "ClusterSetIP", "ports": list(front.ports)}}


def slice_of(service: ServiceName, written: Slice, ours: Ours, owner: OwnerReference | None) -> tuple[Meta, Body]:
    """A slice; one that is to go has no body.

    Raises:
        ValueError: it can't be read, and so can't be written.
    """
    group = written.group
    if group is None:
        raise ValueError(f"slice {written.name} has no group")
    labels = {SERVICE_NAME: service[1], MANAGED_BY: OURS, CLUSTER: ours.cluster}
    if group.rule:
        labels[RULE] = group.rule
    if ours.has_imports:
        labels |= {IMPORT_NAME: service[1], SOURCE_CLUSTER: ours.cluster}
    meta = _meta(
        service, written.name, labels, annotations_of(group, written.entries), owner if group.common.lease else None
    )
    endpoints = [entry.endpoint for entry in written.entries.values()]
    return meta, {"addressType": group.family, "endpoints": endpoints, "ports": list(group.ports)}


def _meta(
    service: ServiceName,
    name: str,
    labels: dict[str, str],
    annotations: dict[str, str] | None,
    owner: OwnerReference | None,
) -> Meta:
    owners = [owner] if owner else None
    return Meta(name, service[0], labels=labels, annotations=annotations, owner_references=owners)
