"""An instance as a registration at a Consul agent. Pure.

| ours | Consul |
|---|---|
| name | `Name`; a Dubbo provider's interface, with the whole name in Meta |
| id | in Meta; `ID` is `pilot-plus:` and what tells copies apart |
| first port | `Port`; protocol `Meta.protocol`, TLS `Meta.secure`; all ports, with their names, in Meta |
| weight | `Weights`, in whole ordinary instances, at least 1; exactly in Meta |
| warning, critical | a check that says so |
| draining, weight 0 | maintenance mode |
| metadata | `Meta`; what doesn't fit there, as a tag `name=value`; `tags` as plain tags |
| for other readers | Dubbo's `Meta.url` and its tag `dubbo`; `secure` in Meta and as a tag |

What it can't hold: the namespace; metadata whose name is empty or ours (with Dubbo's `url`), or fits neither Meta nor a
tag (it holds `=` or `|`); weight 0 of an instance that is not critical comes back as draining.
"""

import re
from hashlib import sha256
from typing import Final

import msgspec

from pilot_plus.model import NO_ORIGIN, UNKNOWN_PROTOCOL, Health, Instance
from registries.consul import dubbo, extras
from registries.consul.decode import OWN_SERVICE, TAGS
from registries.consul.records import Weights
from registries.layouts import mark
from registries.layouts.dubbo_rules import split_name

PREFIX: Final = "pilot-plus:"
MAX_PAIRS: Final = 64
MAX_NAME: Final = 128
MAX_VALUE: Final = 512
"""Bytes."""
REAPED_AFTER: Final = "1m"
"""The shortest that Consul allows; it looks only now and then."""
FOR_EVER: Final = "87600h"
_OURS: Final = extras.NAMES | {mark.ORIGIN, mark.ZONE}
RESERVED: Final = frozenset((OWN_SERVICE, extras.LEASE_SERVICE))
"""Services that no source of ours reads; and a copy named `consul` would stand among Consul's servers in its DNS."""
_FITS: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")


class Check(msgspec.Struct, frozen=True, kw_only=True, rename="pascal", omit_defaults=True):
    """A check: of a TTL, or the alias of another service's."""

    check_id: str = msgspec.field(name="CheckID")
    name: str
    status: str
    ttl: str = msgspec.field(name="TTL", default="")
    alias_service: str = ""
    deregister_critical_service_after: str = ""


