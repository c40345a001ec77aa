"""What a Dubbo 3 consumer fetches beside an instance: which applications serve an interface, and what they serve there.

    /dubbo/mapping/com.example.OrderService     orders,web
    /dubbo/metadata/orders/f82a…                {"app":"orders","revision":"f82a…","services":{"blue/com…":{…}}}

The instance names the revision, and says `remote`: ask the registry. (With `local` the consumer would ask the
provider itself, which knows nothing of our copy.) A revision is a hash of what it says, so it is written once and
never changed. (apache/dubbo: `MetadataInfo`, `ZookeeperMetadataReport`, `MetadataServiceNameMapping`.)
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

import msgspec

from pilot_plus.model import Instance, Port
from registries.layouts.dubbo import provider_url
from registries.layouts.dubbo_rules import split_name
from registries.layouts.dubbo_url import encoded_part
from registries.layouts.tree import Companion, segment

INTERFACES: Final = "dubbo.interfaces"
"""Metadata that names what an application serves: `interface[:version[:group]],…`. Without it: its own name."""


class ServiceInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """One interface at one port."""

    name: str
    protocol: str
    port: int
    path: str
    params: dict[str, str]
    version: str = ""
    group: str = ""

    @property
    def key(self) -> str:
        """Under which a consumer looks it up."""
        group = f"{self.group}/" if self.group else ""
        version = f":{self.version}" if self.version else ""
        return f"{group}{self.name}{version}:{self.protocol}"


class MetadataInfo(msgspec.Struct, frozen=True):
    """What an application serves."""

    app: str
    revision: str
    services: dict[str, ServiceInfo]


def metadata_of(instance: Instance, ports: Sequence[Port]) -> MetadataInfo:
    """What an instance serves at these ports, each of which speaks something of Dubbo's.

    Raises:
        ValueError: an interface, or the application's name, is none for Dubbo.
    """
    if "," in instance.name:
        raise ValueError(f"{instance.name[:100]!r} is no name for an application of Dubbo: it holds a comma")
    names = [name.strip() for name in instance.meta(INTERFACES, instance.name).split(",")]
    services = [_service(instance, name, port) for name in names if name for port in ports]
    by_key = {service.key: service for service in sorted(services, key=lambda service: service.key)}
    revision = sha256(msgspec.json.encode(by_key, order="deterministic")).hexdigest()[:32]
    return MetadataInfo(instance.name, revision, by_key)


def companions_of(info: MetadataInfo, metadata: str, mapping: str) -> tuple[Companion, ...]:
    """The nodes that must be there before an instance that serves this."""
    path = f"{metadata}/{segment(info.app)}/{info.revision}"
    interfaces = sorted({service.name for service in info.services.values()})
    joined = (Companion(f"{mapping}/{encoded_part(name)}", info.app.encode(), joins=True) for name in interfaces)
    return (Companion(path, msgspec.json.encode(info, order="deterministic")), *joined)


def _service(instance: Instance, name: str, port: Port) -> ServiceInfo:
    interface, version, group = split_name(name)
    bare = msgspec.structs.replace(instance, name=name, ports=(port,), metadata=(), lease=1.0)
    url = provider_url(bare, port.protocol)
    params = {key: value for key, value in url.parameters.items() if not key.startswith("pilot-plus-")}
    return ServiceInfo(interface, port.protocol, port.number, url.path, params, version, group)
