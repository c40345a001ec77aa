"""Plain Curator discovery: `/services/<name>/<id>`, Curator's JSON with any payload or none.

| ours | Curator |
|---|---|
| name, id, address | the same |
| port `PROTOCOL` | `port`; the protocol is the option `protocol`, `unknown` if nobody says it |
| port `ssl` | `sslPort` |
| critical | `enabled: false` (Curator 5); a missing `enabled` is true |
| metadata | `payload.metadata`, or the payload's own fields, as far as they are texts, numbers or booleans |

What it can't hold when we write: weights, `warning` (passing), `draining` (critical), more than one port of a kind and
the names and protocols of ports. The payload is a Java map (`payload_class`), which every reader has, and none at
all where there is no metadata: readers with a class of their own need `payload_class: ""`, and get no metadata.
"""

from typing import Final

from pilot_plus.model import UNKNOWN_PROTOCOL, Health, Instance, Port, instance
from registries.layouts.curator_json import (
    Entry,
    Json,
    directory,
    entry_health,
    entry_of,
    entry_raw,
    place,
    service_of,
)
from registries.layouts.layout import Decoded, Raw
from registries.layouts.mark import marked, unmarked
from registries.layouts.tree import Place, Rooted

SSL: Final = "ssl"


class Curator(Rooted, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`protocol` is what the ports speak; `payload_class` is the class of the payload that we write."""

    root: str = "/services"
    protocol: str = UNKNOWN_PROTOCOL
    payload_class: str = "java.util.LinkedHashMap"

    @property
    def name(self) -> str:
        """As it stands in the configuration."""
        return "curator"

    @property
    def protocols(self) -> frozenset[str]:
        """Curator's readers bring a protocol of their own."""
        return frozenset()

    @property
    def payload_classes(self) -> frozenset[str]:
        """The classes that readers of this layout have: any that isn't a framework's."""
        return frozenset({self.payload_class, ""})

    def place(self, path: str) -> Place:
        """Names and instances."""
        return place(self.root, path)

    def directory(self, key: str) -> str | None:
        """The directory of the service."""
        return directory(self.root, key)

    def decode(self, raw: Raw) -> Decoded:
        """Read an instance with whatever payload, or a directory."""
        service = service_of(self.root, raw)
        entry = None if service else entry_of(self.root, raw)
        if entry is None:
            return (service,) if service else ()
        metadata, origin, zone = unmarked(entry.metadata)
        return (
            instance(
                key=raw.path,
                name=entry.name,
                id=entry.id or raw.path.rpartition("/")[2],
                address=entry.address,
                ports=_ports(entry, self.protocol),
                health=entry_health(entry),
                zone=zone,
                metadata=metadata,
                origin=origin,
                layout=self.name,
            ),
        )

    def encode(self, instance: Instance) -> Raw:
        """Write an instance; its first port that isn't `ssl` is the port."""
        port = next((port.number for port in instance.ports if port.name != SSL), None)
        ssl = next((port.number for port in instance.ports if port.name == SSL), None)
        metadata = marked(instance)
        payload: Json = {**metadata, "@class": self.payload_class} if metadata and self.payload_class else None
        is_passing = instance.health in (Health.PASSING, Health.WARNING)
        return entry_raw(self.root, instance, (port, ssl), payload, scheme=False, enabled=None if is_passing else False)


def _ports(entry: Entry, protocol: str) -> tuple[Port, ...]:
    plain = Port(protocol, entry.port, protocol) if entry.port is not None else None
    ssl = Port(SSL, entry.ssl_port, protocol) if entry.ssl_port is not None else None
    found = tuple(port for port in (plain, ssl) if port is not None)
    if not found:
        raise ValueError("it has no port")
    return found
