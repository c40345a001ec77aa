"""Dubbo 3, application level: Curator's tree and JSON with Dubbo's payload, and `/dubbo/mapping/<interface>`.

| ours | Dubbo 3 |
|---|---|
| name, address | the application, the same |
| id | `host:port` |
| ports | `payload.metadata["dubbo.endpoints"]`, named by their protocols; without it `port`, with `protocol` |
| critical | `enabled: false` |
| aliases of the service | the interfaces whose mapping names the application |
| metadata | the rest of `payload.metadata`, but for where Dubbo finds its own metadata, and which |

What it can't hold when we write: weights, `warning` (passing), `draining` (critical), ports that speak nothing of
Dubbo's, names of ports other than their protocols, an id of its own, metadata under the names above. What a consumer
wants to know of the application beside, `dubbo3_metadata` writes.
(apache/dubbo: `ZookeeperServiceDiscovery`, `ZookeeperInstance`, `MetadataServiceNameMapping`.)
"""

from typing import Final

import msgspec

from pilot_plus.model import UNKNOWN_PROTOCOL, Health, Instance, Port, instance
from registries.layouts.curator_json import (
    DUBBO_CLASS,
    Entry,
    Json,
    directory,
    entry_health,
    entry_of,
    entry_raw,
    place,
    service_of,
)
from registries.layouts.dubbo import PROTOCOLS
from registries.layouts.dubbo3_metadata import companions_of, metadata_of
from registries.layouts.dubbo_rules import Aliases
from registries.layouts.dubbo_url import decoded_part
from registries.layouts.jsontext import from_json, text_of
from registries.layouts.layout import Decoded, Raw
from registries.layouts.mark import marked, unmarked
from registries.layouts.tree import Companion, Place, Rooted, below, segment, set_root

ENDPOINTS: Final = "dubbo.endpoints"
STORAGE: Final = "dubbo.metadata.storage-type"
REVISION: Final = "dubbo.metadata.revision"
BOOKING: Final = frozenset({REVISION, STORAGE})
"""Where Dubbo finds its own metadata, and which: nothing that an instance is."""


class Endpoint(msgspec.Struct, frozen=True):
    """One of `dubbo.endpoints`."""

    port: int
    protocol: str


class Dubbo3(Rooted, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`mapping` maps interfaces to applications, `metadata` says what those serve; `protocol` is what ports speak
    that don't say it."""

    root: str = "/services"
    mapping: str = "/dubbo/mapping"
    metadata: str = "/dubbo/metadata"
    protocol: str = "dubbo"

    def __post_init__(self) -> None:
        set_root(self)
        set_root(self, "mapping")
        set_root(self, "metadata")

    @property
    def name(self) -> str:
        """As it stands in the configuration."""
        return "dubbo3"

    @property
    def roots(self) -> tuple[str, ...]:
        """Applications, and the interfaces that they serve."""
        return (self.root, self.mapping)

    @property
    def protocols(self) -> frozenset[str]:
        """What Dubbo consumers can speak."""
        return PROTOCOLS

    @property
    def payload_classes(self) -> frozenset[str]:
        """The only class that Dubbo's readers have."""
        return frozenset({DUBBO_CLASS})

    def place(self, path: str) -> Place:
        """Applications and their instances; mappings."""
        match below(self.mapping, path):
            case []:
                return Place.DIRECTORY
            case [_]:
                return Place.RULE
        return place(self.root, path)

    def directory(self, key: str) -> str | None:
        """The directory of the service."""
        return directory(self.root, key)

    def decode(self, raw: Raw) -> Decoded:
        """Read an instance with Dubbo's payload, or a directory."""
        if below(self.mapping, raw.path) is not None:
            return ()
        service = service_of(self.root, raw)
        entry = None if service else entry_of(self.root, raw)
        if entry is None or entry.payload_class != DUBBO_CLASS:
            return (service,) if service else ()
        metadata, origin, zone = unmarked(entry.metadata)
        ports = _ports(entry, metadata.pop(ENDPOINTS, ""), self.protocol)
        metadata = {name: value for name, value in metadata.items() if name not in BOOKING}
        return (
            instance(
                key=raw.path,
                name=entry.name,
                id=entry.id or f"{entry.address}:{entry.port}",
                address=entry.address,
                ports=ports,
                health=entry_health(entry),
                zone=zone,
                metadata=metadata,
                origin=origin,
                layout=self.name,
            ),
        )

    def rule(self, raw: Raw) -> Aliases | None:
        """Read which applications serve an interface."""
        match below(self.mapping, raw.path):
            case [interface]:
                names = (name.strip() for name in text_of(raw.data).split(","))
                keys = (f"{self.root}/{segment(name)}" for name in names if name)
                return Aliases(decoded_part(interface), tuple(keys))
        return None

    def encode(self, instance: Instance) -> Raw:
        """Write an instance with Dubbo's payload; its metadata is in the registry."""
        ports = self._spoken(instance)
        place_id = f"{instance.address}:{ports[0].number}"
        endpoints = [Endpoint(port.number, port.protocol) for port in ports]
        metadata = {
            **marked(instance),
            ENDPOINTS: msgspec.json.encode(endpoints).decode(),
            REVISION: metadata_of(instance, ports).revision,
            STORAGE: "remote",
        }
        payload: Json = {"@class": DUBBO_CLASS, "id": place_id, "name": instance.name, "metadata": metadata}
        is_passing = instance.health in (Health.PASSING, Health.WARNING)
        written = msgspec.structs.replace(instance, id=place_id)
        numbers = (ports[0].number, None)
        return entry_raw(self.root, written, numbers, payload, scheme=False, enabled=None if is_passing else False)

    def companions(self, instance: Instance) -> tuple[Companion, ...]:
        """The metadata that the instance names, and its application in the mapping of every interface."""
        return companions_of(metadata_of(instance, self._spoken(instance)), self.metadata, self.mapping)

    def _spoken(self, instance: Instance) -> list[Port]:
        """The ports that speak something of Dubbo's; one whose protocol nobody knows is taken for `protocol`."""
        unknown = Port(self.protocol, 0, self.protocol)
        ports = [
            Port(unknown.name, port.number, unknown.protocol) if port.protocol == UNKNOWN_PROTOCOL else port
            for port in instance.ports
        ]
        spoken = [port for port in ports if port.protocol in PROTOCOLS]
        if not spoken:
            raise ValueError(
                f"it speaks {', '.join(sorted({port.protocol for port in ports}))}, and nothing of Dubbo's"
            )
        return spoken


def _ports(entry: Entry, endpoints: str, protocol: str) -> tuple[Port, ...]:
    found = from_json(endpoints.encode(), list[Endpoint]) if endpoints else []
    if not found and entry.port is None:
        raise ValueError("it has no port")
    if not found and entry.port is not None:
        return (Port(protocol, entry.port, protocol),)
    first_of_each = {endpoint.protocol: endpoint.port for endpoint in reversed(found)}
    return tuple(
        Port(name, first_of_each.pop(name), name) for name in [e.protocol for e in found] if name in first_of_each
    )
