"""Client naming: what etcd's own Go client writes (`clientv3/naming/endpoints`) and gRPC-Go resolves.

    <prefix>/<service>/<id>   {"Op":0,"Addr":"10.2.0.1:9000","Metadata":null}

The id is mostly the address. The service is everything between the prefix and the last `/`.

What it can't hold, and what becomes of it:

    ours         in the record
    id           the address and port, as in the key
    ports        one: the first that the readers speak; it comes back named after the layout's protocol
    protocol     not held: the option `protocol` says it
    health       passing; warning comes back as passing, the others are refused
    weight       `weight` in Metadata, if it isn't 100; in the scale of the option `ordinary_weight`
    metadata     Metadata; an entry `weight` that is a number is read as the weight
    locality     not held
"""

import msgspec

from pilot_plus.model import ORDINARY_WEIGHT, UNKNOWN_PROTOCOL, Instance, instance
from registries.layouts.etcdkeys import as_root, joined_key, refuse_unhealthy, service_part, split_key
from registries.layouts.hostport import join_host_port, one_port, port_for, split_host_port
from registries.layouts.jsontext import from_json
from registries.layouts.layout import Decoded, Raw
from registries.layouts.loosemeta import WEIGHT, loose_metadata, take_weight, weight_text
from registries.layouts.mark import marked, unmarked


class _Endpoint(msgspec.Struct, rename="pascal"):
    addr: str = ""
    metadata: dict[str, str] | None = None
    op: int = 0


class _Loose(msgspec.Struct, rename="pascal"):
    """With Metadata of any shape."""

    addr: str = ""
    metadata: object = None
    op: int = 0


_DELETED = 1  # an `Op` of the first versions, which wrote a deletion before they deleted


class Naming(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The layout `naming`."""

    prefix: str = ""
    """What stands before the services' names, with or without a `/` at its end. Without one the whole key space is
    read, and keys that don't look like this layout's are somebody else's: passed over in silence."""
    protocol: str = UNKNOWN_PROTOCOL
    """What the endpoints speak."""
    ordinary_weight: int = ORDINARY_WEIGHT
    """The `weight` in Metadata that the writers here give to an ordinary instance."""

    def __post_init__(self) -> None:
        if not 1 <= self.ordinary_weight <= 1_000_000:
            raise ValueError("ordinary_weight is expected within 1..1000000")
        msgspec.structs.force_setattr(self, "prefix", as_root(self.prefix))

    @property
    def name(self) -> str:
        """As in the configuration."""
        return "naming"

    @property
    def root(self) -> str:
        """The prefix with its `/`."""
        return self.prefix

    @property
    def protocols(self) -> frozenset[str]:
        """gRPC's, unless the option says that others use this layout here."""
        return frozenset({"grpc" if self.protocol == UNKNOWN_PROTOCOL else self.protocol})

    def decode(self, raw: Raw) -> Decoded:
        """Read an endpoint; in a key space that is shared, somebody else's record is none."""
        try:
            return self._endpoint(raw)
        except ValueError:
            if self.prefix or _names_address(raw.path):
                raise
            return ()

    def encode(self, instance: Instance) -> Raw:
        """Write an endpoint."""
        refuse_unhealthy(instance)
        if not self.prefix and "/" in instance.name:
            raise ValueError("without a prefix a name that holds a '/' could reach into other keys")
        address = join_host_port(instance.address, port_for(instance, self.protocols).number)
        metadata = marked(instance)
        if instance.weight != ORDINARY_WEIGHT or WEIGHT in metadata:
            metadata[WEIGHT] = weight_text(instance.weight, self.ordinary_weight)
        key = joined_key(self.prefix, service_part(instance.name), address)
        return Raw(key, msgspec.json.encode(_Endpoint(addr=address, metadata=metadata or None)))

    def _endpoint(self, raw: Raw) -> Decoded:
        service, last = split_key(self.prefix, raw.path)
        endpoint = _endpoint(raw.data)
        if endpoint.op == _DELETED:
            return ()
        address, port = split_host_port(endpoint.addr)
        metadata, origin, zone = unmarked(endpoint.metadata or {})
        weight = take_weight(metadata, self.ordinary_weight)
        return (
            instance(
                key=raw.path,
                name=service,
                id=last,
                address=address,
                ports=one_port(port, self.protocol),
                weight=weight,
                metadata=metadata,
                origin=origin,
                zone=zone,
                layout="naming",
            ),
        )


def _endpoint(data: bytes) -> _Endpoint:
    try:
        return from_json(data, _Endpoint)
    except ValueError:  # most are strict; a list of 100,000 is read noticeably faster for it
        loose = from_json(data, _Loose)
        return _Endpoint(loose.addr, loose_metadata(loose.metadata), loose.op)


def _names_address(path: str) -> bool:
    service, _, last = path.rpartition("/")
    try:
        split_host_port(last)
    except ValueError:
        return False
    return bool(service)
