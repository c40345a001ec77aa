"""Spring Cloud ZooKeeper: Curator's tree and JSON, with Spring's payload.

| ours | Spring |
|---|---|
| name, id, address | the same |
| port `http` | `port` |
| port `https` | `sslPort`; where it is the only one, `port` has the same number |
| passing, critical | `payload.metadata.instance_status`: `UP` (or none), any other; `enabled: false` is critical |
| metadata | the rest of `payload.metadata` |

What it can't hold when we write: weights, `warning` (written as `UP`), `draining` (as `OUT_OF_SERVICE`), ports other
than one `http` and one `https`. (spring-cloud-zookeeper: `ZookeeperInstance`.)
"""

from typing import Final

from pilot_plus.model import UNKNOWN_PROTOCOL, Health, Instance, Port, instance
from registries.layouts.curator_json import (
    SPRING_CLASS,
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

PROTOCOLS: Final = frozenset({"http", "https"})
STATUS: Final = "instance_status"


class Spring(Rooted, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`protocol` is what `port` speaks."""

    root: str = "/services"
    protocol: str = "http"

    @property
    def name(self) -> str:
        """As it stands in the configuration."""
        return "spring"

    @property
    def protocols(self) -> frozenset[str]:
        """What Spring's clients speak."""
        return PROTOCOLS | {self.protocol}

    @property
    def payload_classes(self) -> frozenset[str]:
        """The only class that Spring's readers have."""
        return frozenset({SPRING_CLASS})

    def place(self, path: str) -> Place:
        """Names and instances."""
        return place(self.root, path)

    def directory(self, key: str) -> str | None:
        """The directory of the service."""
        return directory(self.root, key)

    def decode(self, raw: Raw) -> Decoded:
        """Read an instance with Spring's payload, or a directory."""
        service = service_of(self.root, raw)
        entry = None if service else entry_of(self.root, raw)
        if entry is None or entry.payload_class != SPRING_CLASS:
            return (service,) if service else ()
        metadata, origin, zone = unmarked(entry.metadata)
        status = metadata.pop(STATUS, "UP")
        return (
            instance(
                key=raw.path,
                name=entry.name,
                id=entry.id or raw.path.rpartition("/")[2],
                address=entry.address,
                ports=_ports(entry, self.protocol),
                health=entry_health(entry) if status == "UP" else Health.CRITICAL,
                zone=zone,
                metadata=metadata,
                origin=origin,
                layout=self.name,
            ),
        )

    def encode(self, instance: Instance) -> Raw:
        """Write an instance with Spring's payload."""
        spoken_plain = (self.protocol, "http", UNKNOWN_PROTOCOL)
        plain = next((number for protocol in spoken_plain if (number := _number(instance, protocol))), None)
        secure = _number(instance, "https") if self.protocol != "https" else None
        if plain is None and secure is None:
            spoken = ", ".join(sorted({port.protocol for port in instance.ports}))
            raise ValueError(f"it speaks {spoken}; readers of this layout speak http or https")
        is_up = instance.health in (Health.PASSING, Health.WARNING)
        metadata = {**marked(instance), STATUS: "UP" if is_up else "OUT_OF_SERVICE"}
        payload: Json = {"@class": SPRING_CLASS, "id": instance.id, "name": instance.name, "metadata": metadata}
        return entry_raw(self.root, instance, (plain or secure, secure), payload, scheme=True)


def _number(instance: Instance, protocol: str) -> int | None:
    return next((port.number for port in instance.ports if port.protocol == protocol), None)


def _ports(entry: Entry, protocol: str) -> tuple[Port, ...]:
    if entry.port is None and entry.ssl_port is None:
        raise ValueError("it has no port")
    found = []
    if entry.port is not None and entry.port != entry.ssl_port:
        found.append(Port(protocol, entry.port, protocol))
    if entry.ssl_port is not None:
        found.append(Port("https", entry.ssl_port, "https"))
    return tuple(found)
