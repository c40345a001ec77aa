"""go-kratos (`contrib/registry/etcd`): a service instance as JSON, with a URL for each port.

    /microservices/<service>/<id>   {"id":"…","name":"orders","version":"v1","metadata":{},
                                     "endpoints":["grpc://10.2.0.1:9000?isSecure=false"]}

A reader looks below the service's name, drops what says another `name`, and dials the endpoint whose scheme it speaks.
`isSecure=true` makes the protocol `grpcs` or `https`.

What it can't hold, and what becomes of it:

    ours         in the record
    ports        those that speak gRPC or HTTP; they come back named after their protocol; an unknown one is written as
                 the option `protocol` says
    health       passing; warning comes back as passing, the others are refused
    weight       `weight` in the metadata, if it isn't 100: kratos' own name and scale
    metadata     `metadata`, but for `version`, which is a field of its own; a `weight` that is a number is the weight
    locality     not held
"""

import re
from typing import Final

import msgspec

from pilot_plus.model import ORDINARY_WEIGHT, UNKNOWN_PROTOCOL, Instance, Port, instance
from registries.layouts.etcdkeys import MAX_KEY, as_root, id_part, joined_key, refuse_unhealthy, service_part
from registries.layouts.hostport import join_host_port, split_host_port
from registries.layouts.jsontext import from_json
from registries.layouts.layout import Decoded, Raw
from registries.layouts.loosemeta import WEIGHT, take_weight, weight_text
from registries.layouts.mark import marked, unmarked

_SECURE: Final = {"grpc": "grpcs", "http": "https"}
_URL: Final = re.compile(r"([a-z][a-z0-9+.-]*)://([^/?#\s]+)[^?#]*(?:\?([^#]*))?.*", re.DOTALL)
_PLAIN: Final = {secure: plain for plain, secure in _SECURE.items()}


class _Record(msgspec.Struct):
    id: str = ""
    name: str = ""
    version: str = ""
    metadata: dict[str, str] | None = None
    endpoints: list[str] | None = None


class Kratos(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The layout `kratos`."""

    prefix: str = "/microservices"
    """kratos' namespace."""
    protocol: str = "grpc"
    """As what a port is written whose protocol nobody knows: `grpc` or `http`."""

    def __post_init__(self) -> None:
        if self.protocol not in self.protocols:
            raise ValueError(f"protocol {self.protocol!r} is none of {', '.join(sorted(self.protocols))}")
        if not as_root(self.prefix):
            raise ValueError("prefix is expected not to be empty")
        msgspec.structs.force_setattr(self, "prefix", as_root(self.prefix))

    @property
    def name(self) -> str:
        """As in the configuration."""
        return "kratos"

    @property
    def root(self) -> str:
        """The prefix with its `/`."""
        return self.prefix

    @property
    def protocols(self) -> frozenset[str]:
        """What kratos' clients dial."""
        return frozenset({"grpc", "http", "grpcs", "https"})

    def decode(self, raw: Raw) -> Decoded:
        """Read an instance; its address is the first endpoint's, and endpoints elsewhere are left out."""
        if len(raw.path) > MAX_KEY:
            raise ValueError(f"the key has {len(raw.path)} characters, more than {MAX_KEY}")
        record = from_json(raw.data, _Record)
        service, slash, last = raw.path[len(self.prefix) :].rpartition("/")
        if record.name and raw.path.startswith(f"{self.prefix}{record.name}/"):
            service = record.name
        elif record.name or not (service and slash and last):
            raise ValueError(f"its name {record.name[:100]!r} is not the one that its key says")
        address, ports = _address_and_ports(record.endpoints or ())
        metadata, origin, zone = unmarked(record.metadata or {})
        if record.version:
            metadata["version"] = record.version
        weight = take_weight(metadata)
        return (
            instance(
                key=raw.path,
                name=service,
                id=record.id or last,
                address=address,
                ports=ports,
                weight=weight,
                metadata=metadata,
                origin=origin,
                zone=zone,
                layout="kratos",
            ),
        )

    def encode(self, instance: Instance) -> Raw:
        """Write an instance with each of its ports that kratos' clients can dial."""
        refuse_unhealthy(instance)
        endpoints = [self._endpoint(instance.address, port) for port in self._ports(instance)]
        metadata = marked(instance)
        version = metadata.pop("version", "")
        if instance.weight != ORDINARY_WEIGHT or WEIGHT in metadata:
            metadata[WEIGHT] = weight_text(instance.weight)
        key = joined_key(self.prefix, service_part(instance.name), id_part(instance.id))
        record = _Record(instance.id, instance.name, version, metadata, endpoints)
        return Raw(key, msgspec.json.encode(record))

    def _ports(self, instance: Instance) -> list[Port]:
        ports = [port for port in instance.ports if port.protocol in self.protocols]
        ports += [port for port in instance.ports if port.protocol == UNKNOWN_PROTOCOL]
        if not ports:
            spoken = ", ".join(sorted({port.protocol for port in instance.ports})) or "nothing"
            raise ValueError(f"its readers speak {', '.join(sorted(self.protocols))}, and the instance speaks {spoken}")
        return ports

    def _endpoint(self, address: str, port: Port) -> str:
        protocol = self.protocol if port.protocol == UNKNOWN_PROTOCOL else port.protocol
        secure = "true" if protocol in _PLAIN else "false"
        return f"{_PLAIN.get(protocol, protocol)}://{join_host_port(address, port.number)}?isSecure={secure}"


def _address_and_ports(endpoints: list[str] | tuple[()]) -> tuple[str, list[Port]]:
    """The first endpoint's address, and the ports of all endpoints there.

    Raises:
        ValueError: no endpoint, or one that is no URL with host and port.
    """
    parsed = [_parse(endpoint) for endpoint in endpoints]
    if not parsed:
        raise ValueError("it has no endpoints")
    address = parsed[0][0]
    ports: dict[str, Port] = {}
    for host, number, protocol in parsed:
        if host != address:
            continue
        name = protocol if protocol not in ports else f"{protocol}-{number}"
        ports[name] = Port(name, number, protocol)
    return address, list(ports.values())


def _parse(endpoint: str) -> tuple[str, int, str]:
    match = _URL.fullmatch(endpoint)
    if match is None:
        raise ValueError(f"endpoint {endpoint[:100]!r} is no URL with host and port")
    scheme, place, query = match.groups()
    host, number = split_host_port(place)
    secure = query is not None and "isSecure=true" in query.split("&")
    return host, number, _SECURE.get(scheme, scheme) if secure else scheme
