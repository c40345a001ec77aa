"""A layout of the user's own: a pattern for the key, and where in the value things stand. Only read.

    template: {pattern: "/reg/{service}/{id}", address: node.ip, port: node.port, weight: w, metadata: labels,
               health: status, passing: [UP]}

reads `/reg/orders/1` = `{"node": {"ip": "10.2.0.1", "port": 9000}, "w": 50, "labels": {…}, "status": "UP"}`.

In the pattern `{service}`, `{id}` and `{*}` (anything) each stand for one part of the key, without `/`;
`{service+}` for one or more parts. Without `{id}` the id is the address and port. In the value a place is a path of
names joined by dots; a field that isn't there is not said. `address` may hold `HOST:PORT` where no `port` is found;
with `address: ""` the whole value is that text.
"""

import re
from typing import Final

import msgspec

from pilot_plus.model import ORDINARY_WEIGHT, UNKNOWN_PROTOCOL, Health, Instance, instance
from registries.layouts.etcdkeys import MAX_KEY
from registries.layouts.hostport import join_host_port, one_port, split_host_port
from registries.layouts.jsontext import from_json, text_of
from registries.layouts.layout import Decoded, Raw
from registries.layouts.loosemeta import loose_metadata
from registries.layouts.mark import unmarked

_PLACEHOLDER: Final = re.compile(r"\{([^{}]*)\}")
_PARTS: Final = {
    "service": r"(?P<service>[^/]+)",
    "service+": r"(?P<service>[^/]+(?:/[^/]+)*)",
    "id": r"(?P<id>[^/]+)",
    "*": r"[^/]+",
}


class Template(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The layout `template`."""

    pattern: str = ""
    """The key, as in `/reg/{service}/{id}`. What stands before the first placeholder is the root."""
    address: str = "address"
    """Where the address stands; empty: the value is `HOST:PORT`."""
    port: str = "port"
    """Where the port's number stands."""
    protocol: str = UNKNOWN_PROTOCOL
    """What the ports speak, where `protocol_field` says nothing."""
    protocol_field: str = ""
    """Where the protocol stands."""
    weight: str = ""
    """Where the weight stands."""
    ordinary_weight: float = ORDINARY_WEIGHT
    """The weight of an ordinary instance there."""
    metadata: str = ""
    """Where an object with metadata stands; `.` is the whole value."""
    health: str = ""
    """Where the health stands."""
    passing: tuple[str, ...] = ("passing", "up", "healthy", "true", "ok", "1")
    """What stands there for an instance that may be called, in any case of letters; all else is critical."""

    def __post_init__(self) -> None:
        names = _PLACEHOLDER.findall(self.pattern)
        services = [name for name in names if name in ("service", "service+")]
        if len(services) != 1 or names.count("id") > 1 or not set(names) <= set(_PARTS):
            raise ValueError(
                f"pattern {self.pattern!r} is expected to hold {{service}} or {{service+}} once, {{id}} at most once, "
                "and else only {*}: as in /reg/{service}/{id}"
            )
        if not self.ordinary_weight > 0:
            raise ValueError("ordinary_weight is expected above 0")
        _compiled(self.pattern)

    @property
    def name(self) -> str:
        """As in the configuration."""
        return "template"

    @property
    def root(self) -> str:
        """What stands before the first placeholder."""
        return self.pattern.partition("{")[0]

    @property
    def protocols(self) -> frozenset[str]:
        """Nobody knows its readers."""
        return frozenset()

    def decode(self, raw: Raw) -> Decoded:
        """Read a record; a key that the pattern doesn't match is none of this layout's."""
        match = _compiled(self.pattern).fullmatch(raw.path)
        if match is None or len(raw.path) > MAX_KEY:
            return ()
        value = from_json(raw.data, object) if self.address else text_of(raw.data).strip()
        address, port = self._place(value)
        metadata, origin, zone = unmarked(loose_metadata(_at(value, self.metadata)) if self.metadata else {})
        return (
            instance(
                key=raw.path,
                name=match["service"],
                id=match.groupdict().get("id") or join_host_port(address, port),
                address=address,
                ports=one_port(port, _text(_at(value, self.protocol_field)) or self.protocol),
                health=self._health(value),
                weight=self._weight(value),
                metadata=metadata,
                origin=origin,
                zone=zone,
                layout="template",
            ),
        )

    def encode(self, instance: Instance) -> Raw:
        """Refuse: what else its readers expect in a record, nobody has said."""
        raise ValueError(f"layout template is only read: {instance.name[:100]!r} can't be written")

    def _place(self, value: object) -> tuple[str, int]:
        address = _text(_at(value, self.address)) if self.address else _text(value)
        port = _at(value, self.port) if self.address and self.port else None
        if port is None:
            return split_host_port(address)
        if isinstance(port, bool) or not re.fullmatch(r"[0-9]{1,5}", str(port)):
            raise ValueError(f"{self.port} {str(port)[:100]!r} is no port number")
        return address, int(str(port))

    def _health(self, value: object) -> Health:
        said = _at(value, self.health)
        if said is None or _text(said).lower() in {word.lower() for word in self.passing}:
            return Health.PASSING
        return Health.CRITICAL

    def _weight(self, value: object) -> float:
        said = _at(value, self.weight)
        if said is None:
            return ORDINARY_WEIGHT
        try:
            return float(_text(said)) * ORDINARY_WEIGHT / self.ordinary_weight
        except ValueError as error:
            raise ValueError(f"{self.weight} {_text(said)[:100]!r} is no weight") from error


def _compiled(pattern: str) -> re.Pattern[str]:
    pieces = _PLACEHOLDER.split(pattern)  # text, placeholder, text, …
    return re.compile("".join(_PARTS[piece] if at % 2 else re.escape(piece) for at, piece in enumerate(pieces)))


def _at(value: object, place: str) -> object:
    """What stands at a place, None where nothing does; an empty place holds nothing, `.` everything."""
    if not place:
        return None
    for name in place.split(".") if place != "." else ():
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else str(value)
