"""Apache APISIX: an upstream is a service, its nodes are the instances. Only read: upstreams are its operators' own.

    /apisix/upstreams/<id>   {"name":"orders","scheme":"http","nodes":{"10.2.0.1:9000":1}}
                             {"nodes":[{"host":"10.2.0.1","port":9000,"weight":1}]}

The service is named by `name`, or by the id where there is none. A node's key is `<key>#<host:port>`. `weight` 1 is 100
of ours; 0 means that a node gets nothing, which is draining. An upstream without nodes is a service without instances;
one that leaves its nodes to a discovery of APISIX's own (`service_name`) says nothing about instances.
"""

from typing import Final

import msgspec

from pilot_plus.model import ORDINARY_WEIGHT, Health, Instance, Service, instance
from registries.layouts.etcdkeys import MAX_KEY, as_root
from registries.layouts.hostport import join_host_port, one_port, split_host_port
from registries.layouts.jsontext import from_json
from registries.layouts.layout import Decoded, Raw
from registries.layouts.loosemeta import loose_metadata

_NODE: Final = "#"
_DEFAULT_PORTS: Final = {"http": 80, "https": 443, "grpc": 80, "grpcs": 443}


class _Node(msgspec.Struct):
    host: str
    port: int | None = None
    weight: float = 1


class _Record(msgspec.Struct):
    nodes: dict[str, float] | list[_Node] | None = None
    name: str = ""
    scheme: str = "http"
    labels: dict[str, object] | None = None
    service_name: str = ""


class Apisix(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The layout `apisix`."""

    prefix: str = "/apisix"
    """APISIX' `etcd.prefix`; the upstreams lie in `upstreams` below it."""
    protocol: str = ""
    """What the nodes speak; left out, the upstream's `scheme`."""

    def __post_init__(self) -> None:
        above = as_root(self.prefix).removesuffix("upstreams/")
        msgspec.structs.force_setattr(self, "prefix", f"{above}upstreams/")

    @property
    def name(self) -> str:
        """As in the configuration."""
        return "apisix"

    @property
    def root(self) -> str:
        """The folder of the upstreams."""
        return self.prefix

    @property
    def protocols(self) -> frozenset[str]:
        """What APISIX can proxy to."""
        return frozenset({"http", "https", "grpc", "grpcs", "tcp", "tls", "udp", "kafka"})

    def decode(self, raw: Raw) -> Decoded:
        """Read an upstream."""
        id_ = raw.path[len(self.prefix) :]
        if not id_ or raw.data == b"init_dir":  # APISIX' placeholder for a folder
            return ()
        if _NODE in raw.path or len(raw.path) > MAX_KEY:
            raise ValueError(f"the key holds a {_NODE!r}, or more than {MAX_KEY} characters")
        record = from_json(raw.data, _Record)
        name = record.name or id_
        if record.nodes is None and record.service_name:
            return ()
        if not record.nodes:
            return (Service(key=raw.path, name=instance_name(name)),)
        labels = loose_metadata(record.labels)
        protocol = self.protocol or record.scheme
        found: dict[str, Instance] = {}
        for host, port, weight in _nodes(record):
            address = join_host_port(host, port)
            found[address] = instance(
                key=f"{raw.path}{_NODE}{address}",
                name=name,
                id=address,
                address=host,
                ports=one_port(port, protocol),
                weight=weight * ORDINARY_WEIGHT,
                health=Health.PASSING if weight else Health.DRAINING,
                metadata=labels,
                layout="apisix",
            )
        return tuple(found.values())

    def encode(self, instance: Instance) -> Raw:
        """Refuse: an upstream belongs to whoever made it, and can't be shared with another writer."""
        raise ValueError(f"layout apisix is only read: {instance.name[:100]!r} can't be written into an upstream")


def instance_name(name: str) -> str:
    """A service's name, checked as an instance's is.

    Raises:
        ValueError: as `instance()`.
    """
    return instance(key=name, name=name, id=name, address="none", ports=()).name


def _nodes(record: _Record) -> list[tuple[str, int, float]]:
    default = _DEFAULT_PORTS.get(record.scheme, 0)
    if isinstance(record.nodes, dict):
        return [(*_place(text, default), weight) for text, weight in record.nodes.items()]
    return [(node.host.strip("[]"), node.port or default, node.weight) for node in record.nodes or ()]


def _place(text: str, default: int) -> tuple[str, int]:
    try:
        return split_host_port(text)
    except ValueError:
        if not default or not text or text.count(":") == 1:
            raise
        return text.strip("[]"), default
