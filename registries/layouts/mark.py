"""The mark that a hub leaves in the records that it writes: where the truth lives, and the zone of the address.

It lies in the record's metadata under two names, for every layout that holds metadata:

    pilot-plus-origin = east|zk|/dubbo/com.example.OrderService/…|north,south
    pilot-plus-zone   = east/legacy

Cluster, registry, id and hops, percent-encoded where they hold a separator. An id that would make the value longer
than 512 characters (Consul's limit) is replaced by a hash of it, which identifies the origin just as well.
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import Final

from pilot_plus.model import NO_ORIGIN, Instance, Origin
from registries.layouts.quoting import quoter, unquoted

ORIGIN: Final = "pilot-plus-origin"
ZONE: Final = "pilot-plus-zone"
MAX_VALUE: Final = 512
_quoted: Final = quoter("/:@!$&'()*+;=~. ?#[]{}<>")


def marked(instance: Instance) -> dict[str, str]:
    """The instance's metadata, with the mark where it has an origin."""
    metadata = dict(instance.metadata)
    if instance.origin != NO_ORIGIN:
        metadata[ORIGIN] = origin_text(instance.origin)
        if instance.zone:
            metadata[ZONE] = instance.zone
    return metadata


def unmarked(metadata: Mapping[str, str]) -> tuple[dict[str, str], Origin, str]:
    """Metadata without the mark, the origin (`NO_ORIGIN` where there is no mark) and the zone (or empty).

    Raises:
        ValueError: the mark is damaged: taking the record for an original one could make a loop.
    """
    text = metadata.get(ORIGIN)
    if text is None:
        return dict(metadata), NO_ORIGIN, ""
    plain = {name: value for name, value in metadata.items() if name not in (ORIGIN, ZONE)}
    return plain, origin_of(text), metadata.get(ZONE, "")


def origin_text(origin: Origin) -> str:
    """An origin as one line of at most 512 characters."""
    hops = ",".join(_quoted(hop) for hop in origin.hops)
    text = "|".join((_quoted(origin.cluster), _quoted(origin.registry), _quoted(origin.id), hops))
    if len(text) <= MAX_VALUE:
        return text
    short = "sha256:" + sha256(origin.id.encode()).hexdigest()
    return "|".join((_quoted(origin.cluster), _quoted(origin.registry), short, hops))


def origin_of(text: str) -> Origin:
    """The reverse of `origin_text`.

    Raises:
        ValueError: not of that form.
    """
    parts = text.split("|")
    if len(parts) != 4 or not parts[0] or not parts[1]:
        raise ValueError(f"{ORIGIN} {text[:100]!r} is damaged: expected CLUSTER|REGISTRY|ID|HOPS")
    cluster, registry, key, hops = parts
    return Origin(
        unquoted(cluster), unquoted(registry), unquoted(key), tuple(unquoted(h) for h in hops.split(",") if h)
    )