class Registration(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """The body of `PUT /v1/agent/service/register`."""

    id: str = msgspec.field(name="ID")
    name: str
    address: str = ""
    port: int = 0
    tags: list[str] = []
    meta: dict[str, str] = {}
    weights: Weights = Weights()
    checks: list[Check] = []


def encode(copy: Instance, lease: str = "") -> Registration:
    """The registration of a copy; a leased one lives by the check of the service `lease`.

    Raises:
        ValueError: Consul can't hold it, and why.
    """
    name, additions = _for_readers(copy)
    if name.lower() in RESERVED:
        raise ValueError(
            f"{name!r} is a name of Consul's own here: the copy would answer for it, and not be read again"
        )
    if any(part in (".", "..") for part in name.split("/")) or "" in name.split("/")[:-1]:
        raise ValueError(f"Consul can't be asked for {name!r}: to its HTTP API that is the path of something else")
    own = extras.put_in(copy, lease) | _mark(copy)
    if name != copy.name:
        own[extras.NAME] = copy.name
    reader_tags = _tags_for_readers(copy, additions)
    if additions:
        own[extras.ADDED] = ",".join(sorted((*additions, *extras.added_tags_text(reader_tags))))
    for key, value in own.items():
        if len(value.encode()) > MAX_VALUE:
            raise ValueError(f"{key} would have {len(value.encode())} bytes in Meta, more than {MAX_VALUE}")
    meta, tags = _divided(copy, own | additions)
    identity = _id(copy, name)
    weight = extras.coarse(copy.weight)
    return Registration(
        id=identity,
        name=name,
        address=copy.address,
        port=copy.ports[0].number,
        tags=[*tags, *reader_tags],
        meta=meta,
        weights=Weights(weight, weight),
        checks=[*_lease_check(copy, identity, lease), *_state_check(copy, identity)],
    )


def lease_service(lease: str, seconds: float) -> Registration:
    """The service whose check leased copies live by. It outlives them: an alias of a service that is gone passes."""
    ttl = f"{max(seconds, 0.1) * 1000:.0f}ms"
    check = Check(check_id=lease, name="lease", ttl=ttl, status="passing", deregister_critical_service_after="30m")
    return Registration(
        id=lease, name=extras.LEASE_SERVICE, meta={extras.LEASE: f"{seconds!r} {lease}"}, checks=[check]
    )


def _for_readers(copy: Instance) -> tuple[str, dict[str, str]]:
    """The name in Consul, and what stands in Meta only for readers that aren't ours."""
    metadata, additions = dict(copy.metadata), {}
    protocol = copy.ports[0].protocol
    if protocol != UNKNOWN_PROTOCOL and "protocol" not in metadata and len(protocol.encode()) <= MAX_VALUE:
        additions["protocol"] = protocol
    if protocol == "https" and "secure" not in metadata:
        additions["secure"] = "true"
    url = dubbo.url_for(copy, MAX_VALUE)
    if url is None:
        return copy.name, additions
    return split_name(copy.name)[0], additions | {dubbo.URL: str(url)}


def _tags_for_readers(copy: Instance, additions: dict[str, str]) -> list[str]:
    """Tags by which readers choose: Dubbo asks for its own, and Spring Cloud before 3.0 reads metadata there."""
    tags = []
    if dubbo.URL in additions and dubbo.TAG not in copy.meta(TAGS).split(","):
        tags.append(dubbo.TAG)
    if "secure" in additions:
        tags.append("secure=true")
    return tags


def _mark(copy: Instance) -> dict[str, str]:
    marked = mark.marked(msgspec.structs.replace(copy, metadata=()))
    return {name: value for name, value in marked.items() if value}


def _divided(copy: Instance, taken: dict[str, str]) -> tuple[dict[str, str], list[str]]:
    """Metadata as `Meta` as far as it fits, and as tags."""
    meta, tags = dict(taken), []
    for name, value in copy.metadata:
        words = value.split(",")
        if not name or name in _OURS or name in taken:
            continue
        if name == TAGS and all(word and not set(word) & {"=", "|"} for word in words):
            tags += words
        elif _fits(name, value) and len(meta) < MAX_PAIRS:
            meta[name] = value
        elif not set(name) & {"=", "|"}:
            tags.append(f"{name}={value}")
    return meta, tags


def _fits(name: str, value: str) -> bool:
    return bool(_FITS.fullmatch(name)) and not name.startswith("consul-") and len(value.encode()) <= MAX_VALUE


def _id(copy: Instance, name: str) -> str:
    """What tells copies apart: the truth that they are copies of, whoever writes them."""
    told = (mark.origin_text(copy.origin),) if copy.origin != NO_ORIGIN else (copy.namespace, copy.name, copy.id)
    digest = sha256("\0".join((name, *told)).encode()).hexdigest()[:16]
    return f"{PREFIX}{re.sub('[^A-Za-z0-9._-]', '-', copy.id)[:60]}:{digest}"


def _lease_check(copy: Instance, identity: str, lease: str) -> list[Check]:
    if not copy.lease:
        return []
    return [
        Check(
            check_id=f"{identity}:lease",
            name="its hub lives",
            alias_service=lease,
            status="passing",
            deregister_critical_service_after=REAPED_AFTER,
        )
    ]


def _state_check(copy: Instance, identity: str) -> list[Check]:
    """Its health as the hub knows it. The agent keeps the status of a check that it knows: each status has its own."""
    if copy.health is Health.DRAINING or (copy.weight == 0 and copy.health is not Health.CRITICAL):
        maintenance = f"_service_maintenance:{identity}"
        return [Check(check_id=maintenance, name="draining", ttl=FOR_EVER, status="critical")]
    if copy.health is Health.PASSING:
        return []
    status = copy.health.value
    return [Check(check_id=f"{identity}:{status}", name="its registry says", ttl=FOR_EVER, status=status)]
