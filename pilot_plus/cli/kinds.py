"""Kinds: what can be listed and described, what each is called, and what narrows a list of it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import click

from pilot_plus.cli import columns
from pilot_plus.cli.output import Column


class Kind(NamedTuple):
    """A kind of thing. `filters` of services and instances are the API's; the others' rows are narrowed here."""

    one: str
    columns: tuple[Column, ...]
    filters: frozenset[str]


_SERVICES: Final = frozenset(("namespace", "name", "registry", "zone", "q", "health"))
_NAMED: Final = frozenset(("name", "q"))

KINDS: Final[Mapping[str, Kind]] = {
    "services": Kind("service", columns.SERVICES, _SERVICES | {"from", "as"}),
    "instances": Kind("instance", columns.INSTANCES, _SERVICES),
    "registries": Kind("registry", columns.REGISTRIES, _NAMED | {"zone"}),
    "zones": Kind("zone", columns.ZONES, _NAMED | {"registry"}),
    "edges": Kind("edge", columns.EDGES, _NAMED | {"zone"}),
    "peers": Kind("peer", columns.PEERS, _NAMED),
    "sync": Kind("sync", columns.SYNC, _NAMED | {"registry"}),
    "proxies": Kind("proxy", columns.PROXIES, _NAMED | {"zone"}),
}
PAGED: Final = ("services", "instances")
"""Kinds that the API narrows, a page at a time."""


class KindName(click.ParamType[str]):
    """The name of a kind, of one or of many: `service` is `services`."""

    name = "kind"

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        """All there are."""
        return "|".join(KINDS)

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name of many."""
        found = next((name for name, kind in KINDS.items() if value in (name, kind.one)), None)
        if found is None:
            self.fail(f"{value!r} is none of {', '.join(KINDS)}", param, ctx)
        return found


def narrowed(rows: Sequence[dict[str, Any]], asked: Mapping[str, str]) -> list[dict[str, Any]]:
    """The rows that pass every filter."""
    return [row for row in rows if all(_passes(row, name, wanted) for name, wanted in asked.items())]


def name_of(row: Mapping[str, Any]) -> str:
    """What a row is about."""
    return str(row["name"] if "name" in row else row["id"])


def _passes(row: Mapping[str, Any], name: str, wanted: str) -> bool:
    match name:
        case "name":
            return name_of(row) == wanted
        case "q":
            return wanted.casefold() in name_of(row).casefold()
        case "registry":
            return wanted in row.get("registries", ()) or row.get("target") == wanted
        case _:
            return bool(row[name] == wanted)
