"""SkyDNS, as CoreDNS' `etcd` plugin reads it: a name's labels, reversed, are the key; the last part is the copy.

    /skydns/local/cluster/orders/x1   {"host":"10.2.0.1","port":9000,"priority":10,"weight":100,"ttl":60}

is the copy `x1` of `orders.cluster.local`; with the option `domain: cluster.local` the service is `orders`. CoreDNS
ignores fields that it doesn't know: `metadata` is ours. What answers other questions than SRV's is passed over: texts
alone, mail, and names of addresses (below `arpa`); a bare address has no port to call, and is refused.

What it can't hold, and what becomes of it:

    ours         in the record
    id           the address and port as one label
    name         labels of lower-case letters, digits, `-` and `_`: what a DNS question can ask
    ports        one: the first
    protocol     not held: the option `protocol` says it
    health       passing; warning comes back as passing, the others are refused
    weight       `weight`; its 0 means 100, so ours from 0 to below 1 is refused
    metadata     `metadata`, which only we read
    locality     not held
"""

import re
from hashlib import sha256
from ipaddress import AddressValueError, IPv4Address
from typing import Final

import msgspec

from pilot_plus.model import ORDINARY_WEIGHT, UNKNOWN_PROTOCOL, Instance, instance
from registries.layouts.etcdkeys import as_root, joined_key, refuse_unhealthy, split_key
from registries.layouts.hostport import one_port, port_for
from registries.layouts.jsontext import from_json
from registries.layouts.layout import Decoded, Raw
from registries.layouts.mark import marked, unmarked

_LABEL: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_MAX_NAME: Final = 253


class _Record(msgspec.Struct, omit_defaults=True):
    host: str = ""
    port: int = 0
    priority: int = 0
    weight: int = 0
    ttl: int = 0
    mail: bool = False
    text: str = ""
    metadata: dict[str, str] | None = None


class SkyDns(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The layout `skydns`."""

    prefix: str = "/skydns"
    """The plugin's `path`."""
    domain: str = ""
    """The zone whose names are read and written; it is not a part of the services' names."""
    protocol: str = UNKNOWN_PROTOCOL
    """What the ports speak."""
    ttl: int = 30
    """Written into records, in seconds."""

    def __post_init__(self) -> None:
        domain = self.domain.strip(".").lower()
        if domain and not all(_LABEL.fullmatch(label) for label in domain.split(".")):
            raise ValueError(f"domain {self.domain!r} is no DNS name")
        if not as_root(self.prefix):
            raise ValueError("prefix is expected not to be empty")
        if not 0 < self.ttl <= 86400:
            raise ValueError("ttl is expected within 1..86400 seconds")
        msgspec.structs.force_setattr(self, "domain", domain)
        below = "".join(f"{label}/" for label in reversed(domain.split("."))) if domain else ""
        msgspec.structs.force_setattr(self, "prefix", as_root(self.prefix) + below)

    @property
    def name(self) -> str:
        """As in the configuration."""
        return "skydns"

    @property
    def root(self) -> str:
        """The prefix and the domain's labels, with a `/`."""
        return self.prefix

    @property
    def protocols(self) -> frozenset[str]:
        """Anything: DNS doesn't ask."""
        return frozenset()

    def decode(self, raw: Raw) -> Decoded:
        """Read a record; a text, one for mail and an address' name are none of a service's."""
        record = from_json(raw.data, _Record)
        labels, last = split_key(self.prefix, raw.path)
        if record.mail or (record.text and not record.host) or f"{labels}/".startswith("arpa/"):
            return ()
        if record.host and not record.port:
            raise ValueError("it has no port: the name has an address, but nothing there that could be called")
        metadata, origin, zone = unmarked(record.metadata or {})
        return (
            instance(
                key=raw.path,
                name=".".join(reversed(labels.split("/"))),
                id=last,
                address=record.host,
                ports=one_port(record.port, self.protocol),
                weight=record.weight or ORDINARY_WEIGHT,
                metadata=metadata,
                origin=origin,
                zone=zone,
                layout="skydns",
            ),
        )

    def encode(self, instance: Instance) -> Raw:
        """Write a record."""
        refuse_unhealthy(instance)
        labels = instance.name.split(".")
        if not all(_LABEL.fullmatch(label) for label in labels):
            raise ValueError(f"service name {instance.name[:100]!r} is nothing that a DNS question can ask")
        if len(instance.name) + len(self.domain) >= _MAX_NAME:
            raise ValueError(f"the DNS name would have more than {_MAX_NAME} characters")
        if instance.weight < 1:
            raise ValueError("a weight of 0 would be read as 100")
        port = port_for(instance, self.protocols).number
        record = _Record(
            host=instance.address, port=port, weight=instance.weight, ttl=self.ttl, metadata=marked(instance) or None
        )
        key = joined_key(self.prefix, *reversed(labels), _copy_label(instance.address, port))
        return Raw(key, msgspec.json.encode(record))


def _copy_label(address: str, port: int) -> str:
    """Address and port as one DNS label: readable for IPv4, else a hash, since two texts may not become one."""
    try:
        IPv4Address(address)
    except AddressValueError:
        return "x" + sha256(f"{address} {port}".encode()).hexdigest()[:32]
    return f"{address.replace('.', '-')}-{port}"
