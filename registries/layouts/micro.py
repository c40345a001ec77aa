"""go-micro v4 (`registry/etcd`): a service as JSON, in a record of its own for each of its nodes.

    /micro/registry/<service>/<node>   {"name":"orders","version":"latest","metadata":null,"endpoints":[…],
                                        "nodes":[{"id":"orders-1","address":"10.2.0.1:9000",
                                                  "metadata":{"protocol":"grpc"}}]}

A record holds one node, and its key names it; where a record holds more, the others are `<key>#<node>`. In a key a `/`
of go-micro's becomes a `-`: the names in the JSON are the true ones. Some versions of 3 have domains:
`/micro/registry/<domain>/<service>/<node>` is a node of `<domain>/<service>`; the default domain, `micro`, is left
out of the name. Versions before 1.0 put the node's `port` beside its `address`.

What it can't hold, and what becomes of it:

    ours         in the record
    ports        one, its protocol in the node's metadata
    health       passing; warning comes back as passing, the others are refused
    weight       not held
    metadata     the node's, but for `protocol` and `version`, which is the service's; the service's own comes along
    name         without `/`, which go-micro's keys can't tell from `-`
    locality     not held
"""

from typing import Final

import msgspec

from pilot_plus.model import UNKNOWN_PROTOCOL, Instance, instance
from registries.layouts.etcdkeys import (
    MAX_KEY,
    as_root,
    id_part,
    joined_key,
    refuse_unhealthy,
    service_part,
    split_key,
)
from registries.layouts.hostport import join_host_port, one_port, port_for, split_host_port
from registries.layouts.jsontext import from_json
from registries.layouts.layout import Decoded, Raw
from registries.layouts.loosemeta import loose_metadata
from registries.layouts.mark import marked, unmarked

_ANOTHER: Final = "#"
"""Between a record's key and a node that the key doesn't name."""
_DEFAULT_DOMAIN: Final = "micro"


class _Node(msgspec.Struct, omit_defaults=True):
    id: str = ""
    address: str = ""
    metadata: dict[str, object] | None = None
    port: int = 0


class _Record(msgspec.Struct):
    name: str = ""
    version: str = ""
    metadata: dict[str, object] | None = None
    endpoints: list[object] | None = None
    nodes: list[_Node] | None = None


class Micro(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The layout `micro`."""

    prefix: str = "/micro/registry"
    """go-micro's own, unless it was built with another."""
    protocol: str = UNKNOWN_PROTOCOL
    """What nodes speak that don't say it."""

    def __post_init__(self) -> None:
        if not as_root(self.prefix):
            raise ValueError("prefix is expected not to be empty")
        msgspec.structs.force_setattr(self, "prefix", as_root(self.prefix))

    @property
    def name(self) -> str:
        """As in the configuration."""
        return "micro"

    @property
    def root(self) -> str:
        """The prefix with its `/`."""
        return self.prefix

    @property
    def protocols(self) -> frozenset[str]:
        """go-micro's transports; `mucp` is its own."""
        known = {"grpc", "http", "mucp"}
        return frozenset(known if self.protocol == UNKNOWN_PROTOCOL else known | {self.protocol})

    def decode(self, raw: Raw) -> Decoded:
        """Read all nodes of a record."""
        if _ANOTHER in raw.path:
            raise ValueError(f"a key that holds {_ANOTHER!r} could be taken for another record's node")
        service, last = split_key(self.prefix, raw.path)
        record = from_json(raw.data, _Record)
        name = _name_of(service, record.name)
        shared = loose_metadata(record.metadata)
        if record.version:
            shared["version"] = record.version
        nodes = record.nodes or ()
        if len({node.id for node in nodes}) != len(nodes):
            raise ValueError("two of its nodes have one id")
        return [self._instance(_key(raw.path, last, node.id), name, node, shared) for node in nodes]

    def encode(self, instance: Instance) -> Raw:
        """Write a record with one node."""
        refuse_unhealthy(instance)
        if "/" in instance.name:
            raise ValueError(f"go-micro writes '/' as '-': {instance.name[:100]!r} would be taken for another service")
        port = port_for(instance, self.protocols)
        metadata: dict[str, object] = {**marked(instance)}
        version = str(metadata.pop("version", ""))
        if port.protocol != UNKNOWN_PROTOCOL:
            metadata["protocol"] = port.protocol
        node = _Node(instance.id, join_host_port(instance.address, port.number), metadata)
        key = joined_key(self.prefix, service_part(instance.name), id_part(instance.id).replace(_ANOTHER, "%23"))
        return Raw(key, msgspec.json.encode(_Record(instance.name, version, None, [], [node])))

    def _instance(self, key: str, name: str, node: _Node, shared: dict[str, str]) -> Instance:
        if len(key) > MAX_KEY:
            raise ValueError(f"the key with its node has {len(key)} characters, more than {MAX_KEY}")
        address, port = (node.address, node.port) if node.port else split_host_port(node.address)
        metadata, origin, zone = unmarked({**shared, **loose_metadata(node.metadata)})
        protocol = metadata.pop("protocol", "") or self.protocol
        return instance(
            key=key,
            name=name,
            id=node.id,
            address=address,
            ports=one_port(port, protocol),
            metadata=metadata,
            origin=origin,
            zone=zone,
            layout="micro",
        )


def _name_of(service: str, said: str) -> str:
    """The service's name: what the record says, and the domain that only the key says.

    Raises:
        ValueError: key and record differ.
    """
    name = said or service
    if name.replace("/", "-") == service.replace("/", "-"):
        return name
    domain, _, rest = service.partition("/")
    if rest != name.replace("/", "-"):
        raise ValueError(f"its name {name[:100]!r} is not the one that its key says")
    return name if domain == _DEFAULT_DOMAIN else f"{domain}/{name}"


def _key(path: str, last: str, node: str) -> str:
    named = last in (node, node.replace("/", "-")) or (bool(node) and len(node) < MAX_KEY and last == id_part(node))
    return path if named else f"{path}{_ANOTHER}{node}"
