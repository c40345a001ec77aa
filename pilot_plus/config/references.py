"""References: every name that a section uses must be another section's."""

import re
from typing import Final

from pilot_plus.config.checks import check_known, check_network, check_patterns, check_zone, unique
from pilot_plus.config.names import check_counting
from pilot_plus.config.sections import Config, ConfigError, Identity, RegistrySection

_DOMAIN: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")


def check_references(config: Config) -> None:
    """Check that every name that a section uses is another section's.

    Raises:
        ConfigError: one isn't.
    """
    zones = unique("zones", [zone.name for zone in config.zones])
    registries = unique("registries", [registry.name for registry in config.registries])
    peers = unique("peers", [peer.name for peer in config.peers])
    unique("sync", [rule.name for rule in config.sync])
    if config.cluster in peers:
        raise ConfigError(f"peers: {config.cluster!r} is our own cluster")
    if both := registries & peers:
        raise ConfigError(f"peers: {sorted(both)[0]!r} is a registry's name too; peers are shown among the registries")
    for index, registry in enumerate(config.registries):
        _check_registry(config, zones, f"registries[{index}]", registry)
    for index, rule in enumerate(config.sync):
        known = registries | peers
        check_known(f"sync[{index}].to", rule.target.registry, registries, "registries")
        for name in rule.from_.registries:
            check_known(f"sync[{index}].from.registries", name, known, "registries")
        check_patterns(f"sync[{index}].from.services", rule.from_.services)
    for index, export in enumerate(config.exports):
        check_patterns(f"exports[{index}].services", export.services)
        for zone in (*export.from_, *export.to):
            check_zone(config, zones, f"exports[{index}]", zone)
    for index, zone_section in enumerate(config.zones):
        for subnet in zone_section.subnets:
            check_network(f"zones[{index}].subnets", subnet)
        for zone in zone_section.reaches:
            check_zone(config, zones, f"zones[{index}].reaches", zone)
    check_counting(config)


def check_places(config: Config) -> None:
    """Refuse a domain that DNS can't hold, and a range of ports that is none.

    Raises:
        ConfigError: one of them can't be used.
    """
    if len(config.mesh.domain) > 190 or not _DOMAIN.fullmatch(config.mesh.domain):
        raise ConfigError(f"mesh.domain: expected a DNS name in lower case like mesh, found {config.mesh.domain!r}")
    first, _, last = config.edges.plain_ports.partition("-")
    if not 1 <= int(first) <= int(last) <= 65535:
        raise ConfigError(
            f"edges.plain_ports: expected a range within 1-65535 like 20000-29999, found {config.edges.plain_ports!r}"
        )


def check_identity(identity: Identity) -> None:
    """Refuse files without each other, and certificates that live too shortly or too long."""
    if bool(identity.root_cert) != bool(identity.root_key):
        raise ConfigError("identity: `root_cert` and `root_key` belong together; leave out both for a root of our own")
    if not 600 <= identity.leaf_ttl <= identity.root_ttl / 4:
        raise ConfigError("identity.leaf_ttl: expected at least 10m, and at most a quarter of `root_ttl`")
    if identity.root_ttl > 36500 * 86400:
        raise ConfigError("identity.root_ttl: expected at most 36500d")


def _check_registry(config: Config, zones: set[str], place: str, registry: RegistrySection) -> None:
    check_zone(config, zones, f"{place}.zone", registry.zone)
    if "/" in registry.zone and not registry.zone.startswith(f"{config.cluster}/"):
        raise ConfigError(f"{place}.zone: {registry.zone!r} is another cluster's; a registry lies in a zone of ours")
    for cidr in registry.accept.cidrs:
        check_network(f"{place}.accept.cidrs", cidr)
    for ports in registry.accept.ports:
        if not re.fullmatch(r"\d{1,5}(-\d{1,5})?", ports):
            raise ConfigError(f"{place}.accept.ports: expected a port or a range like 8000-8999, found {ports!r}")
