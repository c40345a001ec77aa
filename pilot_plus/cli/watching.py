"""Watching: `get -w`, which prints what changes."""

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import click

from pilot_plus.cli.client import Client, Event, path_of
from pilot_plus.cli.kinds import KINDS, PAGED, name_of, narrowed
from pilot_plus.cli.main import Refusal
from pilot_plus.cli.output import Column, Table

EVERY: Final = 1.0
"""Seconds between two looks at what the API has no events for."""
MOVING: Final = frozenset(("revision", "lag", "bytes", "received_bytes", "records"))
"""What moves by itself, beside ages (`…_s`)."""
_WATCHED: Final = ("services", "instances", "registries")
"""What the API tells by events."""

_CHANGE: Final = Column("CHANGE", lambda row: row["change"])


def follow(client: Client, kind: str, form: str | None, filters: Mapping[str, str]) -> None:
    """Print everything, and then every change, until interrupted."""
    if form == "yaml":
        raise click.UsageError("-w prints lines: use -o json")
    table = Table((_CHANGE, *KINDS[kind].columns), form)
    try:
        for rows in _told(client, kind, filters) if kind in _WATCHED else _asked(client, kind, filters):
            if form == "json":
                for row in rows:
                    click.echo(json.dumps(row, ensure_ascii=False))
            elif rows:
                table.print(rows)
    except KeyboardInterrupt:
        return


def _told(client: Client, kind: str, filters: Mapping[str, str]) -> Iterator[list[dict[str, Any]]]:
    """What each event changes."""
    known = Known(kind, filters)
    services = filters if kind in PAGED else {}
    for event in client.watch(namespace=services.get("namespace"), name=services.get("name")):
        yield list(known.rows(event))


def _asked(client: Client, kind: str, filters: Mapping[str, str]) -> Iterator[list[dict[str, Any]]]:
    """What differs between two looks; whoever was there once is waited for."""
    shown: dict[str, dict[str, Any]] | None = None
    is_away = False
    while True:
        try:
            rows = narrowed(client.get(path_of(kind))[kind], filters)
        except Refusal as refused:
            if shown is None:
                raise
            if not is_away:
                click.echo(f"{refused.message}; trying again …", err=True)
            is_away = True
        else:
            is_away = False
            yield _differing(shown or {}, rows)
            shown = {_key_of(row): row for row in rows}
        time.sleep(EVERY)


def _differing(before: Mapping[str, dict[str, Any]], rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    now = {_key_of(row): row for row in rows}
    new = [{"change": "new", **row} for key, row in now.items() if key not in before]
    changed = [
        {"change": "changed", **row}
        for key, row in now.items()
        if key in before and _standing(row) != _standing(before[key])
    ]
    return [*new, *changed, *({"change": "gone", **row} for key, row in before.items() if key not in now)]


def _key_of(row: Mapping[str, Any]) -> str:
    return f"{name_of(row)} {row.get('target', '')}"


def _standing(value: Any) -> Any:
    """A row but for what moves by itself, at any depth."""
    match value:
        case dict():
            return {
                name: _standing(part) for name, part in value.items() if name not in MOVING and not name.endswith("_s")
            }
        case list():
            return [_standing(part) for part in value]
    return value


class Known:
    """What has been printed, so that what has not changed is not printed again."""

    def __init__(self, kind: str, filters: Mapping[str, str]) -> None:
        """Show rows of this kind that pass the filters."""
        self._kind = kind
        self._filters = filters
        self._shown: dict[str, dict[str, dict[str, Any]]] = {}
        """By service (or registry), by row."""
        self._reset: set[str] | None = None

    def rows(self, event: Event) -> Iterator[dict[str, Any]]:
        """What an event changes, each with `change`: new, changed or gone."""
        match event.kind, self._kind:
            case (("reset" | "resumed"), "registries"):
                for registry in narrowed(event.data["registries"], self._filters):
                    yield from self._taken(registry["name"], [registry])
            case "source", "registries":
                for registry in narrowed([event.data], self._filters):
                    yield from self._taken(registry["name"], [registry])
            case "reset", _:
                yield from self._reset_part(event.data)
            case (("put" | "drop"), ("services" | "instances")):
                yield from self._service(event.data)

    def _reset_part(self, data: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """A part of everything; with the last one, what was in none of them is gone."""
        seen = self._reset if self._reset is not None else set()
        for service in data["services"]:
            seen.add(f"{service['namespace']}/{service['name']}")
            yield from self._service(service)
        self._reset = seen if data["more"] else None
        if not data["more"]:
            for name in [name for name in self._shown if name not in seen]:
                yield from self._taken(name, [])

    def _service(self, service: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        name = f"{service['namespace']}/{service['name']}"
        yield from self._taken(name, self._rows_of(service) if "instances" in service else [])

    def _rows_of(self, service: Mapping[str, Any]) -> list[dict[str, Any]]:
        instances = [instance for instance in service["instances"] if self._is_wanted(instance)]
        if self._filters.get("q", "").casefold() not in f"{service['namespace']}/{service['name']}".casefold():
            return []
        if self._kind == "instances":
            return [
                {**instance, "namespace": service["namespace"], "service": service["name"]} for instance in instances
            ]
        if not instances and self._filters.keys() & {"registry", "zone", "health"}:
            return []
        return [_summary_of(service)]

    def _is_wanted(self, instance: Mapping[str, Any]) -> bool:
        wanted = self._filters
        return (
            wanted.get("registry", instance["registry"]) in instance["registries"]
            and wanted.get("zone", instance["zone"]) == instance["zone"]
            and wanted.get("health", instance["health"]) == instance["health"]
        )

    def _taken(self, group: str, rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """The rows of a group that are new or changed, and those that are gone."""
        before = self._shown.pop(group, {})
        now = {f"{row.get('registry', '')} {row.get('key', '')}": row for row in rows}
        if now:
            self._shown[group] = now
        for key, row in now.items():
            if key not in before:
                yield {"change": "new", **row}
            elif _lasting(row) != _lasting(before[key]):
                yield {"change": "changed", **row}
        for key, row in before.items():
            if key not in now:
                yield {"change": "gone", **row}


def _lasting(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row but for what moves by itself."""
    return {name: value for name, value in row.items() if name not in ("age_s", "revision")}


def _summary_of(service: Mapping[str, Any]) -> dict[str, Any]:
    """A service as a list shows it, from the whole of it."""
    instances = service["instances"]
    return {
        **{name: service[name] for name in ("namespace", "name", "host", "registries", "conditions")},
        "zones": sorted({instance["zone"] for instance in instances}),
        "instances": {
            "total": len(instances),
            "passing": sum(instance["health"] == "passing" for instance in instances),
        },
    }
