"""What Consul has no field for, in the `Meta` of the records that we write.

pilot-plus-id       orders-1                           in each of them
pilot-plus-ports    http:8080:http,admin:9090:http     Consul holds one port, without a name
pilot-plus-place    eu|eu-1|rack-7                     region, az, subzone
pilot-plus-weight   150                                where Consul's whole ordinary instances don't say it exactly
pilot-plus-name     com.example.Orders:1.0.0           where Consul's service has another: Dubbo's interface
pilot-plus-lease    15 pilot-plus:lease:5f3a           seconds, and the service whose check the copy lives by
pilot-plus-added    protocol,secure,tag:dubbo          what stands in Meta and among the tags for other readers, and is
                                                   none of ours
"""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from pilot_plus.model import ORDINARY_WEIGHT, Instance, Locality, Port
from registries.layouts.quoting import quoter, unquoted

ID: Final = "pilot-plus-id"
PORTS: Final = "pilot-plus-ports"
WEIGHT: Final = "pilot-plus-weight"
PLACE: Final = "pilot-plus-place"
LEASE: Final = "pilot-plus-lease"
ADDED: Final = "pilot-plus-added"
NAME: Final = "pilot-plus-name"
NAMES: Final = frozenset((ID, PORTS, WEIGHT, PLACE, LEASE, ADDED, NAME))
_TAG: Final = "tag:"
LEASE_SERVICE: Final = "pilot-plus-lease"
"""The service whose checks leased copies live by; it is no application."""
_quoted: Final = quoter(" !$&'()*+;=@/?#[]{}<>~.")


class Extras(msgspec.Struct, frozen=True):
    """What such a record says beside Consul's own fields."""

    id: str = ""
    name: str = ""
    ports: tuple[Port, ...] = ()
    weight: int | None = None
    locality: Locality | None = None
    lease: float = 0.0


def coarse(weight: int) -> int:
    """Our weight on Consul's scale, where 1 is one ordinary instance and the least."""
    return min(max((weight + ORDINARY_WEIGHT // 2) // ORDINARY_WEIGHT, 1), 65_535)


def put_in(copy: Instance, lease: str = "") -> dict[str, str]:
    """What has to stand in `Meta` for `taken_out` to tell; `lease` is the ID of the service that it lives by."""
    place = copy.locality
    extras = {
        ID: copy.id,
        PORTS: ",".join(f"{_quoted(port.name)}:{port.number}:{_quoted(port.protocol)}" for port in copy.ports),
        PLACE: "|".join(_quoted(part) for part in (place.region, place.az, place.subzone)),
    }
    if coarse(copy.weight) * ORDINARY_WEIGHT != copy.weight:
        extras[WEIGHT] = str(copy.weight)
    if copy.lease:
        extras[LEASE] = f"{copy.lease!r} {lease}"
    return extras


def added_tags_text(tags: Iterable[str]) -> list[str]:
    """How tags without a value that stand there for other readers only are noted."""
    return [f"{_TAG}{tag}" for tag in tags if "=" not in tag]


def added_tags(metadata: Mapping[str, str]) -> frozenset[str]:
    """The reverse, of a record's `Meta`."""
    if ADDED not in metadata:
        return frozenset()
    return frozenset(one.removeprefix(_TAG) for one in metadata[ADDED].split(",") if one.startswith(_TAG))


def taken_out(metadata: Mapping[str, str]) -> tuple[dict[str, str], Extras]:
    """Metadata without them, and what they say; a record that is none of ours says nothing here.

    Raises:
        ValueError: one is damaged.
    """
    if ID not in metadata:
        return dict(metadata), Extras()
    added = frozenset(metadata.get(ADDED, "").split(","))
    plain = {name: value for name, value in metadata.items() if name not in NAMES and name not in added}
    try:
        extras = Extras(
            id=metadata[ID],
            name=metadata.get(NAME, ""),
            ports=tuple(_port(text) for text in metadata.get(PORTS, "").split(",") if text),
            weight=int(metadata[WEIGHT]) if WEIGHT in metadata else None,
            locality=_place(metadata[PLACE]) if PLACE in metadata else None,
            lease=float(metadata.get(LEASE, "0").partition(" ")[0]),
        )
    except ValueError as error:
        raise ValueError(f"a pilot-plus-… entry of Meta is damaged: {str(error)[:200]}") from error
    if not 0 <= extras.lease < 1e9:
        raise ValueError(f"{LEASE} {metadata[LEASE][:40]!r} is no number of seconds")
    return plain, extras


def _port(text: str) -> Port:
    name, number, protocol = text.split(":")
    return Port(unquoted(name), int(number), unquoted(protocol))


def _place(text: str) -> Locality:
    region, az, subzone = text.split("|")
    return Locality(unquoted(region), unquoted(az), unquoted(subzone))
