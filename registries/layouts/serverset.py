"""Finagle's server sets: `<path>/member_0000000007`, ephemeral and sequential, JSON.

| ours | server set |
|---|---|
| name | the path below `root`, with its slashes |
| id, key | the path of the member |
| port `service` | `serviceEndpoint`; its protocol is the option `protocol` |
| further ports | `additionalEndpoints` on the same host, by their names |
| passing, warning, draining, critical | `ALIVE`, `WARNING`, `STOPPING`, any other status |
| metadata | `shard`, and `metadata` where it is there |

Read only: a member's name is chosen by the server, so that a copy could not be found again.
(twitter/finagle: `Entry`; apache/aurora: `ServerSet`.)
"""

from typing import Final

import msgspec

from pilot_plus.model import UNKNOWN_PROTOCOL, Health, Instance, Port, Service, instance
from registries.layouts.jsontext import from_json
from registries.layouts.layout import Decoded, Raw
from registries.layouts.tree import Place, Rooted, below

MEMBER: Final = "member_"
SERVICE: Final = "service"
_SPEAKING: Final = frozenset({"http", "https", "http2", "grpc", "thrift", "redis", "mysql"})
_HEALTH: Final = {"ALIVE": Health.PASSING, "WARNING": Health.WARNING, "STOPPING": Health.DRAINING}


class Endpoint(msgspec.Struct, frozen=True):
    """A host and a port."""

    host: str
    port: int


class Member(msgspec.Struct, frozen=True, rename="camel"):
    """What a member says."""

    service_endpoint: Endpoint
    additional_endpoints: dict[str, Endpoint] = msgspec.field(default_factory=dict)
    status: str = "ALIVE"
    shard: int | None = None
    metadata: dict[str, str] | None = None


class Serverset(Rooted, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`root` is the path above all server sets; `protocol` is what `serviceEndpoint` speaks."""

    root: str = "/aurora"
    protocol: str = UNKNOWN_PROTOCOL

    @property
    def name(self) -> str:
        """As it stands in the configuration."""
        return "serverset"

    @property
    def protocols(self) -> frozenset[str]:
        """Finagle's clients bring a protocol of their own."""
        return frozenset()

    def place(self, path: str) -> Place:
        """Directories of any depth, with members at their ends; `vector_` nodes are for Twitter's own clients."""
        parts = below(self.root, path)
        if parts is None or (parts and parts[-1].startswith("vector_")):
            return Place.ELSEWHERE
        return Place.DATA if parts and parts[-1].startswith(MEMBER) else Place.DIRECTORY

    def directory(self, key: str) -> str | None:
        """The server set."""
        return key.rpartition("/")[0] if self.place(key) is Place.DATA else None

    def decode(self, raw: Raw) -> Decoded:
        """Read a member, or a directory."""
        parts = below(self.root, raw.path)
        if not parts:
            return ()
        if not parts[-1].startswith(MEMBER):
            return (Service(key=raw.path, name="/".join(parts)),)
        if len(parts) == 1:
            raise ValueError("a member of no server set: it lies in the root itself")
        member = from_json(raw.data, Member)
        shard = {} if member.shard is None else {"shard": str(member.shard)}
        return (
            instance(
                key=raw.path,
                name="/".join(parts[:-1]),
                id=parts[-1],
                address=member.service_endpoint.host,
                ports=_ports(member, self.protocol),
                health=_HEALTH.get(member.status, Health.CRITICAL),
                metadata={**(member.metadata or {}), **shard},
                layout=self.name,
            ),
        )

    def encode(self, instance: Instance) -> Raw:
        """Refuse: see above."""
        raise ValueError("server sets are only read: the server chooses the names of their members")


def _ports(member: Member, protocol: str) -> tuple[Port, ...]:
    main = member.service_endpoint
    further = (
        Port(name, endpoint.port, name if name in _SPEAKING else UNKNOWN_PROTOCOL)
        for name, endpoint in sorted(member.additional_endpoints.items())
        if endpoint.host == main.host and name not in ("", SERVICE)
    )
    return (Port(SERVICE, main.port, protocol), *further)
