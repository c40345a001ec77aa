"""SOFARPC: `/sofa-rpc/<interface>/providers/<encoded URL>`. The node's name is the record.

| ours | SOFARPC |
|---|---|
| name | `interface[:uniqueId]` |
| id | `host:port` |
| port | one; name and protocol are the URL's scheme |
| weight | `weight`; 100 where it is missing: the scale is ours |
| draining | `weight=0` |
| metadata | every other parameter, but for `dynamic` and the `version` 1.0 that every record has |

What it can't hold when we write: `critical` (refused: it would be called), `warning` (passing), the weight of a
draining instance, a second port, an id of its own, and what no Dubbo URL can carry.
(sofastack/sofa-rpc: `ZookeeperRegistry`, `RegistryUtils`.)
"""

from typing import Final

from pilot_plus.model import ORDINARY_WEIGHT, Health, Instance, Port, Service, instance
from registries.layouts.dubbo import held_metadata, port_for
from registries.layouts.dubbo_rules import health_of
from registries.layouts.dubbo_url import (
    DubboUrl,
    can_hold,
    decoded_part,
    decoded_url,
    encoded_part,
    encoded_url,
    provider_key,
    providers_of,
    weight_of,
)
from registries.layouts.layout import Decoded, Raw
from registries.layouts.mark import marked, unmarked
from registries.layouts.tree import Place, Rooted, below

PROTOCOLS: Final = frozenset({"bolt", "rest", "dubbo", "h2c", "tri"})
TRANSLATED: Final = frozenset({"interface", "uniqueId", "weight", "dynamic"})
VERSION: Final = "version"
ORDINARY_VERSION: Final = "1.0"
ONLINE: Final = b"\x01"


class Sofarpc(Rooted, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`protocol` is written for a port whose protocol nobody knows."""

    root: str = "/sofa-rpc"
    protocol: str = "bolt"

    @property
    def name(self) -> str:
        """As it stands in the configuration."""
        return "sofarpc"

    @property
    def protocols(self) -> frozenset[str]:
        """What SOFARPC's clients speak."""
        return PROTOCOLS

    def place(self, path: str) -> Place:
        """Interfaces and their providers."""
        match below(self.root, path):
            case [] | [_] | [_, "providers"]:
                return Place.DIRECTORY
            case [_, "providers", _]:
                return Place.NAME
        return Place.ELSEWHERE

    def directory(self, key: str) -> str | None:
        """The providers of the interface."""
        return providers_of(self.root, key)

    def decode(self, raw: Raw) -> Decoded:
        """Read a provider, or the `providers` of an interface as a service."""
        match below(self.root, raw.path):
            case [interface, "providers"]:
                return (Service(key=raw.path, name=decoded_part(interface)),)
            case [interface, "providers", name]:
                return (_provider(decoded_url(name), decoded_part(interface), self.root),)
        return ()

    def encode(self, instance: Instance) -> Raw:
        """Write a provider."""
        interface, _, unique = instance.name.partition(":")
        if interface in ("", ".", "..") or not can_hold("x", interface) or not can_hold("x", unique):
            raise ValueError(f"{instance.name[:100]!r} is no name for SOFARPC: expected INTERFACE[:UNIQUE_ID]")
        if instance.health is Health.CRITICAL:
            raise ValueError("SOFARPC can't say that a provider is critical: its clients would call it")
        port = port_for(instance, PROTOCOLS, self.protocol)
        weight = 0 if instance.health is Health.DRAINING else instance.weight
        parameters = {VERSION: ORDINARY_VERSION, "uniqueId": unique, "weight": str(weight)}
        parameters |= {"dynamic": "true" if instance.lease else "false"}
        parameters |= held_metadata(marked(instance), TRANSLATED)
        url = DubboUrl(port.protocol, instance.address, port.number, "", parameters)
        return Raw(f"{self.root}/{encoded_part(interface)}/providers/{encoded_url(url)}", ONLINE)


def _provider(url: DubboUrl, interface: str, root: str) -> Instance:
    if ":" in interface:
        raise ValueError(f"the interface {interface[:100]!r} holds a colon")
    metadata, origin, zone = unmarked({k: v for k, v in url.parameters.items() if k not in TRANSLATED})
    if metadata.get(VERSION) == ORDINARY_VERSION:
        del metadata[VERSION]
    weight = weight_of(url.get("weight") or str(ORDINARY_WEIGHT))
    name = f"{interface}:{url.get('uniqueId')}".rstrip(":")
    return instance(
        key=provider_key(root, name, url),
        name=name,
        id=url.place,
        address=url.host,
        ports=(Port(url.protocol, url.port, url.protocol),),
        health=health_of(weight, disabled=False),
        weight=weight,
        zone=zone,
        metadata=metadata,
        origin=origin,
        layout="sofarpc",
    )
