"""An element of `/v1/health/service/NAME` as an instance. Pure."""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from pilot_plus.model import ORDINARY_WEIGHT, Health, Instance, Locality, Port, instance
from registries.consul import dubbo, extras
from registries.consul.records import Check, Entry, Node, Service, Weights
from registries.layouts import mark
from registries.layouts.dubbo_url import DubboUrl

OWN_SERVICE: Final = "consul"
TAGS: Final = "tags"
"""The metadata name under which tags without a value stand, joined by commas."""
MAX_WEIGHT: Final = 1_000_000
"""The model's; Consul's weights end at 65,535 ordinary instances, and whoever writes so much means "very much"."""
_MAINTENANCE: Final = ("_node_maintenance", "_service_maintenance:")


def key_of(service: str, node: str, instance_id: str) -> str:
    """`SERVICE/NODE/ID`. The service belongs to it: an ID that moves to another service is another record."""
    return "/".join(part.replace("%", "%25").replace("/", "%2F") for part in (service, node, instance_id))


def parts_of(key: str) -> tuple[str, str, str]:
    """Service, node and ID of a key.

    Raises:
        ValueError: it is no key of ours.
    """
    parts = [part.replace("%2F", "/").replace("%25", "%") for part in key.split("/")]
    if len(parts) != 3 or not all(parts):
        raise ValueError(f"{key[:100]!r} is no key: expected SERVICE/NODE/ID")
    return parts[0], parts[1], parts[2]


def entry_of(raw: msgspec.Raw) -> Entry:
    """One element of an answer.

    Raises:
        ValueError: it lacks node, service or ID, or has them in another type.
    """
    try:
        return msgspec.json.decode(raw, type=Entry)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(f"no entry of Consul's: {str(error)[:200]}") from error


def decode(entry: Entry, protocol: str) -> Instance | None:
    """The instance that an entry describes; None for what is no application (a proxy, a gateway, Consul itself).

    `protocol` is what it speaks if it doesn't say so.

    Raises:
        ValueError: it can't be used, and why.
    """
    service, node = entry.service, entry.node
    if service.kind or service.service in (OWN_SERVICE, extras.LEASE_SERVICE):
        return None
    if extras.ID not in (service.meta or {}) and (url := dubbo.url_of(service)):
        return _provider(entry, url)
    metadata, ours = extras.taken_out(_metadata(service))
    metadata, origin, zone = mark.unmarked(metadata)
    health = _health(entry.checks or ())
    return instance(
        key=key_of(service.service, node.node, service.id),
        name=ours.name or service.service,
        id=ours.id or service.id,
        address=service.address or node.address,
        ports=ours.ports or (_port(service, metadata, protocol),),
        health=health,
        weight=_weight(service.weights or Weights(), health, ours.weight),
        locality=ours.locality or _locality(service, node),
        zone=zone,
        metadata=metadata,
        origin=origin,
        lease=ours.lease,
    )


def _provider(entry: Entry, url: DubboUrl) -> Instance | None:
    """A Dubbo provider: Consul says only whether it is well, and where it is."""
    service, node = entry.service, entry.node
    provider = dubbo.provider(url, service)
    if provider is None:
        return None
    return msgspec.structs.replace(
        provider,
        key=key_of(service.service, node.node, service.id),
        health=dubbo.worse(provider.health, _health(entry.checks or ())),
        locality=_locality(service, node),
        layout="",
    )


def _metadata(service: Service) -> dict[str, str]:
    """`Meta`, and what the tags say beside it: `k=v` (Spring Cloud), `k|v` (Istio's old adapter), or a plain word."""
    plain: list[str] = []
    metadata: dict[str, str] = {}
    not_ours = extras.added_tags(service.meta or {})
    for tag in service.tags or ():
        name, sign, value = _divided(tag)
        if sign and name:
            metadata[name] = value
        elif tag and tag not in not_ours:
            plain.append(tag)
    if plain:
        metadata[TAGS] = ",".join(plain)
    return metadata | (service.meta or {})


def _divided(tag: str) -> tuple[str, str, str]:
    equals, bar = tag.find("="), tag.find("|")
    return tag.partition("|" if bar >= 0 and (equals < 0 or bar < equals) else "=")


def _health(checks: Iterable[Check]) -> Health:
    """The worst of all checks of node and service; maintenance alone is draining."""
    worst, maintained = Health.PASSING, False
    for check in checks:
        if check.check_id.startswith(_MAINTENANCE):
            maintained = True  # it is there only while the maintenance lasts
        elif check.status == "warning" and worst is Health.PASSING:
            worst = Health.WARNING
        elif check.status not in ("passing", "warning"):
            worst = Health.CRITICAL
    return Health.DRAINING if maintained and worst is not Health.CRITICAL else worst


def _weight(weights: Weights, health: Health, exact: int | None) -> int:
    held = weights.warning if health is Health.WARNING else weights.passing
    if exact is not None and extras.coarse(exact) == held:
        return exact
    return min(held * ORDINARY_WEIGHT, MAX_WEIGHT)


def _port(service: Service, metadata: Mapping[str, str], protocol: str) -> Port:
    named = metadata.get("protocol") or protocol
    if metadata.get("secure", "").lower() == "true" and named in ("http", "unknown"):
        named = "https"
    return Port("", service.port, named)


def _locality(service: Service, node: Node) -> Locality:
    told, meta, machine = service.locality or node.locality, service.meta or {}, node.meta or {}
    if told and (told.region or told.zone):
        return Locality(told.region, told.zone)
    return Locality(
        meta.get("region") or machine.get("region") or node.datacenter, meta.get("zone") or machine.get("zone", "")
    )
