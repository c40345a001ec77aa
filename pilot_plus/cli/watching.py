"""Watching: `get -w`, which prints what changes."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import click

from pilot_plus.cli import columns
from pilot_plus.cli.client import Client, Event
from pilot_plus.cli.output import Column, Table

WATCHED: Final = ("services", "instances", "registries")

_CHANGE: Final = Column("CHANGE", lambda row: row["change"])


def follow(client: Client, kind: str, form: str | None, filters: Mapping[str, str]) -> None:
    """Print everything, and then every change, until interrupted."""
    if form == "yaml":
        raise click.UsageError("-w prints lines: use -o json")
    heads = {"services": columns.SERVICES, "instances": columns.INSTANCES, "registries": columns.REGISTRIES}[kind]
    table = Table((_CHANGE, *heads), form)
    known = Known(kind, filters)
    try:
        for event in client.watch(namespace=filters.get("namespace"), name=filters.get("name")):
            rows = list(known.rows(event))
            if form == "json":
                for row in rows:
                    click.echo(json.dumps(row, ensure_ascii=False))
            elif rows:
                table.print(rows)
    except KeyboardInterrupt:
        return


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
                for registry in event.data["registries"]:
                    yield from self._taken(registry["name"], [registry])
            case "source", "registries":
                yield from self._taken(event.data["name"], [event.data])
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
