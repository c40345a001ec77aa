"""Dubbo 3 on etcd, application level. Only read: a consumer wants the application's metadata, which only it can give.

    /services/<application>/<host:port>   {"serviceName":"orders","host":"10.1.0.7","port":20880,"enabled":true,
                                           "healthy":true,"metadata":{"dubbo.endpoints":"[{\"port\":20880,…}]"}}

Dubbo's Go version writes the same with names of its own: `ServiceName`, `Host`, `Port`, `Enable`, `Healthy`,
`Metadata` and `Weight`, in our scale; 0 is its default, 100.
(apache/dubbo-spi-extensions: `EtcdServiceDiscovery`; apache/dubbo: `DefaultServiceInstance`; apache/dubbo-go:
`registry.DefaultServiceInstance`.)
"""

import msgspec

from pilot_plus.model import ORDINARY_WEIGHT, Health, Instance, Port, instance
from registries.layouts.dubbo import PROTOCOLS
from registries.layouts.dubbo3 import BOOKING, ENDPOINTS, Endpoint
from registries.layouts.etcdkeys import as_root, split_key
from registries.layouts.hostport import one_port
from registries.layouts.jsontext import from_json
from registries.layouts.layout import Decoded, Raw
from registries.layouts.mark import unmarked


class _Record(msgspec.Struct, rename="camel"):
    host: str = ""
    port: int | None = None
    service_name: str = ""
    enabled: bool = True
    healthy: bool = True
    metadata: dict[str, str] | None = None
    weight: int = 0


class _GoRecord(msgspec.Struct, rename="pascal"):
    host: str = ""
    port: int | None = None
    service_name: str = ""
    enabled: bool = msgspec.field(default=True, name="Enable")
    healthy: bool = True
    metadata: dict[str, str] | None = None
    weight: int = 0


class EtcdDubbo3(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The layout `dubbo3` of etcd."""

    root: str = "/services"
    """Where the applications lie."""
    protocol: str = "dubbo"
    """What a port speaks that doesn't say it."""

    def __post_init__(self) -> None:
        if not as_root(self.root):
            raise ValueError("root is expected not to be empty")
        msgspec.structs.force_setattr(self, "root", as_root("/" + self.root.lstrip("/")))

    @property
    def name(self) -> str:
        """As in the configuration."""
        return "dubbo3"

    @property
    def protocols(self) -> frozenset[str]:
        """What Dubbo consumers can speak."""
        return PROTOCOLS

    def decode(self, raw: Raw) -> Decoded:
        """Read an instance; it is critical unless it is enabled and healthy."""
        service, last = split_key(self.root, raw.path)
        record: _Record | _GoRecord = from_json(raw.data, _Record)
        if not record.host:
            record = from_json(raw.data, _GoRecord)
        if not record.host:
            raise ValueError("it names no host")
        if record.service_name not in ("", service):
            raise ValueError(f"its name {record.service_name[:100]!r} is not the one that its key says")
        metadata, origin, zone = unmarked(record.metadata or {})
        ports = self._ports(record, metadata.pop(ENDPOINTS, ""))
        metadata = {name: value for name, value in metadata.items() if name not in BOOKING}
        return (
            instance(
                key=raw.path,
                name=service,
                id=last,
                address=record.host,
                ports=ports,
                health=Health.PASSING if record.enabled and record.healthy else Health.CRITICAL,
                weight=record.weight if record.weight > 0 else ORDINARY_WEIGHT,
                metadata=metadata,
                origin=origin,
                zone=zone,
                layout="dubbo3",
            ),
        )

    def encode(self, instance: Instance) -> Raw:
        """Refuse."""
        raise ValueError(f"layout dubbo3 is only read in etcd: {instance.name[:100]!r} can't be written")

    def _ports(self, record: _Record | _GoRecord, endpoints: str) -> tuple[Port, ...]:
        found = from_json(endpoints.encode(), list[Endpoint]) if endpoints else []
        first_of_each = {endpoint.protocol: endpoint.port for endpoint in reversed(found)}
        if first_of_each:
            return tuple(Port(protocol, number, protocol) for protocol, number in reversed(first_of_each.items()))
        if record.port is None:
            raise ValueError("it has no port")
        return one_port(record.port, self.protocol)
