"""Apache Curator's `ServiceInstance` as JSON: what Curator, Spring Cloud and Dubbo 3 put below `/services/<name>`.

Their trees are one tree; whose record it is, the class of its payload says:

| `payload.@class` | layout |
|---|---|
| `org.springframework.cloud.zookeeper.discovery.ZookeeperInstance` | spring |
| `org.apache.dubbo.registry.zookeeper.ZookeeperInstance` | dubbo3 |
| any other, or none | curator, which reads the two above as well if it is the only one configured |

A Java reader fails on a class that it doesn't have, for the whole directory. (apache/curator: `ServiceInstance`,
`JsonInstanceSerializer`.)
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final, Protocol, TypeAlias, runtime_checkable

import msgspec

from pilot_plus.model import Health, Instance, Service
from registries.layouts.jsontext import from_json
from registries.layouts.layout import Raw
from registries.layouts.tree import Place, TreeLayout, below, segment

SPRING_CLASS: Final = "org.springframework.cloud.zookeeper.discovery.ZookeeperInstance"
DUBBO_CLASS: Final = "org.apache.dubbo.registry.zookeeper.ZookeeperInstance"

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"


@runtime_checkable
class Sharing(Protocol):
    """A layout whose directories may hold the records of other layouts."""

    @property
    def payload_classes(self) -> frozenset[str]:
        """The classes that readers of this layout have; empty is no payload."""
        ...


@lru_cache(maxsize=256)
def sharing(layout: TreeLayout) -> Sharing | None:
    """The layout, if it is one of those; asked once."""
    return layout if isinstance(layout, Sharing) else None


class Entry(msgspec.Struct, frozen=True, rename="camel"):
    """The fields that we read; Curator's own reader ignores unknown ones too."""

    name: str
    address: str
    id: str = ""
    port: int | None = None
    ssl_port: int | None = None
    payload: object = None
    enabled: bool = True

    @property
    def payload_class(self) -> str:
        """The payload's Java class, or empty."""
        found = self.payload.get("@class") if isinstance(self.payload, dict) else None
        return found if isinstance(found, str) else ""

    @property
    def metadata(self) -> dict[str, str]:
        """What the payload says: its `metadata`, or its own fields, as far as they are texts, numbers or booleans."""
        fields = self.payload if isinstance(self.payload, dict) else {}
        inner = fields.get("metadata")
        found = inner if isinstance(inner, dict) else {name: v for name, v in fields.items() if name != "@class"}
        texts = {name: _text(value) for name, value in found.items()}
        return {name: text for name, text in texts.items() if text is not None}


def place(root: str, path: str) -> Place:
    """`/services/<name>/<id>`."""
    parts = below(root, path)
    if parts is None or len(parts) > 2:
        return Place.ELSEWHERE
    return Place.DATA if len(parts) == 2 else Place.DIRECTORY


def directory(root: str, key: str) -> str | None:
    """The directory of a record, whose key is its path."""
    return key.rpartition("/")[0] if place(root, key) is Place.DATA else None


def service_of(root: str, raw: Raw) -> Service | None:
    """The service that a directory stands for; None if the path is no such directory."""
    match below(root, raw.path):
        case [directory]:
            return Service(key=raw.path, name=_name_of(directory))
    return None


def entry_of(root: str, raw: Raw) -> Entry | None:
    """The record at a path; None if no records lie there.

    Raises:
        ValueError: it can't be used, or lies in the directory of another service.
    """
    match below(root, raw.path):
        case [directory, _]:
            entry = from_json(raw.data, Entry)
            if segment(entry.name) != directory:
                raise ValueError(f"it lies under {directory[:100]!r}, but is named {entry.name[:100]!r}")
            return entry
    return None


def payload_class_of(data: bytes) -> str:
    """The class of a record's payload; empty for none, and for what is no record."""
    try:
        return from_json(data, Entry).payload_class
    except ValueError:
        return ""


def entry_health(entry: Entry) -> Health:
    """A missing `enabled` is true."""
    return Health.PASSING if entry.enabled else Health.CRITICAL


def entry_raw(
    root: str,
    instance: Instance,
    ports: tuple[int | None, int | None],
    payload: Json,
    *,
    scheme: bool,
    enabled: bool | None = None,
) -> Raw:
    """An instance as Curator writes one, with port and TLS port; `scheme` adds Spring's `uriSpec`.

    The registration time is 0, so that the same instance is always the same record; `enabled` is left out where it
    is None, since readers before Curator 5 don't know it.

    Raises:
        ValueError: ZooKeeper can't hold the name or the id.
    """
    fields: dict[str, Json] = {
        "name": instance.name,
        "id": instance.id,
        "address": instance.address,
        "port": ports[0],
        "sslPort": ports[1],
        "payload": payload,
        "registrationTimeUTC": 0,
        "serviceType": "DYNAMIC" if instance.lease else "STATIC",
        "uriSpec": _URI_SPEC if scheme else None,
    }
    if enabled is not None:
        fields["enabled"] = enabled
    path = f"{root}/{segment(instance.name)}/{segment(instance.id)}"
    return Raw(path, msgspec.json.encode(fields))


_URI_SPEC: Final[Json] = {
    "parts": [
        {"value": value, "variable": variable}
        for value, variable in (("scheme", True), ("://", False), ("address", True), (":", False), ("port", True))
    ]
}


def _name_of(directory: str) -> str:
    """The name that `segment` made a directory of; another's directory stands for itself."""
    name = directory.replace("%2F", "/").replace("%25", "%")
    return name if segment(name) == directory else directory


def _text(value: object) -> str | None:
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
    return None
