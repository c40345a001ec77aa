"""go-zero (`core/discov`): the value is the address, and that is all.

    <prefix>/<service>/<lease id>   10.2.0.1:9000

What it can't hold, and what becomes of it:

    ours         in the record
    id           a number made of the address, as the part of the key that go-zero takes from its lease
    ports        one: the first that speaks the layout's protocol
    health       passing; warning comes back as passing, the others are refused
    weight       not held
    metadata     not held, and with it the origin: the hub's index proves what is ours
    locality     not held
"""

from hashlib import sha256

import msgspec

from pilot_plus.model import Instance, instance
from registries.layouts.etcdkeys import as_root, joined_key, refuse_unhealthy, service_part, split_key
from registries.layouts.hostport import join_host_port, one_port, port_for, split_host_port
from registries.layouts.jsontext import text_of
from registries.layouts.layout import Decoded, Raw


class GoZero(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The layout `go-zero`."""

    prefix: str = ""
    """What stands before the services' names. go-zero itself knows none: without one the whole key space is read, and
    keys that don't look like this layout's are passed over in silence."""
    protocol: str = "grpc"
    """What the addresses speak; go-zero's own servers speak gRPC."""

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "prefix", as_root(self.prefix))

    @property
    def name(self) -> str:
        """As in the configuration."""
        return "go-zero"

    @property
    def root(self) -> str:
        """The prefix with its `/`."""
        return self.prefix

    @property
    def protocols(self) -> frozenset[str]:
        """The one of the option."""
        return frozenset({self.protocol})

    def decode(self, raw: Raw) -> Decoded:
        """Read an address; in a key space that is shared, a key without a number at its end is somebody else's."""
        try:
            service, last = split_key(self.prefix, raw.path)
            address, port = split_host_port(text_of(raw.data).strip())
        except ValueError:
            if self.prefix or raw.path.rpartition("/")[2].isdecimal():
                raise
            return ()
        if not self.prefix and not last.isdecimal():
            return ()
        return (
            instance(
                key=raw.path,
                name=service,
                id=last,
                address=address,
                ports=one_port(port, self.protocol),
                layout="go-zero",
            ),
        )

    def encode(self, instance: Instance) -> Raw:
        """Write an address."""
        refuse_unhealthy(instance)
        if not self.prefix and "/" in instance.name:
            raise ValueError("without a prefix a name that holds a '/' could reach into other keys")
        address = join_host_port(instance.address, port_for(instance, self.protocols).number)
        key = joined_key(self.prefix, service_part(instance.name), _number_of(address))
        return Raw(key, address.encode())


def _number_of(address: str) -> str:
    """63 bits that are always the same for an address, where go-zero has the id of a lease."""
    return str(int.from_bytes(sha256(address.encode()).digest()[:8]) >> 1)
